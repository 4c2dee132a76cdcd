//! LATERAL items with LIMIT: the first rows of each group.
//!
//! ```sql
//! FROM r, LATERAL (SELECT a FROM u WHERE u.k = r.x AND u.b > 0 ORDER BY c LIMIT 2) l
//! -- becomes
//! FROM r, LATERAL (SELECT * EXCLUDE (key, rank)
//!                  FROM (SELECT a, u.k AS key, row_number() OVER (PARTITION BY u.k ORDER BY c) AS rank
//!                        FROM u WHERE u.b > 0) q
//!                  WHERE key = r.x AND rank <= 2) l
//! ```
//!
//! A limit over a correlated query has no plan; a filter over one has. It works where every condition on the outer
//! relation is an equality with an expression of the inner ones, and columns of the outer one are qualified.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, ExcludeSelectItem, Expr, Function, GroupByExpr, Ident, LimitClause, ObjectName,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins, Value,
    ValueWithSpan, Visit, Visitor, VisitorMut, WildcardAdditionalOptions, WindowSpec, WindowType,
};

use super::folded;
use super::relations::{query, select_all};
use super::subqueries::{call, is_aggregate};

/// Rewrites LATERAL items.
#[derive(Debug)]
pub struct Laterals;

impl VisitorMut for Laterals {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { lateral: true, subquery, .. } = factor
            && let Some(ranked) = ranked(subquery)
        {
            **subquery = ranked;
        }
        ControlFlow::Continue(())
    }
}

/// The query over ranks, or `None` where the subquery is of another shape.
fn ranked(subquery: &Query) -> Option<Query> {
    let SetExpr::Select(select) = subquery.body.as_ref() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let distinct = !matches!(select.distinct, None | Some(Distinct::All));
    if subquery.with.is_some() || grouped || distinct || select.having.is_some() || select.into.is_some() {
        return None;
    }
    let aggregated = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => has_aggregate(expr),
        _ => false,
    });
    if aggregated {
        return None;
    }
    let (first, last) = bounds(subquery)?;
    let inner = relation_names(&select.from);
    let mut keys = Vec::new();
    let mut kept = Vec::new();
    for condition in conjuncts(select.selection.as_ref()?) {
        if !refers_outside(condition, &inner) {
            kept.push(condition.clone());
            continue;
        }
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        match (refers_outside(left, &inner), refers_outside(right, &inner)) {
            (false, true) if !refers_inside(right, &inner) => {
                keys.push((left.as_ref().clone(), right.as_ref().clone()))
            }
            (true, false) if !refers_inside(left, &inner) => {
                keys.push((right.as_ref().clone(), left.as_ref().clone()))
            }
            _ => return None,
        }
    }
    if keys.is_empty() {
        return None;
    }
    Some(assemble(select, subquery, &keys, kept, first, last))
}

fn assemble(
    select: &Select,
    subquery: &Query,
    keys: &[(Expr, Expr)],
    kept: Vec<Expr>,
    first: Option<Expr>,
    last: Expr,
) -> Query {
    let key_name = |index: usize| Ident::with_quote('"', format!("lateral key {index}"));
    let rank_name = Ident::with_quote('"', "lateral rank");
    let mut inner = select.clone();
    inner.selection = kept.into_iter().reduce(and);
    let order_by = match &subquery.order_by {
        Some(order_by) => match &order_by.kind {
            OrderByKind::Expressions(keys) => keys.clone(),
            OrderByKind::All(_) => Vec::new(),
        },
        None => Vec::new(),
    };
    let order_by = order_by
        .into_iter()
        .map(|mut key| {
            if let Some(expr) = listed(&key.expr, &select.projection) {
                key.expr = expr;
            }
            key
        })
        .collect();
    let spec = WindowSpec {
        window_name: None,
        partition_by: keys.iter().map(|(key, _)| key.clone()).collect(),
        order_by,
        window_frame: None,
    };
    let mut rank = call("row_number", Vec::new(), Vec::new());
    if let Expr::Function(Function { over, .. }) = &mut rank {
        *over = Some(WindowType::WindowSpec(spec));
    }
    for (index, (key, _)) in keys.iter().enumerate() {
        inner.projection.push(SelectItem::ExprWithAlias { expr: key.clone(), alias: key_name(index) });
    }
    inner.projection.push(SelectItem::ExprWithAlias { expr: rank, alias: rank_name.clone() });
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "lateral query"),
        columns: Vec::new(),
        at: None,
    };
    let derived = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query(SetExpr::Select(Box::new(inner)))),
        alias: Some(alias),
        sample: None,
    };
    let ranks = || Expr::Identifier(rank_name.clone());
    let mut conditions: Vec<Expr> = keys
        .iter()
        .enumerate()
        .map(|(index, (_, outer))| {
            binary(Expr::Identifier(key_name(index)), BinaryOperator::Eq, outer.clone())
        })
        .collect();
    match first {
        Some(first) => {
            let end = binary(first.clone(), BinaryOperator::Plus, last);
            conditions.push(binary(ranks(), BinaryOperator::Gt, first));
            conditions.push(binary(ranks(), BinaryOperator::LtEq, end));
        }
        None => conditions.push(binary(ranks(), BinaryOperator::LtEq, last)),
    }
    let hidden = (0..keys.len()).map(key_name).chain([rank_name.clone()]);
    let hidden: Vec<ObjectName> = hidden.map(|name| ObjectName::from(vec![name])).collect();
    let wildcard = WildcardAdditionalOptions {
        opt_exclude: Some(ExcludeSelectItem::Multiple(hidden)),
        ..WildcardAdditionalOptions::default()
    };
    let outer = Select {
        projection: vec![SelectItem::Wildcard(wildcard)],
        selection: conditions.into_iter().reduce(and),
        ..select_all(derived)
    };
    query(SetExpr::Select(Box::new(outer)))
}

