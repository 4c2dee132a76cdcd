//! ALTER TABLE, CREATE INDEX and COMMENT ON.
//!
//! A column that is new reads as its default in older shards, one that is dropped is not read any more, and names are in
//! the catalogue alone. Only another type, and a column that is computed for each row, have rows written anew.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, CommentObject, CreateIndex, Expr,
    ObjectName, Owner,
};
use pgwire::api::Type;
use quickdb_executor::functions::quoting::quote;
use quickdb_executor::table::missing_value;

use super::columns::{ColumnParts, column_of};
use super::defaults::parse_expression;
use super::expressions::{Purpose, validate, validate_option};
use super::insert::{assignment_type, check_assignable};
use super::names::{RelationName, SearchPath, fold};
use super::rewrite_rows::rewrite;
use super::schemas::notice;
use super::sequences::{self, OwnSequence};
use super::tables::{Wanted, column_type, constraint_name, expression_name, table_constraint};
use super::unique::{NOT_ENFORCED, UniqueKey, verify_new};
use crate::catalogue::{
    Change, Column, CommentOn, Constraint, ConstraintKind, Generation, Sequence, Table, TableDefinition,
    View, check_columns,
};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::{ParsedStatement, is_volatile};

/// ALTER TABLE.
///
/// # Errors
/// 42P01, 42703, 42701 and their kin; 0A000 for what would have to rewrite rows; 2BP01 for a column that a view reads.
pub(crate) async fn alter_table(
    session: &mut Session,
    statement: &ParsedStatement,
    alter: &AlterTable,
) -> Result<Outcome, PgError> {
    session.may_write("ALTER TABLE")?;
    let name = RelationName::of(&alter.name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let found = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name);
    let table = match found {
        Err(error) if alter.if_exists && error.sqlstate == SqlState("42P01") => {
            let message = format!("relation \"{}\" does not exist, skipping", name.name);
            let notices = vec![notice(SqlState("00000"), message)];
            return Ok(Outcome::Done { tag: "ALTER TABLE".into(), notices });
        }
        found => found?,
    };
    let start = session.work_len();
    let mut notices = Vec::new();
    for operation in &alter.operations {
        // Each operation sees what the ones before it did.
        let now = session.snapshot().table_by_id(table.id).cloned();
        let now = now.ok_or_else(|| PgError::with_state(SqlState("42P01"), "the table was dropped"))?;
        if let Some(definition) = apply(session, statement, &now, operation, &mut notices).await? {
            session.change(vec![Change::AlterTable(definition)])?;
        }
    }
    if let Err(error) = views_still_work(session, &table).await {
        session.go_back_to(start);
        return Err(error);
    }
    Ok(Outcome::Done { tag: "ALTER TABLE".into(), notices })
}

