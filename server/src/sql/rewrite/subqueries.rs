//! Subqueries used as values.
//!
//! | written | becomes |
//! |---|---|
//! | `(SELECT x)` without FROM, WHERE or aggregates | `x` |
//! | `(SELECT x FROM t ORDER BY y LIMIT 1)` | `(SELECT first_value(x ORDER BY y) FROM t)` |
//! | `(SELECT x FROM t)` | `single_row((SELECT single_value(x) FROM t))`, which raises 21000 on a second row |
//! | `(SELECT x FROM t GROUP BY ...)`, set operations, DISTINCT | the same around it as a derived table |
//! | `(SELECT max(x) FROM t)` without GROUP BY | stays: one row for sure |
//! | `ARRAY(SELECT x FROM t ORDER BY y)` | `array_or_empty((SELECT array_agg(x ORDER BY y) FROM t))` |
//!
//! So every scalar subquery is an aggregate without GROUP BY, the shape that DataFusion can decorrelate.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, LimitClause, ObjectName, OrderByExpr, OrderByKind, Query,
    Select, SelectItem, SetExpr, Spanned, TableAlias, TableAliasColumnDef, TableFactor, Value, ValueWithSpan,
    Values, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::relations::{query, select_all};
use super::{folded, row_membership, sets, unnested};

/// Aggregates by name: a subquery whose value is one of them without GROUP BY has one row.
const AGGREGATES: [&str; 51] = [
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "first_value",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "last_value",
    "max",
    "median",
    "min",
    "mode",
    "nth_value",
    "percentile_cont",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "single_value",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "variance",
    "histogram",
    "histogram2d",
    "minmax",
];

/// Rewrites the subqueries of a statement; the first refusal is kept.
#[derive(Debug, Default)]
pub struct ScalarSubqueries {
    /// What was refused, and the subquery's beginning.
    pub refused: Option<(&'static str, Location)>,
}

impl VisitorMut for ScalarSubqueries {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.selection.iter_mut().chain(&mut select.having).for_each(row_membership::conditions);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } = item {
                let _ = VisitMut::visit(value, &mut Existence { depth: 0 });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            // Not one value but many: hidden from the rule for scalar subqueries until they are left again.
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Expr::Subquery(subquery) = right.as_mut() {
                    let subquery = subquery.clone();
                    **right = Expr::Exists { subquery, negated: false };
                }
            }
            Expr::Subquery(subquery) if column_count(subquery).is_some_and(|columns| columns != 1) => {
                self.refused.get_or_insert(("subquery must return only one column", subquery.span().start));
            }
            Expr::InSubquery { expr, subquery, .. }
                if !matches!(unnested(expr), Expr::Tuple(_))
                    && column_count(subquery).is_some_and(|columns| columns > 1) =>
            {
                self.refused.get_or_insert(("subquery has too many columns", subquery.span().start));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::AnyOp { left, compare_op, right, is_some } => {
                if let Expr::Exists { subquery, .. } = right.as_ref() {
                    *expr = if *compare_op == BinaryOperator::Eq {
                        Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: false }
                    } else {
                        Expr::AnyOp {
                            left: left.clone(),
                            compare_op: compare_op.clone(),
                            right: Box::new(Expr::Subquery(subquery.clone())),
                            is_some: *is_some,
                        }
                    };
                }
            }
            Expr::AllOp { left, compare_op, right } => {
                if let Expr::Exists { subquery, .. } = right.as_ref() {
                    *expr = if *compare_op == BinaryOperator::NotEq {
                        Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: true }
                    } else {
                        Expr::AllOp {
                            left: left.clone(),
                            compare_op: compare_op.clone(),
                            right: Box::new(Expr::Subquery(subquery.clone())),
                        }
                    };
                }
            }
            Expr::Subquery(subquery) => {
                if let Some(value) = without_from(subquery) {
                    *expr = Expr::Nested(Box::new(value));
                } else {
                    match one_row(subquery) {
                        Rows::One => {}
                        Rows::Checked => *expr = call("single_row", vec![expr.clone()], Vec::new()),
                    }
                }
            }
            Expr::Function(function) => {
                if let FunctionArguments::Subquery(subquery) = &mut function.args
                    && function.name.to_string().eq_ignore_ascii_case("array")
                {
                    let mut subquery = subquery.clone();
                    aggregate(&mut subquery, "array_agg");
                    *expr = call("array_or_empty", vec![Expr::Subquery(subquery)], Vec::new());
                }
            }
            _ => {}
        }
        let membership = match expr {
            Expr::InSubquery { expr: row, subquery, negated } => {
                row_membership::value(row, subquery, &BinaryOperator::Eq, *negated)
            }
            Expr::AnyOp { left, compare_op, right, .. } => match right.as_ref() {
                Expr::Subquery(subquery) => row_membership::value(left, subquery, compare_op, false),
                _ => None,
            },
            // True for all is false for none.
            Expr::AllOp { left, compare_op, right } => match (right.as_ref(), opposite(compare_op)) {
                (Expr::Subquery(subquery), Some(op)) => row_membership::value(left, subquery, &op, true),
                _ => None,
            },
            _ => None,
        };
        if let Some(membership) = membership {
            *expr = membership;
        }
        ControlFlow::Continue(())
    }
}