/// The expression that an ordinal or an alias of the select list stands for.
fn listed(key: &Expr, projection: &[SelectItem]) -> Option<Expr> {
    match key {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
            let index = digits.parse::<usize>().ok()?.checked_sub(1)?;
            match projection.get(index)? {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
                _ => None,
            }
        }
        Expr::Identifier(name) => projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if folded(alias) == folded(name) => Some(expr.clone()),
            _ => None,
        }),
        _ => None,
    }
}

/// OFFSET, where there is one, and LIMIT.
fn bounds(subquery: &Query) -> Option<(Option<Expr>, Expr)> {
    match &subquery.limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(limit), offset, limit_by })
            if limit_by.is_empty() && subquery.fetch.is_none() =>
        {
            Some((offset.as_ref().map(|offset| offset.value.clone()), limit.clone()))
        }
        _ => None,
    }
}

fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(Expr::Nested(Box::new(right))) }
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(left))),
        op: BinaryOperator::And,
        right: Box::new(Expr::Nested(Box::new(right))),
    }
}

/// The names under which the FROM items can be referred to.
pub(super) fn relation_names(from: &[TableWithJoins]) -> Vec<String> {
    fn name(factor: &TableFactor, names: &mut Vec<String>) {
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => names.push(folded(&alias.name)),
            TableFactor::Table { name, .. } => {
                names.extend(name.0.last().and_then(|part| part.as_ident()).map(folded));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                names.extend(relation_names(std::slice::from_ref(table_with_joins)));
            }
            _ => {}
        }
    }
    let mut names = Vec::new();
    for item in from {
        name(&item.relation, &mut names);
        item.joins.iter().for_each(|join| name(&join.relation, &mut names));
    }
    names
}

fn has_aggregate(expr: &Expr) -> bool {
    any_expr(
        expr,
        |expr| matches!(expr, Expr::Function(function) if is_aggregate(function) || function.over.is_some()),
    )
}

fn refers_outside(expr: &Expr, inner: &[String]) -> bool {
    any_expr(expr, |expr| match expr {
        Expr::CompoundIdentifier(parts) => parts.len() > 1 && !qualified_by(parts, inner),
        _ => false,
    })
}

fn refers_inside(expr: &Expr, inner: &[String]) -> bool {
    any_expr(expr, |expr| match expr {
        Expr::Identifier(_) => true,
        Expr::CompoundIdentifier(parts) => qualified_by(parts, inner),
        _ => false,
    })
}

fn qualified_by(parts: &[Ident], inner: &[String]) -> bool {
    let qualifier = parts.len().checked_sub(2).and_then(|index| parts.get(index));
    qualifier.is_some_and(|qualifier| inner.contains(&folded(qualifier)))
}

fn any_expr(expr: &Expr, condition: impl Fn(&Expr) -> bool) -> bool {
    struct Search<F>(F);
    impl<F: Fn(&Expr) -> bool> Visitor for Search<F> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if (self.0)(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    expr.visit(&mut Search(condition)).is_break()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;

    use super::*;
    use crate::sql::parse::parse;

    fn rewritten(sql: &str) -> String {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let _ = VisitMut::visit(&mut statement, &mut Laterals);
        statement.to_string()
    }

    #[test]
    fn limits_become_ranks() {
        let sql = rewritten(
            "SELECT * FROM r, LATERAL (SELECT a FROM u WHERE u.k = r.x AND b > 0 ORDER BY c LIMIT 2) l",
        );
        assert!(sql.contains("row_number() OVER (PARTITION BY u.k ORDER BY c)"), "{sql}");
        assert!(sql.contains("\"lateral key 0\" = (r.x)"), "{sql}");
        assert!(sql.contains("\"lateral rank\" <= (2)"), "{sql}");
    }

    #[test]
    fn other_shapes_are_left_alone() {
        for sql in [
            "SELECT * FROM r, LATERAL (SELECT a FROM u WHERE u.k > r.x LIMIT 2) AS l",
            "SELECT * FROM r, LATERAL (SELECT a FROM u WHERE u.k = r.x) AS l",
            "SELECT * FROM r, LATERAL (SELECT count(*) FROM u WHERE u.k = r.x LIMIT 2) AS l",
        ] {
            assert_eq!(rewritten(sql), sql);
        }
    }
}
