//! What PostgreSQL 15 has from the start: its types, functions, operators, casts and system relations, with the OIDs
//! that clients know by heart.
//!
//! The tables under `data/` hold one row per line, tab separated, `\N` for NULL, as PostgreSQL 15 itself lists them;
//! the first line of each parser below says which columns they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The OID of the namespace `pg_catalog`.
pub(super) const PG_CATALOG_OID: u32 = 11;
/// The OID of the namespace `pg_toast`.
pub(super) const PG_TOAST_OID: u32 = 99;
/// The OID of the namespace `information_schema`: PostgreSQL gives it one when a cluster is made.
pub(super) const INFORMATION_SCHEMA_OID: u32 = 13_207;

/// The OID of the schema `quickdb`, beyond those that PostgreSQL gives out itself.
pub(super) const QUICKDB_SCHEMA_OID: u32 = 15_000;

/// A row of `pg_type`.
#[derive(Debug)]
pub(super) struct BuiltinType {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    pub(super) namespace: u32,
    pub(super) length: i64,
    pub(super) by_value: bool,
    pub(super) kind: &'static str,
    pub(super) category: &'static str,
    pub(super) preferred: bool,
    pub(super) delimiter: &'static str,
    pub(super) subscript: u32,
    pub(super) element: u32,
    pub(super) array: u32,
    /// The OIDs of the functions input, output, receive, send, modifier input and output, analyze.
    pub(super) functions: [u32; 7],
    pub(super) align: &'static str,
    pub(super) storage: &'static str,
    pub(super) base: u32,
    pub(super) typmod: i32,
    pub(super) collation: u32,
}

/// A row of `pg_proc`.
#[derive(Debug)]
pub(super) struct BuiltinFunction {
    pub(super) oid: u32,
    pub(super) name: Cow<'static, str>,
    pub(super) namespace: u32,
    /// `s` SQL, `c` C, `i` internal.
    pub(super) language: &'static str,
    pub(super) kind: &'static str,
    pub(super) volatility: &'static str,
    pub(super) strict: bool,
    pub(super) returns_set: bool,
    pub(super) parallel: &'static str,
    pub(super) returns: u32,
    pub(super) arguments: Vec<u32>,
    pub(super) all_arguments: Option<Vec<u32>>,
    pub(super) modes: Option<&'static str>,
    pub(super) names: Option<Vec<&'static str>>,
    pub(super) variadic: u32,
    pub(super) defaults: Option<&'static str>,
    pub(super) default_count: i64,
}

/// A row of `pg_operator`.
#[derive(Debug)]
pub(super) struct BuiltinOperator {
    pub(super) oid: u32,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) can_merge: bool,
    pub(super) can_hash: bool,
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) result: u32,
    pub(super) commutator: u32,
    pub(super) negator: u32,
    pub(super) code: u32,
    pub(super) restrict: u32,
    pub(super) join: u32,
}

/// A row of `pg_cast`.
#[derive(Debug)]
pub(super) struct BuiltinCast {
    pub(super) oid: u32,
    pub(super) source: u32,
    pub(super) target: u32,
    pub(super) function: u32,
    pub(super) context: &'static str,
    pub(super) method: &'static str,
}

/// A row of `pg_aggregate`.
#[derive(Debug)]
pub(super) struct BuiltinAggregate {
    pub(super) function: u32,
    pub(super) kind: &'static str,
    pub(super) direct_arguments: i64,
    pub(super) transition: u32,
    pub(super) finish: u32,
    pub(super) combine: u32,
    pub(super) finish_extra: bool,
    pub(super) finish_modifies: &'static str,
    pub(super) sort_operator: u32,
    pub(super) state: u32,
    pub(super) state_bytes: i64,
    pub(super) initial: Option<&'static str>,
}

/// A row of `pg_opclass`.
#[derive(Debug)]
pub(super) struct BuiltinOperatorClass {
    pub(super) oid: u32,
    pub(super) method: u32,
    pub(super) name: &'static str,
    pub(super) family: u32,
    pub(super) input: u32,
    pub(super) default: bool,
    pub(super) key: u32,
}

/// A row of `pg_opfamily`.
#[derive(Debug)]
pub(super) struct BuiltinOperatorFamily {
    pub(super) oid: u32,
    pub(super) method: u32,
    pub(super) name: &'static str,
}

