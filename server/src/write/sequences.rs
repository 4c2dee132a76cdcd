//! CREATE, ALTER and DROP SEQUENCE, and the sequences of SERIAL and identity columns.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, SequenceOptions, UnaryOperator, Value,
    VisitMut, VisitorMut,
};

use super::drop::described;
use super::names::{RelationName, SearchPath, fold};
use super::schemas::notice;
use super::tables::schema_for;
use crate::catalogue::{
    CatalogueSnapshot, Change, Generation, Sequence, SequenceOwner, SequenceValue, TableDefinition,
};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::own::SequenceChanges;

/// As many bytes as a name has at most.
const NAME_BYTES_MAX: usize = 63;

/// A column that is to have a sequence of its own.
#[derive(Debug, Clone)]
pub(crate) struct OwnSequence {
    /// The column.
    pub(crate) column: String,
    pub(crate) options: SequenceChanges,
}

fn invalid(message: impl Into<String>) -> PgError {
    PgError::with_state(SqlState("22023"), message)
}

/// The least and the greatest value of a type.
fn bounds(type_oid: u32) -> (i64, i64) {
    match type_oid {
        21 => (i16::MIN.into(), i16::MAX.into()),
        23 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// A sequence with the options applied: a new one has none before.
fn with_options(
    before: Option<&Sequence>,
    new: Sequence,
    changes: &SequenceChanges,
) -> Result<Sequence, PgError> {
    let mut sequence = new;
    if let Some(data_type) = &changes.data_type {
        let type_oid = match data_type.to_lowercase().as_str() {
            "smallint" | "int2" => 21,
            "integer" | "int" | "int4" => 23,
            "bigint" | "int8" => 20,
            _ => return Err(invalid("sequence type must be smallint, integer, or bigint")),
        };
        // Limits that were those of the type before are those of the type now.
        if let Some(before) = before.filter(|before| before.type_oid != type_oid) {
            let (min, max) = bounds(before.type_oid);
            let (new_min, new_max) = bounds(type_oid);
            if before.max == max && before.increment > 0 {
                sequence.max = new_max;
            }
            if before.min == min && before.increment < 0 {
                sequence.min = new_min;
            }
        }
        sequence.type_oid = type_oid;
    }
    let (least, greatest) = bounds(sequence.type_oid);
    if let Some(increment) = changes.increment {
        sequence.increment = increment;
    }
    if sequence.increment == 0 {
        return Err(invalid("INCREMENT must not be zero"));
    }
    let up = sequence.increment > 0;
    if before.is_none() || changes.max == Some(None) {
        sequence.max = if up { greatest } else { -1 };
    }
    if before.is_none() || changes.min == Some(None) {
        sequence.min = if up { 1 } else { least };
    }
    if let Some(Some(max)) = changes.max {
        sequence.max = max;
    }
    if let Some(Some(min)) = changes.min {
        sequence.min = min;
    }
    let type_name = crate::catalogue::PgType::new(sequence.type_oid);
    for (what, value) in [("MAXVALUE", sequence.max), ("MINVALUE", sequence.min)] {
        if !(least..=greatest).contains(&value) {
            return Err(invalid(format!(
                "{what} ({value}) is out of range for sequence data type {type_name}"
            )));
        }
    }
    if sequence.min >= sequence.max {
        let (min, max) = (sequence.min, sequence.max);
        return Err(invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")));
    }
    match changes.start {
        Some(start) => sequence.start = start,
        None if before.is_none() => sequence.start = if up { sequence.min } else { sequence.max },
        None => {}
    }
    within(&sequence, "START", sequence.start)?;
    if let Some(cache) = changes.cache {
        if cache <= 0 {
            return Err(invalid(format!("CACHE ({cache}) must be greater than zero")));
        }
        sequence.cache = cache;
    }
    sequence.cycle = changes.cycle.unwrap_or(sequence.cycle);
    Ok(sequence)
}

fn within(sequence: &Sequence, what: &str, value: i64) -> Result<(), PgError> {
    if value < sequence.min {
        return Err(invalid(format!(
            "{what} value ({value}) cannot be less than MINVALUE ({})",
            sequence.min
        )));
    }
    if value > sequence.max {
        let max = sequence.max;
        return Err(invalid(format!("{what} value ({value}) cannot be greater than MAXVALUE ({max})")));
    }
    Ok(())
}

/// A sequence before any option was given.
fn blank(
    session: &Session,
    schema: &crate::catalogue::Schema,
    name: String,
    owner: u32,
) -> Result<Sequence, PgError> {
    Ok(Sequence {
        oid: session.engine.catalogue.allocate_oids(1)?,
        schema_oid: schema.oid,
        schema: schema.name.clone(),
        name,
        owner,
        comment: None,
        type_oid: 20,
        start: 1,
        increment: 1,
        min: 1,
        max: i64::MAX,
        cache: 1,
        cycle: false,
        owned_by: None,
    })
}

/// CREATE SEQUENCE.
///
/// # Errors
/// 42P07 for a name that is taken, 22023 for options that do not go together.
pub(crate) fn create(
    session: &mut Session,
    name: &ObjectName,
    temporary: bool,
    if_not_exists: bool,
    options: &SequenceChanges,
) -> Result<Outcome, PgError> {
    const TAG: &str = "CREATE SEQUENCE";
    session.may_write(TAG)?;
    let name = RelationName::of(name, &session.database)?;
    let schema = schema_for(session, &name, temporary)?;
    let snapshot = session.snapshot();
    if snapshot.relation(&schema.name, &name.name).is_some() {
        let message = format!("relation \"{}\" already exists", name.name);
        if if_not_exists {
            let notices = vec![notice(SqlState("42P07"), format!("{message}, skipping"))];
            return Ok(Outcome::Done { tag: TAG.into(), notices });
        }
        return Err(PgError::with_state(SqlState("42P07"), message));
    }
    let owner = snapshot.role(&session.user).map_or(10, |role| role.oid);
    let mut sequence = with_options(None, blank(session, &schema, name.name, owner)?, options)?;
    if let Some(owned_by) = &options.owned_by {
        sequence.owned_by = owner_of(session, &sequence, owned_by.as_ref())?;
    }
    session.change(vec![Change::CreateSequence(Arc::new(sequence))])?;
    Ok(Outcome::done(TAG))
}

/// The column of `OWNED BY table.column`.
fn owner_of(
    session: &Session,
    sequence: &Sequence,
    column: Option<&ObjectName>,
) -> Result<Option<SequenceOwner>, PgError> {
    let Some(name) = column else { return Ok(None) };
    let split = name.0.split_last().filter(|(_, table)| !table.is_empty());
    let Some((column, table)) = split else {
        return Err(PgError::with_state(SqlState("42601"), "invalid OWNED BY option")
            .hint("Specify OWNED BY table.column or OWNED BY NONE."));
    };
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = RelationName::of(&ObjectName(table.to_vec()), &session.database)?;
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&table)?;
    if table.schema != sequence.schema {
        let message = "sequence must be in same schema as table it is linked to";
        return Err(PgError::with_state(SqlState("55000"), message));
    }
    let column = column.as_ident().map(fold).unwrap_or_default();
    let found = table.column(&column).ok_or_else(|| {
        let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
        PgError::with_state(SqlState("42703"), message)
    })?;
    Ok(Some(SequenceOwner { table: table.oid, column: found.number, identity: false }))
}

/// ALTER SEQUENCE with options.
///
/// # Errors
/// 42P01 for one that is not there, 22023 for options that do not go together.
pub(crate) fn alter(
    session: &mut Session,
    name: &ObjectName,
    if_exists: bool,
    options: &SequenceChanges,
) -> Result<Outcome, PgError> {
    const TAG: &str = "ALTER SEQUENCE";
    session.may_write(TAG)?;
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let found = SearchPath { snapshot: &snapshot, schemas: &path }.sequence(&name);
    let sequence = match found {
        Err(error) if if_exists && error.sqlstate == SqlState("42P01") => {
            let message = format!("relation \"{}\" does not exist, skipping", name.name);
            return Ok(Outcome::Done { tag: TAG.into(), notices: vec![notice(SqlState("00000"), message)] });
        }
        found => found?,
    };
    let mut altered = with_options(Some(&sequence), sequence.as_ref().clone(), options)?;
    if let Some(owned_by) = &options.owned_by {
        if sequence.owned_by.is_some_and(|owner| owner.identity) {
            let message = "cannot change ownership of identity sequence";
            let what = format!("Sequence \"{}\" is linked to a table.", sequence.name);
            return Err(PgError::with_state(SqlState("0A000"), message).detail(what));
        }
        altered.owned_by = owner_of(session, &sequence, owned_by.as_ref())?;
    }
    let catalogue = &session.engine.catalogue;
    let stands = catalogue.sequence_value(&sequence);
    let restart = options.restart.map(|value| value.unwrap_or(altered.start));
    within(&altered, "RESTART", restart.unwrap_or(stands.last))?;
    if let Some(last) = restart {
        catalogue.set_value(&altered, SequenceValue { last, called: false })?;
    } else {
        // Values that were written ahead may be beyond the new limits.
        catalogue.set_value(&altered, stands)?;
    }
    session.change(vec![Change::AlterSequence(Arc::new(altered))])?;
    Ok(Outcome::done(TAG))
}

/// The options of an identity column as the parser has them.
///
/// # Errors
/// 42601 for a value that is no number.
pub(crate) fn identity_options(options: &[SequenceOptions]) -> Result<SequenceChanges, PgError> {
    let mut changes = SequenceChanges::default();
    for option in options {
        match option {
            SequenceOptions::IncrementBy(value, _) => changes.increment = Some(whole(value)?),
            SequenceOptions::MinValue(value) => changes.min = Some(value.as_ref().map(whole).transpose()?),
            SequenceOptions::MaxValue(value) => changes.max = Some(value.as_ref().map(whole).transpose()?),
            SequenceOptions::StartWith(value, _) => changes.start = Some(whole(value)?),
            SequenceOptions::Cache(value) => changes.cache = Some(whole(value)?),
            SequenceOptions::Cycle(no) => changes.cycle = Some(!*no),
        }
    }
    Ok(changes)
}

fn whole(value: &Expr) -> Result<i64, PgError> {
    let wrong = || PgError::with_state(SqlState("42601"), format!("syntax error at or near \"{value}\""));
    let (negative, value_expr) = match value {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, expr.as_ref()),
        other => (false, other),
    };
    let Expr::Value(number) = value_expr else { return Err(wrong()) };
    let Value::Number(digits, _) = &number.value else { return Err(wrong()) };
    let text = if negative { format!("-{digits}") } else { digits.clone() };
    text.parse().map_err(|_| wrong())
}

/// Gives columns of a new table their sequences: the table with its defaults, and what makes the sequences.
///
/// # Errors
/// 22023 for options that do not go together.
pub(crate) fn give(
    session: &Session,
    table: &TableDefinition,
    wanted: Vec<OwnSequence>,
) -> Result<(Arc<TableDefinition>, Vec<Change>), PgError> {
    let snapshot = session.snapshot();
    let mut table = table.clone();
    let mut changes = Vec::with_capacity(wanted.len());
    let mut taken: Vec<String> = vec![table.name.clone()];
    taken.extend(table.constraints.iter().map(|constraint| constraint.name.clone()));
    for own in wanted {
        let is_taken = |name: &str| {
            taken.iter().any(|known| known == name) || snapshot.relation(&table.schema, name).is_some()
        };
        let name = free_name(&table.name, &own.column, is_taken);
        taken.push(name.clone());
        let schema = snapshot.schema(&table.schema).cloned();
        let schema = schema.ok_or_else(|| {
            PgError::with_state(SqlState("3F000"), format!("schema \"{}\" does not exist", table.schema))
        })?;
        let oid = table.oid;
        let Some(column) = table.columns.iter_mut().find(|column| column.name == own.column) else {
            continue;
        };
        let options = SequenceChanges { data_type: Some(column.pg_type.to_string()), ..own.options.clone() };
        let mut sequence = with_options(None, blank(session, &schema, name, table.owner)?, &options)?;
        let identity = column.generation.is_identity();
        sequence.owned_by = Some(SequenceOwner { table: oid, column: column.number, identity });
        column.default = Some(next_of(sequence.oid));
        column.not_null = true;
        changes.push(Change::CreateSequence(Arc::new(sequence)));
    }
    Ok((table.redefined(), changes))
}

/// `table_column_seq`, cut to what a name may have, with a number where that is taken.
fn free_name(table: &str, column: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = std::iter::once(String::new()).chain((1_u32..).map(|number| number.to_string()));
    let mut names = numbered.map(|number| {
        let (mut table, mut column) = (table.to_owned(), column.to_owned());
        // The longer part loses first.
        while table.len() + column.len() + number.len() + "__seq".len() > NAME_BYTES_MAX {
            if table.len() >= column.len() {
                table.pop()
            } else {
                column.pop()
            };
        }
        format!("{table}_{column}_seq{number}")
    });
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// The default that calls a sequence. It holds the number, so that names can change.
fn next_of(oid: u32) -> String {
    format!("nextval('{oid}'::regclass)")
}

/// The sequence that a default calls and does nothing else.
pub(crate) fn called_by(default: &str) -> Option<u32> {
    default.strip_prefix("nextval('")?.strip_suffix("'::regclass)")?.parse().ok()
}

/// A default in which sequences are named by their numbers, as long as they are named by texts.
///
/// # Errors
/// 42P01 for one that there is not.
pub(crate) fn by_number(session: &Session, default: &Expr) -> Result<String, PgError> {
    struct Names<'a> {
        lookup: SearchPath<'a>,
        database: &'a str,
    }
    impl VisitorMut for Names<'_> {
        type Break = PgError;

        fn post_visit_expr(&mut self, expr: &mut Expr) -> std::ops::ControlFlow<PgError> {
            if let Expr::Function(function) = expr
                && function.name.0.last().and_then(|part| part.as_ident()).map(fold).as_deref()
                    == Some("nextval")
                && let FunctionArguments::List(list) = &function.args
                && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice()
                && let Some(name) = literal(argument)
            {
                match self.oid(&name) {
                    Ok(oid) => match super::defaults::parse_expression(&next_of(oid)) {
                        Ok(numbered) => *expr = numbered,
                        Err(error) => return std::ops::ControlFlow::Break(error),
                    },
                    Err(error) => return std::ops::ControlFlow::Break(error),
                }
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    impl Names<'_> {
        fn oid(&self, text: &str) -> Result<u32, PgError> {
            if let Ok(oid) = text.parse() {
                return Ok(oid);
            }
            let name = super::names::parse_name(text, self.database)?;
            Ok(self.lookup.sequence(&name)?.oid)
        }
    }
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    let mut expr = default.clone();
    match expr.visit(&mut Names { lookup, database: &session.database }) {
        std::ops::ControlFlow::Break(error) => Err(error),
        std::ops::ControlFlow::Continue(()) => Ok(normalized(&expr)),
    }
}

/// An expression as text; one that only calls a sequence in the form that [`called_by`] knows.
fn normalized(expr: &Expr) -> String {
    let text = expr.to_string();
    match text.strip_prefix("nextval('").and_then(|rest| rest.split_once("'::")) {
        Some((oid, rest)) if rest.eq_ignore_ascii_case("regclass)") && oid.parse::<u32>().is_ok() => {
            format!("nextval('{oid}'::regclass)")
        }
        _ => text,
    }
}

/// A text literal, also one that is cast.
fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::Cast { expr, .. } => literal(expr),
        _ => None,
    }
}

