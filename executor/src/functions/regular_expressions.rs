//! Functions of regular expressions that DataFusion lacks or answers differently from PostgreSQL.
//!
//! | function | gives |
//! |---|---|
//! | `regexp_match(s, p [, flags])` | the groups of the first match, or all of it, as an array |
//! | `regexp_count(s, p [, start [, flags]])` | how many matches there are |
//! | `regexp_instr(s, p [, start [, n [, end [, flags [, group]]]]])` | where the n-th match begins or ends |
//! | `regexp_substr(s, p [, start [, n [, flags [, group]]]])` | the n-th match |
//! | `regexp_like(s, p [, flags])` | whether there is a match |
//! | `regexp_split_to_array(s, p [, flags])` | what is between the matches |
//! | `regexp_matches_all(s, p [, flags])` | the groups of every match, an array of arrays; `regexp_matches` unnests it |
//!
//! Places count characters from 1. An empty match right after another match is no separator.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use regex::{Captures, Regex, RegexBuilder};

use crate::error::ErrorKind;
use crate::functions::by_row::{Row, Takes, booleans, take, text_array, text_arrays, texts, values};
use crate::functions::function::{Function, error, over_arrays};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Takes::{Int, Text};
    vec![
        Function::new(
            "regexp_match",
            |types| take(types, &[Text, Text, Text], 1),
            |_, _| Ok(text_array()),
            |args| {
                text_arrays(args, |row| {
                    let pattern = Pattern::of(row.text(1)?, flags(row, 2)?)?;
                    pattern.no_global("regexp_match")?;
                    Ok(pattern.regex.captures(row.text(0)?).map(|found| groups(&found)))
                })
            },
        )
        .nullable()
        .udf(),
        Function::new(
            "regexp_like",
            |types| take(types, &[Text, Text, Text], 1),
            |_, _| Ok(DataType::Boolean),
            |args| {
                booleans(args, |row| {
                    let pattern = Pattern::of(row.text(1)?, flags(row, 2)?)?;
                    pattern.no_global("regexp_like")?;
                    Ok(Some(pattern.regex.is_match(row.text(0)?)))
                })
            },
        )
        .udf(),
        Function::new(
            "regexp_count",
            |types| take(types, &[Text, Text, Int, Text], 2),
            |_, _| Ok(DataType::Int32),
            |args| {
                values::<Int32Type>(args, |row| {
                    let pattern = Pattern::of(row.text(1)?, flags(row, 3)?)?;
                    pattern.no_global("regexp_count")?;
                    let start = start_byte(row.text(0)?, place(row, 2, "start")?);
                    let count = start.map_or(0, |start| pattern.matches(row.text(0), start).count());
                    Ok(Some(i32::try_from(count).unwrap_or(i32::MAX)))
                })
            },
        )
        .udf(),
        Function::new(
            "regexp_instr",
            |types| take(types, &[Text, Text, Int, Int, Int, Text, Int], 5),
            |_, _| Ok(DataType::Int32),
            |args| values::<Int32Type>(args, |row| instr(row).map(Some)),
        )
        .udf(),
        Function::new(
            "regexp_substr",
            |types| take(types, &[Text, Text, Int, Int, Text, Int], 4),
            |_, _| Ok(DataType::Utf8View),
            |args| texts(args, substr),
        )
        .nullable()
        .udf(),
        Function::new(
            "regexp_split_to_array",
            |types| take(types, &[Text, Text, Text], 1),
            |_, _| Ok(text_array()),
            |args| {
                text_arrays(args, |row| {
                    let pattern = Pattern::of(row.text(1)?, flags(row, 2)?)?;
                    pattern.no_global("regexp_split_to_array")?;
                    Ok(Some(pattern.split(row.text(0)?)))
                })
            },
        )
        .udf(),
        Function::new(
            "regexp_matches_all",
            |types| take(types, &[Text, Text, Text], 1),
            |_, _| Ok(array_of_arrays()),
            |args| {
                over_arrays(args, |arrays| {
                    // One text array for every match, and the offsets that give each row its own.
                    let count = arrays.first().map_or(1, |array| array.len());
                    let mut matches: Vec<Vec<Option<String>>> = Vec::new();
                    let mut lengths = Vec::with_capacity(count);
                    for row in 0..count {
                        let before = matches.len();
                        if !arrays.iter().any(|array| array.is_null(row)) {
                            let row = Row::at(arrays, row);
                            let pattern = Pattern::of(row.text(1)?, flags(&row, 2)?)?;
                            let all = if pattern.global { usize::MAX } else { 1 };
                            let found = pattern.regex.captures_iter(row.text(0)?).take(all);
                            matches.extend(found.map(|found| groups(&found)));
                        }
                        lengths.push(matches.len() - before);
                    }
                    let inner = list_of_texts(&matches)?;
                    let field = Arc::new(Field::new_list_field(text_array(), true));
                    let offsets = OffsetBuffer::from_lengths(lengths);
                    Ok(Arc::new(ListArray::try_new(field, offsets, inner, None)?) as ArrayRef)
                })
            },
        )
        .udf(),
    ]
}