fn opposite(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::NotEq,
        BinaryOperator::NotEq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::GtEq,
        BinaryOperator::GtEq => BinaryOperator::Lt,
        BinaryOperator::Gt => BinaryOperator::LtEq,
        BinaryOperator::LtEq => BinaryOperator::Gt,
        _ => return None,
    })
}

/// The columns of a query that are written out.
fn column_count(subquery: &Query) -> Option<usize> {
    match subquery.body.as_ref() {
        SetExpr::Select(select) => {
            let plain = |item: &SelectItem| {
                matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. })
            };
            select.projection.iter().all(plain).then_some(select.projection.len())
        }
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        SetExpr::Query(inner) => column_count(inner),
        _ => None,
    }
}

/// `EXISTS (SELECT ...)` as a value of the select list becomes `(SELECT count(*) > 0 FROM ...)`: DataFusion knows the
/// first as a condition only.
struct Existence {
    depth: usize,
}

impl VisitorMut for Existence {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        if let Expr::Exists { subquery, negated } = expr {
            let mut counted = subquery.clone();
            count_rows(&mut counted, *negated);
            *expr = Expr::Subquery(counted);
        }
        ControlFlow::Continue(())
    }
}

fn count_rows(subquery: &mut Query, negated: bool) {
    let op = if negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
    let star = FunctionArg::Unnamed(FunctionArgExpr::Wildcard);
    let mut count = call("count", Vec::new(), Vec::new());
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut count {
        list.args = vec![star];
    }
    let zero = Expr::Value(Value::Number("0".to_owned(), false).into());
    let test = Expr::BinaryOp { left: Box::new(count), op, right: Box::new(zero) };
    let simple = plain_select(subquery).is_some_and(|select| {
        let aggregated = select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
                contains_call(value, |call| is_aggregate(call) || returns_set(call))
            }
            _ => false,
        });
        !aggregated && !is_grouped(select) && select.having.is_none() && !select.from.is_empty()
    }) && subquery.limit_clause.is_none()
        && subquery.fetch.is_none();
    if simple && let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(test)];
        select.distinct = None;
        subquery.order_by = None;
        return;
    }
    let inner = std::mem::replace(
        subquery,
        query(SetExpr::Values(Values { explicit_row: false, value_keyword: true, rows: Vec::new() })),
    );
    let alias = TableAlias { explicit: true, name: Ident::new("subquery"), columns: Vec::new(), at: None };
    let factor =
        TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    let select = Select { projection: vec![SelectItem::UnnamedExpr(test)], ..select_all(factor) };
    *subquery = query(SetExpr::Select(Box::new(select)));
}

enum Rows {
    /// At most one by its shape.
    One,
    /// Two are possible; the aggregate tells.
    Checked,
}

/// The value of `(SELECT value)`.
fn without_from(subquery: &Query) -> Option<Expr> {
    let select = plain_select(subquery)?;
    let bare = select.from.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && !is_grouped(select)
        && subquery.order_by.is_none()
        && subquery.limit_clause.is_none()
        && subquery.fetch.is_none();
    match (bare, select.projection.as_slice()) {
        (true, [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }])
            if !contains_call(value, |function| is_aggregate(function) || returns_set(function)) =>
        {
            Some(value.clone())
        }
        _ => None,
    }
}

