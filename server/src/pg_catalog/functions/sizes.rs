//! Functions about how large things are.

use super::Kind::{Int, Numeric, Text};
use super::{CatalogueFunction, Kind, argument, oid, strict, text};
use crate::pg_catalog::error::{FunctionError, FunctionResult, Mistake};
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

/// A relation by OID or by name.
const RELATION: &[&[Kind]] = &[&[Int], &[Text]];

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict("pg_relation_size", &[&[Int], &[Text], &[Int, Text], &[Text, Text]], "int8", |view, arguments| {
        match argument(arguments, 1).as_str() {
            None | Some("main") => relation(view, arguments),
            // There are no free space and visibility maps.
            Some("fsm" | "vm" | "init") => Ok(Datum::Int(0)),
            Some(_) => Err(FunctionError::new(Mistake::InvalidParameter, "invalid fork name")),
        }
    }),
    strict("pg_table_size", RELATION, "int8", relation),
    strict("pg_total_relation_size", RELATION, "int8", relation),
    strict("pg_indexes_size", RELATION, "int8", |view, arguments| {
        Ok(match relation(view, arguments)? {
            Datum::Null => Datum::Null,
            _ => Datum::Int(0),
        })
    }),
    strict("pg_database_size", RELATION, "int8", |view, arguments| {
        let databases = &view.snapshot.databases;
        let found = match argument(arguments, 0) {
            Datum::Text(name) => {
                let missing = || {
                    let message = format!("database \"{name}\" does not exist");
                    FunctionError::new(Mistake::UndefinedDatabase, message)
                };
                Some(databases.iter().find(|database| database.name == **name).ok_or_else(missing)?)
            }
            _ => databases.iter().find(|database| database.oid == oid(arguments, 0)),
        };
        let bytes = || view.tables().map(|table| table.bytes()).sum::<u64>();
        Ok(found.map(|_| bytes()).into())
    }),
    strict("pg_tablespace_size", RELATION, "int8", |view, _| {
        Ok(view.tables().map(|table| table.bytes()).sum::<u64>().into())
    }),
    // Indexes there are none, so that nothing has read one.
    strict("pg_stat_get_numscans", &[&[Int]], "int8", |_, _| Ok(Datum::Int(0))),
    strict("pg_stat_get_live_tuples", &[&[Int]], "int8", |view, arguments| {
        Ok(view
            .snapshot
            .table_by_oid(oid(arguments, 0))
            .map_or(Datum::Int(0), |table| table.row_count().into()))
    }),
    strict("pg_stat_get_dead_tuples", &[&[Int]], "int8", |_, _| Ok(Datum::Int(0))),
    strict("pg_tablespace_location", &[&[Int]], "text", |_, _| Ok("".into())),
    strict("pg_relation_filenode", RELATION, "oid", |view, arguments| {
        let oid = relation_oid(view, arguments)?;
        Ok(view.snapshot.table_by_oid(oid).map(|table| table.oid).into())
    }),
    strict("pg_relation_filepath", RELATION, "text", |view, arguments| {
        let oid = relation_oid(view, arguments)?;
        let database = view.database_oid();
        Ok(view.snapshot.table_by_oid(oid).map(|table| format!("base/{database}/{}", table.oid)).into())
    }),
    strict("pg_size_pretty", &[&[Int], &[Numeric]], "text", |_, arguments| {
        Ok(match argument(arguments, 0) {
            Datum::Int(bytes) => pretty(i128::from(*bytes)),
            other => {
                // The whole part is what the steps below round.
                let digits = other.as_str().unwrap_or_default();
                pretty(digits.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or_default())
            }
        }
        .into())
    }),
    strict("pg_size_bytes", &[&[Text]], "int8", |_, arguments| {
        let text = text(arguments, 0);
        let invalid = || FunctionError::new(Mistake::InvalidParameter, format!("invalid size: \"{text}\""));
        bytes(text).map(Datum::from).ok_or_else(invalid)
    }),
];

fn relation_oid(view: &SessionView, arguments: &[Datum]) -> FunctionResult<u32> {
    match argument(arguments, 0) {
        Datum::Text(name) => view.existing_relation_oid(name),
        _ => Ok(oid(arguments, 0)),
    }
}

/// The bytes of a table's shards, each counted once; NULL for what is no relation.
fn relation(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let oid = relation_oid(view, arguments)?;
    if let Some(table) = view.snapshot.table_by_oid(oid) {
        return Ok(table.bytes().into());
    }
    // The system's relations are made when they are read.
    Ok(view.relation_name(oid).map(|_| Datum::Int(0)).into())
}

/// Bytes in the unit that leaves less than 10 times 1024 of them, rounded to the nearest, as `pg_size_pretty` does.
fn pretty(bytes: i128) -> String {
    const LIMIT: i128 = 10 * 1024;
    if bytes.abs() < LIMIT {
        return format!("{bytes} bytes");
    }
    // Half of the last unit stays as one more bit, so that rounding happens once.
    let mut halves = bytes / 512;
    for (unit, is_last) in [("kB", false), ("MB", false), ("GB", false), ("TB", false), ("PB", true)] {
        if is_last || halves.abs() < LIMIT * 2 - 1 {
            let rounded = if halves >= 0 { (halves + 1) / 2 } else { (halves - 1) / 2 };
            return format!("{rounded} {unit}");
        }
        halves /= 1024;
    }
    String::new()
}

/// `10 MB` as a number of bytes.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+')));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor: f64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" | "bytes" => 1.0,
        "kb" => 1_024.0,
        "mb" => 1_048_576.0,
        "gb" => 1_073_741_824.0,
        "tb" => 1_099_511_627_776.0,
        "pb" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // Formatting rounds to a whole number and parsing checks its range, with no cast that could cut it off.
    format!("{:.0}", number * factor).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL prints them.
    #[test]
    fn sizes_print_and_read_as_in_postgresql() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (-10_240, "-10 kB"),
            (10_752, "11 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (1_000_000_000_000, "931 GB"),
            (i128::from(i64::MAX), "8192 PB"),
        ] {
            assert_eq!(pretty(bytes), expected, "{bytes}");
        }
        for (text, expected) in
            [("10 MB", Some(10_485_760)), ("1.5kB", Some(1_536)), ("7", Some(7)), ("1 x", None)]
        {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