/// Whether a text has a match of a pattern somewhere.
pub(crate) fn is_match(text: &str, pattern: &str, sensitive: bool) -> Result<bool> {
    Ok(Pattern::of(pattern, if sensitive { "" } else { "i" })?.regex.is_match(text))
}

fn array_of_arrays() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(text_array(), true)))
}

fn list_of_texts(lists: &[Vec<Option<String>>]) -> Result<ArrayRef> {
    let mut items = datafusion::arrow::array::StringViewBuilder::new();
    lists.iter().flatten().for_each(|item| items.append_option(item.as_deref()));
    let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(items.finish()), None)?))
}

/// A compiled pattern with PostgreSQL's flags.
#[derive(Clone)]
struct Pattern {
    regex: Regex,
    global: bool,
}

/// Patterns that a thread keeps compiled: a column is matched against few of them.
const PATTERNS_MAX: usize = 16;

thread_local! {
    static COMPILED: RefCell<Vec<(String, String, Pattern)>> = const { RefCell::new(Vec::new()) };
}

impl Pattern {
    fn of(pattern: &str, flags: &str) -> Result<Pattern> {
        let known = COMPILED.with_borrow(|compiled| {
            let mut known = compiled.iter();
            known.find(|(p, f, _)| p == pattern && f == flags).map(|(_, _, compiled)| compiled.clone())
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let compiled = Pattern::compile(pattern, flags)?;
        COMPILED.with_borrow_mut(|known| {
            if known.len() == PATTERNS_MAX {
                known.remove(0);
            }
            known.push((pattern.to_owned(), flags.to_owned(), compiled.clone()));
        });
        Ok(compiled)
    }

    fn compile(pattern: &str, flags: &str) -> Result<Pattern> {
        let (mut global, mut insensitive, mut extended, mut literal) = (false, false, false, false);
        // By default a newline is a character like any other.
        let (mut dot_matches_newline, mut lines) = (true, false);
        for flag in flags.chars() {
            match flag {
                'g' => global = true,
                'i' => insensitive = true,
                'c' => insensitive = false,
                'x' => extended = true,
                'q' => literal = true,
                'n' | 'm' => (dot_matches_newline, lines) = (false, true),
                'p' => (dot_matches_newline, lines) = (false, false),
                'w' => (dot_matches_newline, lines) = (true, true),
                's' => (dot_matches_newline, lines) = (true, false),
                't' | 'e' | 'b' => {}
                other => {
                    return Err(error(
                        ErrorKind::InvalidParameter,
                        format!("invalid regular expression option: \"{other}\""),
                    ));
                }
            }
        }
        let pattern = if literal { regex::escape(pattern) } else { translated(pattern) };
        let regex = RegexBuilder::new(&pattern)
            .case_insensitive(insensitive)
            .ignore_whitespace(extended)
            .dot_matches_new_line(dot_matches_newline)
            .multi_line(lines)
            .build()
            .map_err(|e| {
                let last = e.to_string().lines().last().unwrap_or_default().trim().to_owned();
                let reason = last.strip_prefix("error: ").unwrap_or(&last).to_owned();
                error(ErrorKind::InvalidRegex, format!("invalid regular expression: {reason}"))
            })?;
        Ok(Pattern { regex, global })
    }

    fn no_global(&self, function: &str) -> Result<()> {
        if self.global {
            return Err(error(
                ErrorKind::InvalidParameter,
                format!("{function}() does not support the \"global\" option"),
            ));
        }
        Ok(())
    }

    fn matches<'t>(&self, text: Result<&'t str>, start: usize) -> impl Iterator<Item = Captures<'t>> {
        let text = text.unwrap_or_default();
        let mut at = start;
        let mut done = false;
        let regex = self.regex.clone();
        std::iter::from_fn(move || {
            if done || at > text.len() {
                return None;
            }
            let found = regex.captures_at(text, at)?;
            let whole = found.get(0)?;
            // After an empty match the search goes on at the next character.
            at = if whole.end() == whole.start() {
                match text.get(whole.end()..).and_then(|rest| rest.chars().next()) {
                    Some(next) => whole.end() + next.len_utf8(),
                    None => {
                        done = true;
                        whole.end()
                    }
                }
            } else {
                whole.end()
            };
            Some(found)
        })
    }

