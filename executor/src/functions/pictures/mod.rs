//! Pictures of dates and times, as `to_char`, `to_date` and `to_timestamp` take them.
//!
//! ```text
//! picture ─parse─▶ nodes ─write─▶ text of a moment
//!                        ─read──▶ fields of a text ─▶ moment
//! ```

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{Moment, write};

/// Whether a field belongs to years of months or of weeks, which one text cannot have both of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convention {
    Gregorian,
    IsoWeek,
}

/// How the letters of a name are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Capital,
    Lower,
}

/// What a keyword stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Era {
        dots: bool,
    },
    HalfDay {
        dots: bool,
    },
    Century,
    DayName,
    DayNameShort,
    DayOfYear,
    DayOfMonth,
    DayOfWeek,
    Fraction(u8),
    Fixed,
    Hour24,
    Hour12,
    IsoDayOfYear,
    IsoDay,
    IsoWeek,
    /// The last digits of a year, all of them at four.
    IsoYear(u8),
    Julian,
    Minute,
    Month,
    MonthName,
    MonthNameShort,
    Millisecond,
    Offset,
    Quarter,
    Roman,
    SecondsOfDay,
    Second,
    ZoneHours,
    ZoneMinutes,
    Zone,
    Microsecond,
    WeekOfYear,
    WeekOfMonth,
    YearWithComma,
    Year(u8),
}

/// Keywords in upper case, the longer of two that begin alike first.
const KEYWORDS: [(&str, Kind); 54] = [
    ("A.D.", Kind::Era { dots: true }),
    ("A.M.", Kind::HalfDay { dots: true }),
    ("AD", Kind::Era { dots: false }),
    ("AM", Kind::HalfDay { dots: false }),
    ("B.C.", Kind::Era { dots: true }),
    ("BC", Kind::Era { dots: false }),
    ("CC", Kind::Century),
    ("DAY", Kind::DayName),
    ("DDD", Kind::DayOfYear),
    ("DD", Kind::DayOfMonth),
    ("DY", Kind::DayNameShort),
    ("D", Kind::DayOfWeek),
    ("FF1", Kind::Fraction(1)),
    ("FF2", Kind::Fraction(2)),
    ("FF3", Kind::Fraction(3)),
    ("FF4", Kind::Fraction(4)),
    ("FF5", Kind::Fraction(5)),
    ("FF6", Kind::Fraction(6)),
    ("FX", Kind::Fixed),
    ("HH24", Kind::Hour24),
    ("HH12", Kind::Hour12),
    ("HH", Kind::Hour12),
    ("IDDD", Kind::IsoDayOfYear),
    ("ID", Kind::IsoDay),
    ("IW", Kind::IsoWeek),
    ("IYYY", Kind::IsoYear(4)),
    ("IYY", Kind::IsoYear(3)),
    ("IY", Kind::IsoYear(2)),
    ("I", Kind::IsoYear(1)),
    ("J", Kind::Julian),
    ("MI", Kind::Minute),
    ("MM", Kind::Month),
    ("MONTH", Kind::MonthName),
    ("MON", Kind::MonthNameShort),
    ("MS", Kind::Millisecond),
    ("OF", Kind::Offset),
    ("P.M.", Kind::HalfDay { dots: true }),
    ("PM", Kind::HalfDay { dots: false }),
    ("Q", Kind::Quarter),
    ("RM", Kind::Roman),
    ("SSSSS", Kind::SecondsOfDay),
    ("SSSS", Kind::SecondsOfDay),
    ("SS", Kind::Second),
    ("TZH", Kind::ZoneHours),
    ("TZM", Kind::ZoneMinutes),
    ("TZ", Kind::Zone),
    ("US", Kind::Microsecond),
    ("WW", Kind::WeekOfYear),
    ("W", Kind::WeekOfMonth),
    ("Y,YYY", Kind::YearWithComma),
    ("YYYY", Kind::Year(4)),
    ("YYY", Kind::Year(3)),
    ("YY", Kind::Year(2)),
    ("Y", Kind::Year(1)),
];

impl Kind {
    fn convention(self) -> Option<Convention> {
        match self {
            Self::IsoDayOfYear | Self::IsoDay | Self::IsoWeek | Self::IsoYear(_) => Some(Convention::IsoWeek),
            Self::DayOfYear
            | Self::DayOfMonth
            | Self::DayOfWeek
            | Self::Month
            | Self::MonthName
            | Self::MonthNameShort
            | Self::Roman
            | Self::WeekOfYear
            | Self::WeekOfMonth
            | Self::YearWithComma
            | Self::Year(_) => Some(Convention::Gregorian),
            _ => None,
        }
    }

