//! Ordered-set aggregates: `percentile_disc(fraction) WITHIN GROUP (ORDER BY x)` and `mode() WITHIN GROUP (ORDER BY
//! x)` over values of any type that sorts, `percentile_cont` over numbers and intervals.
//!
//! The state is the list of values, so it is as large as the group.

use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use datafusion::arrow::compute::{SortOptions, concat, sort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, IntervalMonthDayNanoType};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_plan::expressions::{CastExpr, Literal};

use crate::error::ErrorKind;
use crate::functions::arithmetic::is_number;
use crate::functions::function::{arg, error, internal, is_text, undefined_function};
use crate::functions::temporal::{INTERVAL, interval_between};

/// `percentile_disc`.
pub(crate) fn percentile_disc_udaf() -> Arc<AggregateUDF> {
    OrderedSet::udaf(Kind::PercentileDisc)
}

/// `percentile_cont`.
pub(crate) fn percentile_cont_udaf() -> Arc<AggregateUDF> {
    OrderedSet::udaf(Kind::PercentileCont)
}

/// `mode`.
pub(crate) fn mode_udaf() -> Arc<AggregateUDF> {
    OrderedSet::udaf(Kind::Mode)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    PercentileCont,
    PercentileDisc,
    Mode,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    kind: Kind,
    signature: Signature,
}

impl OrderedSet {
    fn udaf(kind: Kind) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(OrderedSet { kind, signature }))
    }
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        match self.kind {
            Kind::PercentileCont => "percentile_cont",
            Kind::PercentileDisc => "percentile_disc",
            Kind::Mode => "mode",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, arg_types) {
            (Kind::PercentileDisc, [value, fraction]) if is_number(fraction) || fraction.is_null() => {
                Ok(vec![value.clone(), DataType::Float64])
            }
            (Kind::PercentileCont, [value, fraction]) if is_number(fraction) || fraction.is_null() => {
                let value = match value {
                    DataType::Interval(_) => INTERVAL,
                    number if is_number(number) || number.is_null() || is_text(number) => DataType::Float64,
                    _ => return Err(undefined_function(self.name(), arg_types)),
                };
                Ok(vec![value, DataType::Float64])
            }
            (Kind::Mode, [value]) => Ok(vec![value.clone()]),
            _ => Err(undefined_function(self.name(), arg_types)),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(|| internal("an ordered-set aggregate of nothing"))
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // The values are sorted at the end, whatever order they come in.
        AggregateOrderSensitivity::SoftRequirement
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(args.return_type().clone(), true);
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let fraction = match self.kind {
            Kind::Mode => None,
            Kind::PercentileCont | Kind::PercentileDisc => {
                let expr = args.exprs.get(1).ok_or_else(|| internal("a percentile without a fraction"))?;
                let inner = expr.downcast_ref::<CastExpr>().map_or(expr, |cast| cast.expr());
                let literal = inner.downcast_ref::<Literal>().ok_or_else(|| {
                    error(
                        ErrorKind::Unsupported,
                        "percentiles with a fraction that is no constant are not supported",
                    )
                })?;
                match literal.value().cast_to(&DataType::Float64)? {
                    ScalarValue::Float64(Some(fraction)) if (0.0..=1.0).contains(&fraction) => Some(fraction),
                    ScalarValue::Float64(Some(fraction)) => {
                        return Err(error(
                            ErrorKind::NumericOutOfRange,
                            format!("percentile value {fraction} is not between 0 and 1"),
                        ));
                    }
                    _ => None,
                }
            }
        };
        let descending = args.order_bys.first().is_some_and(|order| order.options.descending);
        let item = args.return_type().clone();
        Ok(Box::new(Values { kind: self.kind, fraction, descending, item, batches: Vec::new() }))
    }
}

#[derive(Debug)]
struct Values {
    kind: Kind,
    /// `None` is a NULL fraction.
    fraction: Option<f64>,
    descending: bool,
    item: DataType,
    batches: Vec<ArrayRef>,
}

impl Values {
    fn all(&self) -> Result<Option<ArrayRef>> {
        let arrays: Vec<&dyn Array> = self.batches.iter().map(AsRef::as_ref).collect();
        if arrays.is_empty() { Ok(None) } else { Ok(Some(concat(&arrays)?)) }
    }

    fn keep(&mut self, values: &ArrayRef) -> Result<()> {
        let values = if values.null_count() > 0 {
            let valid: UInt32Array = (0..values.len())
                .filter(|row| values.is_valid(*row))
                .map(|row| u32::try_from(row).ok())
                .collect();
            take(values, &valid, None)?
        } else {
            Arc::clone(values)
        };
        if !values.is_empty() {
            self.batches.push(values);
        }
        Ok(())
    }
}

