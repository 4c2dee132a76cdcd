//! Relations about constraints, indexes and defaults of tables.

use std::sync::Arc;

use crate::catalogue::{Constraint, ConstraintKind, Table};
use crate::pg_catalog::builtin::OPERATOR_CLASSES;
use crate::pg_catalog::identifier;
use crate::pg_catalog::relation::RowSource;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// The OIDs of the index methods `btree` and `hash`.
const BTREE: u32 = 403;
const HASH: u32 = 405;

/// Numbers of columns that fit between two tables' defaults: what PostgreSQL allows a table to have.
const COLUMNS_MAX: u32 = 1_600;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_constraint"), constraints),
    (("pg_catalog", "pg_index"), indexes),
    (("pg_catalog", "pg_indexes"), index_definitions),
    (("pg_catalog", "pg_attrdef"), defaults),
];

/// A constraint with its table.
pub(in crate::pg_catalog) struct Constrained<'a> {
    pub(in crate::pg_catalog) table: &'a Arc<Table>,
    pub(in crate::pg_catalog) constraint: &'a Constraint,
}

/// What a foreign key says after REFERENCES.
pub(in crate::pg_catalog) struct References<'a> {
    pub(in crate::pg_catalog) table: &'a Arc<Table>,
    /// Numbers of the columns.
    pub(in crate::pg_catalog) columns: Vec<u32>,
    /// As `pg_constraint` has the actions: `a` none, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub(in crate::pg_catalog) on_update: &'static str,
    pub(in crate::pg_catalog) on_delete: &'static str,
}

impl SessionView {
    /// All constraints and indexes.
    pub(in crate::pg_catalog) fn constrained(&self) -> impl Iterator<Item = Constrained<'_>> {
        self.tables().flat_map(|table| {
            table.constraints.iter().map(move |constraint| Constrained { table, constraint })
        })
    }

    /// The constraint with that OID in `pg_constraint`.
    pub(in crate::pg_catalog) fn constraint_by_oid(&self, oid: u32) -> Option<Constrained<'_>> {
        self.constrained().find(|found| found.constraint.oid == oid && found.is_constraint())
    }

    /// The index with that OID in `pg_class`.
    pub(in crate::pg_catalog) fn index_by_oid(&self, oid: u32) -> Option<Constrained<'_>> {
        self.constrained().find(|found| found.index_oid() == Some(oid))
    }

    /// The index of that schema and name.
    pub(in crate::pg_catalog) fn index_in(&self, schema: &str, name: &str) -> Option<u32> {
        self.constrained()
            .filter(|found| found.table.schema == schema && found.constraint.name == name)
            .find_map(|found| found.index_oid())
    }

    /// What a foreign key refers to: `schema.table(a, b) ON DELETE CASCADE`. `None` where that table is gone.
    pub(in crate::pg_catalog) fn references(&self, constraint: &Constraint) -> Option<References<'_>> {
        let text = &constraint.definition;
        let (target, actions) = match text.find(" ON ") {
            Some(at) => text.split_at(at),
            None => (text.as_str(), ""),
        };
        let (name, listed) = match target.split_once('(') {
            Some((name, listed)) => (name, listed.trim_end_matches(')')),
            None => (target, ""),
        };
        let oid = self.relation_oid(name.trim()).ok().flatten()?;
        let table = self.snapshot.table_by_oid(oid)?;
        let listed = identifier::split_list(listed);
        let columns = if listed.is_empty() {
            let mut keys = table.constraints.iter().filter(|key| key.kind == ConstraintKind::PrimaryKey);
            keys.next().map(|key| key.columns.clone()).unwrap_or_default()
        } else {
            let number = |name: &String| table.columns.iter().find(|column| column.name == *name);
            listed.iter().filter_map(number).map(|column| column.number).collect()
        };
        let action = |when: &str| {
            let said = actions.split(" ON ").find_map(|action| action.trim().strip_prefix(when));
            match said.map(|said| said.trim().to_uppercase()).as_deref() {
                Some("CASCADE") => "c",
                Some("RESTRICT") => "r",
                Some("SET NULL") => "n",
                Some("SET DEFAULT") => "d",
                _ => "a",
            }
        };
        Some(References { table, columns, on_update: action("UPDATE"), on_delete: action("DELETE") })
    }
}

