//! Rows looked up in a subquery: `(a, b) IN (SELECT x, y ...)`.
//!
//! ```sql
//! EXISTS (SELECT 1 FROM (SELECT x, y ...) AS "?set"("?1", "?2") WHERE "?1" = a AND "?2" = b)
//! ```
//!
//! That is all where NULL has the effect of false. Elsewhere a row that may be equal, since an element is NULL, makes the
//! answer NULL:
//!
//! ```sql
//! CASE WHEN EXISTS (... WHERE "?1" = a AND "?2" = b) THEN true
//!      WHEN EXISTS (... WHERE ("?1" = a) IS NOT FALSE AND ("?2" = b) IS NOT FALSE) THEN NULL ELSE false END
//! ```
//!
//! Inside of the new subquery nothing has a name that the row could mean.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Ident, Query, Select, SelectItem, SetExpr, TableAlias,
    TableAliasColumnDef, TableFactor, UnaryOperator, Value,
};

use super::relations::{query, select_all};
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
            if let Expr::Tuple(row) = unnested(row) {
                *expr = exists(subquery, row, |equal| equal);
            }
        }
        _ => {}
    }
}

/// Membership as a value, or `None` for what is no row.
pub(super) fn value(row: &Expr, subquery: &Query, negated: bool) -> Option<Expr> {
    let Expr::Tuple(row) = unnested(row) else { return None };
    let found = exists(subquery, row, |equal| equal);
    let possible = exists(subquery, row, |equal| Expr::IsNotFalse(Box::new(Expr::Nested(Box::new(equal)))));
    let boolean = |value: bool| Expr::Value(Value::Boolean(value).into());
    let unknown = super::expressions::plain_cast(
        Expr::Value(Value::Null.into()),
        datafusion::sql::sqlparser::ast::DataType::Boolean,
    );
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

fn exists(subquery: &Query, row: &[Expr], compared: impl Fn(Expr) -> Expr) -> Expr {
    let column = |index: usize| Ident::with_quote('"', format!("?{}", index + 1));
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', "?set"),
        columns: (0..row.len())
            .map(|index| TableAliasColumnDef { name: column(index), data_type: None })
            .collect(),
        at: None,
    };
    let factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery.clone()),
        alias: Some(alias),
        sample: None,
    };
    let equalities = row.iter().enumerate().map(|(index, element)| {
        compared(Expr::BinaryOp {
            left: Box::new(Expr::Identifier(column(index))),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::Nested(Box::new(element.clone()))),
        })
    });
    let selection = equalities.reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    });
    let one = SelectItem::UnnamedExpr(Expr::Value(Value::Number("1".to_owned(), false).into()));
    let select = Select { projection: vec![one], selection, ..select_all(factor) };
    Expr::Exists { subquery: Box::new(query(SetExpr::Select(Box::new(select)))), negated: false }
}