/// What lies at a fraction of the way through sorted values, between two of them where it falls there.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rank of a row in a group"
)]
fn between(sorted: &ArrayRef, fraction: f64) -> Result<ScalarValue> {
    let place = fraction * (sorted.len() - 1) as f64;
    let (first, second) = (place.floor() as usize, place.ceil() as usize);
    let share = place - place.floor();
    if let DataType::Interval(_) = sorted.data_type() {
        let values = sorted.as_primitive::<IntervalMonthDayNanoType>();
        let (low, high) = (values.value(first), values.value(second));
        return Ok(ScalarValue::IntervalMonthDayNano(Some(interval_between(low, high, share)?)));
    }
    let values = sorted.as_primitive::<Float64Type>();
    let (low, high) = (values.value(first), values.value(second));
    Ok(ScalarValue::Float64(Some(if first == second { low } else { low + share * (high - low) })))
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = Arc::clone(arg(values, 0)?);
        self.keep(&values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let null = ScalarValue::try_from(&self.item)?;
        let Some(values) = self.all()? else { return Ok(null) };
        let options = SortOptions { descending: self.descending, nulls_first: false };
        let sorted = take(&values, &sort_to_indices(&values, Some(options), None)?, None)?;
        let row = match (self.kind, self.fraction) {
            (Kind::PercentileCont | Kind::PercentileDisc, None) => return Ok(null),
            (Kind::PercentileCont, Some(fraction)) => return between(&sorted, fraction),
            (Kind::PercentileDisc, Some(fraction)) => {
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the rank of a row in a group"
                )]
                let rank = (fraction * sorted.len() as f64).ceil() as usize;
                rank.max(1) - 1
            }
            (Kind::Mode, _) => {
                let runs = datafusion::arrow::compute::partition(&[Arc::clone(&sorted)])?.ranges();
                let longest = runs.into_iter().rev().max_by_key(std::ops::Range::len);
                longest.map_or(0, |run| run.start)
            }
        };
        ScalarValue::try_from_array(&sorted, row.min(sorted.len() - 1))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.batches.iter().map(|batch| batch.get_array_memory_size()).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = match self.all()? {
            Some(values) => values,
            None => datafusion::arrow::array::new_empty_array(&self.item),
        };
        let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        let item = Arc::new(Field::new_list_field(self.item.clone(), true));
        let list = datafusion::arrow::array::ListArray::try_new(item, offsets, values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
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
    use datafusion::arrow::array::{Float64Array, Int32Array};

    use super::*;

    fn of(kind: Kind, fraction: Option<f64>, values: &[Option<i32>]) -> ScalarValue {
        let empty = |fraction| Values {
            kind,
            fraction,
            descending: false,
            item: DataType::Int32,
            batches: Vec::new(),
        };
        let mut merged = empty(fraction);
        for value in values {
            let mut partial = empty(fraction);
            partial.update_batch(&[Arc::new(Int32Array::from(vec![*value]))]).unwrap();
            let state: Vec<ArrayRef> =
                partial.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            merged.merge_batch(&state).unwrap();
        }
        merged.evaluate().unwrap()
    }

    #[test]
    fn percentiles_are_values_of_the_group() {
        let values = [Some(30), Some(10), None, Some(20), Some(10)];
        assert_eq!(of(Kind::PercentileDisc, Some(0.5), &values), ScalarValue::Int32(Some(10)));
        assert_eq!(of(Kind::PercentileDisc, Some(0.0), &values), ScalarValue::Int32(Some(10)));
        assert_eq!(of(Kind::PercentileDisc, Some(1.0), &values), ScalarValue::Int32(Some(30)));
        assert_eq!(of(Kind::PercentileDisc, Some(0.5), &[]), ScalarValue::Int32(None));
    }

    #[test]
    fn percentiles_lie_between_values() {
        let check = |values: &[f64], fraction: f64, expected: f64| {
            let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
            assert_eq!(between(&values, fraction).unwrap(), ScalarValue::Float64(Some(expected)));
        };
        check(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.38, 2.9);
        check(&[1.0, 2.0], 0.5, 1.5);
        check(&[7.0], 0.3, 7.0);
    }

    #[test]
    fn the_mode_is_the_first_of_the_most_frequent() {
        let values = [Some(2), Some(1), Some(2), Some(1), Some(3)];
        assert_eq!(of(Kind::Mode, None, &values), ScalarValue::Int32(Some(1)));
    }
}
