//! The syntax tree in PostgreSQL's meaning, before DataFusion plans it.
//!
//! ```text
//! named arguments ─▶ records ─▶ names ─▶ system columns ─▶ joins with USING ─▶ sets ─▶ relations ─▶ laterals
//!   ─▶ subqueries
//!   ─▶ expressions and literals
//! ```
//!
//! Each pass is general and looks at shapes, never at a statement's text.

mod accesses;
mod apart;
mod arrays;
mod calls;
mod checks;
pub mod expressions;
mod hypothetical;
mod intervals;
pub mod laterals;
pub mod literals;
mod matches;
mod named_arguments;
pub mod names;
mod operators;
mod records;
pub mod relations;
mod row_membership;
mod rows;
pub mod sets;
pub mod subqueries;
pub mod system_columns;
mod ties;
pub mod using;
mod values;
mod windows;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Ident, OrderByKind, Query, SelectItem, SetExpr, Spanned, Statement, Visit, VisitMut,
    Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use quickdb_executor::error::ErrorKind;

use crate::error::PgError;
use crate::sql::SessionFacts;
use crate::sql::position::{byte_offset, char_position, position_of_byte};

/// How much a statement's projections need distinct names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Names that repeat among the written items are told apart.
    AmongItems,
    /// Every item beside a `*` gets a name that no column can have.
    BesideWildcards,
}

/// All passes over one statement; `source` is the text that its spans refer to.
///
/// # Errors
/// 42704 for unknown collations and types, 0A000 for what is refused.
pub fn rewrite(
    statement: &mut Statement,
    source: &str,
    facts: &SessionFacts,
    uniqueness: Uniqueness,
) -> Result<(), PgError> {
    check_distinct(statement, source)?;
    checks::check(statement, source)?;
    named_arguments::place(statement, source)?;
    records::expand(statement, source)?;
    let mut names = names::OutputNames::new(uniqueness);
    let _ = VisitMut::visit(statement, &mut names);
    values::rewrite(statement);
    let _ = VisitMut::visit(statement, &mut ties::Ties);
    let _ = VisitMut::visit(statement, &mut system_columns::SystemColumns::default());
    using::rewrite(statement)?;
    let _ = VisitMut::visit(statement, &mut sets::SetsInFrom);
    let _ = VisitMut::visit(statement, &mut relations::Relations);
    let _ = VisitMut::visit(statement, &mut apart::Aggregates);
    let _ = VisitMut::visit(statement, &mut laterals::Laterals);
    let mut subqueries = subqueries::ScalarSubqueries::default();
    let _ = VisitMut::visit(statement, &mut subqueries);
    if let Some((message, start)) = subqueries.refused {
        let begins = byte_offset(source, start.line, start.column);
        // The parenthesis before the query, and IN before that where it is.
        let before = source.get(..begins).unwrap_or_default();
        let opened = before.rfind('(').map(|opened| {
            let word = before.get(..opened).unwrap_or_default().to_lowercase();
            let word = word.trim_end();
            if message.contains("too many") && word.ends_with("in") { word.len() - 2 } else { opened }
        });
        let position = opened.map(|opened| position_of_byte(source, opened));
        return Err(PgError::new(ErrorKind::Syntax, message).at(position));
    }
    let mut expressions = expressions::Expressions::new(facts, source);
    let _ = VisitMut::visit(statement, &mut expressions);
    if let Some(error) = expressions.error {
        return Err(error);
    }
    let _ = VisitMut::visit(statement, &mut arrays::ArrayCalls);
    let _ = VisitMut::visit(statement, &mut literals::Literals);
    let _ = VisitMut::visit(statement, &mut literals::Unmark);
    Ok(())
}

/// What SELECT DISTINCT orders by must be in its list.
fn check_distinct(statement: &Statement, source: &str) -> Result<(), PgError> {
    struct Check {
        outside: Option<Location>,
    }
    impl Visitor for Check {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let (SetExpr::Select(select), Some(order_by)) = (query.body.as_ref(), &query.order_by) else {
                return ControlFlow::Continue(());
            };
            let (Some(Distinct::Distinct), OrderByKind::Expressions(keys)) =
                (&select.distinct, &order_by.kind)
            else {
                return ControlFlow::Continue(());
            };
            let listed = |key: &Expr| {
                let key = unnested(key);
                let plain = matches!(key, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                literals::is_number(key)
                    || select.projection.iter().any(|item| match item {
                        SelectItem::UnnamedExpr(expr) => {
                            unnested(expr) == key
                                || plain && names::output_name(expr) == names::output_name(key)
                        }
                        SelectItem::ExprWithAlias { expr, alias } => {
                            unnested(expr) == key
                                || plain && names::output_name(expr) == names::output_name(key)
                                || matches!(key, Expr::Identifier(ident) if folded(ident) == folded(alias))
                        }
                        _ => plain,
                    })
            };
            match keys.iter().find(|key| !listed(&key.expr)) {
                Some(key) => {
                    self.outside = Some(key.expr.span().start);
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        }
    }
    let mut check = Check { outside: None };
    let _ = Visit::visit(statement, &mut check);
    match check.outside {
        Some(start) => Err(PgError::new(
            ErrorKind::InvalidColumnReference,
            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
        )
        .at(char_position(source, start.line, start.column))),
        None => Ok(()),
    }
}

/// The name that an identifier stands for: folded to lower case unless quoted.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The expression inside parentheses.
pub fn unnested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}
