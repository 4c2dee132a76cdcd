//! The system relations: what they are called, which columns they have, and where their rows come from.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

use super::builtin::{self, BuiltinType};
use super::rows::Rows;
use super::session::SessionView;
use crate::catalogue::PG_TYPE_KEY;

/// Writes the rows of a relation.
pub(super) type RowSource = fn(&SessionView, &mut Rows);

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    /// Its OID in `pg_class`.
    pub(super) oid: u32,
    /// `r` for a table, `v` for a view.
    pub(super) kind: &'static str,
    /// Whether all databases share it.
    pub(super) shared: bool,
    /// The OID of its row type.
    pub(super) row_type: u32,
    /// The OID of the array type over its row type.
    pub(super) array_type: u32,
    pub(super) columns: Vec<RelationColumn>,
    /// The Arrow schema of its rows.
    pub(super) arrow_schema: SchemaRef,
    /// `None` for one that is always empty.
    pub(super) rows: Option<RowSource>,
}

/// A column of a system relation.
#[derive(Debug)]
pub(super) struct RelationColumn {
    pub(super) name: &'static str,
    pub(super) column_type: &'static BuiltinType,
    pub(super) not_null: bool,
    /// The OID of its collation, 0 for none.
    pub(super) collation: u32,
}

impl Relation {
    pub(super) fn namespace(&self) -> u32 {
        match self.schema {
            "pg_catalog" => builtin::PG_CATALOG_OID,
            "quickdb" => builtin::QUICKDB_SCHEMA_OID,
            _ => builtin::INFORMATION_SCHEMA_OID,
        }
    }
}

/// The relations, `pg_catalog` first, by name within each schema.
pub(super) static RELATIONS: LazyLock<Vec<Relation>> = LazyLock::new(|| {
    let sources: HashMap<_, _> = super::SOURCES.iter().flat_map(|group| group.iter()).copied().collect();
    include_str!("data/relations.tsv").lines().filter_map(|line| relation(line, &sources)).collect()
});

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), usize>> = LazyLock::new(|| {
    let relations = RELATIONS.iter().enumerate();
    relations.map(|(index, relation)| ((relation.schema, relation.name), index)).collect()
});

/// Whether the system has a relation of that name in one of its schemas.
pub(crate) fn is_system_relation(schema: &str, name: &str) -> bool {
    position(schema, name).is_some()
}

/// The relation of that schema and name: its place in [`RELATIONS`].
pub(super) fn position(schema: &str, name: &str) -> Option<usize> {
    BY_NAME.get(&(schema, name)).copied()
}

/// The relation of that schema and name.
pub(super) fn by_name(schema: &str, name: &str) -> Option<&'static Relation> {
    RELATIONS.get(position(schema, name)?)
}

/// The relation with that OID.
pub(super) fn by_oid(oid: u32) -> Option<&'static Relation> {
    RELATIONS.iter().find(|relation| relation.oid == oid)
}

/// `schema, name, oid, kind, shared, row type, array type, name:type[!][@collation],...`
fn relation(line: &'static str, sources: &HashMap<(&str, &str), RowSource>) -> Option<Relation> {
    let mut fields = line.split('\t');
    let mut next = || fields.next();
    let (schema, name) = (next()?, next()?);
    let (oid, kind, shared) = (next()?.parse().ok()?, next()?, next()? == "t");
    let (row_type, array_type) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let columns = next()?.split(',').filter_map(column).collect::<Vec<_>>();
    let fields = columns.iter().map(|column| field(column.name, column.column_type, !column.not_null));
    let arrow_schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = sources.get(&(schema, name)).copied();
    Some(Relation { schema, name, oid, kind, shared, row_type, array_type, columns, arrow_schema, rows })
}

fn column(text: &'static str) -> Option<RelationColumn> {
    let (name, rest) = text.split_once(':')?;
    let (rest, collation) = match rest.split_once('@') {
        None => (rest, None),
        Some((rest, collation)) => (rest, Some(collation.parse().ok()?)),
    };
    let type_name = rest.trim_end_matches('!');
    let column_type = builtin::type_by_name(type_name)?;
    let collation = collation.unwrap_or(column_type.collation);
    Some(RelationColumn { name, column_type, not_null: rest.ends_with('!'), collation })
}

