//! `histogram` and `histogram2d`: counts of values in bins of equal width, as numpy's functions of these names give
//! them.
//!
//! | call | gives |
//! |---|---|
//! | `histogram(x, bins [, lo, hi])` | a record of `counts` and `edges` |
//! | `histogram2d(x, y, bins_x, bins_y [, x_lo, x_hi, y_lo, y_hi])` | a record of `counts`, by row of `x` and column of `y`, `x_edges` and `y_edges` |
//!
//! The rewriter brings named arguments into these places. The last bin holds its upper edge; values outside, NaN and
//! NULL are not counted. Without a range it is that of the finite values themselves: then the partial state is the
//! values ([`gathered`]), otherwise it is the counts ([`counted`]). Edges along a `real` column are `real`, and a
//! value is compared with the edge as it is given.

mod binning;
mod counted;
mod gathered;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

pub(crate) use binning::Bins;
use binning::Request;
pub(crate) use counted::BinTable;
use counted::Counted;

use crate::error::ErrorKind;
use crate::functions::arithmetic::is_number;
use crate::functions::function::{error, is_int, undefined_function};

/// Both functions.
pub(super) fn functions() -> [Arc<AggregateUDF>; 2] {
    [1, 2].map(|dimensions| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Histogram { dimensions, signature }))
    })
}

/// The bins of `aggregate` over the arguments `exprs` of `types`, and how many of these are values; `None` when it is
/// no histogram or its range is not known beforehand.
pub(crate) fn bins_of(
    aggregate: &AggregateFunctionExpr,
    exprs: &[Arc<dyn PhysicalExpr>],
    types: &[DataType],
) -> Result<Option<(Arc<Bins>, usize)>> {
    let function: &dyn AggregateUDFImpl = aggregate.fun().inner().as_ref();
    let Some(histogram) = function.downcast_ref::<Histogram>() else { return Ok(None) };
    let request = Request::of(histogram.dimensions, exprs, types)?;
    Ok(request.bins()?.map(|bins| (Arc::new(bins), histogram.dimensions)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Histogram {
    dimensions: usize,
    signature: Signature,
}

impl Histogram {
    /// Whether a call with so many arguments says the range.
    fn has_range(&self, arguments: usize) -> bool {
        arguments > 2 * self.dimensions
    }

    fn request(&self, args: &AccumulatorArgs) -> Result<Request> {
        if args.is_distinct {
            let message = format!("DISTINCT is not supported for {}", self.name());
            return Err(error(ErrorKind::Unsupported, message));
        }
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Request::of(self.dimensions, args.exprs, &types)
    }
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The type of the result; `single` says that edges are `real`.
fn record_fields(dimensions: usize, single: bool) -> Fields {
    let edge = if single { DataType::Float32 } else { DataType::Float64 };
    if dimensions == 1 {
        return Fields::from(vec![
            Field::new("counts", list(DataType::Int64), true),
            Field::new("edges", list(edge), true),
        ]);
    }
    Fields::from(vec![
        Field::new("counts", list(list(DataType::Int64)), true),
        Field::new("x_edges", list(edge.clone()), true),
        Field::new("y_edges", list(edge), true),
    ])
}

/// Whether the edges of a histogram over columns of these types are `real`.
fn has_single_edges(dimensions: usize, types: &[DataType]) -> bool {
    dimensions == 1 && types.first() == Some(&DataType::Float32)
}

impl AggregateUDFImpl for Histogram {
    fn name(&self) -> &'static str {
        if self.dimensions == 1 { "histogram" } else { "histogram2d" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let unknown = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Null);
        let coerced: Option<Vec<DataType>> = types
            .iter()
            .enumerate()
            .map(|(place, data_type)| match place / self.dimensions {
                0 if data_type == &DataType::Float32 => Some(DataType::Float32),
                1 if is_int(data_type) || unknown(data_type) => Some(DataType::Int64),
                1 => None,
                _ if is_number(data_type) || unknown(data_type) => Some(DataType::Float64),
                _ => None,
            })
            .collect();
        let complete = [2, 4].iter().any(|parts| types.len() == parts * self.dimensions);
        coerced.filter(|_| complete).ok_or_else(|| undefined_function(self.name(), types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(record_fields(self.dimensions, has_single_edges(self.dimensions, types))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = if self.has_range(args.input_fields.len()) { DataType::Int64 } else { DataType::Float64 };
        let columns = if self.has_range(args.input_fields.len()) { 1 } else { self.dimensions };
        let field = |number: usize| {
            let name = format_state_name(args.name, &format!("values{number}"));
            Arc::new(Field::new(name, list(item.clone()), true))
        };
        Ok((0..columns).map(field).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let request = self.request(&args)?;
        Ok(match request.bins()? {
            Some(bins) => Box::new(Counted::one_group(Arc::new(bins))),
            None => Box::new(gathered::Gathered::new(request)),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.has_range(args.exprs.len())
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.request(&args)?.bins()? {
            Some(bins) => Ok(Box::new(Counted::new(Arc::new(bins)))),
            None => Err(error(ErrorKind::Internal, "a histogram without a range has no counts")),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