/// The select of a query that is nothing but one.
fn plain_select(subquery: &Query) -> Option<&Select> {
    match subquery.body.as_ref() {
        SetExpr::Select(select) if subquery.with.is_none() => Some(select),
        _ => None,
    }
}

fn is_grouped(select: &Select) -> bool {
    match &select.group_by {
        datafusion::sql::sqlparser::ast::GroupByExpr::All(_) => true,
        datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
    }
}

fn one_row(subquery: &mut Query) -> Rows {
    let limited = is_limit_one(subquery);
    if let Some(select) = plain_select(subquery) {
        let aggregated = !is_grouped(select)
            && select.projection.iter().any(|item| match item {
                SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
                    contains_call(value, is_aggregate)
                }
                _ => false,
            });
        if aggregated {
            return Rows::One;
        }
    }
    if limited {
        aggregate(subquery, "first_value");
        return Rows::One;
    }
    aggregate(subquery, "single_value");
    Rows::Checked
}

fn is_limit_one(subquery: &Query) -> bool {
    let is_one = |expr: &Expr| matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if digits == "1");
    let limit = match &subquery.limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) => {
            limit_by.is_empty() && is_one(limit)
        }
        _ => false,
    };
    let fetch = subquery.fetch.as_ref().is_some_and(|fetch| {
        !fetch.with_ties && !fetch.percent && fetch.quantity.as_ref().is_none_or(is_one)
    });
    limit && subquery.fetch.is_none() || fetch && subquery.limit_clause.is_none()
}

/// Turns `SELECT x FROM t ORDER BY y [LIMIT 1]` into `SELECT function(x ORDER BY y) FROM t`; what has more to it becomes
/// a derived table under the aggregate.
fn aggregate(subquery: &mut Query, function: &str) {
    let limited = is_limit_one(subquery);
    let unlimited = subquery.limit_clause.is_none() && subquery.fetch.is_none() && subquery.locks.is_empty();
    let order_by = order_keys(subquery);
    let simple = plain_select(subquery).is_some_and(|select| {
        !is_grouped(select)
            && select.distinct.is_none()
            && select.having.is_none()
            && select.projection.len() == 1
            && select.projection.iter().all(|item| match item {
                SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => {
                    !contains_call(value, |call| {
                        is_aggregate(call) || call.over.is_some() || returns_set(call)
                    })
                }
                _ => false,
            })
    });
    // There is one column, so the only position is the first.
    let is_first = |expr: &Expr| matches!(expr, Expr::Value(value) if value.to_string() == "1");
    let orderable = order_by.iter().flatten().all(|key| !is_ordinal(&key.expr) || is_first(&key.expr));
    if simple
        && (unlimited || limited)
        && order_by.is_some()
        && orderable
        && let SetExpr::Select(select) = subquery.body.as_mut()
        && let Some(SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) =
            select.projection.first_mut()
    {
        let argument = value.clone();
        let mut keys = order_by.unwrap_or_default();
        for key in keys.iter_mut().filter(|key| is_first(&key.expr)) {
            key.expr = argument.clone();
        }
        *value = call(function, vec![argument], keys);
        subquery.order_by = None;
        subquery.limit_clause = None;
        subquery.fetch = None;
        return;
    }
    let column = Ident::new("value");
    let ordered = by_its_column(subquery, &order_by);
    let alias = TableAlias {
        explicit: true,
        name: Ident::new("subquery"),
        columns: vec![TableAliasColumnDef { name: column.clone(), data_type: None }],
        at: None,
    };
    let inner = std::mem::replace(
        subquery,
        query(SetExpr::Values(Values { explicit_row: false, value_keyword: true, rows: Vec::new() })),
    );
    let factor =
        TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(alias), sample: None };
    let keys = ordered.map(|key| vec![OrderByExpr { expr: Expr::Identifier(column.clone()), ..key }]);
    let argument = call(function, vec![Expr::Identifier(column)], keys.unwrap_or_default());
    let select = Select { projection: vec![SelectItem::UnnamedExpr(argument)], ..select_all(factor) };
    *subquery = query(SetExpr::Select(Box::new(select)));
}