/// A setting of PostgreSQL 15 that quickdb has or shows.
#[derive(Debug)]
pub struct BuiltinSetting {
    /// Its name, spelt as `SHOW ALL` does.
    pub name: &'static str,
    /// The unit of its number, such as `kB`; empty for none.
    pub unit: &'static str,
    /// The chapter it belongs to.
    pub category: &'static str,
    /// Who may set it and when: `user`, `superuser`, `internal`, `postmaster`, `sighup`, `backend`.
    pub context: &'static str,
    /// `bool`, `integer`, `real`, `string` or `enum`.
    pub kind: &'static str,
    /// The smallest number; empty for none.
    pub min: &'static str,
    /// The largest number; empty for none.
    pub max: &'static str,
    /// The values of an enum, comma separated.
    pub values: &'static str,
    /// What it is when nobody set it.
    pub default: &'static str,
}

/// The fields of one line.
struct Line {
    fields: std::str::Split<'static, char>,
}

impl Line {
    /// The next field. A line of our own files that is too short is a mistake of the build; the tests read them all.
    fn text(&mut self) -> &'static str {
        self.fields.next().unwrap_or_default()
    }

    fn option(&mut self) -> Option<&'static str> {
        Some(self.text()).filter(|text| *text != "\\N")
    }

    fn number<N: std::str::FromStr + Default>(&mut self) -> N {
        self.text().parse().unwrap_or_default()
    }

    fn flag(&mut self) -> bool {
        self.text() == "t"
    }
}

fn parse<T>(data: &'static str, read: impl Fn(&mut Line) -> T) -> Vec<T> {
    data.lines().map(|line| read(&mut Line { fields: line.split('\t') })).collect()
}

fn oids(text: &str) -> Vec<u32> {
    text.split(' ').filter_map(|oid| oid.parse().ok()).collect()
}

pub(super) static TYPES: LazyLock<Vec<BuiltinType>> = LazyLock::new(|| {
    parse(include_str!("data/types.tsv"), |line| BuiltinType {
        oid: line.number(),
        name: line.text(),
        namespace: line.number(),
        length: line.number(),
        by_value: line.flag(),
        kind: line.text(),
        category: line.text(),
        preferred: line.flag(),
        delimiter: line.text(),
        subscript: line.number(),
        element: line.number(),
        array: line.number(),
        functions: std::array::from_fn(|_| line.number()),
        align: line.text(),
        storage: line.text(),
        base: line.number(),
        typmod: line.number(),
        collation: line.number(),
    })
});

pub(super) static FUNCTIONS: LazyLock<Vec<BuiltinFunction>> = LazyLock::new(|| {
    parse(include_str!("data/functions.tsv"), |line| BuiltinFunction {
        oid: line.number(),
        name: Cow::Borrowed(line.text()),
        namespace: line.number(),
        language: line.text(),
        kind: line.text(),
        volatility: line.text(),
        strict: line.flag(),
        returns_set: line.flag(),
        parallel: line.text(),
        returns: line.number(),
        arguments: oids(line.text()),
        all_arguments: line.option().map(oids),
        modes: line.option(),
        names: line.option().map(|names| names.split(' ').collect()),
        variadic: line.number(),
        defaults: line.option(),
        default_count: line.number(),
    })
});

pub(super) static OPERATORS: LazyLock<Vec<BuiltinOperator>> = LazyLock::new(|| {
    parse(include_str!("data/operators.tsv"), |line| BuiltinOperator {
        oid: line.number(),
        name: line.text(),
        kind: line.text(),
        can_merge: line.flag(),
        can_hash: line.flag(),
        left: line.number(),
        right: line.number(),
        result: line.number(),
        commutator: line.number(),
        negator: line.number(),
        code: line.number(),
        restrict: line.number(),
        join: line.number(),
    })
});

pub(super) static CASTS: LazyLock<Vec<BuiltinCast>> = LazyLock::new(|| {
    parse(include_str!("data/casts.tsv"), |line| BuiltinCast {
        oid: line.number(),
        source: line.number(),
        target: line.number(),
        function: line.number(),
        context: line.text(),
        method: line.text(),
    })
});

pub(super) static AGGREGATES: LazyLock<Vec<BuiltinAggregate>> = LazyLock::new(|| {
    parse(include_str!("data/aggregates.tsv"), |line| BuiltinAggregate {
        function: line.number(),
        kind: line.text(),
        direct_arguments: line.number(),
        transition: line.number(),
        finish: line.number(),
        combine: line.number(),
        finish_extra: line.flag(),
        finish_modifies: line.text(),
        sort_operator: line.number(),
        state: line.number(),
        state_bytes: line.number(),
        initial: line.option(),
    })
});

