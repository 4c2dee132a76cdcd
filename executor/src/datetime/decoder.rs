//! The meaning of the fields of a date or time, which depends on the fields before them and on `DateStyle`'s
//! field order; the rules are PostgreSQL's `DecodeDateTime` and `DecodeTimeOnly`.

use super::calendar::{CivilDate, MICROS_PER_DAY, MICROS_PER_SECOND, UNIX_EPOCH_JULIAN, days_in_month};
use super::fields::{Field, FieldKind, fraction_micros, split_fields};
use super::time_zone::TimeZone;
use super::words::{Label, Special, Word, known_word};
use super::zone_abbreviations::abbreviation_offset;
use super::{DateOrder, DateTimeSettings};

/// Why a text is no date or time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    BadFormat,
    FieldOverflow,
    /// Month or day beyond its range: perhaps the fields are in another order.
    MonthDayOverflow,
    DisplacementOverflow,
    UnknownZone(String),
}

/// Whether the text has to have a date, or a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Date,
    Time,
}

#[derive(Debug, Clone)]
pub(super) enum Zone {
    Offset(i32),
    Named(TimeZone),
}

/// What the text says.
pub(super) struct Moment {
    pub(super) special: Option<Special>,
    pub(super) date: CivilDate,
    pub(super) time_micros: i64,
    pub(super) zone: Option<Zone>,
}

/// Sets of fields.
mod mask {
    pub(super) const YEAR: u32 = 1;
    pub(super) const MONTH: u32 = 2;
    pub(super) const DAY: u32 = 4;
    pub(super) const DATE: u32 = YEAR | MONTH | DAY;
    pub(super) const TIME: u32 = 8;
    pub(super) const ZONE: u32 = 16;
    pub(super) const DAY_OF_YEAR: u32 = 32;
    pub(super) const HALF_OF_DAY: u32 = 64;
    pub(super) const ERA: u32 = 128;
    pub(super) const DAY_OF_WEEK: u32 = 256;
    pub(super) const SUMMER_TIME: u32 = 512;
    pub(super) const SPECIAL: u32 = 1_024;
}

struct Decoder<'a> {
    order: DateOrder,
    now_local_micros: i64,
    now_seconds_east: i32,
    wanted: Wanted,
    fields: &'a [Field],
    /// Fields that were found.
    found: u32,
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    time_micros: i64,
    hours: i64,
    zone: Option<Zone>,
    special: Option<Special>,
    label: Option<Label>,
    has_text_month: bool,
    short_year: bool,
    is_julian: bool,
    before_christ: bool,
    time_overflows: bool,
    half_of_day: Option<bool>,
}

type Decoded<T = ()> = Result<T, Refusal>;

impl Moment {
    pub(super) fn parse(
        text: &str,
        settings: &DateTimeSettings,
        now_micros: i64,
        wanted: Wanted,
    ) -> Decoded<Self> {
        let fields = split_fields(text, |word| known_word(word).is_some()).ok_or(Refusal::BadFormat)?;
        let seconds_east = settings.time_zone.offset_at(now_micros.div_euclid(MICROS_PER_SECOND));
        let mut decoder = Decoder {
            order: settings.date_style.order,
            now_local_micros: now_micros.saturating_add(i64::from(seconds_east) * MICROS_PER_SECOND),
            now_seconds_east: seconds_east,
            wanted,
            fields: &fields,
            found: 0,
            year: 0,
            month: 0,
            day: 0,
            day_of_year: 0,
            time_micros: 0,
            hours: 0,
            zone: None,
            special: None,
            label: None,
            has_text_month: false,
            short_year: false,
            is_julian: false,
            before_christ: false,
            time_overflows: false,
            half_of_day: None,
        };
        for field_idx in 0..fields.len() {
            decoder.field(field_idx)?;
        }
        decoder.finish()
    }

    pub(super) fn local_micros(&self) -> i64 {
        self.date.to_days().saturating_mul(MICROS_PER_DAY).saturating_add(self.time_micros)
    }
}

