//! Numbers in pictures, as `to_char` takes them.

use datafusion::common::Result;

use crate::functions::decimal::rescale;

/// A number in a picture of `9`, `0`, `.`, `,`, `FM`, `D`, `G` and literals; too large ones become `#`.
pub(crate) fn format_number(value: i128, scale: i8, picture: &str) -> Result<String> {
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
