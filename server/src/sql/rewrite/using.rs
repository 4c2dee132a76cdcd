//! Joins with USING or NATURAL whose merged columns the planner would not make: handed to
//! [`joins`](crate::sql::joins) as one relation.
//!
//! ```sql
//! FROM a FULL JOIN b USING (x)          -- becomes (a FULL JOIN b USING (x)) AS "?joined"("a:x", "b:x")
//! ```
//!
//! The column list names the columns behind merged ones that the query asks for by their table. They are hidden from
//! `*` and called by these names.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, OrderBy, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias, TableAliasColumnDef,
    TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut, visit_expressions,
};
use quickdb_executor::error::ErrorKind;

use super::folded;
use crate::error::PgError;

/// The name of a relation that stands for a chain of joins.
pub const JOINED: &str = "?joined";

/// Hands chains of joins over.
///
/// # Errors
/// 0A000 for `a.*` of a relation with merged columns.
pub(super) fn rewrite(statement: &mut Statement) -> Result<(), PgError> {
    match VisitMut::visit(statement, &mut UsingJoins) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct UsingJoins;

impl VisitorMut for UsingJoins {
    type Break = Box<PgError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let Query { body, order_by, .. } = query;
        match body.as_mut() {
            SetExpr::Select(select) => hand_over(select, order_by.as_mut()),
            body => set_expr(body),
        }
    }
}

fn set_expr(body: &mut SetExpr) -> ControlFlow<Box<PgError>> {
    match body {
        SetExpr::Select(select) => hand_over(select, None),
        SetExpr::SetOperation { left, right, .. } => {
            set_expr(left)?;
            set_expr(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

/// Replaces the chains of one SELECT, and the names of columns behind merged ones in it and in its order.
fn hand_over(select: &mut Select, mut order_by: Option<&mut OrderBy>) -> ControlFlow<Box<PgError>> {
    let mut hidden = Hidden::default();
    let concerns: Vec<Concern> = select.from.iter().map(concern).collect();
    let concerned: Vec<bool> = concerns.iter().map(|concern| *concern != Concern::None).collect();
    if !concerned.contains(&true) {
        return ControlFlow::Continue(());
    }
    let needed = concerns.contains(&Concern::Needed);
    for (from, _) in select.from.iter().zip(&concerned).filter(|(_, concerned)| **concerned) {
        hidden.relations.extend(factors(from).filter_map(name_of));
        hidden.columns.extend(from.joins.iter().flat_map(using_columns));
        hidden.natural |=
            from.joins.iter().any(|join| matches!(constraint(join), Some(JoinConstraint::Natural)));
    }
    let whole = select.projection.iter().any(|item| match item {
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            last(name).is_some_and(|name| hidden.relations.contains(&name))
        }
        _ => false,
    });
    let refused = whole || hidden.is_shadowed(select);
    // The planner finds columns behind merged ones by itself where it merges rightly.
    let asked_for =
        hidden.is_asked_for(&*select) || order_by.as_deref().is_some_and(|order| hidden.is_asked_for(order));
    if !needed && (refused || asked_for) {
        return ControlFlow::Continue(());
    }
    if refused {
        let error = PgError::new(
            ErrorKind::Unsupported,
            "this use of a relation joined with USING or NATURAL is not supported",
        );
        return ControlFlow::Break(Box::new(error.hint("Name its columns, or join it with ON.")));
    }
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr @ Expr::CompoundIdentifier(_)) = item
            && let Expr::CompoundIdentifier(parts) = &*expr
            && let Some(name) = parts.last().cloned()
            && hidden.is_meant(parts)
        {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name };
        }
    }
    // Conditions of the joins themselves are planned where the tables still are.
    let chains: Vec<TableWithJoins> = std::mem::take(&mut select.from);
    let _ = VisitMut::visit(select, &mut hidden);
    if let Some(order_by) = order_by.as_deref_mut() {
        let _ = VisitMut::visit(order_by, &mut hidden);
    }
    let mut named = std::mem::take(&mut hidden.names);
    named.sort();
    named.dedup();
    for (from, concerned) in chains.into_iter().zip(concerned) {
        select.from.push(if concerned { joined(from, &named) } else { from });
    }
    for item in &mut select.projection {
        if let SelectItem::Wildcard(options) = item
            && !named.is_empty()
        {
            let names = named.iter().map(|name| ObjectName::from(vec![Ident::with_quote('"', name.clone())]));
            options.opt_exclude = Some(ExcludeSelectItem::Multiple(names.collect()));
        }
    }
    ControlFlow::Continue(())
}