/// The table after one operation; `None` when nothing is to be done.
async fn apply(
    session: &mut Session,
    statement: &ParsedStatement,
    table: &Table,
    operation: &AlterTableOperation,
    notices: &mut Vec<PgError>,
) -> Result<Option<Arc<TableDefinition>>, PgError> {
    Ok(Some(match operation {
        AlterTableOperation::AddColumn { column_def, if_not_exists, .. } => {
            let parts = column_of(session, column_def)?;
            let column = &parts.column;
            if table.column(&column.name).is_some() {
                let message =
                    format!("column \"{}\" of relation \"{}\" already exists", column.name, table.name);
                if *if_not_exists {
                    notices.push(notice(SqlState("42701"), format!("{message}, skipping")));
                    return Ok(None);
                }
                return Err(PgError::with_state(SqlState("42701"), message));
            }
            return add_column(session, statement, table, column_def, parts).await;
        }
        AlterTableOperation::DropColumn { column_names, if_exists, .. } => {
            let mut going = Vec::new();
            for name in column_names {
                match table.column(&fold(name)) {
                    Some(column) => going.push(column.number),
                    None if *if_exists => {
                        let message = format!(
                            "column \"{}\" of relation \"{}\" does not exist, skipping",
                            fold(name),
                            table.name
                        );
                        notices.push(notice(SqlState("00000"), message));
                    }
                    None => return Err(no_column(table, &fold(name))),
                }
            }
            let owned = |sequence: &&Arc<Sequence>| {
                sequence.owned_by.is_some_and(|owner| going.contains(&owner.column))
            };
            let snapshot = session.snapshot();
            let sequences = snapshot.sequences_of(table.oid).filter(owned);
            session.change(sequences.map(|sequence| Change::DropSequence { oid: sequence.oid }).collect())?;
            table.altered(|table| {
                table.columns.retain(|column| !going.contains(&column.number));
                table.constraints.retain(|known| !known.columns.iter().any(|number| going.contains(number)));
            })
        }
        AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
            let (old, new) = (fold(old_column_name), fold(new_column_name));
            existing_column(table, &old)?;
            let renamed = table.altered(|table| {
                for column in table.columns.iter_mut().filter(|column| column.name == old) {
                    column.name.clone_from(&new);
                }
            });
            if table.column(&new).is_some() {
                let message = format!("column \"{new}\" of relation \"{}\" already exists", table.name);
                return Err(PgError::with_state(SqlState("42701"), message));
            }
            check_columns(&renamed.columns)?;
            renamed
        }
        AlterTableOperation::AlterColumn { column_name, op } => {
            let name = fold(column_name);
            existing_column(table, &name)?;
            if let AlterColumnOperation::SetDataType { data_type, using, .. } = op {
                return alter_type(session, statement, table, &name, data_type, using.as_ref()).await;
            }
            alter_column(session, statement, table, &name, op).await?
        }
        AlterTableOperation::AddConstraint { constraint, .. } => {
            let wanted = table_constraint(constraint, &table.columns)?;
            add_constraint(session, table, wanted).await?
        }
        AlterTableOperation::DropConstraint { if_exists, name, .. } => {
            let name = fold(name);
            if !table.constraints.iter().any(|known| known.name == name) {
                let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name);
                if *if_exists {
                    notices.push(notice(SqlState("00000"), format!("{message}, skipping")));
                    return Ok(None);
                }
                return Err(PgError::with_state(SqlState("42704"), message));
            }
            table.altered(|table| table.constraints.retain(|known| known.name != name))
        }
        AlterTableOperation::RenameConstraint { old_name, new_name } => {
            let (old, new) = (fold(old_name), fold(new_name));
            if !table.constraints.iter().any(|known| known.name == old) {
                let message = format!("constraint \"{old}\" for table \"{}\" does not exist", table.name);
                return Err(PgError::with_state(SqlState("42704"), message));
            }
            table.altered(|table| {
                for known in table.constraints.iter_mut().filter(|known| known.name == old) {
                    known.name.clone_from(&new);
                }
            })
        }
        AlterTableOperation::OwnerTo { new_owner } => {
            let name = match new_owner {
                Owner::Ident(name) => fold(name),
                _ => session.user.clone(),
            };
            let snapshot = session.snapshot();
            let role = snapshot.role(&name).map(|role| role.oid).ok_or_else(|| {
                PgError::with_state(SqlState("42704"), format!("role \"{name}\" does not exist"))
            })?;
            table.altered(|table| table.owner = role)
        }
        other => return Err(PgError::unsupported(format!("ALTER TABLE ... {other}"))),
    }))
}

