//! `to_char` of timestamps, dates, intervals and numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::{DateTimeSettings, Interval};
use crate::functions::arithmetic::{is_number, signed};
use crate::functions::cast::texts;
use crate::functions::decimal::as_decimal;
use crate::functions::function::{Function, arg, internal, is_text, over_arrays};
use crate::functions::number_format::format_number;
use crate::functions::pictures::{Moment, write};
use crate::functions::temporal::{INTERVAL, TIME};
use crate::functions::type_names::{timestamp, timestamptz};

/// `to_char`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "to_char",
            |types| match types {
                [value, picture] if is_text(picture) => {
                    let value = match value {
                        DataType::Timestamp(_, None) => timestamp(),
                        DataType::Timestamp(_, Some(_)) | DataType::Date32 => timestamptz(),
                        DataType::Interval(_) => INTERVAL,
                        DataType::Time32(_) | DataType::Time64(_) => TIME,
                        number if is_number(number) => match as_decimal(&signed(number)) {
                            Some(numeric) => numeric,
                            None => DataType::Decimal128(38, 16),
                        },
                        _ => return None,
                    };
                    Some(vec![value, DataType::Utf8View])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| {
                    let values = arg(arrays, 0)?;
                    let pictures = texts(arg(arrays, 1)?)?;
                    let mut builder = StringViewBuilder::with_capacity(values.len());
                    for row in 0..values.len() {
                        let null = values.is_null(row) || pictures.is_null(row);
                        builder.append_option(match null {
                            true => None,
                            false => in_picture(values, row, pictures.value(row), &settings)?,
                        });
                    }
                    Ok(Arc::new(builder.finish()) as ArrayRef)
                })
            },
        )
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
    ]
}

/// `None` for an infinite moment and for an empty picture of a moment.
fn in_picture(
    values: &ArrayRef,
    row: usize,
    picture: &str,
    settings: &DateTimeSettings,
) -> Result<Option<String>> {
    let moment = match values.data_type() {
        DataType::Decimal128(_, scale) => {
            let value = values.as_primitive::<Decimal128Type>().value(row);
            return format_number(value, *scale, picture).map(Some);
        }
        DataType::Timestamp(_, zoned) => match values.as_primitive::<TimestampMicrosecondType>().value(row) {
            i64::MIN | i64::MAX => return Ok(None),
            utc if zoned.is_some() => Moment::of_instant(utc, &settings.time_zone),
            local => Moment::of_local(local, None),
        },
        DataType::Interval(_) => {
            Moment::of_interval(values.as_primitive::<IntervalMonthDayNanoType>().value(row).into())
        }
        DataType::Time64(_) => {
            let micros = values.as_primitive::<Time64MicrosecondType>().value(row);
            Moment::of_interval(Interval { months: 0, days: 0, micros })
        }
        other => return Err(internal(format!("to_char of {other}"))),
    };
    if picture.is_empty() {
        return Ok(None);
    }
    Ok(Some(write(&moment, picture)?))
}
