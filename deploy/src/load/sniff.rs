//! What a CSV file looks like, from its beginning: delimiter, header, and a type for each column.

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sniffed {
    pub(super) delimiter: u8,
    pub(super) header: bool,
    /// Each line ends with a delimiter, as those of TPC-H's generator do.
    pub(super) trailing: bool,
    pub(super) names: Vec<String>,
    pub(super) types: Vec<&'static str>,
}

/// What is known before.
#[derive(Debug, Clone, Default)]
pub(crate) struct CsvOptions {
    pub(crate) delimiter: Option<u8>,
    pub(crate) header: Option<bool>,
    pub(crate) null: String,
    pub(crate) latin1: bool,
}

const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// Types from the narrowest on; a column has the first one that all its values have.
const TYPES: [(&str, fn(&str) -> bool); 8] = [
    ("boolean", is_boolean),
    ("bigint", is_integer),
    ("double precision", is_float),
    ("date", is_date),
    ("timestamp", |text| is_timestamp(text, false)),
    ("timestamptz", |text| is_timestamp(text, true)),
    ("uuid", is_uuid),
    ("text", |_| true),
];

/// Looks at the beginning of a file; `whole` says that it is all of the file.
pub(super) fn sniff(sample: &str, whole: bool, options: &CsvOptions) -> Sniffed {
    // The last line of a part may be cut.
    let end = if whole { sample.len() } else { sample.rfind('\n').map_or(sample.len(), |end| end + 1) };
    let sample = sample.get(..end).unwrap_or(sample);
    let delimiter = options.delimiter.unwrap_or_else(|| delimiter(sample));
    let mut records = records(sample, delimiter);
    let trailing =
        records.iter().all(|record| record.len() > 1 && record.last().is_some_and(String::is_empty));
    if trailing && delimiter == b'|' {
        for record in &mut records {
            record.pop();
        }
    }
    let trailing = trailing && delimiter == b'|';
    let columns = records.first().map_or(0, Vec::len);
    let first = records.first().cloned().unwrap_or_default();
    let rest = records.get(1..).unwrap_or_default();
    let of_rest = types(rest, columns, &options.null);
    let header = options.header.unwrap_or_else(|| looks_like_names(&first, &of_rest, !rest.is_empty()));
    let types = if header { of_rest } else { types(&records, columns, &options.null) };
    let names = if header { first } else { (1..=columns).map(|number| format!("column_{number}")).collect() };
    Sniffed { delimiter, header, trailing, names, types }
}

/// Names are there, all different, and none of them is a value of a column that holds something else than text.
fn looks_like_names(first: &[String], types: &[&str], has_rest: bool) -> bool {
    let distinct = first.iter().enumerate().all(|(at, name)| {
        !name.trim().is_empty() && !first.iter().take(at).any(|other| other.eq_ignore_ascii_case(name))
    });
    let is_value = |text: &String| {
        is_boolean_word(text) || is_float(text) || is_date(text) || is_timestamp(text, true) || is_uuid(text)
    };
    if !distinct || first.iter().any(is_value) {
        return false;
    }
    let like_name = |name: &String| {
        let mut chars = name.trim().chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '-' | '.' | '/' | '(' | ')'))
    };
    !has_rest || types.iter().any(|of_column| *of_column != "text") || first.iter().all(like_name)
}

fn is_boolean_word(text: &String) -> bool {
    ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// The delimiter that cuts all lines into as many fields, and into the most.
fn delimiter(sample: &str) -> u8 {
    let score = |delimiter: u8| {
        let records = records(sample, delimiter);
        let fields = records.first().map_or(0, Vec::len);
        let alike = records.iter().filter(|record| record.len() == fields).count();
        // A delimiter that is in the text by chance cuts lines unevenly.
        (fields > 1 && alike * 10 >= records.len() * 9).then_some(fields)
    };
    let best = DELIMITERS.into_iter().filter_map(|delimiter| Some((score(delimiter)?, delimiter)));
    best.rev_max().unwrap_or(b',')
}

trait RevMax {
    fn rev_max(self) -> Option<u8>;
}

impl<I: Iterator<Item = (usize, u8)>> RevMax for I {
    /// The delimiter of the most fields; of several, the first.
    fn rev_max(self) -> Option<u8> {
        let mut best: Option<(usize, u8)> = None;
        for (fields, delimiter) in self {
            if best.is_none_or(|(most, _)| fields > most) {
                best = Some((fields, delimiter));
            }
        }
        best.map(|(_, delimiter)| delimiter)
    }
}

/// The records of a text, quotes resolved; lines without anything are left out.
fn records(sample: &str, delimiter: u8) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let delimiter = char::from(delimiter);
    let mut chars = sample.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            '\r' | '\n' if !quoted => {
                if !(record.is_empty() && field.is_empty()) {
                    record.push(std::mem::take(&mut field));
                    records.push(std::mem::take(&mut record));
                }
            }
            c if c == delimiter && !quoted => record.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if !(record.is_empty() && field.is_empty()) {
        record.push(field);
        records.push(record);
    }
    records
}