async fn add_column(
    session: &mut Session,
    statement: &ParsedStatement,
    table: &Table,
    written: &ColumnDef,
    parts: ColumnParts,
) -> Result<Option<Arc<TableDefinition>>, PgError> {
    let ColumnParts { mut column, constraints, sequence } = parts;
    column.number = table.next_column;
    let name = column.name.clone();
    let not_null = std::mem::take(&mut column.not_null);
    let mut added = table.altered(|table| {
        table.columns.push(column);
        table.next_column += 1;
    });
    check_columns(&added.columns)?;
    for option in &written.options {
        if let Some(column) = added.column(&name) {
            validate_option(session, statement, &option.option, column, &added).await?;
        }
    }
    let (with_sequence, sequences) = sequences::give(session, &added, sequence.into_iter().collect())?;
    session.change(sequences)?;
    added = with_sequence;
    for wanted in constraints {
        let constraint = made(session, &added, wanted)?;
        let mut with = added.as_ref().clone();
        with.constraints.push(constraint);
        added = Arc::new(with);
    }
    let mut with = added.as_ref().clone();
    let Some(column) = with.columns.last_mut() else { return Ok(Some(added)) };
    column.not_null |= not_null;
    let (not_null, is_stored) = (column.not_null, column.generation == Generation::Stored);
    let mut computed = is_stored;
    if let Some(default) = column.default.clone().filter(|_| !is_stored) {
        let text = format!("CAST({default} AS {})", assignment_type(column.pg_type));
        computed = is_volatile(&session.plan_text(&format!("SELECT {text}")).await?.plan);
        if !computed {
            // Rows that are there get the value that the default has now, as in PostgreSQL.
            let cast = parse_expression(&text)?;
            let wanted = Type::from_oid(column.pg_type.oid).unwrap_or(Type::TEXT);
            let context = session.context();
            let value =
                crate::sql::constants(&context.state, &context.facts, statement, &[cast], &[wanted]).await?;
            if let Some(value) = value.into_iter().next().filter(|value| !value.is_null()) {
                let value = super::cells::assign(value, column.pg_type)?;
                let missing = missing_value(&value).map_err(|error| PgError::from_datafusion(error, None))?;
                column.missing = Some(missing);
            }
        }
    }
    let lacks = not_null && !computed && column.missing.is_none();
    let default = column.default.clone();
    let with = with.redefined();
    if table.row_count() == 0 {
        return Ok(Some(with));
    }
    if lacks {
        let message = format!("column \"{name}\" of relation \"{}\" contains null values", table.name);
        return Err(PgError::with_state(SqlState("23502"), message));
    }
    if computed {
        rewrite(session, table, with, |column| default.clone().filter(|_| column == name)).await?;
        return Ok(None);
    }
    Ok(Some(with))
}

/// ALTER COLUMN ... TYPE.
async fn alter_type(
    session: &mut Session,
    statement: &ParsedStatement,
    table: &Table,
    name: &str,
    data_type: &ast::DataType,
    using: Option<&Expr>,
) -> Result<Option<Arc<TableDefinition>>, PgError> {
    let before = existing_column(table, name)?;
    let pg_type = column_type(&data_type.to_string())?;
    if before.generation == Generation::Stored && using.is_some() {
        let message = "cannot specify USING when altering type of generated column";
        return Err(PgError::with_state(SqlState("42611"), message));
    }
    let used = table.columns.iter().find(|column| {
        column.generation == Generation::Stored
            && column.name != name
            && column.default.as_deref().is_some_and(|text| mentions(text, name))
    });
    if let Some(user) = used {
        let message = "cannot alter type of a column used by a generated column";
        let detail = format!("Column \"{name}\" is used by generated column \"{}\".", user.name);
        return Err(PgError::with_state(SqlState("0A000"), message).detail(detail));
    }
    let snapshot = session.snapshot();
    let mut readers = snapshot.views.iter().filter(|view| view.reads.contains(&table.oid));
    if let Some(view) = readers.find(|view| view.query.contains('*') || mentions(&view.query, name)) {
        let message = "cannot alter type of a column used by a view or rule";
        let detail = format!("rule _RETURN on view {} depends on column \"{name}\"", view.name);
        return Err(PgError::with_state(SqlState("0A000"), message).detail(detail));
    }
    let altered = Column { pg_type, ..before.clone() };
    match using {
        Some(using) => {
            validate(session, statement, using, Purpose::Using, Some(&altered), table).await.map_err(|error| {
                if error.sqlstate != SqlState("42804") {
                    return error;
                }
                let message = format!(
                    "result of USING clause for column \"{name}\" cannot be cast automatically to type {pg_type}"
                );
                PgError::with_state(SqlState("42804"), message)
                    .hint("You might need to add an explicit cast.")
            })?;
        }
        None => {
            check_assignable(before.pg_type.oid, "", &altered).map_err(|_| {
                let message = format!("column \"{name}\" cannot be cast automatically to type {pg_type}");
                let cast = quote(name);
                PgError::with_state(SqlState("42804"), message)
                    .hint(format!("You might need to specify \"USING {cast}::{pg_type}\"."))
            })?;
        }
    }
    let with = table.altered(|table| {
        for column in table.columns.iter_mut().filter(|column| column.name == name) {
            column.pg_type = pg_type;
        }
    });
    // A text that may be longer is the same text.
    let texts = [25, 1043];
    let longer = pg_type.typmod < 0 || before.pg_type.typmod >= 0 && pg_type.typmod >= before.pg_type.typmod;
    let same = texts.contains(&pg_type.oid) && texts.contains(&before.pg_type.oid) && longer;
    if using.is_none() && same || table.row_count() == 0 && table.shards.is_empty() {
        return Ok(Some(with));
    }
    let using = using.map(ToString::to_string);
    rewrite(session, table, with, |column| using.clone().filter(|_| column == name)).await?;
    Ok(None)
}

