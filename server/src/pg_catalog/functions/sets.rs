//! Functions that return sets of records, each as the array of what its set holds; the planner takes them apart.

use super::Kind::{Int, List};
use super::{CatalogueFunction, argument, strict};
use crate::pg_catalog::error::FunctionResult;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict(
        "aclexplode_list",
        &[&[List]],
        "{grantor:oid,grantee:oid,privilege_type:text,is_grantable:bool}",
        |view, arguments| {
            let items = argument(arguments, 0).as_list().unwrap_or_default();
            Ok(Datum::List(
                items.iter().filter_map(Datum::as_str).flat_map(|item| exploded(view, item)).collect(),
            ))
        },
    ),
    // `name=value` texts, as in `reloptions`.
    strict("pg_options_list", &[&[List]], "{option_name:text,option_value:text}", |_, arguments| {
        let options = argument(arguments, 0).as_list().unwrap_or_default();
        let options = options.iter().filter_map(Datum::as_str).map(|option| {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            Datum::List(vec![name.to_owned().into(), value.into()])
        });
        Ok(Datum::List(options.collect()))
    }),
    // There are no partitions: a table is its tree's only node, and what is no table has none.
    strict(
        "pg_partition_tree_list",
        &[&[Int]],
        "{relid:regclass,parentrelid:regclass,isleaf:bool,level:int4}",
        |_, _| Ok(Datum::List(Vec::new())),
    ),
    strict("pg_partition_ancestors_list", &[&[Int]], "_regclass", |_, _| Ok(Datum::List(Vec::new()))),
    strict(
        "pg_keywords_list",
        &[&[]],
        "{word:text,catcode:char,barelabel:bool,catdesc:text,baredesc:text}",
        |_, _| keywords(),
    ),
];

/// Privileges by the letter that stands for them in an `aclitem`.
const PRIVILEGES: [(char, &str); 14] = [
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// The privileges of `grantee=letters/grantor`, one record each; an asterisk after a letter lets it be given on.
fn exploded(view: &SessionView, item: &str) -> Vec<Datum> {
    let Some((grantee, rest)) = item.rsplit_once('=') else { return Vec::new() };
    let (letters, grantor) = rest.split_once('/').unwrap_or((rest, ""));
    let role = |name: &str| {
        let name = name.trim_matches('"');
        if name.is_empty() { 0 } else { view.grantee(name).map_or(0, |grantee| grantee.oid) }
    };
    let (grantor, grantee) = (role(grantor), role(grantee));
    let mut records = Vec::new();
    let mut letters = letters.chars().peekable();
    while let Some(letter) = letters.next() {
        let grantable = letters.next_if_eq(&'*').is_some();
        let privilege = PRIVILEGES.iter().find(|(known, _)| *known == letter);
        if let Some((_, privilege)) = privilege {
            records.push(Datum::List(vec![
                grantor.into(),
                grantee.into(),
                (*privilege).into(),
                grantable.into(),
            ]));
        }
    }
    records
}

/// PostgreSQL's key words, with the category of each: a record of word, category, whether it can be a label without
/// `AS`, and both in words.
fn keywords() -> FunctionResult<Datum> {
    let words = include_str!("../data/keywords.tsv").lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (word, category, is_label) = (columns.next()?, columns.next()?, columns.next()? == "t");
        let described = match category {
            "U" => "unreserved",
            "C" => "unreserved (cannot be function or type name)",
            "T" => "reserved (can be function or type name)",
            _ => "reserved",
        };
        let label = if is_label { "can be bare label" } else { "requires AS" };
        Some(Datum::List(vec![word.into(), category.into(), is_label.into(), described.into(), label.into()]))
    });
    Ok(Datum::List(words.collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::pg_catalog::SessionFacts;

    #[test]
    fn access_lists_come_apart() {
        let snapshot = Catalogue::in_memory().unwrap().snapshot();
        let facts = SessionFacts::of_user("quickdb", "quickdb");
        let view = SessionView { snapshot, facts, functions: Arc::default(), layouts: Default::default() };
        let record = |grantee: u32, privilege: &'static str, grantable: bool| {
            Datum::List(vec![10_u32.into(), grantee.into(), privilege.into(), grantable.into()])
        };
        assert_eq!(exploded(&view, "=Ur*/quickdb"), [record(0, "USAGE", false), record(0, "SELECT", true)]);
        assert_eq!(exploded(&view, "quickdb=C/quickdb"), [record(10, "CREATE", false)]);
        assert!(exploded(&view, "nothing").is_empty());
    }
}
