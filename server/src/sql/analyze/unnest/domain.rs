//! A correlated query with the outer columns that it uses as columns of its own.
//!
//! The *domain* of a subquery is the set of distinct combinations of the outer columns it refers to. [`Domain::push`]
//! moves the domain down a plan to where it is used and gives the plan back with the domain's columns added: its rows
//! are those of the subquery for every combination at once.
//!
//! ```text
//! Filter a = outer(x)         Filter a = d.x
//!   t                   ─▶      t x d          d = DISTINCT x FROM outer
//! ```
//!
//! Parts of a plan that do not refer outside stay as they are. Aggregates, windows, limits and DISTINCT work per
//! combination; an aggregate without groups gives a row for every combination, matched or not.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, DataFusionError, JoinType, NullEquality, Result, ScalarValue, TableReference, plan_err,
};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Alias, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, DistinctOn, Expr, ExprSchemable, FetchType, Filter, Join,
    JoinConstraint, Limit, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SkipType, Sort, SortExpr,
    SubqueryAlias, Union, Values, Window, WindowFunctionDefinition, lit,
};

/// Numbers for names that no query can have, each given once in a statement.
#[derive(Debug, Default)]
pub(super) struct Numbers(usize);

impl Numbers {
    pub(super) fn next(&mut self) -> usize {
        self.0 += 1;
        self.0
    }
}

/// The distinct combinations of outer columns.
pub(super) struct Domain<'a> {
    /// The outer columns, in the order of the domain's columns.
    pub(super) columns: Vec<Column>,
    outer: LogicalPlan,
    pub(super) numbers: &'a mut Numbers,
}

/// A plan with the domain's columns among its own.
pub(super) struct Pushed {
    pub(super) plan: LogicalPlan,
    /// The domain's columns, in the domain's order.
    pub(super) keys: Vec<Column>,
}

impl<'a> Domain<'a> {
    /// The domain of `subquery` over the rows of `outer`: what it refers to and `outer` has.
    pub(super) fn of(outer: &LogicalPlan, subquery: &LogicalPlan, numbers: &'a mut Numbers) -> Self {
        let mut columns = Vec::new();
        for reference in subquery.all_out_ref_exprs() {
            if let Expr::OuterReferenceColumn(_, column) = reference
                && outer.schema().has_column(&column)
                && !columns.contains(&column)
            {
                columns.push(column);
            }
        }
        Self { columns, outer: outer.clone(), numbers }
    }

    /// The domain as a relation of its own name.
    fn relation(&mut self) -> Result<Pushed> {
        let number = self.numbers.next();
        let name = format!("__domain_{number}");
        let key = |index: usize| format!("__key_{number}_{index}");
        let items = self.columns.iter().enumerate();
        let items = items.map(|(index, column)| Expr::Column(column.clone()).alias(key(index)));
        let plan = LogicalPlanBuilder::from(self.outer.clone())
            .project(items.collect::<Vec<_>>())?
            .distinct()?
            .alias(name.as_str())?
            .build()?;
        let keys =
            (0..self.columns.len()).map(|index| Column::new(Some(name.as_str()), key(index))).collect();
        Ok(Pushed { plan, keys })
    }

