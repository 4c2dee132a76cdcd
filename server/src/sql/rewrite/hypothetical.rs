//! Hypothetical-set aggregates: the rank that a row would have among those of a group.
//!
//! | written | becomes |
//! |---|---|
//! | `rank(v) WITHIN GROUP (ORDER BY x)` | rows before `v`, and one |
//! | `dense_rank(v) ...` | different rows before `v`, and one |
//! | `percent_rank(v) ...` | share of the rows that stand before `v` |
//! | `cume_dist(v) ...` | share of the rows, `v` among them, that do not stand after it |

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, OrderByExpr, Value,
};

use super::expressions::plain_cast;
use super::operators::binary;
use super::subqueries::call;

/// The aggregate in terms of counts; `None` for what is none of these.
pub(super) fn hypothetical(name: &str, function: &Function) -> Option<Expr> {
    let known = matches!(name, "rank" | "dense_rank" | "percent_rank" | "cume_dist");
    if !known || function.within_group.is_empty() || function.over.is_some() {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let values = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    let values = values.collect::<Option<Vec<_>>>()?;
    if values.len() != function.within_group.len() {
        return None;
    }
    let group = Group { keys: &function.within_group, values: &values, filter: function.filter.as_deref() };
    let one = || number("1");
    let float = |expr| plain_cast(Expr::Nested(Box::new(expr)), DataType::DoublePrecision);
    Some(Expr::Nested(Box::new(match name {
        "rank" => binary(group.rows(Some(group.before(false))), BinaryOperator::Plus, one()),
        "dense_rank" => binary(group.different_rows()?, BinaryOperator::Plus, one()),
        "percent_rank" => {
            let all = call("nullif", vec![group.rows(None), number("0")], Vec::new());
            let share = binary(
                float(group.rows(Some(group.before(false)))),
                BinaryOperator::Divide,
                plain_cast(all, DataType::DoublePrecision),
            );
            call("coalesce", vec![share, plain_cast(number("0"), DataType::DoublePrecision)], Vec::new())
        }
        _ => {
            let plus_one = |rows| float(binary(rows, BinaryOperator::Plus, one()));
            binary(
                plus_one(group.rows(Some(group.before(true)))),
                BinaryOperator::Divide,
                plus_one(group.rows(None)),
            )
        }
    })))
}

fn number(digits: &str) -> Expr {
    Expr::Value(Value::Number(digits.to_owned(), false).into())
}

struct Group<'a> {
    keys: &'a [OrderByExpr],
    values: &'a [Expr],
    filter: Option<&'a Expr>,
}

impl Group<'_> {
    /// Whether a row stands before the hypothetical one, or is its equal where those count.
    fn before(&self, or_equal: bool) -> Expr {
        let truth = |truth| Expr::Value(Value::Boolean(truth).into());
        let pairs = self.keys.iter().zip(self.values).rev();
        pairs.fold(truth(or_equal), |rest, (key, value)| {
            let nested = |expr: Expr| Box::new(Expr::Nested(Box::new(expr)));
            let (own, value) = (nested(key.expr.clone()), nested(value.clone()));
            let descending = key.options.asc == Some(false);
            let nulls_first = key.options.nulls_first.unwrap_or(descending);
            let op = if descending { BinaryOperator::Gt } else { BinaryOperator::Lt };
            let less =
                call("coalesce", vec![binary(*own.clone(), op, *value.clone()), truth(false)], Vec::new());
            let (null, not_null) = if nulls_first { (&own, &value) } else { (&value, &own) };
            let by_null =
                binary(Expr::IsNull(null.clone()), BinaryOperator::And, Expr::IsNotNull(not_null.clone()));
            let equal =
                binary(Expr::IsNotDistinctFrom(own.clone(), value.clone()), BinaryOperator::And, rest);
            binary(less, BinaryOperator::Or, binary(*nested(by_null), BinaryOperator::Or, *nested(equal)))
        })
    }

    fn filtered(&self, condition: Option<Expr>) -> Option<Box<Expr>> {
        let nested = |expr: Expr| Expr::Nested(Box::new(expr));
        match (self.filter.cloned(), condition) {
            (Some(filter), Some(condition)) => {
                Some(Box::new(binary(nested(filter), BinaryOperator::And, nested(condition))))
            }
            (filter, condition) => filter.or(condition).map(Box::new),
        }
    }

    /// How many rows fulfil a condition.
    fn rows(&self, condition: Option<Expr>) -> Expr {
        let mut count = call("count", vec![number("1")], Vec::new());
        if let Expr::Function(count) = &mut count {
            count.filter = self.filtered(condition);
        }
        count
    }

    /// How many different rows stand before the hypothetical one; NULL is one of them.
    fn different_rows(&self) -> Option<Expr> {
        let [key] = self.keys else { return None };
        let condition = || Some(self.before(false));
        let mut different = call("count", vec![key.expr.clone()], Vec::new());
        if let Expr::Function(count) = &mut different {
            count.filter = self.filtered(condition());
            if let FunctionArguments::List(list) = &mut count.args {
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
        }
        let is_null = Expr::IsNull(Box::new(Expr::Nested(Box::new(key.expr.clone()))));
        let as_number = plain_cast(Expr::Nested(Box::new(is_null)), DataType::Int4(None));
        let mut null = call("max", vec![as_number], Vec::new());
        if let Expr::Function(null) = &mut null {
            null.filter = self.filtered(condition());
        }
        let null = call("coalesce", vec![null, number("0")], Vec::new());
        Some(binary(different, BinaryOperator::Plus, null))
    }
}