impl Constrained<'_> {
    /// Whether it is in `pg_constraint`, which indexes by themselves are not.
    pub(in crate::pg_catalog) fn is_constraint(&self) -> bool {
        !matches!(self.constraint.kind, ConstraintKind::Index | ConstraintKind::UniqueIndex)
    }

    /// The OID of its index in `pg_class`; `None` where it has none.
    pub(in crate::pg_catalog) fn index_oid(&self) -> Option<u32> {
        let has_index = !matches!(self.constraint.kind, ConstraintKind::Check | ConstraintKind::ForeignKey);
        has_index.then(|| self.constraint.oid.saturating_add(1))
    }

    pub(in crate::pg_catalog) fn is_unique(&self) -> bool {
        matches!(
            self.constraint.kind,
            ConstraintKind::PrimaryKey | ConstraintKind::Unique | ConstraintKind::UniqueIndex
        )
    }

    /// The OID of the index's method.
    pub(in crate::pg_catalog) fn method(&self) -> u32 {
        if self.constraint.definition.starts_with("hash") { HASH } else { BTREE }
    }

    /// The numbers of its columns, in its order; of a check those that it mentions.
    pub(in crate::pg_catalog) fn columns(&self) -> Vec<u32> {
        match self.constraint.kind {
            ConstraintKind::Check if self.constraint.columns.is_empty() => {
                mentioned(self.table, &self.constraint.definition)
            }
            _ => self.constraint.columns.clone(),
        }
    }

    /// The names of its columns, in its order.
    pub(in crate::pg_catalog) fn column_names(&self) -> Vec<&str> {
        names_of(self.table, &self.columns())
    }

    fn quoted_columns(&self) -> String {
        quoted(&self.column_names())
    }

    /// As `pg_get_constraintdef` says it.
    pub(in crate::pg_catalog) fn definition(&self, view: &SessionView, pretty: bool) -> String {
        let columns = self.quoted_columns();
        match self.constraint.kind {
            ConstraintKind::PrimaryKey => format!("PRIMARY KEY ({columns})"),
            ConstraintKind::Unique | ConstraintKind::Index | ConstraintKind::UniqueIndex => {
                format!("UNIQUE ({columns})")
            }
            ConstraintKind::Check if pretty => format!("CHECK ({})", self.constraint.definition),
            ConstraintKind::Check => format!("CHECK (({}))", self.constraint.definition),
            ConstraintKind::ForeignKey => {
                let Some(to) = view.references(self.constraint) else {
                    return format!("FOREIGN KEY ({columns}) REFERENCES {}", self.constraint.definition);
                };
                let name = view.format_relation(to.table.oid).unwrap_or_else(|| to.table.name.clone());
                let keys = quoted(&names_of(to.table, &to.columns));
                let mut text = format!("FOREIGN KEY ({columns}) REFERENCES {name}({keys})");
                for (when, action) in [("UPDATE", to.on_update), ("DELETE", to.on_delete)] {
                    if let Some(said) = action_name(action).filter(|_| action != "a") {
                        text.push_str(&format!(" ON {when} {said}"));
                    }
                }
                text
            }
        }
    }

    /// As `pg_get_indexdef` says it.
    pub(in crate::pg_catalog) fn index_definition(&self) -> String {
        let unique = if self.is_unique() { "UNIQUE " } else { "" };
        let method = if self.method() == HASH { "hash" } else { "btree" };
        format!(
            "CREATE {unique}INDEX {} ON {}.{} USING {method} ({})",
            identifier::quote(&self.constraint.name),
            identifier::quote(&self.table.schema),
            identifier::quote(&self.table.name),
            self.quoted_columns(),
        )
    }
}

/// What the standard calls an action of `pg_constraint`.
pub(in crate::pg_catalog) fn action_name(action: &str) -> Option<&'static str> {
    Some(match action {
        "a" => "NO ACTION",
        "r" => "RESTRICT",
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        _ => return None,
    })
}

/// The names of a table's columns with these numbers.
pub(in crate::pg_catalog) fn names_of<'a>(table: &'a Table, numbers: &[u32]) -> Vec<&'a str> {
    let name = |number: &u32| table.columns.iter().find(|column| column.number == *number);
    numbers.iter().filter_map(name).map(|column| &*column.name).collect()
}

/// The columns that an expression mentions, each once, in the order of the table.
fn mentioned(table: &Table, expression: &str) -> Vec<u32> {
    // Every second part is inside of a text.
    let outside = expression.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let words: Vec<&str> = outside.split(|letter: char| !is_word(letter)).collect();
    let columns = table
        .columns
        .iter()
        .filter(|column| words.iter().any(|word| *word == column.name || word.to_lowercase() == column.name));
    columns.map(|column| column.number).collect()
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| identifier::quote(name)).collect::<Vec<_>>().join(", ")
}