pub(super) static OPERATOR_CLASSES: LazyLock<Vec<BuiltinOperatorClass>> = LazyLock::new(|| {
    parse(include_str!("data/opclasses.tsv"), |line| BuiltinOperatorClass {
        oid: line.number(),
        method: line.number(),
        name: line.text(),
        family: line.number(),
        input: line.number(),
        default: line.flag(),
        key: line.number(),
    })
});

pub(super) static OPERATOR_FAMILIES: LazyLock<Vec<BuiltinOperatorFamily>> = LazyLock::new(|| {
    parse(include_str!("data/opfamilies.tsv"), |line| BuiltinOperatorFamily {
        oid: line.number(),
        method: line.number(),
        name: line.text(),
    })
});

pub(super) static SETTINGS: LazyLock<Vec<BuiltinSetting>> = LazyLock::new(|| {
    parse(include_str!("data/settings.tsv"), |line| BuiltinSetting {
        name: line.text(),
        unit: line.text(),
        category: line.text(),
        context: line.text(),
        kind: line.text(),
        min: line.text(),
        max: line.text(),
        values: line.text(),
        default: line.text(),
    })
});

static TYPE_BY_OID: LazyLock<HashMap<u32, &'static BuiltinType>> =
    LazyLock::new(|| TYPES.iter().map(|found| (found.oid, found)).collect());

static TYPE_BY_NAME: LazyLock<HashMap<&'static str, &'static BuiltinType>> =
    LazyLock::new(|| TYPES.iter().map(|found| (found.name, found)).collect());

static FUNCTION_BY_OID: LazyLock<HashMap<u32, &'static BuiltinFunction>> =
    LazyLock::new(|| FUNCTIONS.iter().map(|found| (found.oid, found)).collect());

/// The type with that OID.
pub(super) fn type_by_oid(oid: u32) -> Option<&'static BuiltinType> {
    TYPE_BY_OID.get(&oid).copied()
}

/// The type of that name in `pg_type`.
pub(super) fn type_by_name(name: &str) -> Option<&'static BuiltinType> {
    TYPE_BY_NAME.get(name).copied()
}

/// The function with that OID.
pub(super) fn function_by_oid(oid: u32) -> Option<&'static BuiltinFunction> {
    FUNCTION_BY_OID.get(&oid).copied()
}

/// All settings that quickdb has or shows, by name.
pub fn settings() -> &'static [BuiltinSetting] {
    &SETTINGS
}

/// The setting of that name; names do not heed case.
pub fn setting(name: &str) -> Option<&'static BuiltinSetting> {
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line has as many fields as its parser reads, and nothing was dropped as unreadable.
    #[test]
    fn the_data_files_have_the_shape_that_their_parsers_expect() {
        for (data, fields) in [
            (include_str!("data/types.tsv"), 24),
            (include_str!("data/functions.tsv"), 17),
            (include_str!("data/operators.tsv"), 13),
            (include_str!("data/casts.tsv"), 6),
            (include_str!("data/aggregates.tsv"), 12),
            (include_str!("data/opclasses.tsv"), 7),
            (include_str!("data/opfamilies.tsv"), 3),
            (include_str!("data/settings.tsv"), 9),
            (include_str!("data/relations.tsv"), 8),
        ] {
            for line in data.lines() {
                assert_eq!(line.split('\t').count(), fields, "{line}");
            }
        }
    }

    #[test]
    fn references_between_builtin_objects_resolve() {
        let function = |oid: u32| oid == 0 || function_by_oid(oid).is_some();
        for found in TYPES.iter() {
            assert!(found.functions.iter().all(|oid| function(*oid)), "{}", found.name);
            assert!(found.array == 0 || type_by_oid(found.array).is_some(), "{}", found.name);
        }
        assert!(OPERATORS.iter().all(|found| function(found.code)));
        assert!(CASTS.iter().all(|found| function(found.function)));
        assert!(AGGREGATES.iter().all(|found| function(found.function)));
        assert_eq!(type_by_name("int4").unwrap().oid, 23);
        assert_eq!(function_by_oid(1242).unwrap().name, "boolin");
        assert_eq!(setting("timezone").unwrap().name, "TimeZone");
    }
}