    fn is_used(&self, plan: &LogicalPlan) -> bool {
        plan.all_out_ref_exprs().iter().any(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) => self.columns.contains(column),
            _ => false,
        })
    }

    fn is_used_in(&self, expr: &Expr) -> bool {
        expr.exists(|expr| {
            Ok(matches!(expr, Expr::OuterReferenceColumn(_, column) if self.columns.contains(column)))
        })
        .unwrap_or(false)
    }

    /// The expression with the domain's columns for outer ones.
    fn bind(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        expr.transform_up(|expr| {
            if let Expr::OuterReferenceColumn(_, column) = &expr
                && let Some(index) = self.columns.iter().position(|known| known == column)
                && let Some(key) = keys.get(index)
            {
                return Ok(Transformed::yes(Expr::Column(key.clone())));
            }
            Ok(Transformed::no(expr))
        })
        .map(|bound| bound.data)
    }

    /// Likewise, under the name that it had.
    fn bind_named(&self, expr: Expr, keys: &[Column]) -> Result<Expr> {
        if !self.is_used_in(&expr) {
            return Ok(expr);
        }
        let (relation, name) = expr.qualified_name();
        let inner = if let Expr::Alias(Alias { expr, .. }) = expr { *expr } else { expr };
        Ok(self.bind(inner, keys)?.alias_qualified(relation, name))
    }

    /// Adds the domain's columns to a plan.
    ///
    /// # Errors
    /// Forms that refer outside from where no domain can be moved to, such as a recursive query.
    pub(super) fn push(&mut self, plan: LogicalPlan) -> Result<Pushed> {
        if !self.is_used(&plan) {
            if self.columns.is_empty() {
                return Ok(Pushed { plan, keys: Vec::new() });
            }
            let domain = self.relation()?;
            let plan = LogicalPlanBuilder::from(plan).cross_join(domain.plan)?.build()?;
            return Ok(Pushed { plan, keys: domain.keys });
        }
        match plan {
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
                let predicate = self.bind(predicate, &keys)?;
                Ok(Pushed { plan: LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?), keys })
            }
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
                let mut items =
                    expr.into_iter().map(|expr| self.bind_named(expr, &keys)).collect::<Result<Vec<_>>>()?;
                items.extend(keys.iter().cloned().map(Expr::Column));
                let plan = LogicalPlan::Projection(Projection::try_new(items, Arc::new(plan))?);
                Ok(Pushed { plan, keys })
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
                let keys = keys
                    .into_iter()
                    .map(|key| Column::new(Some(alias.clone()), key.name))
                    .collect::<Vec<_>>();
                let plan = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), alias)?);
                Ok(Pushed { plan, keys })
            }
            LogicalPlan::Subquery(subquery) => self.push(Arc::unwrap_or_clone(subquery.subquery)),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
                Ok(Pushed { plan: LogicalPlan::Distinct(Distinct::All(Arc::new(plan))), keys })
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.push_distinct_on(distinct),
            LogicalPlan::Aggregate(aggregate) => self.push_aggregate(aggregate),
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
                let expr = self.bind_sort(expr, &keys)?;
                Ok(Pushed {
                    plan: LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }),
                    keys,
                })
            }
            LogicalPlan::Limit(limit) => self.push_limit(limit),
            LogicalPlan::Window(window) => self.push_window(window),
            LogicalPlan::Union(union) => self.push_union(union),
            LogicalPlan::Values(values) => self.push_values(values),
            LogicalPlan::Unnest(unnest) => {
                let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(unnest.input))?;
                let plan = LogicalPlanBuilder::from(plan)
                    .unnest_columns_with_options(unnest.exec_columns, unnest.options)?
                    .build()?;
                self.reordered(plan, &unnest.schema, keys)
            }
            LogicalPlan::Join(join) => self.push_join(join),
            other => unsupported(other.display()),
        }
    }

    fn bind_sort(&self, keys: Vec<SortExpr>, domain: &[Column]) -> Result<Vec<SortExpr>> {
        keys.into_iter().map(|key| Ok(SortExpr { expr: self.bind(key.expr, domain)?, ..key })).collect()
    }

    /// The columns of `schema` first and then the domain's: plans are combined by position.
    #[expect(clippy::unused_self, reason = "reads as a step of the domain's way down")]
    fn reordered(&self, plan: LogicalPlan, schema: &DFSchema, keys: Vec<Column>) -> Result<Pushed> {
        let mut items: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        items.extend(keys.iter().cloned().map(Expr::Column));
        Ok(Pushed { plan: LogicalPlan::Projection(Projection::try_new(items, Arc::new(plan))?), keys })
    }

    fn push_distinct_on(&mut self, distinct: DistinctOn) -> Result<Pushed> {
        let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = distinct;
        let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
        let columns = || keys.iter().cloned().map(Expr::Column);
        let bind_all = |exprs: Vec<Expr>| {
            exprs.into_iter().map(|expr| self.bind_named(expr, &keys)).collect::<Result<Vec<_>>>()
        };
        let on: Vec<Expr> = columns().chain(bind_all(on_expr)?).collect();
        let mut select = bind_all(select_expr)?;
        select.extend(columns());
        let sort = match sort_expr {
            Some(sort) => {
                let bound = self.bind_sort(sort, &keys)?;
                Some(columns().map(|key| key.sort(true, false)).chain(bound).collect())
            }
            None => None,
        };
        let plan =
            LogicalPlan::Distinct(Distinct::On(DistinctOn::try_new(on, select, sort, Arc::new(plan))?));
        self.reordered(plan, &schema, keys)
    }

    fn push_aggregate(&mut self, aggregate: Aggregate) -> Result<Pushed> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        if group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return unsupported("grouping sets");
        }
        let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
        let bind_all = |exprs: Vec<Expr>| {
            exprs.into_iter().map(|expr| self.bind_named(expr, &keys)).collect::<Result<Vec<_>>>()
        };
        let ungrouped = group_expr.is_empty();
        let mut groups = bind_all(group_expr)?;
        let defaults: Vec<ScalarValue> = aggr_expr.iter().map(value_of_no_rows).collect();
        let computed = bind_all(aggr_expr)?;
        groups.extend(keys.iter().cloned().map(Expr::Column));
        let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(plan), groups, computed)?);
        if !ungrouped || keys.is_empty() {
            return self.reordered(plan, &schema, keys);
        }
        // Combinations without rows have a result too.
        let number = self.numbers.next();
        let name = TableReference::bare(format!("__groups_{number}"));
        let renamed = |index: usize| format!("__result_{number}_{index}");
        let mut items: Vec<Expr> = schema
            .columns()
            .into_iter()
            .enumerate()
            .map(|(index, column)| Expr::Column(column).alias(renamed(index)))
            .collect();
        let group_keys: Vec<Column> =
            keys.iter().map(|key| Column::new(Some(name.clone()), key.name.clone())).collect();
        items.extend(keys.into_iter().map(Expr::Column));
        let groups = LogicalPlanBuilder::from(plan).project(items)?.alias(name.clone())?.build()?;
        let domain = self.relation()?;
        let joined = join_on_keys(domain.plan, groups, &domain.keys, &group_keys, JoinType::Left)?;
        let mut items = Vec::with_capacity(defaults.len() + domain.keys.len());
        for (index, ((relation, field), default)) in schema.iter().zip(defaults).enumerate() {
            let result = Expr::Column(Column::new(Some(name.clone()), renamed(index)));
            let result =
                if default.is_null() { result } else { coalesce(vec![result, Expr::Literal(default, None)]) };
            items.push(result.alias_qualified(relation.cloned(), field.name()));
        }
        items.extend(domain.keys.iter().cloned().map(Expr::Column));
        let plan = LogicalPlan::Projection(Projection::try_new(items, Arc::new(joined))?);
        Ok(Pushed { plan, keys: domain.keys })
    }

    /// The first rows of each combination, by their number.
    fn push_limit(&mut self, limit: Limit) -> Result<Pushed> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return unsupported("LIMIT of an expression");
        };
        // Rows are counted in the order of the sort below, which a projection may hide.
        match Arc::unwrap_or_clone(limit.input) {
            LogicalPlan::Projection(Projection { expr, input, .. }) => {
                let below = Limit { skip: limit.skip, fetch: limit.fetch, input };
                let limited = Arc::new(LogicalPlan::Limit(below));
                self.push(LogicalPlan::Projection(Projection::try_new(expr, limited)?))
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let below = Limit { skip: limit.skip, fetch: limit.fetch, input };
                let limited = Arc::new(LogicalPlan::Limit(below));
                self.push(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(limited, alias)?))
            }
            LogicalPlan::Sort(Sort { expr, input, fetch: None }) => {
                self.numbered(Arc::unwrap_or_clone(input), expr, skip, fetch)
            }
            other => self.numbered(other, Vec::new(), skip, fetch),
        }
    }

    fn numbered(
        &mut self,
        input: LogicalPlan,
        order_by: Vec<SortExpr>,
        skip: usize,
        fetch: Option<usize>,
    ) -> Result<Pushed> {
        let schema = Arc::clone(input.schema());
        let Pushed { plan, keys } = self.push(input)?;
        let order_by = self.bind_sort(order_by, &keys)?;
        let name = format!("__row_{}", self.numbers.next());
        let partition_by = keys.iter().cloned().map(Expr::Column).collect();
        let number = Expr::WindowFunction(Box::new(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params: WindowFunctionParams {
                partition_by,
                order_by,
                ..WindowFunction::new(row_number_udwf(), Vec::new()).params
            },
        }));
        let plan = LogicalPlan::Window(Window::try_new(vec![number.alias(name.clone())], Arc::new(plan))?);
        let number = || Expr::Column(Column::from_name(name.clone()));
        let first = u64::try_from(skip).unwrap_or(u64::MAX);
        let mut kept = number().gt(lit(first));
        if let Some(fetch) = fetch {
            let last = first.saturating_add(u64::try_from(fetch).unwrap_or(u64::MAX));
            kept = kept.and(number().lt_eq(lit(last)));
        }
        let plan = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(plan))?);
        self.reordered(plan, &schema, keys)
    }

    fn push_window(&mut self, window: Window) -> Result<Pushed> {
        let Window { input, window_expr, schema } = window;
        let Pushed { plan, keys } = self.push(Arc::unwrap_or_clone(input))?;
        let mut computed = Vec::with_capacity(window_expr.len());
        for expr in window_expr {
            let (relation, name) = expr.qualified_name();
            let expr = self.bind(expr, &keys)?.transform_up(|expr| match expr {
                Expr::WindowFunction(mut call) => {
                    call.params.partition_by.extend(keys.iter().cloned().map(Expr::Column));
                    Ok(Transformed::yes(Expr::WindowFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            let inner = if let Expr::Alias(Alias { expr, .. }) = expr.data { *expr } else { expr.data };
            computed.push(inner.alias_qualified(relation, name));
        }
        let plan = LogicalPlan::Window(Window::try_new(computed, Arc::new(plan))?);
        self.reordered(plan, &schema, keys)
    }

    fn push_union(&mut self, union: Union) -> Result<Pushed> {
        let Union { inputs, schema } = union;
        let mut children = Vec::with_capacity(inputs.len());
        for input in inputs {
            let input = Arc::unwrap_or_clone(input);
            let own = Arc::clone(input.schema());
            let Pushed { plan, keys } = self.push(input)?;
            children.push(Arc::new(self.reordered(plan, &own, keys)?.plan));
        }
        let plan = LogicalPlan::Union(Union::try_new_with_loose_types(children)?);
        // Under the names that the union had, and new ones for the domain.
        let number = self.numbers.next();
        let own = schema.fields().len();
        let mut items = Vec::new();
        let mut keys = Vec::new();
        for (index, column) in plan.schema().columns().into_iter().enumerate() {
            if index < own {
                let (relation, field) = schema.qualified_field(index);
                items.push(Expr::Column(column).alias_qualified(relation.cloned(), field.name()));
            } else {
                let key = format!("__key_{number}_{}", index - own);
                items.push(Expr::Column(column).alias(key.clone()));
                keys.push(Column::from_name(key));
            }
        }
        let plan = LogicalPlan::Projection(Projection::try_new(items, Arc::new(plan))?);
        Ok(Pushed { plan, keys })
    }

    /// Rows that are written out: each over the domain.
    fn push_values(&mut self, values: Values) -> Result<Pushed> {
        let Values { schema, values } = values;
        let domain = self.relation()?;
        let mut children = Vec::with_capacity(values.len());
        for row in values {
            let mut items = Vec::with_capacity(row.len() + domain.keys.len());
            for (value, (relation, field)) in row.into_iter().zip(schema.iter()) {
                let value = self.bind(value, &domain.keys)?;
                let value = value.cast_to(field.data_type(), domain.plan.schema())?;
                items.push(value.alias_qualified(relation.cloned(), field.name()));
            }
            items.extend(domain.keys.iter().cloned().map(Expr::Column));
            let row = Projection::try_new(items, Arc::new(domain.plan.clone()))?;
            children.push(Arc::new(LogicalPlan::Projection(row)));
        }
        match children.as_slice() {
            [only] => Ok(Pushed { plan: only.as_ref().clone(), keys: domain.keys }),
            _ => Ok(Pushed {
                plan: LogicalPlan::Union(Union::try_new_with_loose_types(children)?),
                keys: domain.keys,
            }),
        }
    }

    fn push_join(&mut self, join: Join) -> Result<Pushed> {
        let Join { left, right, on, filter, join_type, join_constraint, null_equality, null_aware, schema } =
            join;
        let (left, right) = (Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right));
        let condition_uses = on.iter().any(|(l, r)| self.is_used_in(l) || self.is_used_in(r))
            || filter.iter().any(|filter| self.is_used_in(filter));
        let (left_uses, right_uses) = (self.is_used(&left), self.is_used(&right));
        // The side whose rows a join keeps has to have the domain.
        let (to_left, to_right) = match join_type {
            JoinType::Inner => (left_uses || condition_uses && !right_uses, right_uses),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
                (true, right_uses)
            }
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                (left_uses, true)
            }
            JoinType::Full => return unsupported("FULL JOIN"),
        };
        let mut keys = Vec::new();
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        let left = if to_left {
            let pushed = self.push(left)?;
            left_keys.clone_from(&pushed.keys);
            pushed.plan
        } else {
            left
        };
        let right = if to_right {
            let pushed = self.push(right)?;
            right_keys.clone_from(&pushed.keys);
            pushed.plan
        } else {
            right
        };
        let from_right = matches!(
            join_type,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
        ) || !to_left;
        keys.clone_from(if from_right { &right_keys } else { &left_keys });
        let on = on
            .into_iter()
            .map(|(l, r)| Ok((self.bind(l, &keys)?, self.bind(r, &keys)?)))
            .collect::<Result<Vec<_>>>()?;
        let mut filter = filter.map(|filter| self.bind(filter, &keys)).transpose()?;
        if to_left && to_right {
            for (l, r) in left_keys.iter().zip(&right_keys) {
                let same = same(Expr::Column(l.clone()), Expr::Column(r.clone()));
                filter = Some(match filter {
                    Some(filter) => filter.and(same),
                    None => same,
                });
            }
        }
        let plan = LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            join_type,
            join_constraint,
            null_equality,
            null_aware,
        )?);
        self.reordered(plan, &schema, keys)
    }
}