fn numbers(columns: &[u32]) -> Datum {
    Datum::list(columns.iter().map(|number| i64::from(*number)))
}

fn constraints(view: &SessionView, rows: &mut Rows) {
    for found in view.constrained().filter(Constrained::is_constraint) {
        let Constrained { table, constraint } = &found;
        let kind = match constraint.kind {
            ConstraintKind::PrimaryKey => "p",
            ConstraintKind::Check => "c",
            ConstraintKind::ForeignKey => "f",
            _ => "u",
        };
        let to =
            (constraint.kind == ConstraintKind::ForeignKey).then(|| view.references(constraint)).flatten();
        let referenced_index = to.as_ref().and_then(|to| {
            let keys =
                to.table.constraints.iter().map(|constraint| Constrained { table: to.table, constraint });
            let mut keys = keys.filter(|key| key.is_unique() && key.constraint.columns == to.columns);
            keys.next().and_then(|key| key.index_oid())
        });
        let blank = || Datum::from(" ");
        rows.push([
            ("oid", constraint.oid.into()),
            ("conname", (&constraint.name).into()),
            ("connamespace", table.schema_oid.into()),
            ("contype", kind.into()),
            ("convalidated", true.into()),
            ("conrelid", table.oid.into()),
            ("conindid", found.index_oid().or(referenced_index).unwrap_or(0).into()),
            ("confrelid", to.as_ref().map_or(0, |to| to.table.oid).into()),
            ("confupdtype", to.as_ref().map_or_else(blank, |to| to.on_update.into())),
            ("confdeltype", to.as_ref().map_or_else(blank, |to| to.on_delete.into())),
            ("confmatchtype", to.as_ref().map_or_else(blank, |_| "s".into())),
            ("conislocal", true.into()),
            ("connoinherit", (kind != "c").into()),
            (
                "conkey",
                Some(found.columns()).filter(|keys| !keys.is_empty()).map(|keys| numbers(&keys)).into(),
            ),
            ("confkey", to.as_ref().map(|to| numbers(&to.columns)).into()),
            ("conbin", (kind == "c").then(|| constraint.definition.clone()).into()),
        ]);
    }
}

fn indexes(view: &SessionView, rows: &mut Rows) {
    for found in view.constrained() {
        let Some(oid) = found.index_oid() else { continue };
        let Constrained { table, constraint } = &found;
        let columns = constraint
            .columns
            .iter()
            .filter_map(|number| table.columns.iter().find(|column| column.number == *number));
        let types: Vec<u32> = columns.map(|column| column.pg_type.oid).collect();
        let class = |type_oid: &u32| {
            let of_method = || OPERATOR_CLASSES.iter().filter(|class| class.method == found.method());
            of_method().find(|class| class.input == *type_oid && class.default).map_or(0, |class| class.oid)
        };
        let collation = |type_oid: &u32| {
            crate::pg_catalog::builtin::type_by_oid(*type_oid).map_or(0, |found| found.collation)
        };
        rows.push([
            ("indexrelid", oid.into()),
            ("indrelid", table.oid.into()),
            ("indnatts", constraint.columns.len().into()),
            ("indnkeyatts", constraint.columns.len().into()),
            ("indisunique", found.is_unique().into()),
            ("indisprimary", (constraint.kind == ConstraintKind::PrimaryKey).into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", numbers(&constraint.columns)),
            ("indcollation", Datum::list(types.iter().map(collation))),
            ("indclass", Datum::list(types.iter().map(class))),
            ("indoption", Datum::list(types.iter().map(|_| 0_i64))),
        ]);
    }
}

fn index_definitions(view: &SessionView, rows: &mut Rows) {
    for found in view.constrained().filter(|found| found.index_oid().is_some()) {
        rows.push([
            ("schemaname", (&found.table.schema).into()),
            ("tablename", (&found.table.name).into()),
            ("indexname", (&found.constraint.name).into()),
            ("indexdef", found.index_definition().into()),
        ]);
    }
}

fn defaults(view: &SessionView, rows: &mut Rows) {
    for table in view.tables() {
        for column in &table.columns {
            let Some(default) = view.shown_default(column) else { continue };
            rows.push([
                // Nothing else refers to a default: its number only has to differ from the others'.
                ("oid", table.oid.wrapping_mul(COLUMNS_MAX).wrapping_add(column.number).into()),
                ("adrelid", table.oid.into()),
                ("adnum", column.number.into()),
                ("adbin", default.into()),
            ]);
        }
    }
}