/// Whether an SQL text mentions a name.
fn mentions(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    text.split(|letter: char| !is_word(letter)).any(|word| word == name || word.to_lowercase() == name)
}

async fn alter_column(
    session: &mut Session,
    statement: &ParsedStatement,
    table: &Table,
    name: &str,
    operation: &AlterColumnOperation,
) -> Result<Arc<TableDefinition>, PgError> {
    let on_column = |change: &dyn Fn(&mut Column)| {
        table.altered(|table| table.columns.iter_mut().filter(|column| column.name == name).for_each(change))
    };
    Ok(match operation {
        AlterColumnOperation::SetNotNull => {
            no_nulls(session, table, &[name.to_owned()]).await?;
            on_column(&|column| column.not_null = true)
        }
        AlterColumnOperation::DropNotNull => {
            let number = existing_column(table, name)?.number;
            let keys = table.constraints.iter().filter(|known| known.kind == ConstraintKind::PrimaryKey);
            if keys.flat_map(|key| &key.columns).any(|column| *column == number) {
                let message = format!("column \"{name}\" is in a primary key");
                return Err(PgError::with_state(SqlState("42P16"), message));
            }
            on_column(&|column| column.not_null = false)
        }
        AlterColumnOperation::SetDefault { value } => {
            let column = existing_column(table, name)?;
            refuse_generated(table, column)?;
            validate(session, statement, value, Purpose::Default, Some(column), table).await?;
            let text = sequences::by_number(session, value)?;
            let text = Some(text).filter(|text| !text.eq_ignore_ascii_case("null"));
            on_column(&|column| column.default.clone_from(&text))
        }
        AlterColumnOperation::DropDefault => {
            refuse_generated(table, existing_column(table, name)?)?;
            on_column(&|column| column.default = None)
        }
        AlterColumnOperation::AddGenerated { generated_as, sequence_options } => {
            let column = existing_column(table, name)?;
            if column.generation.is_identity() {
                let message =
                    format!("column \"{name}\" of relation \"{}\" is already an identity column", table.name);
                return Err(PgError::with_state(SqlState("55000"), message));
            }
            if column.default.is_some() {
                let message =
                    format!("column \"{name}\" of relation \"{}\" already has a default value", table.name);
                return Err(PgError::with_state(SqlState("55000"), message));
            }
            if !column.not_null {
                let message = format!(
                    "column \"{name}\" of relation \"{}\" must be declared NOT NULL before identity can be added",
                    table.name
                );
                return Err(PgError::with_state(SqlState("55000"), message));
            }
            let generation = match generated_as {
                Some(ast::GeneratedAs::Always) => Generation::Always,
                _ => Generation::ByDefault,
            };
            let options = sequences::identity_options(sequence_options.as_deref().unwrap_or_default())?;
            let with = on_column(&|column| column.generation = generation);
            let own = OwnSequence { column: name.to_owned(), options };
            let (with, changes) = sequences::give(session, &with, vec![own])?;
            session.change(changes)?;
            with
        }
        other => {
            return Err(PgError::unsupported(format!("ALTER COLUMN ... {other}"))
                .hint("Make another table with CREATE TABLE ... AS SELECT and rename it."));
        }
    })
}

