//! Joins with USING and NATURAL, with PostgreSQL's merged columns.
//!
//! | join | the merged column |
//! |---|---|
//! | inner, left | the left one |
//! | right | the right one |
//! | full | `coalesce(left, right)` |
//!
//! Merged columns come first and have no qualifier that a query could say. What [`using`](super::rewrite::using) asks for is there too, under
//! the name that it is asked by.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result, TableReference};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, Join as PlanJoin, JoinConstraint as PlanConstraint, LogicalPlan, LogicalPlanBuilder, Projection,
};
use datafusion::sql::sqlparser::ast::{Join, JoinConstraint, JoinOperator, ObjectName, TableFactor};
use quickdb_executor::error::{ErrorKind, ExecError};

use super::rewrite::using::{JOINED, constraint, hidden_name};

/// Plans chains of joins that were handed over.
#[derive(Debug)]
pub struct UsingJoins;

impl RelationPlanner for UsingJoins {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if alias.name.value != JOINED {
            let relation = TableFactor::NestedJoin { table_with_joins, alias: Some(alias) };
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let wanted: Vec<String> = alias.columns.into_iter().map(|column| column.name.value).collect();
        let first = context.plan(table_with_joins.relation)?;
        let mut chain = Chain::new(first, &wanted)?;
        for join in table_with_joins.joins {
            let right = context.plan(join.relation.clone())?;
            chain = chain.joined(&join, right, context)?;
        }
        let relation = PlannedRelation::new(chain.plan, None);
        Ok(RelationPlanning::Planned(Box::new(relation)))
    }
}

/// What merged columns are qualified with, a name that no query says.
const MERGED: &str = "?merged";

/// A chain of joins so far.
struct Chain<'a> {
    plan: LogicalPlan,
    /// Names of columns that are hidden from `*`, all that the query asks for.
    wanted: &'a [String],
}

impl<'a> Chain<'a> {
    fn new(first: LogicalPlan, wanted: &'a [String]) -> Result<Self> {
        let plan = with_hidden(first, wanted)?;
        Ok(Self { plan, wanted })
    }

    fn joined(
        self,
        join: &Join,
        right: LogicalPlan,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Self> {
        let right = with_hidden(right, self.wanted)?;
        let join_type = match join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => JoinType::Left,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => JoinType::Right,
            JoinOperator::FullOuter(_) => JoinType::Full,
            _ => JoinType::Inner,
        };
        let names = match constraint(join) {
            Some(JoinConstraint::Using(names)) => names
                .iter()
                .filter_map(|name: &ObjectName| name.0.last().and_then(|part| part.as_ident()).cloned())
                .map(|ident| context.normalize_ident(ident))
                .collect(),
            Some(JoinConstraint::Natural) => self.common_names(right.schema()),
            Some(JoinConstraint::On(condition)) => {
                let schema = self.plan.schema().join(right.schema())?;
                let condition = context.sql_to_expr(condition.clone(), &schema)?;
                let plan =
                    LogicalPlanBuilder::from(self.plan).join_on(right, join_type, [condition])?.build()?;
                return Ok(Self { plan, wanted: self.wanted });
            }
            _ => Vec::new(),
        };
        let mut on = Vec::with_capacity(names.len());
        for name in &names {
            on.push((
                one_column(self.plan.schema(), name, "left")?,
                one_column(right.schema(), name, "right")?,
            ));
        }
        if on.is_empty() && join_type == JoinType::Inner {
            let plan = LogicalPlanBuilder::from(self.plan).cross_join(right)?.build()?;
            return Ok(Self { plan, wanted: self.wanted });
        }
        let columns: Vec<Column> =
            self.plan.schema().columns().into_iter().chain(right.schema().columns()).collect();
        let keys = on.iter().map(|(l, r)| (Expr::Column(l.clone()), Expr::Column(r.clone()))).collect();
        let filter = on.is_empty().then(|| datafusion::logical_expr::lit(true));
        let joined = LogicalPlan::Join(PlanJoin::try_new(
            Arc::new(self.plan),
            Arc::new(right),
            keys,
            filter,
            join_type,
            PlanConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?);
        let merged = on.iter().zip(&names).map(|((l, r), name)| {
            let (left, right) = (Expr::Column(l.clone()), Expr::Column(r.clone()));
            let value = match join_type {
                JoinType::Right => right,
                JoinType::Full => coalesce(vec![left, right]),
                _ => left,
            };
            value.alias_qualified(Some(TableReference::bare(MERGED)), name.clone())
        });
        let is_merged = |column: &Column| on.iter().any(|(l, r)| column == l || column == r);
        let others = columns.iter().filter(|column| !is_merged(column)).cloned().map(Expr::Column);
        let items: Vec<Expr> = merged.chain(others).collect();
        let plan = LogicalPlan::Projection(Projection::try_new(items, Arc::new(joined))?);
        Ok(Self { plan, wanted: self.wanted })
    }

    /// Names that both sides have, in the order of the left one.
    fn common_names(&self, right: &DFSchema) -> Vec<String> {
        let names = self.plan.schema().fields().iter().map(|field| field.name());
        let mut common: Vec<String> = Vec::new();
        for name in names.filter(|name| !self.wanted.contains(name)) {
            if right.fields().iter().any(|field| field.name() == name) && !common.contains(name) {
                common.push(name.clone());
            }
        }
        common
    }
}

/// The plan with a second copy of the columns that are asked for by their table.
fn with_hidden(plan: LogicalPlan, wanted: &[String]) -> Result<LogicalPlan> {
    let hidden: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .filter_map(|column| {
            let name = hidden_name(column.relation.as_ref()?.table(), &column.name);
            wanted.contains(&name).then(|| Expr::Column(column).alias(name))
        })
        .collect();
    if hidden.is_empty() {
        return Ok(plan);
    }
    let items: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).chain(hidden).collect();
    LogicalPlanBuilder::from(plan).project(items)?.build()
}

/// The column of a name on one side of a join.
fn one_column(schema: &DFSchema, name: &str, side: &str) -> Result<Column> {
    let mut columns = schema.columns().into_iter().filter(|column| column.name == name);
    match (columns.next(), columns.next()) {
        (Some(column), None) => Ok(column),
        (None, _) => Err(ExecError::new(
            ErrorKind::UndefinedColumn,
            format!("column \"{name}\" specified in USING clause does not exist in {side} table"),
        )
        .into()),
        _ => Err(ExecError::new(
            ErrorKind::AmbiguousColumn,
            format!("common column name \"{name}\" appears more than once in {side} table"),
        )
        .into()),
    }
}