    /// Whether the field begins with a digit.
    fn is_number(self) -> bool {
        !matches!(
            self,
            Self::Era { .. }
                | Self::HalfDay { .. }
                | Self::DayName
                | Self::DayNameShort
                | Self::Fixed
                | Self::MonthName
                | Self::MonthNameShort
                | Self::Offset
                | Self::Roman
                | Self::ZoneHours
                | Self::Zone
        )
    }
}

/// A part of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Field(Field),
    /// A printed character that is no letter and no digit.
    Separator(char),
    Space(char),
    Char(char),
}

/// A keyword with its prefix and suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    kind: Kind,
    /// As it stands in the picture.
    name: String,
    case: Case,
    /// `FM`: no padding.
    fill_mode: bool,
    /// `TM`: names of the session's language, without padding.
    translated: bool,
    /// `TH` or `th` behind it, which is in upper case where this is `Some(true)`.
    ordinal: Option<bool>,
}

impl Field {
    fn is_padded(&self) -> bool {
        !self.fill_mode && !self.translated
    }
}

fn keyword(rest: &str) -> Option<(Kind, &str, Case)> {
    for (word, kind) in &KEYWORDS {
        let Some(found) = rest.get(..word.len()) else { continue };
        let case = if found == *word {
            Case::Upper
        } else if found == word.to_ascii_lowercase() {
            Case::Lower
        } else if matches!(found, "Month" | "Mon" | "Day" | "Dy") && found.eq_ignore_ascii_case(word) {
            Case::Capital
        } else {
            continue;
        };
        return Some((*kind, found, case));
    }
    None
}

fn parse(picture: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut rest = picture;
    while !rest.is_empty() {
        let (mut fill_mode, mut translated) = (false, false);
        if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            (rest, fill_mode) = (after, true);
        } else if let Some(after) = rest.strip_prefix("TM").or_else(|| rest.strip_prefix("tm")) {
            (rest, translated) = (after, true);
        }
        if let Some((kind, name, case)) = keyword(rest) {
            rest = rest.get(name.len()..).unwrap_or_default();
            let suffixes = [("TH", Some(true)), ("th", Some(false)), ("SP", None)];
            let suffix = suffixes
                .iter()
                .find_map(|(suffix, ordinal)| rest.strip_prefix(suffix).map(|after| (after, *ordinal)));
            let ordinal = suffix.and_then(|(_, ordinal)| ordinal);
            rest = suffix.map_or(rest, |(after, _)| after);
            nodes.push(Node::Field(Field {
                kind,
                name: name.to_owned(),
                case,
                fill_mode,
                translated,
                ordinal,
            }));
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.chars();
            while let Some(next) = chars.next() {
                match next {
                    '"' => break,
                    '\\' => nodes.push(Node::Char(chars.next().unwrap_or('\\'))),
                    other => nodes.push(Node::Char(other)),
                }
            }
            rest = chars.as_str();
            continue;
        }
        if rest.starts_with("\\\"") {
            rest = rest.get(1..).unwrap_or_default();
        }
        let mut chars = rest.chars();
        nodes.extend(chars.next().map(|c| match c {
            c if is_separator(c) => Node::Separator(c),
            c if is_space(c) => Node::Space(c),
            c => Node::Char(c),
        }));
        rest = chars.as_str();
    }
    nodes
}

fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

const MONTHS: [&str; 12] = crate::datetime::calendar::MONTHS;
const WEEKDAYS: [&str; 7] = crate::datetime::calendar::WEEKDAYS;
/// December first.
const ROMAN: [&str; 12] = ["XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_all_in_one_case() {
        let kinds = |picture: &str| -> Vec<Option<Kind>> {
            let kind = |node| if let Node::Field(field) = node { Some(field.kind) } else { None };
            parse(picture).into_iter().map(kind).collect()
        };
        assert_eq!(kinds("YYYY-mm"), [Some(Kind::Year(4)), None, Some(Kind::Month)]);
        assert_eq!(kinds("Yyyy"), [Some(Kind::Year(1)), Some(Kind::Year(3))]);
        assert_eq!(kinds("\"DD\"d"), [None, None, Some(Kind::DayOfWeek)]);
        assert_eq!(kinds("FMDDth"), [Some(Kind::DayOfMonth)]);
        assert_eq!(kinds("DAY Day dAY").len(), 7);
    }
}