/// The columns whose default calls a sequence.
pub(crate) fn callers(snapshot: &CatalogueSnapshot, oid: u32) -> Vec<(Arc<TableDefinition>, u32)> {
    let calls = format!("nextval('{oid}'::regclass)");
    let tables = snapshot.tables().iter();
    let columns = tables.flat_map(|table| {
        let calling = table.columns.iter().filter(|column| {
            column.default.as_deref().is_some_and(|default| default.to_lowercase().contains(&calls))
        });
        calling.map(|column| (Arc::clone(table.definition()), column.number)).collect::<Vec<_>>()
    });
    columns.collect()
}

/// What depends on a sequence that is to go: messages name the columns; an identity column forbids it.
///
/// # Errors
/// 2BP01.
pub(crate) fn dependents(
    session: &Session,
    sequence: &Sequence,
    cascade: bool,
) -> Result<(Vec<String>, Vec<Change>), PgError> {
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let named = |oid: u32| described(&snapshot, &path, oid).unwrap_or_default();
    let own = named(sequence.oid);
    let mut changes: Vec<Change> = Vec::new();
    let mut lines = Vec::new();
    for (table, number) in callers(&snapshot, sequence.oid) {
        let Some(column) = table.columns.iter().find(|column| column.number == number) else { continue };
        let on = format!("column {} of {}", column.name, named(table.oid));
        if column.generation != Generation::None {
            let message = format!("cannot drop {own} because {on} requires it");
            return Err(
                PgError::with_state(SqlState("2BP01"), message).hint(format!("You can drop {on} instead."))
            );
        }
        lines.push(format!("default value for {on}"));
        changes.push(Change::AlterTable(table.altered(|table| {
            for column in table.columns.iter_mut().filter(|column| column.number == number) {
                column.default = None;
            }
        })));
    }
    if !cascade && !lines.is_empty() {
        let detail = lines.iter().map(|line| format!("{line} depends on {own}")).collect();
        return Err(PgError::with_state(
            SqlState("2BP01"),
            format!("cannot drop {own} because other objects depend on it"),
        )
        .detail(super::drop::listed(detail))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    Ok((lines, changes))
}
