//! DataFusion's sentences that mean something PostgreSQL has words for.

use std::sync::LazyLock;

use quickdb_executor::error::ErrorKind;
use regex::Regex;

use super::PgError;

/// A pattern with what PostgreSQL says instead; `$1` and so on take the pattern's groups.
struct Wording {
    pattern: &'static str,
    kind: ErrorKind,
    message: &'static str,
    hint: &'static str,
}

const fn say(pattern: &'static str, kind: ErrorKind, message: &'static str) -> Wording {
    Wording { pattern, kind, message, hint: "" }
}

const WORDINGS: &[Wording] = &[
    say(
        r#"(?s)column "([^"]+)" must appear in the GROUP BY clause or must be part of an aggregate"#,
        ErrorKind::Grouping,
        r#"column "$1" must appear in the GROUP BY clause or be used in an aggregate function"#,
    ),
    say(
        r#"HAVING clause references: .*?"?([A-Za-z_][\w.]*)"? "#,
        ErrorKind::Grouping,
        r#"column "$1" must appear in the GROUP BY clause or be used in an aggregate function"#,
    ),
    say(
        r"Cannot find column with position (\d+) in SELECT clause",
        ErrorKind::InvalidColumnReference,
        "GROUP BY position $1 is not in select list",
    ),
    say(
        r"Order by column out of bounds, specified: (\d+)",
        ErrorKind::InvalidColumnReference,
        "ORDER BY position $1 is not in select list",
    ),
    say(
        r"For SELECT DISTINCT, ORDER BY expressions .* must appear in select list",
        ErrorKind::InvalidColumnReference,
        "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
    ),
    say(
        r"SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
        ErrorKind::InvalidColumnReference,
        "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
    ),
    say(
        r"(UNION|INTERSECT|EXCEPT|Union|Intersect|Except) (?:queries|query|schemas).*(?:different|same) (?:number of columns|length)",
        ErrorKind::Syntax,
        "each UNION query must have the same number of columns",
    ),
    say(
        r"(?i)inconsistent data (?:type|length|.* length)|Inconsistent data length across values list",
        ErrorKind::Syntax,
        "VALUES lists must all be the same length",
    ),
    say(
        r"(?:Scalar subquery|scalar subquery) should only return one column|Too many columns! The subquery should only return one column",
        ErrorKind::Syntax,
        "subquery must return only one column",
    ),
    say(r"InSubquery should only return one column", ErrorKind::Syntax, "subquery has too many columns"),
    say(
        r"(?i)aggregate functions? (?:calls )?(?:are|is) not allowed in the WHERE|Aggregate functions are not allowed in the WHERE clause",
        ErrorKind::Grouping,
        "aggregate functions are not allowed in WHERE",
    ),
    say(
        r"(?i)window functions? .*not (?:allowed|supported).*WHERE",
        ErrorKind::Windowing,
        "window functions are not allowed in WHERE",
    ),
    say(
        r"Cannot create filter with non-boolean predicate '(?s:.*)' returning (\S+)",
        ErrorKind::DatatypeMismatch,
        "argument of WHERE must be type boolean, not type $1",
    ),
    say(r"Invalid qualifier (\S+)", ErrorKind::UndefinedTable, "missing FROM-clause entry for table \"$1\""),
    say(
        r"Aggregate function calls cannot be nested",
        ErrorKind::Grouping,
        "aggregate function calls cannot be nested",
    ),
    say(
        r"Window function calls cannot be nested",
        ErrorKind::Windowing,
        "window function calls cannot be nested",
    ),
    say(r"Invalid function '(\w+)'", ErrorKind::Internal, WITHOUT_OVER),
    say(
        r"Source table contains (\d+) columns? but (?:only )?(\d+) names given",
        ErrorKind::InvalidColumnReference,
        "table has $1 columns available but $2 columns specified",
    ),
    say(
        r"Function '(\w+)' does not support named arguments",
        ErrorKind::UndefinedFunction,
        "function $1 with these named arguments does not exist",
    ),
    say(r#"Invalid timezone "([^"]*)""#, ErrorKind::InvalidParameter, "time zone \"$1\" not recognized"),
    say(
        r"Error parsing timestamp from '([^']*)'",
        ErrorKind::InvalidDatetime,
        "invalid input syntax for type timestamp: \"$1\"",
    ),
    say(
        r"(?:Month|Day) value '[^']*' is out of range|Unable to parse date from ([^\n]*)",
        ErrorKind::DatetimeOutOfRange,
        "date field value out of range",
    ),
    say(
        r"DATE_BIN stride must be non-zero",
        ErrorKind::DatetimeOutOfRange,
        "stride must be greater than zero",
    ),
    say(
        r"exceeds the representable i64 range|Overflow.*timestamp",
        ErrorKind::DatetimeOutOfRange,
        "timestamp out of range",
    ),
    say(r"LIMIT must be >= 0|LIMIT must not be negative", ErrorKind::Internal, "LIMIT must not be negative"),
    say(r"OFFSET must be >=\s?0", ErrorKind::Internal, "OFFSET must not be negative"),
    say(r"(?i)divide by zero", ErrorKind::DivisionByZero, "division by zero"),
    say(
        r"Parser error: Error parsing timestamp from '([^']*)'",
        ErrorKind::InvalidDatetime,
        "invalid input syntax for type timestamp: \"$1\"",
    ),
    say(
        r"Cannot cast string '([^']*)' to value of Date32 type",
        ErrorKind::InvalidDatetime,
        "invalid input syntax for type date: \"$1\"",
    ),
    say(
        r"Cannot cast string '([^']*)' to value of (?:Int64|UInt64) type",
        ErrorKind::InvalidText,
        "invalid input syntax for type bigint: \"$1\"",
    ),
    say(
        r"Cannot cast string '([^']*)' to value of (?:Int\d+|UInt\d+) type",
        ErrorKind::InvalidText,
        "invalid input syntax for type integer: \"$1\"",
    ),
    say(
        r"Cannot cast (?:string|value) '([^']*)' to value of (?:Float\d+|Decimal.*) type",
        ErrorKind::InvalidText,
        "invalid input syntax for type double precision: \"$1\"",
    ),
    say(
        r"Can't cast value \S+ to type Int64|value of \S+ is out of range (?:for )?Int64",
        ErrorKind::NumericOutOfRange,
        "bigint out of range",
    ),
    say(r"Can't cast value \S+ to type Int32", ErrorKind::NumericOutOfRange, "integer out of range"),
    say(r"Can't cast value \S+ to type Int16", ErrorKind::NumericOutOfRange, "smallint out of range"),
    say(
        r"(?i)(?:is too large to store in a Decimal|Decimal overflow|overflow.*decimal)",
        ErrorKind::NumericOutOfRange,
        "value overflows numeric format",
    ),
    say(
        r"(?i)arithmetic overflow|Overflow happened",
        ErrorKind::NumericOutOfRange,
        "value out of range: overflow",
    ),
    say(
        r"Resources exhausted|Failed to allocate additional|Additional allocation failed",
        ErrorKind::OutOfMemory,
        "out of memory",
    ),
    say(r"(?i)No space left on device", ErrorKind::DiskFull, "could not write: no space left on device"),
    say(
        r"[Rr]egular expression did not compile|regex parse error",
        ErrorKind::InvalidRegex,
        "invalid regular expression",
    ),
    say(
        r"Window function .* requires|requires? an? ORDER BY",
        ErrorKind::Windowing,
        "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
    ),
    Wording {
        pattern: r#"(?s)Correlated column is not allowed|Correlated scalar subquery (?:can only|must)|null_aware anti join|single expression required|Physical plan does not support logical expression (?:ScalarSubquery|Exists|InSubquery|OuterReferenceColumn)"#,
        kind: ErrorKind::Unsupported,
        message: "this form of correlated subquery is not supported",
        hint: "Write the subquery as a join, or move the correlation to a WHERE clause directly inside of it.",
    },
    say(
        r"WITH query name \S+ specified more than once",
        ErrorKind::Syntax,
        "WITH query name specified more than once",
    ),
    say(
        r"Query requires a plan|No SQL statements were provided",
        ErrorKind::Syntax,
        "syntax error at end of input",
    ),
];

/// A window function that is called like an aggregate: 42809, which no kind of error has.
const WITHOUT_OVER: &str = "window function $1 requires an OVER clause";

static COMPILED: LazyLock<Vec<(Regex, &'static Wording)>> = LazyLock::new(|| {
    WORDINGS.iter().filter_map(|wording| Some((Regex::new(wording.pattern).ok()?, wording))).collect()
});

