//! The words of date and time input: months, days of the week, eras, `now` and their like.

use super::calendar::{MONTHS, WEEKDAYS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Epoch,
    Infinity,
    MinusInfinity,
}

/// What a word says about the field after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Julian,
    Time,
}

pub(super) enum Word {
    Ignored,
    Month(u32),
    DayOfWeek,
    HalfOfDay { afternoon: bool },
    Era { before: bool },
    SummerTime,
    Label(Label),
    Now,
    Day(i64),
    AllBalls,
    Special(Special),
}

pub(super) fn known_word(word: &str) -> Option<Word> {
    // PostgreSQL compares words up to their tenth letter.
    let word = word.get(..10).unwrap_or(word);
    Some(match word {
        "at" | "on" => Word::Ignored,
        "am" => Word::HalfOfDay { afternoon: false },
        "pm" => Word::HalfOfDay { afternoon: true },
        "ad" => Word::Era { before: false },
        "bc" => Word::Era { before: true },
        "dst" => Word::SummerTime,
        "j" | "jd" | "julian" => Word::Label(Label::Julian),
        "t" => Word::Label(Label::Time),
        "now" => Word::Now,
        "today" => Word::Day(0),
        "tomorrow" => Word::Day(1),
        "yesterday" => Word::Day(-1),
        "allballs" => Word::AllBalls,
        "epoch" => Word::Special(Special::Epoch),
        "infinity" => Word::Special(Special::Infinity),
        "-infinity" => Word::Special(Special::MinusInfinity),
        "sept" => Word::Month(9),
        "tues" | "weds" | "thur" | "thurs" => Word::DayOfWeek,
        word => {
            let named = |name: &&str| {
                name.eq_ignore_ascii_case(word)
                    || name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(word))
            };
            if let Some(month_idx) = MONTHS.iter().position(|name| named(&name)) {
                Word::Month(u32::try_from(month_idx).unwrap_or(0) + 1)
            } else if WEEKDAYS.iter().any(|name| named(&name)) {
                Word::DayOfWeek
            } else {
                return None;
            }
        }
    })
}
