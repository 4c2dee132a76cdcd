//! `series_list`: what `generate_series` gives, as an array in the type of its bounds.
//!
//! A series of points in time adds its step again and again, in the session's zone where the points have one.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Builder, Int64Builder, ListBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Int32Type, Int64Type, IntervalMonthDayNanoType, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::datetime::{DateTimeSettings, TimeZone};
use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{arg, is_text, over_arrays, undefined_function};
use crate::functions::intervals::length;
use crate::functions::temporal::{INTERVAL, add_interval};

/// Elements of one array, so that a bound cannot ask for more memory than there is.
const LENGTH_MAX: usize = 100_000_000;

/// `series_list` as DataFusion calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    signature: Signature,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Stable) }
    }
}

fn is_small(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16
    )
}

fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_null()
}

impl ScalarUDFImpl for Series {
    fn name(&self) -> &'static str {
        "series_list"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let [first, last, step] = types
            && let Some(zone) = common_zone(first, last)
            && (matches!(step, DataType::Interval(_)) || step.is_null() || is_text(step))
        {
            let point = DataType::Timestamp(TimeUnit::Microsecond, zone);
            return Ok(vec![point.clone(), point, INTERVAL]);
        }
        if !types.iter().all(is_whole) || !(2..=3).contains(&types.len()) {
            return Err(undefined_function("generate_series", types));
        }
        let small = types.iter().all(|of| is_small(of) || of.is_null());
        Ok(vec![if small { DataType::Int32 } else { DataType::Int64 }; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(element @ (DataType::Int32 | DataType::Int64)) => {
                Ok(DataType::new_list(element.clone(), true))
            }
            Some(DataType::Timestamp(_, zone)) => {
                Ok(DataType::new_list(DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), true))
            }
            _ => Err(undefined_function("generate_series", types)),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&types)?;
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first().map(ColumnarValue::data_type) {
            Some(DataType::Int32) => over_arrays(&args, |arrays| {
                let columns = columns(arrays, |array| {
                    array.as_primitive::<Int32Type>().iter().map(|value| value.map(i64::from)).collect()
                })?;
                let mut builder = ListBuilder::new(Int32Builder::new());
                for row in 0..columns.rows {
                    let Some(series) = columns.series(row)? else {
                        builder.append_null();
                        continue;
                    };
                    // Between two bounds of that type.
                    series.for_each(|value| builder.values().append_option(i32::try_from(value).ok()));
                    builder.append(true);
                }
                Ok(Arc::new(builder.finish()) as ArrayRef)
            }),
            Some(DataType::Int64) => over_arrays(&args, |arrays| {
                let columns = columns(arrays, |array| array.as_primitive::<Int64Type>().iter().collect())?;
                let mut builder = ListBuilder::new(Int64Builder::new());
                for row in 0..columns.rows {
                    let Some(series) = columns.series(row)? else {
                        builder.append_null();
                        continue;
                    };
                    series.for_each(|value| builder.values().append_value(value));
                    builder.append(true);
                }
                Ok(Arc::new(builder.finish()) as ArrayRef)
            }),
            Some(DataType::Timestamp(_, zone)) => {
                let settings = DateTimeSettings::of(&args.config_options);
                let session = zone.is_some().then_some(&settings.time_zone);
                over_arrays(&args, |arrays| moments(arrays, zone.clone(), session))
            }
            _ => Err(undefined_function("generate_series", &[])),
        }
    }
}