static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?s)(?:No function matches the given name and argument types '(\w+)\(([^']*)\)'|Failed to coerce arguments to satisfy a call to '(\w+)' function: coercion from (.*?) to the signature)").ok()
});

static MISTYPED_OPERATOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:Cannot (?:infer common argument type for|coerce arithmetic expression|get result type for) [\w ]*operation )(.+?) (=|!=|<>|<=|>=|<|>|\+|-|\*|/|%|AND|OR|\|\||[&|#^]|LIKE|ILIKE|IS DISTINCT FROM|IS NOT DISTINCT FROM) (.+?)(?: to valid types)?$").ok()
});

/// What PostgreSQL says where DataFusion says `text`, if that is known.
pub(super) fn translate(text: &str) -> Option<PgError> {
    if let Some(found) = CALL.as_ref().and_then(|call| call.captures(text)) {
        let name = found.get(1).or_else(|| found.get(3)).map_or("", |name| name.as_str());
        let types = found.get(2).or_else(|| found.get(4)).map_or("", |types| types.as_str());
        let types: Vec<String> = split_types(types).into_iter().map(pg_name_of_arrow).collect();
        return Some(
            PgError::new(ErrorKind::UndefinedFunction, format!("function {name}({}) does not exist", types.join(", ")))
                .hint("No function matches the given name and argument types. You might need to add explicit type casts."),
        );
    }
    if let Some(found) = MISTYPED_OPERATOR.as_ref().and_then(|operator| operator.captures(text)) {
        let part = |group: usize| found.get(group).map_or("", |part| part.as_str());
        let message = format!(
            "operator does not exist: {} {} {}",
            pg_name_of_arrow(part(1)),
            part(2).replace("!=", "<>"),
            pg_name_of_arrow(part(3))
        );
        return Some(PgError::new(ErrorKind::UndefinedFunction, message).hint(
            "No operator matches the given name and argument types. You might need to add explicit type casts.",
        ));
    }
    COMPILED.iter().find_map(|(pattern, wording)| {
        let found = pattern.captures(text)?;
        let mut message = String::new();
        found.expand(wording.message, &mut message);
        if let Some((words, arrow)) = message.split_once("boolean, not type ") {
            message = format!("{words}boolean, not type {}", pg_name_of_arrow(arrow));
        }
        let error = match wording.message {
            "LIMIT must not be negative" => PgError::with_state(super::SqlState("2201W"), message),
            WITHOUT_OVER => PgError::with_state(super::SqlState("42809"), message),
            "OFFSET must not be negative" => PgError::with_state(super::SqlState("2201X"), message),
            _ => PgError::new(wording.kind, message),
        };
        Some(if wording.hint.is_empty() { error } else { error.hint(wording.hint) })
    })
}