impl Decoder<'_> {
    fn has(&self, fields: u32) -> bool {
        self.found & fields == fields
    }

    /// Marks fields as found; each may be found once.
    fn mark(&mut self, fields: u32) -> Decoded {
        if self.found & fields != 0 {
            return Err(Refusal::BadFormat);
        }
        self.found |= fields;
        Ok(())
    }

    fn field(&mut self, field_idx: usize) -> Decoded {
        let Some(field) = self.fields.get(field_idx).cloned() else { return Ok(()) };
        let text = field.text.as_str();
        let for_time = self.wanted == Wanted::Time;
        match field.kind {
            FieldKind::Date if for_time => self.date_field_of_time(text, field_idx),
            FieldKind::Date => self.date_field(text),
            FieldKind::Number if for_time => self.number_field_of_time(text, field_idx),
            FieldKind::Time => {
                if self.label.take().is_some_and(|label| label != Label::Time) && !for_time {
                    return Err(Refusal::BadFormat);
                }
                self.clock(text)
            }
            FieldKind::Signed => {
                let seconds_east = parse_displacement(text)?;
                self.mark(mask::ZONE)?;
                self.zone = Some(Zone::Offset(seconds_east));
                Ok(())
            }
            FieldKind::Number => self.number_field(text),
            FieldKind::Word | FieldKind::SignedWord => self.word(text, field_idx),
        }
    }

    fn date_field(&mut self, text: &str) -> Decoded {
        if self.label.is_none() && !self.has(mask::MONTH | mask::DAY) {
            return self.date(text);
        }
        if self.label.is_some() || text.starts_with(|c: char| c.is_ascii_digit()) {
            // A time run together with its zone: `040506-08`.
            if self.label.take().is_some_and(|label| label != Label::Time) {
                return Err(Refusal::BadFormat);
            }
            return self.time_with_zone(text);
        }
        self.named_zone(text)
    }

    /// A date in the text of a `time` is taken only in front of a time, or where the text ends with a date.
    fn date_field_of_time(&mut self, text: &str, field_idx: usize) -> Decoded {
        self.label = None;
        let kind_at = |idx: usize| self.fields.get(idx).map(|field| field.kind);
        let ends_with_date = kind_at(self.fields.len() - 1) == Some(FieldKind::Date);
        if field_idx == 0 && self.fields.len() > 1 && (ends_with_date || kind_at(1) == Some(FieldKind::Time))
        {
            return self.date(text);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return self.time_with_zone(text);
        }
        self.named_zone(text)
    }

    fn time_with_zone(&mut self, text: &str) -> Decoded {
        if self.has(mask::TIME) {
            return Err(Refusal::BadFormat);
        }
        let (time, _) = text.split_once('-').ok_or(Refusal::BadFormat)?;
        let seconds_east = parse_displacement(text.get(time.len()..).unwrap_or_default())?;
        self.mark(mask::ZONE)?;
        self.zone = Some(Zone::Offset(seconds_east));
        self.run_together(time, mask::DATE)
    }

    fn named_zone(&mut self, text: &str) -> Decoded {
        let zone = TimeZone::parse(text).ok_or_else(|| Refusal::UnknownZone(text.to_owned()))?;
        self.mark(mask::ZONE)?;
        self.zone = Some(Zone::Named(zone));
        Ok(())
    }

    /// Up to three fields with separators, of which one may be a month's name.
    fn date(&mut self, text: &str) -> Decoded {
        let mut parts: Vec<&str> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let start = rest.find(|c: char| c.is_ascii_alphanumeric()).ok_or(Refusal::BadFormat)?;
            rest = rest.get(start..).unwrap_or_default();
            let numeric = rest.starts_with(|c: char| c.is_ascii_digit());
            let end = rest
                .find(|c: char| if numeric { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() })
                .unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            parts.push(part);
            // The character behind a part separates it from the next, whatever it is: `2001-02-03Z`.
            let mut after = after.chars();
            after.next();
            rest = after.as_str();
        }
        let is_word = |part: &&str| part.starts_with(|c: char| c.is_ascii_alphabetic());
        for word in parts.iter().copied().filter(is_word) {
            match known_word(word) {
                Some(Word::Ignored) => {}
                Some(Word::Month(month)) => {
                    self.mark(mask::MONTH)?;
                    self.month = i64::from(month);
                    self.has_text_month = true;
                }
                _ => return Err(Refusal::BadFormat),
            }
        }
        for number in parts.into_iter().filter(|part| !is_word(part)) {
            self.number(number)?;
        }
        // Nothing but a zone may stand in front of a date with separators.
        let others = self.found & !(mask::DAY_OF_YEAR | mask::ZONE);
        if others == mask::DATE { Ok(()) } else { Err(Refusal::BadFormat) }
    }

    fn number_field(&mut self, text: &str) -> Decoded {
        match self.label.take() {
            Some(Label::Julian) => return self.julian(text),
            Some(Label::Time) => return self.run_together(text, mask::DATE),
            None => {}
        }
        let has_date = self.found & mask::DATE != 0;
        match text.find('.') {
            Some(_) if !has_date => self.date(text),
            Some(point) if point > 2 => self.run_together(text, 0),
            // Six digits and more are a date or a time; five are a year.
            _ if text.len() >= 6 && (!has_date || self.found & mask::TIME == 0) => self.run_together(text, 0),
            _ => self.number(text),
        }
    }

    /// A number in the text of a `time`: `hhmmss` or `hhmm` unless a label says otherwise.
    fn number_field_of_time(&mut self, text: &str, field_idx: usize) -> Decoded {
        if self.label.take() == Some(Label::Julian) {
            return self.julian(text);
        }
        let ends_with_date = self.fields.last().map(|field| field.kind) == Some(FieldKind::Date);
        match text.find('.') {
            Some(_) if field_idx == 0 && self.fields.len() > 1 && ends_with_date => self.date(text),
            Some(point) if point <= 2 => Err(Refusal::BadFormat),
            _ => self.run_together(text, mask::DATE),
        }
    }

    fn julian(&mut self, text: &str) -> Decoded {
        let (day, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        let julian: i32 = day.parse().map_err(|_| Refusal::FieldOverflow)?;
        let date = CivilDate::from_days(i64::from(julian) - UNIX_EPOCH_JULIAN);
        self.mark(mask::DATE)?;
        (self.year, self.month, self.day) = (date.year, date.month.into(), date.day.into());
        self.is_julian = true;
        if fraction.len() > 1 {
            let fraction: f64 = fraction.parse().map_err(|_| Refusal::BadFormat)?;
            self.mark(mask::TIME)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "a fraction of a day is below 2^37 microseconds"
            )]
            {
                self.time_micros = (fraction * MICROS_PER_DAY as f64) as i64;
            }
            self.hours = self.time_micros / (3600 * MICROS_PER_SECOND);
        }
        Ok(())
    }

    /// One number, whose meaning follows from the fields found before and from the field order.
    fn number(&mut self, text: &str) -> Decoded {
        let (digits, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        if !fraction.is_empty() && digits.len() > 2 {
            return self.run_together(text, mask::DATE);
        }
        if digits.is_empty() {
            return Err(Refusal::BadFormat);
        }
        let value = i64::from(digits.parse::<i32>().map_err(|_| Refusal::FieldOverflow)?);
        let long = text.len() >= 3;
        let found_date = self.found & mask::DATE;
        if text.len() == 3 && found_date == mask::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return self.mark(mask::DAY_OF_YEAR | mask::MONTH | mask::DAY);
        }
        let year_first = long || self.order == DateOrder::Ymd;
        let meaning = match found_date {
            0 if year_first => mask::YEAR,
            0 if self.order == DateOrder::Dmy => mask::DAY,
            0 | mask::YEAR | mask::DAY => mask::MONTH,
            mask::MONTH if self.has_text_month && year_first => mask::YEAR,
            mask::MONTH => mask::DAY,
            found if found == mask::YEAR | mask::MONTH => {
                if self.has_text_month && long && self.short_year {
                    // What was taken for a year of two digits was the day.
                    self.day = self.year;
                    self.year = value;
                    self.short_year = false;
                    return self.mark(mask::DAY);
                }
                mask::DAY
            }
            found if found == mask::MONTH | mask::DAY => mask::YEAR,
            found if found == mask::DATE => return self.run_together(text, 0),
            _ => return Err(Refusal::BadFormat),
        };
        match meaning {
            mask::YEAR => {
                self.year = value;
                self.short_year = text.len() <= 2;
            }
            mask::MONTH => self.month = value,
            _ => self.day = value,
        }
        self.mark(meaning)
    }

    /// `yymmdd`, `yyyymmdd`, `hhmmss`, `hhmmss.fff` or `hhmm`. `assumed` are fields to take as found.
    fn run_together(&mut self, text: &str, assumed: u32) -> Decoded {
        let found = self.found | assumed;
        let (digits, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::BadFormat);
        }
        let number = |range: std::ops::Range<usize>| -> Decoded<i64> {
            let part = digits.get(range).ok_or(Refusal::BadFormat)?;
            // A year too long for its type is not refused here: month and day are looked at first.
            Ok(part.parse::<i64>().unwrap_or(i64::from(i32::MAX)))
        };
        let len = digits.len();
        if fraction.is_empty() && found & mask::DATE != mask::DATE && len >= 6 {
            (self.year, self.month, self.day) =
                (number(0..len - 4)?, number(len - 4..len - 2)?, number(len - 2..len)?);
            self.short_year = len == 6;
            return self.mark(mask::DATE);
        }
        if found & mask::TIME != 0 || !matches!(len, 4 | 6) {
            return Err(Refusal::BadFormat);
        }
        let seconds = if len == 6 { number(4..6)? } else { 0 };
        let micros =
            if fraction.is_empty() { 0 } else { fraction_micros(fraction).ok_or(Refusal::BadFormat)? };
        let (hours, minutes) = (number(0..2)?, number(2..4)?);
        // In a timestamp 25:70:80 runs on into the next day; a time is checked at the end.
        self.time_overflows = hours > 24 || minutes > 59 || seconds > 60;
        self.hours = hours;
        self.time_micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
        self.mark(mask::TIME)
    }

    /// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.fff`, `mm:ss.fff`.
    fn clock(&mut self, text: &str) -> Decoded {
        let (clock, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        let micros =
            if fraction.is_empty() { 0 } else { fraction_micros(fraction).ok_or(Refusal::BadFormat)? };
        let mut parts = clock.split(':').map(|part| {
            // Minutes and seconds may be missing, as in `1:`.
            let part = if part.is_empty() { "0" } else { part };
            part.parse::<i32>().map(i64::from).map_err(|_| Refusal::FieldOverflow)
        });
        let first = parts.next().ok_or(Refusal::BadFormat)??;
        let second = parts.next().ok_or(Refusal::BadFormat)??;
        let third = parts.next().transpose()?;
        if parts.next().is_some() {
            return Err(Refusal::BadFormat);
        }
        match third {
            Some(third) => self.set_time(first, second, third, micros),
            None if fraction.is_empty() => self.set_time(first, second, 0, 0),
            None => self.set_time(0, first, second, micros),
        }
    }

    fn set_time(&mut self, hours: i64, minutes: i64, seconds: i64, micros: i64) -> Decoded {
        let time_micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
        if !(0..60).contains(&minutes) || !(0..=60).contains(&seconds) {
            return Err(Refusal::FieldOverflow);
        }
        self.time_overflows = hours > 24 || time_micros > MICROS_PER_DAY;
        if self.time_overflows && self.wanted == Wanted::Date {
            return Err(Refusal::FieldOverflow);
        }
        self.hours = hours;
        self.time_micros = time_micros;
        self.mark(mask::TIME)
    }

    fn word(&mut self, text: &str, field_idx: usize) -> Decoded {
        if let Some(seconds_east) = abbreviation_offset(text) {
            self.mark(mask::ZONE)?;
            self.zone = Some(Zone::Offset(seconds_east));
            return Ok(());
        }
        let Some(word) = known_word(text) else {
            // Zones whose name has letters only, as `singapore`.
            let zone = TimeZone::named(text).ok_or(Refusal::BadFormat)?;
            self.mark(mask::ZONE)?;
            self.zone = Some(Zone::Named(zone));
            return Ok(());
        };
        match word {
            Word::Ignored => Ok(()),
            Word::Month(_) | Word::DayOfWeek | Word::Day(_) | Word::Special(_)
                if self.wanted == Wanted::Time =>
            {
                Err(Refusal::BadFormat)
            }
            Word::Month(month) => {
                let only_month = self.found & (mask::MONTH | mask::DAY) == mask::MONTH;
                if only_month && !self.has_text_month && (1..=31).contains(&self.month) {
                    // What was taken for the month was the day.
                    self.day = self.month;
                    self.found |= mask::DAY;
                    self.found &= !mask::MONTH;
                }
                self.has_text_month = true;
                self.month = i64::from(month);
                self.mark(mask::MONTH)
            }
            Word::DayOfWeek => self.mark(mask::DAY_OF_WEEK),
            Word::HalfOfDay { afternoon } => {
                self.half_of_day = Some(afternoon);
                self.mark(mask::HALF_OF_DAY)
            }
            Word::Era { before } => {
                self.before_christ = before;
                self.mark(mask::ERA)
            }
            Word::SummerTime => {
                // `MET DST`: an hour more than the zone before it.
                self.mark(mask::SUMMER_TIME)?;
                match &mut self.zone {
                    Some(Zone::Offset(seconds_east)) => {
                        *seconds_east += 3600;
                        Ok(())
                    }
                    _ => Err(Refusal::BadFormat),
                }
            }
            Word::Label(Label::Julian) => {
                self.label = Some(Label::Julian);
                Ok(())
            }
            Word::Label(Label::Time) => {
                let next = self.fields.get(field_idx + 1).map(|field| field.kind);
                let is_time = matches!(next, Some(FieldKind::Number | FieldKind::Time | FieldKind::Date));
                if !is_time || self.wanted == Wanted::Date && !self.has(mask::DATE) {
                    return Err(Refusal::BadFormat);
                }
                self.label = Some(Label::Time);
                Ok(())
            }
            Word::Now => {
                let date_and_zone = if self.wanted == Wanted::Time { 0 } else { mask::DATE | mask::ZONE };
                self.mark(mask::TIME | date_and_zone)?;
                self.set_local_day(self.now_local_micros.div_euclid(MICROS_PER_DAY));
                self.time_micros = self.now_local_micros.rem_euclid(MICROS_PER_DAY);
                self.zone = Some(Zone::Offset(self.now_seconds_east));
                Ok(())
            }
            Word::Day(days_later) => {
                self.mark(mask::DATE)?;
                self.set_local_day(self.now_local_micros.div_euclid(MICROS_PER_DAY) + days_later);
                Ok(())
            }
            Word::AllBalls => {
                self.mark(mask::TIME | mask::ZONE)?;
                self.zone = Some(Zone::Offset(0));
                Ok(())
            }
            Word::Special(special) => {
                self.mark(mask::SPECIAL)?;
                self.special = Some(special);
                Ok(())
            }
        }
    }

    fn set_local_day(&mut self, days: i64) {
        let date = CivilDate::from_days(days);
        (self.year, self.month, self.day) = (date.year, date.month.into(), date.day.into());
        self.is_julian = true;
    }

    /// Checks and adjusts what was found.
    fn finish(mut self) -> Decoded<Moment> {
        let mut date = CivilDate { year: 1970, month: 1, day: 1 };
        if self.special.is_some() {
            return Ok(Moment { special: self.special, date, time_micros: 0, zone: self.zone });
        }
        if self.label.is_some() {
            return Err(Refusal::BadFormat);
        }
        if self.has(mask::YEAR) && !self.is_julian {
            self.year = match (self.before_christ, self.short_year) {
                (true, _) if self.year > 0 => 1 - self.year,
                (false, true) if self.year < 70 => self.year + 2000,
                (false, true) if self.year < 100 => self.year + 1900,
                (false, _) if self.year > 0 => self.year,
                _ => return Err(Refusal::FieldOverflow),
            };
        }
        if self.has(mask::DAY_OF_YEAR) {
            let first = CivilDate { year: self.year, month: 1, day: 1 }.to_days();
            let found = CivilDate::from_days(first + self.day_of_year - 1);
            (self.year, self.month, self.day) = (found.year, found.month.into(), found.day.into());
        }
        let month = u32::try_from(self.month).unwrap_or(0);
        let day = u32::try_from(self.day).unwrap_or(0);
        if self.has(mask::MONTH) && !(1..=12).contains(&month)
            || self.has(mask::DAY) && !(1..=31).contains(&day)
        {
            return Err(Refusal::MonthDayOverflow);
        }
        if self.has(mask::DATE) {
            date = CivilDate { year: self.year, month, day };
            if day > days_in_month(self.year, month) {
                return Err(Refusal::FieldOverflow);
            }
        }
        if let Some(afternoon) = self.half_of_day {
            if self.hours > 12 {
                return Err(Refusal::FieldOverflow);
            }
            let half_day = MICROS_PER_DAY / 2;
            match (afternoon, self.hours == 12) {
                (false, true) => self.time_micros -= half_day,
                (true, false) => self.time_micros += half_day,
                _ => {}
            }
        }
        let overflows = self.time_overflows || self.time_micros > MICROS_PER_DAY;
        if overflows && self.wanted == Wanted::Time {
            return Err(Refusal::FieldOverflow);
        }
        let complete = match self.wanted {
            Wanted::Date => self.has(mask::DATE),
            Wanted::Time => self.has(mask::TIME),
        };
        // A zone whose offset changes says nothing about a time without a date.
        let open_zone = self.wanted == Wanted::Time
            && !self.has(mask::DATE)
            && matches!(&self.zone, Some(Zone::Named(zone)) if !zone.has_fixed_offset());
        if !complete || open_zone {
            return Err(Refusal::BadFormat);
        }
        Ok(Moment { special: None, date, time_micros: self.time_micros, zone: self.zone })
    }
}

/// `+08`, `-0530`, `+05:30:15` in seconds east.
fn parse_displacement(text: &str) -> Decoded<i32> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).ok_or(Refusal::BadFormat)?;
    let number = |rest: &mut &str| -> Decoded<i32> {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        *rest = after;
        if digits.is_empty() {
            return Ok(0);
        }
        digits.parse().map_err(|_| Refusal::DisplacementOverflow)
    };
    let mut hours = number(&mut rest)?;
    let mut minutes = 0;
    let mut seconds = 0;
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        minutes = number(&mut rest)?;
        if let Some(after) = rest.strip_prefix(':') {
            rest = after;
            seconds = number(&mut rest)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    // The range is checked before the end of the text.
    if hours > 15 || minutes > 59 || seconds > 59 {
        return Err(Refusal::DisplacementOverflow);
    }
    if !rest.is_empty() {
        return Err(Refusal::BadFormat);
    }
    let magnitude = (hours * 60 + minutes) * 60 + seconds;
    Ok(if negative { -magnitude } else { magnitude })
}