    fn split(&self, text: &str) -> Vec<Option<String>> {
        let mut parts = Vec::new();
        let mut from = 0;
        for found in self.matches(Ok(text), 0) {
            let Some(whole) = found.get(0) else { continue };
            // An empty match at the beginning, the end or right after another separates nothing.
            if whole.is_empty()
                && (whole.start() == 0 || whole.start() == text.len() || whole.start() == from)
            {
                continue;
            }
            parts.push(text.get(from..whole.start()).map(str::to_owned));
            from = whole.end();
        }
        parts.push(text.get(from..).map(str::to_owned));
        parts
    }
}

/// PostgreSQL's escapes that are spelled differently here.
fn translated(pattern: &str) -> String {
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('m') => result.push_str("\\b{start}"),
            Some('M') => result.push_str("\\b{end}"),
            Some('y') => result.push_str("\\b"),
            Some('Y') => result.push_str("\\B"),
            Some('Z') => result.push_str("\\z"),
            Some('e') => result.push_str("\\x1B"),
            Some(other) => {
                result.push('\\');
                result.push(other);
            }
            None => result.push('\\'),
        }
    }
    result
}

/// The groups of a match, or the whole match where the pattern has no groups.
fn groups(found: &Captures<'_>) -> Vec<Option<String>> {
    let skip = usize::from(found.len() > 1);
    found.iter().skip(skip).map(|group| group.map(|group| group.as_str().to_owned())).collect()
}

fn flags<'a>(row: &Row<'a>, index: usize) -> Result<&'a str> {
    if index < row.len() { row.text(index) } else { Ok("") }
}

/// A place or a number that is 1 where it is not given.
fn place(row: &Row<'_>, index: usize, name: &str) -> Result<NonZeroUsize> {
    let value = if index < row.len() { row.int(index)? } else { 1 };
    usize::try_from(value).ok().and_then(NonZeroUsize::new).ok_or_else(|| {
        error(ErrorKind::InvalidParameter, format!("invalid value for parameter \"{name}\": {value}"))
    })
}

/// Which group is meant, 0 for the whole match.
fn group(row: &Row<'_>, index: usize) -> Result<usize> {
    let value = if index < row.len() { row.int(index)? } else { 0 };
    usize::try_from(value).map_err(|_| {
        error(ErrorKind::InvalidParameter, format!("invalid value for parameter \"subexpr\": {value}"))
    })
}

/// Where the character at a place begins; `None` beyond the end.
fn start_byte(text: &str, place: NonZeroUsize) -> Option<usize> {
    let skip = place.get() - 1;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(skip)
}

fn instr(row: &Row<'_>) -> Result<i32> {
    let text = row.text(0)?;
    let pattern = Pattern::of(row.text(1)?, flags(row, 5)?)?;
    pattern.no_global("regexp_instr")?;
    let (start, n) = (place(row, 2, "start")?, place(row, 3, "n")?);
    let end = if row.len() > 4 { row.int(4)? } else { 0 };
    if !matches!(end, 0 | 1) {
        return Err(error(
            ErrorKind::InvalidParameter,
            format!("invalid value for parameter \"endoption\": {end}"),
        ));
    }
    let group = group(row, 6)?;
    let Some(start) = start_byte(text, start) else { return Ok(0) };
    let found = pattern.matches(Ok(text), start).nth(n.get() - 1);
    let Some(found) = found.as_ref().and_then(|found| found.get(group)) else { return Ok(0) };
    let at = if end == 1 { found.end() } else { found.start() };
    let characters = text.get(..at).unwrap_or_default().chars().count();
    Ok(i32::try_from(characters + 1).unwrap_or(i32::MAX))
}

fn substr(row: &Row<'_>) -> Result<Option<String>> {
    let text = row.text(0)?;
    let pattern = Pattern::of(row.text(1)?, flags(row, 4)?)?;
    pattern.no_global("regexp_substr")?;
    let (start, n) = (place(row, 2, "start")?, place(row, 3, "n")?);
    let group = group(row, 5)?;
    let Some(start) = start_byte(text, start) else { return Ok(None) };
    let found = pattern.matches(Ok(text), start).nth(n.get() - 1);
    Ok(found.and_then(|found| found.get(group).map(|group| group.as_str().to_owned())))
}