/// Whether a column's values are nobody's to change.
fn refuse_generated(table: &Table, column: &Column) -> Result<(), PgError> {
    let what = match column.generation {
        Generation::None => return Ok(()),
        Generation::Stored => "a generated column",
        Generation::Always | Generation::ByDefault => "an identity column",
    };
    let message = format!("column \"{}\" of relation \"{}\" is {what}", column.name, table.name);
    Err(PgError::with_state(SqlState("42601"), message))
}

/// Checks that the columns have no NULL.
async fn no_nulls(session: &mut Session, table: &Table, columns: &[String]) -> Result<(), PgError> {
    for column in columns {
        let quoted = super::returning::quoted;
        let text = format!(
            "SELECT 1 FROM {}.{} WHERE {} IS NULL LIMIT 1",
            quoted(&table.schema),
            quoted(&table.name),
            quoted(column)
        );
        if session.has_rows(&text).await? {
            let message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name);
            return Err(PgError::with_state(SqlState("23502"), message));
        }
    }
    Ok(())
}

async fn add_constraint(
    session: &mut Session,
    table: &Table,
    wanted: Wanted,
) -> Result<Arc<TableDefinition>, PgError> {
    let mut definition = table.definition().as_ref().clone();
    let constraint = made(session, &definition, wanted)?;
    match constraint.kind {
        ConstraintKind::PrimaryKey => {
            if table.constraints.iter().any(|known| known.kind == ConstraintKind::PrimaryKey) {
                let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name);
                return Err(PgError::with_state(SqlState("42P16"), message));
            }
            let in_key = |column: &&Column| constraint.columns.contains(&column.number);
            let names: Vec<String> =
                table.columns.iter().filter(in_key).map(|column| column.name.clone()).collect();
            no_nulls(session, table, &names).await?;
            verify_key(session, table, &constraint).await?;
            for column in &mut definition.columns {
                column.not_null |= constraint.columns.contains(&column.number);
            }
        }
        ConstraintKind::Check => {
            let quoted = super::returning::quoted;
            let text = format!(
                "SELECT 1 FROM {}.{} WHERE NOT ({}) LIMIT 1",
                quoted(&table.schema),
                quoted(&table.name),
                constraint.definition
            );
            if session.has_rows(&text).await? {
                let message = format!(
                    "check constraint \"{}\" of relation \"{}\" is violated by some row",
                    constraint.name, table.name
                );
                return Err(PgError::with_state(SqlState("23514"), message));
            }
        }
        ConstraintKind::Unique => verify_key(session, table, &constraint).await?,
        _ => {}
    }
    definition.constraints.push(constraint);
    Ok(definition.altered(|_| {}))
}

/// Whether the rows that are there have a key that is to be unique once each.
async fn verify_key(session: &mut Session, table: &Table, constraint: &Constraint) -> Result<(), PgError> {
    let position = |number: &u32| table.columns.iter().position(|column| column.number == *number);
    let columns = constraint.columns.iter().filter_map(position).collect();
    verify_new(session, table, &UniqueKey { name: constraint.name.clone(), columns }).await
}

