//! `to_char` of timestamps, dates and intervals, and of numbers with simple pictures.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::functions::arithmetic::{is_number, signed};
use crate::functions::calendar::{
    civil_from_days, days_from_civil, days_since_monday, iso_week, split_micros,
};
use crate::functions::cast::{session_zone, texts};
use crate::functions::datetime_input::offset_at;
use crate::functions::decimal::{as_decimal, rescale};
use crate::functions::function::{Function, arg, internal, is_text, over_arrays};
use crate::functions::temporal::INTERVAL;
use crate::functions::type_names::{timestamp, timestamptz};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// `to_char`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "to_char",
            |types| match types {
                [value, picture] if is_text(picture) => {
                    let value = match value {
                        DataType::Timestamp(_, Some(_)) => timestamptz(),
                        DataType::Timestamp(_, None) | DataType::Date32 => timestamp(),
                        DataType::Interval(_) => INTERVAL,
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
                let zone = session_zone(args);
                over_arrays(args, |arrays| {
                    let values = arg(arrays, 0)?;
                    let pictures = texts(arg(arrays, 1)?)?;
                    let mut builder = StringViewBuilder::with_capacity(values.len());
                    for row in 0..values.len() {
                        if values.is_null(row) || pictures.is_null(row) {
                            builder.append_null();
                            continue;
                        }
                        if matches!(values.data_type(), DataType::Timestamp(..))
                            && matches!(
                                values.as_primitive::<TimestampMicrosecondType>().value(row),
                                i64::MIN | i64::MAX
                            )
                        {
                            builder.append_null();
                            continue;
                        }
                        let picture = pictures.value(row);
                        builder.append_value(match values.data_type() {
                            DataType::Timestamp(_, zoned) => {
                                let utc = values.as_primitive::<TimestampMicrosecondType>().value(row);
                                let offset = if zoned.is_some() { offset_at(utc, zone) } else { 0 };
                                format_moment(utc + i64::from(offset) * 1_000_000, offset, picture)
                            }
                            DataType::Interval(_) => {
                                let interval = values.as_primitive::<IntervalMonthDayNanoType>().value(row);
                                let (months, days) = (i64::from(interval.months), i64::from(interval.days));
                                let fields = Fields {
                                    year: months / 12,
                                    month: months % 12,
                                    day: days,
                                    days: 0,
                                    micros: interval.nanoseconds / 1_000,
                                    offset: 0,
                                };
                                format_fields(&fields, picture)
                            }
                            DataType::Decimal128(_, scale) => format_number(
                                values.as_primitive::<Decimal128Type>().value(row),
                                *scale,
                                picture,
                            )?,
                            other => return Err(internal(format!("to_char of {other}"))),
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

struct Fields {
    year: i64,
    month: i64,
    day: i64,
    /// Day number, for the fields of weeks.
    days: i64,
    micros: i64,
    offset: i32,
}

fn format_moment(local: i64, offset: i32, picture: &str) -> String {
    let (days, micros) = split_micros(local);
    let (year, month, day) = civil_from_days(days);
    format_fields(&Fields { year, month, day, days, micros, offset }, picture)
}

/// Patterns, the longer of two that begin alike first.
const PATTERNS: [&str; 70] = [
    "YYYY", "Y,YYY", "YYY", "YY", "IYYY", "IYY", "IY", "Y", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "TZH",
    "TZM", "SSSSS", "B.C.", "A.D.", "b.c.", "a.d.", "BC", "AD", "bc", "ad", "tz", "rm", "MONTH", "Month",
    "month", "MON", "Mon", "mon", "MM", "MI", "MS", "DDD", "DD", "DAY", "Day", "day", "DY", "Dy", "dy", "D",
    "HH24", "HH12", "HH", "SSSS", "SS", "US", "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.", "IDDD",
    "ID", "IW", "I", "WW", "W", "CC", "Q", "RM", "TZ", "J",
];

fn format_fields(fields: &Fields, picture: &str) -> String {
    let mut out = String::new();
    let mut rest = picture;
    let mut fill = true;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        end = at;
                        break;
                    }
                    '\\' => out.extend(characters.next().map(|(_, escaped)| escaped)),
                    c => out.push(c),
                }
            }
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        if let Some(after) = rest.strip_prefix("FM") {
            fill = !fill;
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("OF") {
            let sign = if fields.offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (fields.offset.abs() / 3600, fields.offset.abs() / 60 % 60);
            out.push_str(&if minutes == 0 {
                format!("{sign}{hours:02}")
            } else {
                format!("{sign}{hours:02}:{minutes:02}")
            });
            rest = after;
            continue;
        }
        // Keywords are the same in lower case but for those that choose the case of a name.
        let upper = rest.to_uppercase();
        let found = PATTERNS.iter().find(|pattern| rest.starts_with(**pattern)).or_else(|| {
            PATTERNS
                .iter()
                .find(|pattern| upper.starts_with(**pattern) && pattern.chars().all(|c| !c.is_lowercase()))
        });
        if let Some(pattern) = found {
            let mut text = field(fields, pattern, fill);
            rest = rest.get(pattern.len()..).unwrap_or_default();
            if let Some(after) = rest.strip_prefix("TH").or_else(|| rest.strip_prefix("th")) {
                let suffix = ordinal_suffix(&text);
                text.push_str(&if rest.starts_with("TH") {
                    suffix.to_uppercase()
                } else {
                    suffix.to_owned()
                });
                rest = after;
            }
            out.push_str(&text);
            fill = true;
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn ordinal_suffix(number: &str) -> &'static str {
    let last_two = number.get(number.len().saturating_sub(2)..).unwrap_or(number);
    match (last_two, number.chars().last()) {
        ("11" | "12" | "13", _) => "th",
        (_, Some('1')) => "st",
        (_, Some('2')) => "nd",
        (_, Some('3')) => "rd",
        _ => "th",
    }
}

/// A month in Roman numerals; those of an interval count back from the end.
fn roman(month: i64) -> &'static str {
    let index = if month > 0 { month - 1 } else { 11 + (month + 1).min(0) };
    let index = usize::try_from(index).unwrap_or(0);
    ROMAN.get(index).copied().unwrap_or_default()
}

fn field(fields: &Fields, pattern: &str, fill: bool) -> String {
    let padded = |value: i64, width: usize| if fill { format!("{value:0width$}") } else { value.to_string() };
    let named = |name: &str, width: usize| if fill { format!("{name:<width$}") } else { name.to_owned() };
    let index = |value: i64| usize::try_from(value).unwrap_or(0);
    let month = MONTHS.get(index(fields.month - 1)).copied().unwrap_or_default();
    let day = DAYS.get(index(days_since_monday(fields.days))).copied().unwrap_or_default();
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let seconds = fields.micros / 1_000_000;
    let hour = seconds / 3600;
    let half_hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    let afternoon = hour % 24 >= 12;
    let day_of_year = fields.days - days_from_civil(fields.year, 1, 1) + 1;
    let year = if fields.year > 0 { fields.year } else { 1 - fields.year };
    match pattern {
        "YYYY" => padded(year, 4),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYY" => padded(year % 1000, 3),
        "YY" => padded(year % 100, 2),
        "Y" => (year % 10).to_string(),
        "IYYY" => padded(iso_week(fields.days).0, 4),
        "IYY" => padded(iso_week(fields.days).0 % 1000, 3),
        "IY" => padded(iso_week(fields.days).0 % 100, 2),
        "MONTH" => named(&month.to_uppercase(), 9),
        "Month" => named(month, 9),
        "month" => named(&month.to_lowercase(), 9),
        "MON" => short(month).to_uppercase(),
        "Mon" => short(month),
        "mon" => short(month).to_lowercase(),
        "MM" => padded(fields.month, 2),
        "RM" => named(roman(fields.month), 4),
        "rm" => named(&roman(fields.month).to_lowercase(), 4),
        "I" => (iso_week(fields.days).0 % 10).to_string(),
        "J" => (fields.days + 2_440_588).to_string(),
        "BC" | "AD" => if fields.year > 0 { "AD" } else { "BC" }.to_owned(),
        "bc" | "ad" => if fields.year > 0 { "ad" } else { "bc" }.to_owned(),
        "B.C." | "A.D." => if fields.year > 0 { "A.D." } else { "B.C." }.to_owned(),
        "b.c." | "a.d." => if fields.year > 0 { "a.d." } else { "b.c." }.to_owned(),
        "TZH" => {
            let sign = if fields.offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}", fields.offset.abs() / 3600)
        }
        "TZM" => format!("{:02}", fields.offset.abs() / 60 % 60),
        "FF1" => format!("{:01}", fields.micros % 1_000_000 / 100_000),
        "FF2" => format!("{:02}", fields.micros % 1_000_000 / 10_000),
        "FF3" => format!("{:03}", fields.micros % 1_000_000 / 1_000),
        "FF4" => format!("{:04}", fields.micros % 1_000_000 / 100),
        "FF5" => format!("{:05}", fields.micros % 1_000_000 / 10),
        "FF6" => format!("{:06}", fields.micros % 1_000_000),
        "DAY" => named(&day.to_uppercase(), 9),
        "Day" => named(day, 9),
        "day" => named(&day.to_lowercase(), 9),
        "DY" => short(day).to_uppercase(),
        "Dy" => short(day),
        "dy" => short(day).to_lowercase(),
        "DDD" => padded(day_of_year, 3),
        "DD" => padded(fields.day, 2),
        "D" => ((days_since_monday(fields.days) + 1) % 7 + 1).to_string(),
        "ID" => (days_since_monday(fields.days) + 1).to_string(),
        "IDDD" => padded((iso_week(fields.days).1 - 1) * 7 + days_since_monday(fields.days) + 1, 3),
        "IW" => padded(iso_week(fields.days).1, 2),
        "WW" => padded((day_of_year - 1) / 7 + 1, 2),
        "W" => ((fields.day - 1) / 7 + 1).to_string(),
        "Q" => ((fields.month - 1) / 3 + 1).to_string(),
        "CC" => padded((fields.year + 99) / 100, 2),
        "HH24" => padded(hour, 2),
        "HH12" | "HH" => padded(half_hour, 2),
        "MI" => padded(seconds / 60 % 60, 2),
        "SSSS" | "SSSSS" => seconds.to_string(),
        "SS" => padded(seconds % 60, 2),
        "MS" => format!("{:03}", fields.micros / 1_000 % 1_000),
        "US" => format!("{:06}", fields.micros % 1_000_000),
        "AM" | "PM" => if afternoon { "PM" } else { "AM" }.to_owned(),
        "am" | "pm" => if afternoon { "pm" } else { "am" }.to_owned(),
        "A.M." | "P.M." => if afternoon { "P.M." } else { "A.M." }.to_owned(),
        "a.m." | "p.m." => if afternoon { "p.m." } else { "a.m." }.to_owned(),
        "TZ" | "tz" => if fields.offset == 0 { "UTC" } else { "" }.to_owned(),
        _ => String::new(),
    }
}

/// A number in a picture of `9`, `0`, `.`, `,`, `FM`, `D`, `G` and literals; too large ones become `#`.
fn format_number(value: i128, scale: i8, picture: &str) -> Result<String> {
    let (picture, fill) = match picture.strip_prefix("FM").or_else(|| picture.strip_prefix("fm")) {
        Some(rest) => (rest, false),
        None => (picture, true),
    };
    let (whole, fraction) = match picture.find(['.', 'D', 'd']) {
        Some(at) => (picture.get(..at).unwrap_or_default(), picture.get(at + 1..)),
        None => (picture, None),
    };
    let is_digit = |c: char| matches!(c, '9' | '0');
    let fraction_digits = fraction.map_or(0, |fraction| fraction.chars().filter(|c| is_digit(*c)).count());
    let rounded = rescale(value, scale, i8::try_from(fraction_digits).unwrap_or(0))?;
    let digits = format!("{:0>width$}", rounded.unsigned_abs().to_string(), width = fraction_digits + 1);
    let (whole_digits, fraction_text) = digits.split_at(digits.len() - fraction_digits);
    let whole_digits = whole_digits.trim_start_matches('0');
    let places = whole.chars().filter(|c| is_digit(*c)).count();
    let overflow = whole_digits.len() > places;
    let first_zero = whole.chars().filter(|c| is_digit(*c)).position(|c| c == '0');
    let mut body = String::new();
    let mut place = 0;
    let mut begun = false;
    let padded = format!("{whole_digits:>places$}");
    for c in whole.chars() {
        match c {
            '9' | '0' => {
                let digit = if overflow { '#' } else { padded.chars().nth(place).unwrap_or(' ') };
                let shown = match digit {
                    ' ' if first_zero.is_some_and(|zero| place >= zero) => '0',
                    other => other,
                };
                begun |= shown != ' ';
                body.push(shown);
                place += 1;
            }
            ',' | 'G' | 'g' => body.push(if begun { ',' } else { ' ' }),
            other => body.push(other),
        }
    }
    let mut sign_at = body.chars().take_while(|c| *c == ' ').count();
    if !begun && fraction.is_none() && body.ends_with(' ') {
        // Zero without a place for it is still shown.
        body.pop();
        body.push('0');
        sign_at = sign_at.saturating_sub(1);
    }
    let sign = if rounded < 0 { "-" } else { " " };
    let (blank, shown) = body.split_at(sign_at.min(body.len()));
    let mut text = format!("{blank}{sign}{shown}");
    if let Some(fraction) = fraction {
        text.push('.');
        let mut place = 0;
        for c in fraction.chars() {
            if is_digit(c) {
                text.push(if overflow { '#' } else { fraction_text.chars().nth(place).unwrap_or('0') });
                place += 1;
            } else {
                text.push(c);
            }
        }
        if !fill {
            let optional = fraction.chars().rev().take_while(|c| *c == '9').count();
            let keep = text.len() - optional;
            while text.len() > keep && text.ends_with('0') {
                text.pop();
            }
        }
    }
    Ok(if fill { text } else { text.trim_start().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::datetime_input::parse_timestamp;

    #[test]
    fn moments_follow_the_picture() {
        let at = parse_timestamp("2013-01-05 15:04:06.789").unwrap();
        let check =
            |picture: &str, expected: &str| assert_eq!(format_moment(at, 0, picture), expected, "{picture}");
        check("YYYY-MM-DD HH24:MI:SS", "2013-01-05 15:04:06");
        check("FMDay, FMDD FMMonth YYYY", "Saturday, 5 January 2013");
        check("HH12:MI AM MS US", "03:04 PM 789 789000");
        check("DDth \"at\" Q IYYY-IW", "05th at 1 2013-01");
        check("yyyy-mm-dd", "2013-01-05");
    }

    #[test]
    fn numbers_follow_the_picture() {
        let check = |value: i128, scale: i8, picture: &str, expected: &str| {
            assert_eq!(format_number(value, scale, picture).unwrap(), expected, "{picture}");
        };
        check(12_345, 1, "9,999.99", " 1,234.50");
        check(-125, 1, "999.9", " -12.5");
        check(5, 0, "FM009", "005");
        check(123_456, 0, "999", " ###");
        check(5, 1, "FM0.99", "0.5");
    }
}
