//! `x = ANY (SELECT y ..)` and the other comparisons, with SQL's three values.
//!
//! | rows of the subquery | `x op ANY` |
//! |---|---|
//! | none | false |
//! | one for which `x op y` is true | true |
//! | none such, but `x` or a `y` is NULL | NULL |
//! | otherwise | false |
//!
//! Equality is looked up among the distinct values. `x < y` for some `y` means `x < max(y)`, and likewise for the
//! others; `x <> y` for some `y` means that the least or the greatest differs.

use std::sync::{Arc, LazyLock};

use datafusion::common::{Column, JoinType, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, LogicalPlanBuilder, Operator, Subquery, binary_expr, lit, when,
};
use quickdb_executor::functions::aggregate_functions;

use super::domain::{Pushed, join_on_keys};
use super::{Outer, first_column};

/// Least and greatest in PostgreSQL's order, NaN above all.
static EXTREMES: LazyLock<(Arc<AggregateUDF>, Arc<AggregateUDF>)> = LazyLock::new(|| {
    let ours = |name: &str| aggregate_functions().into_iter().find(|function| function.name() == name);
    (
        ours("min").unwrap_or_else(datafusion::functions_aggregate::min_max::min_udaf),
        ours("max").unwrap_or_else(datafusion::functions_aggregate::min_max::max_udaf),
    )
});

impl Outer<'_> {
    /// `operand op ANY (subquery)`.
    pub(super) fn any(&mut self, operand: Expr, op: Operator, subquery: &Subquery) -> Result<Expr> {
        let (Pushed { plan, keys }, columns) = self.pushed(subquery)?;
        let value = first_column(plan.schema());

        // How many rows there are, and between what.
        let (name, stat_keys, group) = self.renamed(&keys);
        let (least, greatest) = (&EXTREMES.0, &EXTREMES.1);
        let mut aggregates = vec![
            count_udaf().call(vec![lit(1_i64)]).alias("__rows"),
            count_udaf().call(vec![value.clone()]).alias("__values"),
        ];
        if op != Operator::Eq {
            aggregates.push(least.call(vec![value.clone()]).alias("__least"));
            aggregates.push(greatest.call(vec![value.clone()]).alias("__greatest"));
        }
        let names: Vec<Expr> = stat_keys
            .iter()
            .map(|key| Expr::Column(Column::from_name(key.name.clone())))
            .chain(
                aggregates.iter().map(|expr| Expr::Column(Column::from_name(expr.schema_name().to_string()))),
            )
            .collect();
        let stats = LogicalPlanBuilder::from(plan.clone())
            .aggregate(group, aggregates)?
            .project(names)?
            .alias(name.as_str())?
            .build()?;
        self.join(stats, &columns, &stat_keys)?;
        let stat = |column: &str| Expr::Column(Column::new(Some(name.as_str()), column));

        let matched = match op {
            Operator::Eq => {
                // The operand as a column, so that the join is one on columns.
                let number = self.numbers.next();
                let operand_column = Column::from_name(format!("__operand_{number}"));
                let mut items: Vec<Expr> =
                    self.plan.schema().columns().into_iter().map(Expr::Column).collect();
                items.push(operand.clone().alias(operand_column.name.clone()));
                let left = LogicalPlanBuilder::from(self.plan.clone()).project(items)?.build()?;
                let (name, mut keys, mut items) = self.renamed(&keys);
                items.push(value.clone().alias("__value"));
                let right = LogicalPlanBuilder::from(plan)
                    .filter(value.is_not_null())?
                    .project(items)?
                    .distinct()?
                    .alias(name.as_str())?
                    .build()?;
                let found = Column::new(Some(name.as_str()), "__value");
                keys.push(found.clone());
                let mut columns = columns;
                columns.push(operand_column);
                self.plan = join_on_keys(left, right, &columns, &keys, JoinType::Left)?;
                Expr::Column(found).is_not_null()
            }
            Operator::Lt | Operator::LtEq => binary_expr(operand.clone(), op, stat("__greatest")),
            Operator::Gt | Operator::GtEq => binary_expr(operand.clone(), op, stat("__least")),
            Operator::NotEq => {
                let differs = |bound: Expr| {
                    Expr::BinaryExpr(BinaryExpr::new(
                        Box::new(operand.clone()),
                        Operator::NotEq,
                        Box::new(bound),
                    ))
                };
                differs(stat("__least")).or(differs(stat("__greatest")))
            }
            other => return plan_err!("Correlated column is not allowed under {other} ANY"),
        };
        let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
        when(matched, lit(true))
            .when(stat("__rows").is_null().or(stat("__rows").eq(lit(0_i64))), lit(false))
            .when(operand.is_null().or(stat("__values").lt(stat("__rows"))), unknown)
            .otherwise(lit(false))
    }
}
