//! Statements that change what tables there are, each to the module that knows it.

use datafusion::sql::sqlparser::ast::{ObjectName, ObjectType, Statement as Ast};

use super::names::{RelationKind, RelationName, SearchPath};
use super::{alter, drop, rename, schemas, sequences, tables, views};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session, Transaction};
use crate::sql::ParsedStatement;
use crate::sql::own::{OwnStatement, is_own, parse_own};
use crate::utility::unsupported;

/// VACUUM: the table, or each of them, as the master's upkeep would put it in order sooner or later.
pub(crate) async fn vacuumed(session: &mut Session, name: Option<&ObjectName>) -> Result<Outcome, PgError> {
    if !matches!(session.transaction, Transaction::Idle) {
        let message = "VACUUM cannot run inside a transaction block";
        return Err(PgError::with_state(SqlState::ACTIVE_SQL_TRANSACTION, message));
    }
    session.may_write("VACUUM")?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let tables = match name {
        Some(name) => {
            let name = RelationName::of(name, &session.database)?;
            vec![SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?.id]
        }
        None => snapshot.tables().iter().map(|table| table.id).collect(),
    };
    for table in tables {
        crate::upkeep::put_in_order(&session.engine, table).await?;
    }
    Ok(Outcome::done("VACUUM"))
}

/// Whether a statement changes what tables there are, or takes all their rows.
pub(crate) fn is_definition(statement: &Ast) -> bool {
    matches!(
        statement,
        Ast::CreateTable(_)
            | Ast::CreateView(_)
            | Ast::CreateIndex(_)
            | Ast::CreateSchema { .. }
            | Ast::AlterTable(_)
            | Ast::Comment { .. }
            | Ast::Drop { .. }
            | Ast::Truncate(_)
    ) || is_own(statement)
}

pub(crate) async fn define(session: &mut Session, parsed: &ParsedStatement) -> Result<Outcome, PgError> {
    let statement = &parsed.ast;
    if is_own(statement) {
        return Box::pin(define_own(session, parse_own(parsed)?)).await;
    }
    match statement {
        Ast::CreateView(create) => Box::pin(views::create(session, parsed, create)).await,
        Ast::CreateIndex(create) => Box::pin(alter::create_index(session, create)).await,
        Ast::AlterTable(operations) => Box::pin(alter::alter_table(session, parsed, operations)).await,
        Ast::Comment { object_type, object_name, comment, .. } => {
            alter::comment(session, object_type, object_name, comment.as_deref())
        }
        Ast::CreateTable(create) if create.query.is_none() => {
            session.may_write("CREATE TABLE")?;
            Box::pin(tables::create(session, parsed, create)).await
        }
        Ast::CreateSchema { schema_name, if_not_exists, .. } => {
            session.may_write("CREATE SCHEMA")?;
            schemas::create(session, schema_name, *if_not_exists)
        }
        Ast::Truncate(truncate) => {
            session.may_write("TRUNCATE TABLE")?;
            tables::truncate(session, truncate)
        }
        Ast::Drop { object_type, if_exists, names, cascade, .. } => match object_type {
            ObjectType::Table => drop::drop(session, names, RelationKind::Table, *if_exists, *cascade),
            ObjectType::View => drop::drop(session, names, RelationKind::View, *if_exists, *cascade),
            ObjectType::Index => {
                session.may_write("DROP INDEX")?;
                alter::drop_index(session, names, *if_exists)
            }
            ObjectType::Schema => {
                session.may_write("DROP SCHEMA")?;
                schemas::drop(session, names, *if_exists, *cascade)
            }
            ObjectType::Sequence => drop::drop(session, names, RelationKind::Sequence, *if_exists, *cascade),
            _ => Err(unsupported(statement)),
        },
        _ => Err(unsupported(statement)),
    }
}

async fn define_own(session: &mut Session, statement: OwnStatement) -> Result<Outcome, PgError> {
    match statement {
        OwnStatement::CreateSequence { temporary, if_not_exists, name, options } => {
            sequences::create(session, &name, temporary, if_not_exists, &options)
        }
        OwnStatement::AlterSequence { if_exists, name, options } => {
            sequences::alter(session, &name, if_exists, &options)
        }
        OwnStatement::Alter { kind, if_exists, name, action } => {
            rename::alter(session, kind, if_exists, &name, &action).await
        }
        OwnStatement::CommentOnConstraint { constraint, table, comment } => {
            rename::comment_on_constraint(session, &constraint, &table, comment.as_deref())
        }
        OwnStatement::CommentOnRelation { kind, name, comment } => {
            rename::comment_on_relation(session, kind, &name, comment.as_deref())
        }
    }
}