/// A constraint with its name, OID and column numbers.
fn made(session: &Session, table: &TableDefinition, wanted: Wanted) -> Result<Constraint, PgError> {
    let taken = |name: &str| table.constraints.iter().any(|known| known.name == name);
    let name = constraint_name(&wanted, &table.name, taken)?;
    let numbers = wanted.columns.iter().filter_map(|name| Some(table.column(name)?.number));
    let columns = numbers.collect();
    // Two OIDs: the constraint's and its index's.
    let oid = session.engine.catalogue.allocate_oids(2)?;
    let (kind, definition) = (wanted.kind, wanted.definition);
    Ok(Constraint { oid, name, kind, columns, definition, comment: None })
}

fn existing_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, PgError> {
    table.column(name).ok_or_else(|| no_column(table, name))
}

fn no_column(table: &Table, name: &str) -> PgError {
    let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
    PgError::with_state(SqlState("42703"), message)
}

/// Whether the views over a table can still be planned: they hold its columns and itself by name.
pub(crate) async fn views_still_work(session: &mut Session, table: &Table) -> Result<(), PgError> {
    let snapshot = session.snapshot();
    let readers: Vec<Arc<View>> =
        snapshot.views.iter().filter(|view| view.reads.contains(&table.oid)).cloned().collect();
    for view in readers {
        let quoted = super::returning::quoted;
        let text = format!("SELECT * FROM {}.{}", quoted(&view.schema), quoted(&view.name));
        if session.plan_text(&text).await.is_err() {
            let message = format!("cannot alter table {} because other objects depend on it", table.name);
            return Err(PgError::with_state(SqlState("2BP01"), message)
                .detail(format!("view {} depends on table {}", view.name, table.name))
                .hint("Drop the view first and create it again afterwards."));
        }
    }
    Ok(())
}

