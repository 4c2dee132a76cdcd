//! Rows looked up in a subquery: `(a, b) IN (SELECT x, y ...)`.
//!
//! ```sql
//! EXISTS (SELECT 1 FROM (SELECT x, y ...) AS "?set"("?1", "?2") WHERE a = "?1" AND b = "?2")
//! ```
//!
//! That is all where NULL has the effect of false. Elsewhere a row that may be equal, since an element is NULL, makes the
//! answer NULL:
//!
//! ```sql
//! CASE WHEN EXISTS (... WHERE a = "?1" AND b = "?2") THEN true
//!      WHEN EXISTS (... WHERE (a = "?1" AND b = "?2") IS NOT FALSE) THEN NULL ELSE false END
//! ```
//!
//! Inside of the new subquery nothing has a name that the row could mean.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Ident, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, Value,
};

use super::relations::{query, select_all};
use super::rows::compare_rows;
use super::unnested;

/// Replaces the conditions of a WHERE, where a row that is not found and one that may be are the same.
pub(super) fn conditions(expr: &mut Expr) {
    match expr {
        Expr::Nested(inner) => conditions(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conditions(left);
            conditions(right);
        }
        Expr::InSubquery { expr: row, subquery, negated: false } => {
            if let Expr::Tuple(row) = unnested(row)
                && let Some(found) = exists(subquery, row, &BinaryOperator::Eq, |equal| equal)
            {
                *expr = found;
            }
        }
        _ => {}
    }
}

/// `row op ANY (subquery)` as a value, or `None` for what is no row.
pub(super) fn value(row: &Expr, subquery: &Query, op: &BinaryOperator, negated: bool) -> Option<Expr> {
    let Expr::Tuple(row) = unnested(row) else { return None };
    let found = exists(subquery, row, op, |compared| compared)?;
    let possible = exists(subquery, row, op, |compared| Expr::IsNotFalse(Box::new(compared)))?;
    let boolean = |value: bool| Expr::Value(Value::Boolean(value).into());
    let unknown = super::expressions::plain_cast(Expr::Value(Value::Null.into()), DataType::Boolean);
    let membership = Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![
            CaseWhen { condition: found, result: boolean(true) },
            CaseWhen { condition: possible, result: unknown },
        ],
        else_result: Some(Box::new(boolean(false))),
    };
    Some(if negated {
        Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(membership) }
    } else {
        membership
    })
}

/// Whether the subquery has a row for which a condition on its comparison holds.
fn exists(
    subquery: &Query,
    row: &[Expr],
    op: &BinaryOperator,
    condition: impl Fn(Expr) -> Expr,
) -> Option<Expr> {
    let column = |index: usize| Ident::with_quote('"', format!("?{}", index + 1));
    let columns = (0..row.len()).map(|index| TableAliasColumnDef { name: column(index), data_type: None });
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "?set"),
        columns: columns.collect(),
        at: None,
    };
    let factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery.clone()),
        alias: Some(alias),
        sample: None,
    };
    let elements: Vec<Expr> = row.iter().map(|element| Expr::Nested(Box::new(element.clone()))).collect();
    let columns: Vec<Expr> = (0..row.len()).map(|index| Expr::Identifier(column(index))).collect();
    let compared = Expr::Nested(Box::new(compare_rows(&elements, op, &columns)?));
    let one = SelectItem::UnnamedExpr(Expr::Value(Value::Number("1".to_owned(), false).into()));
    let select = Select { projection: vec![one], selection: Some(condition(compared)), ..select_all(factor) };
    Some(Expr::Exists { subquery: Box::new(query(SetExpr::Select(Box::new(select)))), negated: false })
}