fn types(records: &[Vec<String>], columns: usize, null: &str) -> Vec<&'static str> {
    let of_column = |column: usize| {
        let values =
            || records.iter().filter_map(move |record| record.get(column)).filter(|value| **value != null);
        if values().next().is_none() {
            return "text";
        }
        let fits = |(_, is): &&(&'static str, fn(&str) -> bool)| values().all(|value| is(value));
        TYPES.iter().find(fits).map_or("text", |(name, _)| *name)
    };
    (0..columns).map(of_column).collect()
}

/// The type that holds the values of both.
pub(super) fn wider(one: &'static str, other: &'static str) -> &'static str {
    match (one, other) {
        (one, other) if one == other => one,
        ("bigint", "double precision") | ("double precision", "bigint") => "double precision",
        ("date", "timestamp") | ("timestamp", "date") => "timestamp",
        _ => "text",
    }
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "false" | "TRUE" | "FALSE" | "True" | "False" | "t" | "f")
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // A leading zero is part of a code, not of a number.
    !(digits.len() > 1 && digits.starts_with('0'))
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_ok()
}

fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let code = unsigned.len() > 1
        && unsigned.starts_with('0')
        && !unsigned.starts_with("0.")
        && !unsigned.starts_with("0e");
    let special = ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    !code
        && (special || unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        && text.parse::<f64>().is_ok_and(|value| special || value.is_finite())
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        text.get(range)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
    };
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return false;
    };
    let (year, month, day): (u32, u32, u32) = (year, month, day);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => 0,
    };
    bytes.len() == 10
        && bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && year > 0
        && (1..=length).contains(&day)
}

/// `2013-01-31 23:59:59.5`, with an offset where `zone` is.
fn is_timestamp(text: &str, zone: bool) -> bool {
    let Some((day, clock)) = text.split_at_checked(10) else { return false };
    let Some(clock) = clock.strip_prefix([' ', 'T']) else { return false };
    let (clock, has_zone) = match clock.find(['Z', '+', '-']) {
        Some(at) => (clock.get(..at).unwrap_or_default(), true),
        None => (clock, false),
    };
    let mut parts = clock.trim_end().split(':');
    let below = |text: Option<&str>, limit: f64| {
        text.filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
            .and_then(|text| text.parse::<f64>().ok())
            .is_some_and(|value| value < limit)
    };
    let hours = below(parts.next(), 24.0);
    let minutes = below(parts.next(), 60.0);
    let seconds = parts.next().is_none_or(|text| below(Some(text), 60.0));
    is_date(day) && hours && minutes && seconds && parts.next().is_none() && has_zone == zone
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(sample: &str) -> Sniffed {
        sniff(sample, true, &CsvOptions::default())
    }

    #[test]
    fn types_are_the_narrowest_that_fit_all_values() {
        let found = sniffed(
            "b,i,f,d,t,z,u,s,code,none\n\
             true,-1,1.5,2013-01-31,2013-01-31 12:00:00,2013-01-31T12:00:00Z,a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,x,007,\n\
             false,,2,,,,,1,12,\n",
        );
        assert!(found.header);
        assert_eq!(
            found.types,
            [
                "boolean",
                "bigint",
                "double precision",
                "date",
                "timestamp",
                "timestamptz",
                "uuid",
                "text",
                "text",
                "text"
            ]
        );
        assert_eq!(found.names.last().unwrap(), "none");
    }

    #[test]
    fn delimiters_are_those_that_cut_lines_alike() {
        assert_eq!(sniffed("a;b\n1,5;2\n1;2\n").delimiter, b';');
        assert_eq!(sniffed("a\tb\n1\t2,3\n").delimiter, b'\t');
        assert_eq!(sniffed("a,\"b;c\"\n1,2\n").delimiter, b',');
        assert_eq!(sniffed("one\ntwo\n").delimiter, b',');
        let lines = sniffed("1|a|2013-01-31|\n2|b|2013-02-01|\n");
        assert_eq!((lines.delimiter, lines.trailing, lines.header), (b'|', true, false));
        assert_eq!(lines.types, ["bigint", "text", "date"]);
        assert_eq!(lines.names, ["column_1", "column_2", "column_3"]);
    }

    #[test]
    fn headers_are_lines_of_names() {
        assert!(sniffed("ra,dec\n1.5,2\n").header);
        assert!(sniffed("name,kind\nVega,star\n").header);
        assert!(!sniffed("1.5,2\n3,4\n").header);
        assert!(!sniffed("a,a\n1,2\n").header);
        assert!(!sniffed("x,1\ny,2\n").header);
        let forced = CsvOptions { header: Some(false), ..CsvOptions::default() };
        assert_eq!(sniff("ra,dec\n1,2\n", true, &forced).types, ["text", "text"]);
    }

    #[test]
    fn a_cut_last_line_is_left_out() {
        let found = sniff("a,b\n1,2\n3,4x", false, &CsvOptions::default());
        assert_eq!(found.types, ["bigint", "bigint"]);
    }
}
