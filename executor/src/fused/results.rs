//! Results of groups from their states, where no other process has more of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::{AggregateUDFImpl, EmitTo};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::accumulators::foreign;
use crate::float_extremes::{FloatMax, FloatMin};

/// The keys and results of the groups whose keys and states are in `states`, each group once.
pub(super) fn of_states(
    aggregate: &AggregateExec,
    schema: &SchemaRef,
    states: &RecordBatch,
) -> Result<RecordBatch> {
    let rows = states.num_rows();
    let keys = aggregate.group_expr().expr().len();
    let mut columns: Vec<ArrayRef> = states.columns().get(..keys).unwrap_or_default().to_vec();
    let mut from = keys;
    let mut groups: Vec<usize> = vec![];
    for function in aggregate.aggr_expr() {
        let to = from + function.state_fields()?.len();
        let Some(own) = states.columns().get(from..to) else {
            return internal_err!("an aggregate without its states");
        };
        from = to;
        columns.push(match own {
            [state] if is_its_state(function) => Arc::clone(state),
            _ => {
                groups.resize(rows, 0);
                groups.iter_mut().enumerate().for_each(|(row, group)| *group = row);
                let mut accumulator = foreign(function, true)?;
                accumulator.merge_batch(own, &groups, rows)?;
                accumulator.evaluate(EmitTo::All)?
            }
        });
    }
    for (column, field) in columns.iter_mut().zip(schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = cast(column, field.data_type())?;
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Whether the one state of an aggregate is its result.
fn is_its_state(aggregate: &AggregateFunctionExpr) -> bool {
    let function: &dyn AggregateUDFImpl = aggregate.fun().inner().as_ref();
    !aggregate.is_distinct()
        && (function.is::<Count>()
            || function.is::<Sum>()
            || function.is::<Min>()
            || function.is::<Max>()
            || function.is::<FloatMin>()
            || function.is::<FloatMax>())
}