/// The points in time of each row.
fn moments(arrays: &[ArrayRef], zone: Option<Arc<str>>, session: Option<&TimeZone>) -> Result<ArrayRef> {
    let first = arg(arrays, 0)?.as_primitive::<TimestampMicrosecondType>();
    let last = arg(arrays, 1)?.as_primitive::<TimestampMicrosecondType>();
    let steps = arg(arrays, 2)?.as_primitive::<IntervalMonthDayNanoType>();
    let mut builder = ListBuilder::new(TimestampMicrosecondBuilder::new().with_timezone_opt(zone));
    for row in 0..first.len() {
        if first.is_null(row) || last.is_null(row) || steps.is_null(row) {
            builder.append_null();
            continue;
        }
        let (mut at, last, step) = (first.value(row), last.value(row), steps.value(row));
        let direction = length(step).signum();
        if direction == 0 {
            return Err(ExecError::new(ErrorKind::InvalidParameter, "step size cannot equal zero").into());
        }
        let mut count = 0;
        while if direction > 0 { at <= last } else { at >= last } {
            builder.values().append_value(at);
            count += 1;
            let next = add_interval(at, step, session)?;
            if count > LENGTH_MAX || next == at {
                // An infinite point never moves on.
                return Err(too_long(count));
            }
            at = next;
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn too_long(count: usize) -> DataFusionError {
    ExecError::new(ErrorKind::OutOfMemory, format!("a series of {count} values is too long here"))
        .with_hint("Up to 100 million values are, where the bounds are columns.")
        .into()
}

/// The zone of a series between two points in time; a date is a point in the session's zone, as in PostgreSQL.
#[expect(clippy::option_option, reason = "no points in time, or such without a zone")]
fn common_zone(first: &DataType, last: &DataType) -> Option<Option<Arc<str>>> {
    let zone = |data_type: &DataType| match data_type {
        DataType::Timestamp(_, zone) => Some(zone.clone()),
        DataType::Date32 => Some(Some("UTC".into())),
        _ => None,
    };
    match (zone(first), zone(last)) {
        (Some(Some(zone)), _) | (_, Some(Some(zone))) => Some(Some(zone)),
        (Some(None), _) | (_, Some(None)) => Some(None),
        (None, None) => None,
    }
}

/// First, last and step of each row.
struct Columns {
    rows: usize,
    first: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    step: Option<Vec<Option<i64>>>,
}

fn columns(arrays: &[ArrayRef], values: impl Fn(&ArrayRef) -> Vec<Option<i64>>) -> Result<Columns> {
    let (first, last) = (arg(arrays, 0)?, arg(arrays, 1)?);
    Ok(Columns {
        rows: first.len(),
        first: values(first),
        last: values(last),
        step: arrays.get(2).map(values),
    })
}

impl Columns {
    /// The values of a row; `None` where a bound is NULL.
    fn series(&self, row: usize) -> Result<Option<impl Iterator<Item = i64>>> {
        let at = |values: &[Option<i64>]| values.get(row).copied().flatten();
        let step = match &self.step {
            Some(steps) => at(steps),
            None => Some(1),
        };
        let (Some(first), Some(last), Some(step)) = (at(&self.first), at(&self.last), step) else {
            return Ok(None);
        };
        if step == 0 {
            return Err(ExecError::new(ErrorKind::InvalidParameter, "step size cannot equal zero").into());
        }
        let count = if (step > 0) == (first <= last) || first == last {
            (i128::from(last) - i128::from(first)) / i128::from(step) + 1
        } else {
            0
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        if count > LENGTH_MAX {
            return Err(too_long(count));
        }
        // Within the bounds, so that nothing overflows before the last value.
        Ok(Some((0..count).scan(Some(first), move |next, _| {
            let value = (*next)?;
            *next = value.checked_add(step);
            Some(value)
        })))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;
    use crate::functions::testing::call;
    use datafusion::logical_expr::ScalarUDF;

    fn series(bounds: &[i32]) -> Result<ScalarValue> {
        let bounds: Vec<ScalarValue> = bounds.iter().map(|bound| ScalarValue::Int32(Some(*bound))).collect();
        call(&ScalarUDF::from(Series::new()), &bounds)
    }

    #[test]
    fn a_series_is_in_the_type_of_its_bounds() {
        let list = |values: &[i32]| {
            let values: Vec<ScalarValue> =
                values.iter().map(|value| ScalarValue::Int32(Some(*value))).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int32))
        };
        assert_eq!(series(&[1, 3]).unwrap(), list(&[1, 2, 3]));
        assert_eq!(series(&[3, 1]).unwrap(), list(&[]));
        assert_eq!(series(&[5, 1, -2]).unwrap(), list(&[5, 3, 1]));
        assert_eq!(series(&[i32::MAX, i32::MAX]).unwrap(), list(&[i32::MAX]));
        assert!(series(&[1, 3, 0]).is_err());
    }
}