/// CREATE INDEX: kept and shown, since clients make them; scans need none.
///
/// # Errors
/// 42P01, 42703, 42P07.
pub(crate) async fn create_index(session: &mut Session, create: &CreateIndex) -> Result<Outcome, PgError> {
    session.may_write("CREATE INDEX")?;
    let name = RelationName::of(&create.table_name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let columns: Vec<String> =
        create.columns.iter().map(|column| expression_name(&column.column.expr)).collect();
    for column in &columns {
        if table.column(column).is_none() && !column.contains(['(', ' ']) {
            return Err(PgError::with_state(
                SqlState("42703"),
                format!("column \"{column}\" does not exist"),
            ));
        }
    }
    let own = match &create.name {
        Some(name) => Some(RelationName::of(name, &session.database)?.name),
        None => None,
    };
    let exists = |name: &str| {
        let tables = snapshot.tables().iter().filter(|other| other.schema == table.schema);
        tables.flat_map(|other| &other.constraints).any(|known| known.name == name)
            || snapshot.table(&table.schema, name).is_some()
    };
    if let Some(own) = own.as_deref().filter(|own| exists(own)) {
        let message = format!("relation \"{own}\" already exists");
        if create.if_not_exists {
            let notices = vec![notice(SqlState("42P07"), format!("{message}, skipping"))];
            return Ok(Outcome::Done { tag: "CREATE INDEX".into(), notices });
        }
        return Err(PgError::with_state(SqlState("42P07"), message));
    }
    let kind = if create.unique { ConstraintKind::UniqueIndex } else { ConstraintKind::Index };
    let method =
        create.using.as_ref().map_or_else(|| "btree".to_owned(), |using| using.to_string().to_lowercase());
    let whole = create.predicate.is_none() && columns.iter().all(|column| table.column(column).is_some());
    let method = if create.unique && !whole { method + NOT_ENFORCED } else { method };
    let wanted = Wanted::index(own, kind, columns, method);
    let constraint = made(session, table.definition(), wanted)?;
    if create.unique && whole {
        verify_key(session, &table, &constraint).await?;
    }
    let altered = table.altered(|table| table.constraints.push(constraint));
    session.change(vec![Change::AlterTable(altered)])?;
    Ok(Outcome::done("CREATE INDEX"))
}

/// DROP INDEX.
///
/// # Errors
/// 42704.
pub(crate) fn drop_index(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
) -> Result<Outcome, PgError> {
    let mut notices = Vec::new();
    for name in names {
        let name = RelationName::of(name, &session.database)?;
        let (snapshot, path) = (session.snapshot(), session.search_path());
        let in_path = |table: &&Arc<Table>| match &name.schema {
            Some(schema) => table.schema == *schema,
            None => path.contains(&table.schema),
        };
        let is_it = |known: &Constraint| {
            known.name == name.name
                && matches!(known.kind, ConstraintKind::Index | ConstraintKind::UniqueIndex)
        };
        let table =
            snapshot.tables().iter().filter(in_path).find(|table| table.constraints.iter().any(is_it));
        match table {
            Some(table) => {
                let altered = table.altered(|table| table.constraints.retain(|known| !is_it(known)));
                session.change(vec![Change::AlterTable(altered)])?;
            }
            None if if_exists => {
                let message = format!("index \"{}\" does not exist, skipping", name.name);
                notices.push(notice(SqlState("00000"), message));
            }
            None => {
                let message = format!("index \"{}\" does not exist", name.name);
                return Err(PgError::with_state(SqlState("42704"), message));
            }
        }
    }
    Ok(Outcome::Done { tag: "DROP INDEX".into(), notices })
}

/// COMMENT ON.
///
/// # Errors
/// The code of what is not there.
pub(crate) fn comment(
    session: &mut Session,
    object: &CommentObject,
    name: &ObjectName,
    comment: Option<&str>,
) -> Result<Outcome, PgError> {
    session.may_write("COMMENT")?;
    // PostgreSQL takes an empty comment as none.
    let comment = comment.filter(|comment| !comment.is_empty()).map(str::to_owned);
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    let database = session.database.clone();
    let single = || name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    let undefined = |what: &str, code: &'static str| {
        PgError::with_state(SqlState(code), format!("{what} \"{}\" does not exist", single()))
    };
    let change = match object {
        CommentObject::Table => {
            let table = lookup.table(&RelationName::of(name, &database)?)?;
            Change::AlterTable(table.altered(|table| table.comment.clone_from(&comment)))
        }
        CommentObject::View => {
            let view = lookup.view(&RelationName::of(name, &database)?)?;
            Change::AlterView(Arc::new(View { comment: comment.clone(), ..view.as_ref().clone() }))
        }
        CommentObject::Column => {
            let (column, relation) = name
                .0
                .split_last()
                .filter(|(_, rest)| !rest.is_empty())
                .ok_or_else(|| PgError::with_state(SqlState("42601"), "column name must be qualified"))?;
            let column = column.as_ident().map(fold).unwrap_or_default();
            let table = lookup.table(&RelationName::of(&ObjectName(relation.to_vec()), &database)?)?;
            existing_column(&table, &column)?;
            Change::AlterTable(table.altered(|table| {
                for found in table.columns.iter_mut().filter(|found| found.name == column) {
                    found.comment.clone_from(&comment);
                }
            }))
        }
        CommentObject::Schema => {
            let schema = snapshot.schema(&single()).ok_or_else(|| undefined("schema", "3F000"))?;
            Change::Comment { on: CommentOn::Schema(schema.oid), comment: comment.clone() }
        }
        CommentObject::Database => {
            let found = snapshot.databases.iter().find(|found| found.name == single());
            let found = found.ok_or_else(|| undefined("database", "3D000"))?;
            Change::Comment { on: CommentOn::Database(found.oid), comment: comment.clone() }
        }
        CommentObject::Role | CommentObject::User => {
            let role = snapshot.role(&single()).ok_or_else(|| undefined("role", "42704"))?;
            Change::Comment { on: CommentOn::Role(role.oid), comment: comment.clone() }
        }
        other => return Err(PgError::unsupported(format!("COMMENT ON {other}"))),
    };
    session.change(vec![change])?;
    Ok(Outcome::done("COMMENT"))
}
