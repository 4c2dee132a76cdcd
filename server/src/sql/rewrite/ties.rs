//! `FETCH FIRST n ROWS WITH TIES`: the first rows and all that are equal to the last of them.
//!
//! ```sql
//! SELECT a FROM t ORDER BY b OFFSET m FETCH FIRST n ROWS WITH TIES
//! -- becomes
//! SELECT * EXCLUDE ("?rank", "?row")
//!   FROM (SELECT a, rank() OVER (ORDER BY b) AS "?rank", row_number() OVER (ORDER BY b) AS "?row" FROM t) AS "?ties"
//!   WHERE "?rank" <= m + n AND "?row" > m ORDER BY "?row"
//! ```

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Fetch, Ident, LimitClause, ObjectName, OrderBy, OrderByExpr,
    OrderByKind, OrderByOptions, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, Value,
    ValueWithSpan, VisitorMut, WildcardAdditionalOptions, WindowSpec, WindowType,
};

use super::folded;
use super::relations::{query, select_all};
use super::subqueries::call;

/// Rewrites such queries.
#[derive(Debug)]
pub(super) struct Ties;

impl VisitorMut for Ties {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties && !fetch.percent)
            && let Some(body) = ranked(query)
        {
            query.body = Box::new(SetExpr::Select(Box::new(body)));
            query.fetch = None;
            query.limit_clause = None;
            let key = OrderByExpr { expr: column("?row"), options: ascending(), with_fill: None };
            query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(vec![key]), interpolate: None });
        }
        ControlFlow::Continue(())
    }
}

fn ascending() -> OrderByOptions {
    OrderByOptions { asc: None, nulls_first: None }
}

fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', name))
}

fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).into())
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn ranked(whole: &Query) -> Option<Select> {
    let SetExpr::Select(select) = whole.body.as_ref() else { return None };
    let OrderByKind::Expressions(keys) = &whole.order_by.as_ref()?.kind else { return None };
    let Fetch { quantity, .. } = whole.fetch.as_ref()?;
    let offset = match &whole.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset, .. }) => {
            offset.as_ref().map(|o| o.value.clone())
        }
        Some(_) => return None,
    };
    if select.distinct.is_some() {
        return None;
    }
    let keys: Vec<OrderByExpr> =
        keys.iter().map(|key| OrderByExpr { expr: written_out(&key.expr, select), ..key.clone() }).collect();
    let over = |function: &str| {
        let mut call = call(function, Vec::new(), Vec::new());
        if let Expr::Function(call) = &mut call {
            call.over = Some(WindowType::WindowSpec(WindowSpec {
                window_name: None,
                partition_by: Vec::new(),
                order_by: keys.clone(),
                window_frame: None,
            }));
        }
        call
    };
    let mut inner = select.as_ref().clone();
    for (name, function) in [("?rank", "rank"), ("?row", "row_number")] {
        let alias = Ident::with_quote('"', name);
        inner.projection.push(SelectItem::ExprWithAlias { expr: over(function), alias });
    }
    let alias =
        TableAlias { explicit: true, name: Ident::with_quote('"', "?ties"), columns: Vec::new(), at: None };
    let factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query(SetExpr::Select(Box::new(inner)))),
        alias: Some(alias),
        sample: None,
    };
    let count = quantity.clone().unwrap_or_else(|| number("1"));
    let last = match &offset {
        Some(offset) => binary(offset.clone(), BinaryOperator::Plus, count),
        None => count,
    };
    let mut selection = binary(column("?rank"), BinaryOperator::LtEq, Expr::Nested(Box::new(last)));
    if let Some(offset) = offset {
        let after = binary(column("?row"), BinaryOperator::Gt, Expr::Nested(Box::new(offset)));
        selection = binary(selection, BinaryOperator::And, after);
    }
    let hidden = ["?rank", "?row"].map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]));
    let options = WildcardAdditionalOptions {
        opt_exclude: Some(ExcludeSelectItem::Multiple(hidden.to_vec())),
        ..WildcardAdditionalOptions::default()
    };
    Some(Select {
        projection: vec![SelectItem::Wildcard(options)],
        selection: Some(selection),
        ..select_all(factor)
    })
}

/// A key of ORDER BY as an expression over the tables: positions and output names stand for items.
fn written_out(key: &Expr, select: &Select) -> Expr {
    let item = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    match key {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits
            .parse::<usize>()
            .ok()
            .and_then(|place| select.projection.get(place.checked_sub(1)?))
            .and_then(item)
            .unwrap_or_else(|| key.clone()),
        Expr::Identifier(name) => select
            .projection
            .iter()
            .find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if folded(alias) == folded(name) => {
                    Some(expr.clone())
                }
                _ => None,
            })
            .unwrap_or_else(|| key.clone()),
        _ => key.clone(),
    }
}
