//! Interval literals, and the offsets of window frames among them.

use datafusion::sql::sqlparser::ast::{
    DataType, DateTimeField, Expr, Interval, Value, WindowFrameBound, WindowSpec,
};
use quickdb_executor::datetime::IntervalField;

use super::expressions::{literal_text, plain_cast, text};
use super::subqueries::call;

/// Marks the intervals of a window's frame, which the planner reads itself.
pub(super) const FRAME_MARK: u64 = u64::MAX;

pub(super) fn keep_frame(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset)) = bound {
            if let Expr::Cast { expr, data_type: DataType::Interval { .. }, .. } = offset.as_ref()
                && literal_text(expr).is_some()
            {
                let value = expr.clone();
                **offset = Expr::Interval(Interval {
                    value,
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
            }
            if let Expr::Interval(interval) = offset.as_mut() {
                interval.leading_precision = Some(FRAME_MARK);
            }
        }
    }
}

pub(super) fn interval_literal(interval: Interval) -> Expr {
    let word = |field: Option<DateTimeField>| field.map(|field| field.to_string().to_lowercase());
    let of_leading = interval.leading_precision.filter(|_| interval.last_field.is_none());
    let fields = match (word(interval.leading_field), word(interval.last_field)) {
        (Some(first), Some(last)) => Some(format!("{first} to {last}")),
        (first, _) => first,
    };
    // What is no field of SQL is a name that follows the interval.
    let fields = fields.filter(|fields| IntervalField::named(fields).is_some());
    let digits = interval.fractional_seconds_precision.or(of_leading);
    interval_cast(plain_cast(*interval.value, DataType::Text), fields.as_deref(), digits)
}

/// A cast to `interval`, of some fields only and with some digits of a second.
pub(super) fn interval_cast(expr: Expr, fields: Option<&str>, digits: Option<u64>) -> Expr {
    let arguments = std::iter::once(expr).chain(fields.map(text)).collect();
    let interval = call("cast_interval", arguments, Vec::new());
    match digits {
        Some(digits) => {
            let digits = Expr::Value(Value::Number(digits.to_string(), false).into());
            call("moment_digits", vec![interval, digits], Vec::new())
        }
        None => interval,
    }
}