/// Splits at the commas that are in no parentheses.
fn split_types(types: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    types
        .split(|c: char| {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

/// The PostgreSQL name of a type that arrow prints.
fn pg_name_of_arrow(arrow: &str) -> String {
    match arrow.trim() {
        "Boolean" => "boolean",
        "Int8" | "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Utf8View" | "LargeUtf8" => "text",
        "Utf8" | "Null" => "unknown",
        "Date32" => "date",
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Time64") => "time without time zone",
        other if other.starts_with("Timestamp") && (other.contains("None") || !other.contains(',')) => {
            "timestamp without time zone"
        }
        other if other.starts_with("Timestamp") => "timestamp with time zone",
        other if other.starts_with("Interval") || other.starts_with("Duration") => "interval",
        other if other.starts_with("Binary") => "bytea",
        other if other.starts_with("List") => {
            let element =
                ["Int32", "Int64", "Int16", "Utf8View", "Utf8", "Float64", "Boolean", "Date32", "Decimal128"]
                    .into_iter()
                    .find(|element| other.contains(*element));
            return match element {
                Some("Utf8") => "text[]".to_owned(),
                Some(element) => format!("{}[]", pg_name_of_arrow(element)),
                None => "anyarray".to_owned(),
            };
        }
        other if other.starts_with("Struct") => "record",
        other => return other.to_lowercase(),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(COMPILED.len(), WORDINGS.len());
        assert!(CALL.is_some() && MISTYPED_OPERATOR.is_some());
    }

    #[test]
    fn operators_and_calls_get_postgresqls_types() {
        let error =
            translate("Cannot infer common argument type for comparison operation Int32 = Boolean").unwrap();
        assert_eq!(error.message, "operator does not exist: integer = boolean");
    }
}