/// Whether a chain is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// The planner would merge its columns wrongly.
    Needed,
    /// The planner would do too, but for the order of columns and some references.
    Wanted,
    None,
}

fn concern(from: &TableWithJoins) -> Concern {
    let merges =
        |join: &&Join| matches!(constraint(join), Some(JoinConstraint::Using(_) | JoinConstraint::Natural));
    let known = from.joins.iter().all(|join| constraint(join).is_some() || is_cross(join));
    let lateral = factors(from).any(|factor| {
        matches!(
            factor,
            TableFactor::Derived { lateral: true, .. }
                | TableFactor::Function { .. }
                | TableFactor::UNNEST { .. }
        )
    });
    let outer = from.joins.iter().filter(merges).any(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    });
    let merging = from.joins.iter().filter(merges).count();
    if outer && known && !lateral {
        return Concern::Needed;
    }
    if known && !lateral && merging > 0 { Concern::Wanted } else { Concern::None }
}

fn is_cross(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::CrossJoin(_))
}

/// The condition of a join of a kind that SQL has.
pub fn constraint(join: &Join) -> Option<&JoinConstraint> {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

fn factors(from: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
}

/// What columns of a FROM item and its joins are qualified with.
pub(super) fn relation_names(from: &TableWithJoins) -> impl Iterator<Item = String> {
    factors(from).filter_map(name_of)
}

fn using_columns(join: &Join) -> Vec<String> {
    match constraint(join) {
        Some(JoinConstraint::Using(names)) => names.iter().filter_map(last).collect(),
        _ => Vec::new(),
    }
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

/// What columns of a FROM item are qualified with.
fn name_of(factor: &TableFactor) -> Option<String> {
    let alias = match factor {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. } => alias.as_ref(),
        _ => None,
    };
    match (alias, factor) {
        (Some(alias), _) => Some(folded(&alias.name)),
        (None, TableFactor::Table { name, .. }) => last(name),
        _ => None,
    }
}

fn joined(from: TableWithJoins, hidden: &[String]) -> TableWithJoins {
    let columns = hidden
        .iter()
        .map(|name| TableAliasColumnDef { name: Ident::with_quote('"', name.clone()), data_type: None });
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', JOINED),
        columns: columns.collect(),
        at: None,
    };
    let relation = TableFactor::NestedJoin { table_with_joins: Box::new(from), alias: Some(alias) };
    TableWithJoins { relation, joins: Vec::new() }
}

/// Columns behind merged ones, under names of their own wherever the query asks for them.
#[derive(Default)]
struct Hidden {
    relations: Vec<String>,
    columns: Vec<String>,
    natural: bool,
    names: Vec<String>,
}

impl Hidden {
    /// Whether a part of the query has a column behind a merged one.
    fn is_asked_for(&self, part: &impl Visit) -> bool {
        let found = visit_expressions(part, |expr| match expr {
            Expr::CompoundIdentifier(parts) if self.is_meant(parts) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        found.is_break()
    }

    fn is_meant(&self, parts: &[Ident]) -> bool {
        match parts {
            [.., relation, column] => {
                self.relations.contains(&folded(relation))
                    && (self.natural || self.columns.contains(&folded(column)))
            }
            _ => false,
        }
    }

    /// Whether a query inside the select has a relation of the same name as one of these.
    fn is_shadowed(&self, select: &Select) -> bool {
        struct Names<'a>(&'a [String]);
        impl Visitor for Names<'_> {
            type Break = ();

            fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
                match name_of(factor) {
                    Some(name) if self.0.contains(&name) => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        let mut outside = select.clone();
        outside.from = Vec::new();
        Visit::visit(&outside, &mut Names(&self.relations)).is_break()
    }
}

impl VisitorMut for Hidden {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [.., relation, column] = parts.as_slice()
            && self.is_meant(parts)
        {
            let name = hidden_name(&folded(relation), &folded(column));
            self.names.push(name.clone());
            *expr = Expr::Identifier(Ident::with_quote('"', name));
        }
        ControlFlow::Continue(())
    }
}

/// The name of a column behind a merged one.
pub fn hidden_name(relation: &str, column: &str) -> String {
    format!("{relation}:{column}")
}