/// The Arrow field of a value of a built-in type. Domains go as the type below them, as on the wire.
pub(super) fn field(name: &str, of: &BuiltinType, nullable: bool) -> Field {
    let of = if of.base == 0 { of } else { builtin::type_by_oid(of.base).unwrap_or(of) };
    let (data_type, told) = data_type(of);
    let field = Field::new(name, data_type, nullable);
    if told {
        return field;
    }
    let element = builtin::type_by_oid(of.element).filter(|_| of.name.starts_with('_'));
    let quoted = |name: &str| if name == "char" { "\"char\"".to_owned() } else { name.to_owned() };
    let type_name = match element {
        Some(element) => format!("{}[]", quoted(element.name)),
        None => quoted(of.name),
    };
    field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), type_name)]))
}

/// The Arrow type that holds a built-in type in the catalogue, and whether it alone says which type it is.
fn data_type(of: &BuiltinType) -> (DataType, bool) {
    let list = |element: DataType| DataType::List(Arc::new(Field::new_list_field(element, true)));
    if of.name.starts_with('_')
        && let Some(element) = builtin::type_by_oid(of.element)
    {
        let (element, told) = data_type(element);
        return (list(element), told);
    }
    match of.name {
        "bool" => (DataType::Boolean, true),
        "int2" => (DataType::Int16, true),
        "int4" => (DataType::Int32, true),
        "int8" => (DataType::Int64, true),
        "float4" => (DataType::Float32, true),
        "float8" => (DataType::Float64, true),
        "numeric" => (DataType::Decimal128(38, 0), true),
        "text" => (DataType::Utf8View, true),
        "bytea" => (DataType::BinaryView, true),
        "timestamptz" => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        "interval" => (DataType::Interval(IntervalUnit::MonthDayNano), true),
        // Numbers, so that they compare with numbers and join with `oid` columns as in PostgreSQL.
        "oid" | "xid" | "regproc" | "regprocedure" | "regoper" | "regoperator" | "regtype" | "regclass"
        | "regrole" | "regnamespace" | "regcollation" => (DataType::Int64, false),
        "int2vector" => (list(DataType::Int16), false),
        "oidvector" => (list(DataType::Int64), false),
        _ => (DataType::Utf8View, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_relation_is_read_and_every_source_has_its_relation() {
        assert_eq!(RELATIONS.len(), include_str!("data/relations.tsv").lines().count());
        for (line, relation) in include_str!("data/relations.tsv").lines().zip(RELATIONS.iter()) {
            assert_eq!(line.matches(':').count(), relation.columns.len(), "{line}");
        }
        for ((schema, name), _) in super::super::SOURCES.iter().flat_map(|group| group.iter()) {
            assert!(by_name(schema, name).is_some(), "{schema}.{name}");
        }
    }

    #[test]
    fn columns_have_the_type_that_clients_expect() {
        let class = by_name("pg_catalog", "pg_class").unwrap();
        assert_eq!((class.oid, class.row_type, class.columns.len()), (1259, 83, 33));
        let column = |name: &str| class.arrow_schema.field_with_name(name).unwrap();
        for (name, data_type, pg_type) in [
            ("oid", DataType::Int64, Some("oid")),
            ("relname", DataType::Utf8View, Some("name")),
            ("relkind", DataType::Utf8View, Some("\"char\"")),
            ("relnatts", DataType::Int16, None),
            ("relacl", DataType::new_list(DataType::Utf8View, true), Some("aclitem[]")),
            ("reloptions", DataType::new_list(DataType::Utf8View, true), None),
        ] {
            assert_eq!(column(name).data_type(), &data_type, "{name}");
            assert_eq!(column(name).metadata().get(PG_TYPE_KEY).map(String::as_str), pg_type, "{name}");
        }
        let index = by_name("pg_catalog", "pg_index").unwrap();
        let key = index.arrow_schema.field_with_name("indkey").unwrap();
        assert_eq!(key.metadata()[PG_TYPE_KEY], "int2vector");
        let columns = by_name("information_schema", "columns").unwrap();
        let name = columns.arrow_schema.field_with_name("column_name").unwrap();
        assert_eq!(name.metadata()[PG_TYPE_KEY], "name");
    }
}
