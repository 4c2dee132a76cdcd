//! A scalar subquery's one row: the aggregate `single_value` inside of it and the function `single_row` around it.
//!
//! The planner turns `(SELECT x FROM t WHERE ...)` into `single_row((SELECT single_value(x) FROM t WHERE ...))`. The
//! aggregate makes every such subquery one that DataFusion can decorrelate; it keeps at most two values. Only
//! `single_row` complains about the second one, so that a group that no outer row asks for is no error.

use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ScalarUDF, Signature, Volatility,
};

use crate::error::ErrorKind;
use crate::functions::arrays::shape::{Arrays, ArraysBuilder, is_array};
use crate::functions::function::{Function, arg, error, internal, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

/// Values kept: one for the answer, one to know that there was more.
const VALUES_MAX: usize = 2;

/// The aggregate, a list of at most two values.
pub fn single_value_udaf() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(SingleValue { signature: Signature::any(1, Volatility::Immutable) }))
}

/// The function that takes the one value out of the list, NULL where there is none.
pub fn single_row_udf() -> Arc<ScalarUDF> {
    Function::new(
        "single_row",
        |types| match types {
            [DataType::List(_) | DataType::Null] => Some(types.to_vec()),
            _ => None,
        },
        |types, _| match types {
            [DataType::List(item)] => Ok(item.data_type().clone()),
            _ => Ok(DataType::Null),
        },
        |args| {
            over_arrays(args, |arrays| {
                let lists = arg(arrays, 0)?;
                if lists.data_type() == &DataType::Null {
                    return Ok(Arc::clone(lists));
                }
                let lists = lists.as_list::<i32>();
                let mut positions = Vec::with_capacity(lists.len());
                for (row, window) in lists.value_offsets().windows(2).enumerate() {
                    let [start, end] = window else { return Err(internal("offsets come in pairs")) };
                    match end - start {
                        _ if lists.is_null(row) => positions.push(None),
                        0 => positions.push(None),
                        1 => positions.push(u32::try_from(*start).ok()),
                        _ => {
                            return Err(error(
                                ErrorKind::CardinalityViolation,
                                "more than one row returned by a subquery used as an expression",
                            ));
                        }
                    }
                }
                Ok(take(lists.values(), &UInt32Array::from(positions), None)?)
            })
        },
    )
    .nullable()
    .same_type()
    .udf()
}

/// `ARRAY(SELECT ...)` of no rows is an empty array, where `array_agg` of none is NULL.
pub fn array_or_empty_udf() -> Arc<ScalarUDF> {
    Function::new(
        "array_or_empty",
        |types| match types {
            [array] if is_array(array) || array.is_null() => Some(types.to_vec()),
            _ => None,
        },
        |types, _| Ok(types.first().cloned().unwrap_or(DataType::Null)),
        |args| {
            over_arrays(args, |arrays| {
                let array = arg(arrays, 0)?;
                if array.null_count() == 0 || array.data_type().is_null() {
                    return Ok(Arc::clone(array));
                }
                let arrays = Arrays::of(array)?;
                let mut builder = ArraysBuilder::default();
                for row in 0..arrays.len() {
                    match arrays.get(row) {
                        Some(value) => {
                            builder.pick_all(1, value.range);
                            builder.close(value.dimensions);
                        }
                        None => builder.close_flat(),
                    }
                }
                builder.finish(&[arrays.elements()], array.data_type())
            })
        },
    )
    .same_type()
    .udf()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SingleValue {
    signature: Signature,
}

impl AggregateUDFImpl for SingleValue {
    fn name(&self) -> &'static str {
        "single_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let item = arg_types.first().cloned().unwrap_or(DataType::Null);
        Ok(DataType::List(Arc::new(Field::new_list_field(item, true))))
    }

    /// The list says which type PostgreSQL has for its values, for `single_row` to hand on.
    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        let name = arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY));
        Ok(Arc::new(match name {
            Some(name) => field.with_metadata([(PG_TYPE_KEY.to_owned(), name.clone())].into()),
            None => field,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "single_value");
        Ok(vec![Arc::new(Field::new(name, args.return_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let DataType::List(item) = args.return_type() else {
            return Err(internal("single_value gives a list"));
        };
        Ok(Box::new(SingleValueAccumulator { item: item.data_type().clone(), values: Vec::new() }))
    }
}

#[derive(Debug)]
struct SingleValueAccumulator {
    item: DataType,
    values: Vec<ScalarValue>,
}

impl SingleValueAccumulator {
    fn keep(&mut self, array: &ArrayRef) -> Result<()> {
        for row in 0..array.len() {
            if self.values.len() == VALUES_MAX {
                break;
            }
            let mut value = ScalarValue::try_from_array(array, row)?;
            value.compact();
            self.values.push(value);
        }
        Ok(())
    }
}

impl Accumulator for SingleValueAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.keep(arg(values, 0)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(&self.values, &self.item)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = arg(states, 0)?.as_list::<i32>().clone();
        for row in 0..lists.len() {
            if lists.is_valid(row) {
                self.keep(&lists.value(row))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int32Array;

    use super::*;
    use crate::error::ExecError;
    use crate::functions::testing::call;

    fn row_of(batches: &[&[Option<i32>]]) -> std::result::Result<ScalarValue, String> {
        let mut merged = SingleValueAccumulator { item: DataType::Int32, values: Vec::new() };
        for batch in batches {
            let mut partial = SingleValueAccumulator { item: DataType::Int32, values: Vec::new() };
            partial.update_batch(&[Arc::new(Int32Array::from(batch.to_vec()))]).unwrap();
            let state: Vec<ArrayRef> =
                partial.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            merged.merge_batch(&state).unwrap();
        }
        let list = merged.evaluate().unwrap();
        call(&single_row_udf(), &[list]).map_err(|e| ExecError::find(&e).unwrap().message)
    }

    #[test]
    fn one_row_is_its_value_and_none_is_null() {
        assert_eq!(row_of(&[&[], &[Some(5)], &[]]), Ok(ScalarValue::Int32(Some(5))));
        assert_eq!(row_of(&[&[None]]), Ok(ScalarValue::Int32(None)));
        assert_eq!(row_of(&[]), Ok(ScalarValue::Int32(None)));
    }

    #[test]
    fn a_second_row_in_any_partition_is_an_error() {
        let message = "more than one row returned by a subquery used as an expression".to_owned();
        assert_eq!(row_of(&[&[Some(5)], &[Some(5)]]), Err(message.clone()));
        assert_eq!(row_of(&[&[Some(1), Some(2), Some(3)]]), Err(message));
    }
}