/// `left IS NOT DISTINCT FROM right`.
fn same(left: Expr, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::IsNotDistinctFrom, Box::new(right)))
}

/// A join on keys that are the same, NULL or not; without keys every row of the left with every row of the right.
pub(super) fn join_on_keys(
    left: LogicalPlan,
    right: LogicalPlan,
    left_keys: &[Column],
    right_keys: &[Column],
    join_type: JoinType,
) -> Result<LogicalPlan> {
    let on = left_keys.iter().zip(right_keys);
    let on: Vec<_> = on.map(|(l, r)| (Expr::Column(l.clone()), Expr::Column(r.clone()))).collect();
    let filter = on.is_empty().then(|| lit(true));
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?))
}

/// What an aggregate gives for no rows: 0 for a count, NULL for all others.
fn value_of_no_rows(expr: &Expr) -> ScalarValue {
    match expr {
        Expr::Alias(Alias { expr, .. }) => value_of_no_rows(expr),
        Expr::AggregateFunction(call) if matches!(call.func.name(), "count" | "regr_count") => {
            ScalarValue::Int64(Some(0))
        }
        _ => ScalarValue::Null,
    }
}

/// The error of a form that has no plan; its wording is that of the planner for correlated columns.
fn unsupported<T>(what: impl std::fmt::Display) -> std::result::Result<T, DataFusionError> {
    plan_err!("Correlated column is not allowed in {what}")
}
