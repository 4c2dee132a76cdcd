//! Aggregates and window functions where none may be: 42803 and 42P20 with the place.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, JoinConstraint, Query, Select, Spanned, Statement, Visit, Visitor,
    visit_expressions,
};
use quickdb_executor::error::ErrorKind;

use super::folded;
use super::subqueries::is_aggregate;
use super::using::{constraint, relation_names};
use crate::error::PgError;
use crate::sql::position::char_position;

/// Passes a statement whose aggregates and window functions stand where they may.
///
/// # Errors
/// 42803 and 42P20 with PostgreSQL's words and position.
pub(super) fn check(statement: &Statement, source: &str) -> Result<(), PgError> {
    match Visit::visit(statement, &mut Clauses { source }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Clauses<'a> {
    source: &'a str,
}

impl Visitor for Clauses<'_> {
    type Break = Box<PgError>;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        let anywhere = || Search { depth: 0, inside: false, windows: true, nested_only: false, own: None };
        let nested = |windows| Search { depth: 0, inside: false, windows, nested_only: true, own: None };
        if let Some(part) = &select.selection {
            // An aggregate of another query's columns belongs to that query.
            let mut search = anywhere();
            search.own = Some(select.from.iter().flat_map(relation_names).collect());
            self.refuse(part, search, "WHERE")?;
        }
        if let Some(part) = &select.having {
            self.refuse(part, nested(true), "HAVING")?;
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            for key in keys {
                self.refuse(key, anywhere(), "GROUP BY")?;
            }
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            if let Some(JoinConstraint::On(condition)) = constraint(join) {
                self.refuse(condition, anywhere(), "JOIN conditions")?;
            }
        }
        for item in &select.projection {
            if let ControlFlow::Break(found) = Visit::visit(item, &mut nested(false)) {
                return self.error(&found, "");
            }
        }
        ControlFlow::Continue(())
    }
}

impl Clauses<'_> {
    fn refuse(&self, part: &Expr, mut search: Search, clause: &str) -> ControlFlow<Box<PgError>> {
        match Visit::visit(part, &mut search) {
            ControlFlow::Break(found) => self.error(&found, clause),
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }

    fn error(&self, found: &Found, clause: &str) -> ControlFlow<Box<PgError>> {
        let (function, kind, message) = match found {
            Found::Aggregate(function) => {
                (function, ErrorKind::Grouping, format!("aggregate functions are not allowed in {clause}"))
            }
            Found::Nested(function) => {
                (function, ErrorKind::Grouping, "aggregate function calls cannot be nested".to_owned())
            }
            Found::Window(function) => {
                (function, ErrorKind::Windowing, format!("window functions are not allowed in {clause}"))
            }
        };
        let start = function.name.span().start;
        let position = char_position(self.source, start.line, start.column);
        ControlFlow::Break(Box::new(PgError::new(kind, message).at(position)))
    }
}

enum Found {
    Aggregate(Function),
    Nested(Function),
    Window(Function),
}

/// Looks for calls outside of subqueries.
struct Search {
    depth: usize,
    /// In the arguments of an aggregate.
    inside: bool,
    windows: bool,
    /// Aggregates are fine, but not in one another.
    nested_only: bool,
    /// Relations of the query itself; an aggregate of columns of others is let through.
    own: Option<Vec<String>>,
}

impl Visitor for Search {
    // Boxed: every frame of a visit holds several of these.
    type Break = Box<Found>;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Box<Found>> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Box<Found>> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Box<Found>> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        if self.windows && function.over.is_some() {
            return ControlFlow::Break(Box::new(Found::Window(function.clone())));
        }
        // Ordered-set calls such as `rank(3) WITHIN GROUP` are aggregates too, but rare.
        if is_aggregate(function) {
            if !self.nested_only && !self.own.as_ref().is_some_and(|own| is_of_others(function, own)) {
                return ControlFlow::Break(Box::new(Found::Aggregate(function.clone())));
            }
            if self.inside {
                return ControlFlow::Break(Box::new(Found::Nested(function.clone())));
            }
            self.inside = true;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Box<Found>> {
        if let Expr::Function(function) = expr
            && self.depth == 0
            && is_aggregate(function)
        {
            self.inside = false;
        }
        ControlFlow::Continue(())
    }
}

/// Whether the function is called with columns of relations that are not among `own`.
fn is_of_others(function: &Function, own: &[String]) -> bool {
    let other = visit_expressions(function, |expr| match expr {
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., relation, _] if !own.contains(&folded(relation)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    other.is_break()
}
