//! `min` and `max` that order floats as PostgreSQL does.
//!
//! DataFusion's accumulator for groups keeps whichever value comes last when NaN meets a number, and takes -infinity
//! for less than the least finite value that it starts from. So the answer would depend on how rows are spread over
//! workers. These two are DataFusion's own functions in everything else; they take over their names and must be
//! registered on the master and on every worker.

use std::sync::Arc;

use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;
use quickdb_kernels::{Number, extreme};

/// `min`, with NaN as the greatest value.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FloatMin(Min);

/// `max`, with NaN as the greatest value.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FloatMax(Max);

/// Both functions, to be registered in the place of DataFusion's.
pub fn functions() -> [Arc<AggregateUDF>; 2] {
    [
        Arc::new(AggregateUDF::new_from_impl(FloatMin(Min::new()))),
        Arc::new(AggregateUDF::new_from_impl(FloatMax(Max::new()))),
    ]
}

fn floats<T>(
    data_type: &DataType,
    start: T::Native,
    pick: fn(T::Native, T::Native) -> T::Native,
) -> Box<dyn GroupsAccumulator>
where
    T: ArrowPrimitiveType + Send,
    T::Native: Number,
{
    let accumulator =
        PrimitiveGroupsAccumulator::<T, _>::new(data_type, move |found: &mut T::Native, value| {
            *found = pick(*found, value);
        });
    Box::new(accumulator.with_starting_value(start))
}

macro_rules! float_extreme {
    ($function:ident, $start:ident, $pick:path) => {
        impl AggregateUDFImpl for $function {
            fn name(&self) -> &str {
                self.0.name()
            }

            fn signature(&self) -> &Signature {
                self.0.signature()
            }

            fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
                self.0.return_type(arguments)
            }

            fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
                self.0.accumulator(arguments)
            }

            fn state_fields(
                &self,
                arguments: StateFieldsArgs<'_>,
            ) -> Result<Vec<arrow::datatypes::FieldRef>> {
                self.0.state_fields(arguments)
            }

            fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
                self.0.groups_accumulator_supported(arguments)
            }

            fn create_groups_accumulator(
                &self,
                arguments: AccumulatorArgs<'_>,
            ) -> Result<Box<dyn GroupsAccumulator>> {
                let data_type = arguments.return_field.data_type();
                match data_type {
                    DataType::Float32 => Ok(floats::<Float32Type>(data_type, f32::$start, $pick)),
                    DataType::Float64 => Ok(floats::<Float64Type>(data_type, f64::$start, $pick)),
                    _ => self.0.create_groups_accumulator(arguments),
                }
            }

            fn create_sliding_accumulator(
                &self,
                arguments: AccumulatorArgs<'_>,
            ) -> Result<Box<dyn Accumulator>> {
                self.0.create_sliding_accumulator(arguments)
            }

            fn is_descending(&self) -> Option<bool> {
                self.0.is_descending()
            }

            fn order_sensitivity(&self) -> AggregateOrderSensitivity {
                self.0.order_sensitivity()
            }

            fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
                self.0.coerce_types(arguments)
            }

            fn reverse_expr(&self) -> ReversedUDAF {
                self.0.reverse_expr()
            }

            fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
                self.0.value_from_stats(statistics)
            }

            fn documentation(&self) -> Option<&Documentation> {
                self.0.documentation()
            }

            fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
                self.0.set_monotonicity(data_type)
            }
        }
    };
}

float_extreme!(FloatMin, GREATEST, extreme::lesser);
float_extreme!(FloatMax, LEAST, extreme::greater);