/// The key of a query that is ordered by its only column.
fn by_its_column(subquery: &Query, order_by: &Option<Vec<OrderByExpr>>) -> Option<OrderByExpr> {
    let [key] = order_by.as_deref()? else { return None };
    let by_column = match (&key.expr, subquery.body.as_ref()) {
        (Expr::Value(place), _) => place.to_string() == "1",
        (key, SetExpr::Select(select)) => match select.projection.as_slice() {
            [SelectItem::UnnamedExpr(expr)] => expr == key,
            [SelectItem::ExprWithAlias { expr, alias }] => {
                expr == key || matches!(key, Expr::Identifier(ident) if folded(ident) == folded(alias))
            }
            _ => false,
        },
        _ => false,
    };
    by_column.then(|| key.clone())
}

/// The keys of ORDER BY, `None` for the form that orders by everything.
fn order_keys(subquery: &Query) -> Option<Vec<OrderByExpr>> {
    match &subquery.order_by {
        None => Some(Vec::new()),
        Some(order_by) => match &order_by.kind {
            OrderByKind::Expressions(keys) => Some(keys.clone()),
            OrderByKind::All(_) => None,
        },
    }
}

fn is_ordinal(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }))
}

/// A call of a function with an optional order of its input.
pub fn call(name: &str, args: Vec<Expr>, order_by: Vec<OrderByExpr>) -> Expr {
    let clauses =
        if order_by.is_empty() { Vec::new() } else { vec![FunctionArgumentClause::OrderBy(order_by)] };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect(),
            clauses,
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Whether the call is of an aggregate that is not used as a window function.
pub fn is_aggregate(function: &Function) -> bool {
    function.over.is_none()
        && function
            .name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .is_some_and(|name| AGGREGATES.iter().any(|known| name.value.eq_ignore_ascii_case(known)))
}

/// Whether it is the name of an aggregate.
pub(super) fn is_aggregate_name(name: &str) -> bool {
    AGGREGATES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn returns_set(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| sets::returns_set(&super::folded(name)))
}

/// Whether a call that fulfils the condition is in the expression, not in a subquery of it.
fn contains_call(expr: &Expr, condition: impl Fn(&Function) -> bool) -> bool {
    struct Search<F> {
        condition: F,
        depth: usize,
    }
    impl<F: Fn(&Function) -> bool> Visitor for Search<F> {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if self.depth == 0 && (self.condition)(function) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(expr, &mut Search { condition, depth: 0 }).is_break()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let _ = VisitMut::visit(&mut statement, &mut ScalarSubqueries::default());
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn subqueries_become_aggregates() {
        check("SELECT (SELECT a)", "SELECT (a)");
        check("SELECT (SELECT max(a) FROM t)", "SELECT (SELECT max(a) FROM t)");
        check(
            "SELECT (SELECT a FROM t WHERE b = u.b) FROM u",
            "SELECT single_row((SELECT single_value(a) FROM t WHERE b = u.b)) FROM u",
        );
        check(
            "SELECT (SELECT a FROM t ORDER BY b DESC LIMIT 1)",
            "SELECT (SELECT first_value(a ORDER BY b DESC) FROM t)",
        );
        check(
            "SELECT (SELECT a FROM t GROUP BY a)",
            "SELECT single_row((SELECT single_value(value) FROM (SELECT a FROM t GROUP BY a) AS subquery (value)))",
        );
        check(
            "SELECT ARRAY(SELECT a FROM t ORDER BY a)",
            "SELECT array_or_empty((SELECT array_agg(a ORDER BY a) FROM t))",
        );
    }

    #[test]
    fn tests_of_existence_are_left_alone() {
        check("SELECT 1 WHERE EXISTS (SELECT a FROM t)", "SELECT 1 WHERE EXISTS (SELECT a FROM t)");
        check("SELECT 1 WHERE 1 IN (SELECT a FROM t)", "SELECT 1 WHERE 1 IN (SELECT a FROM t)");
    }
}
