//! `format(template, ...)`: texts, identifiers and literals put into a template.

use std::sync::Arc;

use datafusion::arrow::array::StringViewBuilder;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::datetime::DateTimeSettings;
use crate::error::{ErrorKind, ExecError};
use crate::functions::quoting::{quote, quote_literal};
use crate::functions::text_of::text_in;

/// `format` as DataFusion calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Format {
    signature: Signature,
}

impl Format {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let settings = DateTimeSettings::of(&args.config_options);
        let mut builder = StringViewBuilder::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let texts =
                arrays.iter().map(|array| text_in(array, row, &settings)).collect::<Result<Vec<_>>>()?;
            builder.append_option(match texts.split_first() {
                Some((Some(template), arguments)) => Some(format(template, arguments)?),
                _ => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

fn invalid(message: impl Into<String>) -> ExecError {
    ExecError::new(ErrorKind::InvalidParameter, message)
}

/// Fills the template. An argument is the next one, or the one whose number stands before a `$`.
fn format(template: &str, arguments: &[Option<String>]) -> std::result::Result<String, ExecError> {
    let unterminated = || invalid("unterminated format() type specifier");
    let mut output = String::with_capacity(template.len());
    let mut letters = template.chars().peekable();
    let mut next = 0;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            output.push(letter);
            continue;
        }
        if letters.next_if_eq(&'%').is_some() {
            output.push('%');
            continue;
        }
        let mut position = None;
        let mut width = number(&mut letters);
        if width.is_some() && letters.next_if_eq(&'$').is_some() {
            position = width.take();
        }
        let mut is_left = false;
        while letters.next_if_eq(&'-').is_some() {
            is_left = true;
        }
        if letters.next_if_eq(&'*').is_some() {
            let at = number(&mut letters);
            if at.is_some() && letters.next_if_eq(&'$').is_none() {
                return Err(invalid("width argument position must be ended by \"$\""));
            }
            let given = take(arguments, at, &mut next)?;
            let given: i64 = given.unwrap_or("0").parse().map_err(|_| invalid("number is out of range"))?;
            is_left |= given < 0;
            width = usize::try_from(given.unsigned_abs()).ok();
        } else if width.is_none() {
            width = number(&mut letters);
        }
        let kind = letters.next().ok_or_else(unterminated)?;
        if !matches!(kind, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{kind}\"");
            return Err(invalid(message));
        }
        let text = match (kind, take(arguments, position, &mut next)?) {
            ('s', value) => value.unwrap_or_default().to_owned(),
            ('L', value) => value.map_or_else(|| "NULL".to_owned(), quote_literal),
            (_, Some(value)) => quote(value),
            (_, None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(ExecError::new(ErrorKind::NullNotAllowed, message));
            }
        };
        let padding = " ".repeat(width.unwrap_or(0).saturating_sub(text.chars().count()).min(WIDTH_MAX));
        let (before, after) = if is_left { ("", &*padding) } else { (&*padding, "") };
        output.extend([before, &text, after]);
    }
    Ok(output)
}

/// The widest field, so that a template cannot ask for more memory than it is worth.
const WIDTH_MAX: usize = 1 << 20;

fn number(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        letters.next();
        let digit = usize::try_from(digit).unwrap_or(0);
        number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
    }
    number
}

/// The argument at a position from 1, or the next one.
fn take<'a>(
    arguments: &'a [Option<String>],
    position: Option<usize>,
    next: &mut usize,
) -> std::result::Result<Option<&'a str>, ExecError> {
    let index = match position {
        Some(0) => return Err(invalid("format specifies argument 0, but arguments are numbered from 1")),
        Some(position) => position - 1,
        None => *next,
    };
    *next = index + 1;
    let argument = arguments.get(index).ok_or_else(|| invalid("too few arguments for format()"))?;
    Ok(argument.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL formats them.
    #[test]
    fn templates_are_filled_as_in_postgresql() {
        let arguments = ["it's", "My table", "3"].map(|text| Some(text.to_owned()));
        for (template, expected) in [
            ("%s-%I-%L%%", "it's-\"My table\"-'3'%"),
            ("%2$s %1$s %s", "My table it's My table"),
            ("[%6s][%-6s]", "[  it's][My table]"),
            ("%3$s|%1$10s|", "3|      it's|"),
        ] {
            assert_eq!(format(template, &arguments).unwrap(), expected, "{template}");
        }
        assert_eq!(format("%s%L", &[None, None]).unwrap(), "NULL");
        for (template, message) in [
            ("%s %s %s %s", "too few arguments for format()"),
            ("%x", "unrecognized format() type specifier \"x\""),
            ("%", "unterminated format() type specifier"),
            ("%0$s", "format specifies argument 0, but arguments are numbered from 1"),
        ] {
            assert_eq!(format(template, &arguments).unwrap_err().message, message, "{template}");
        }
    }
}
