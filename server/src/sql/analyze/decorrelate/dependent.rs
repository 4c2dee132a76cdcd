//! A subquery's plan for all rows of the query around it at once.
//!
//! What depends on the outer row is computed for a *domain*: the distinct combinations of the outer columns that the
//! subquery refers to. The domain goes down to the leaves, and every operator on the way keeps its columns as keys:
//!
//! ```text
//! Aggregate [] [agg(x)]          Projection x.., keys, coalesce(agg, its value for no rows)
//!   Filter p(inner, outer)   ─▶    LEFT JOIN domain with
//!     inner                          Aggregate [keys] [agg(x)]
//!                                      Filter p(inner, keys)
//!                                        inner x domain
//! ```
//!
//! After Neumann and Kemper, "Unnesting Arbitrary Queries" (BTW 2015).

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result, not_impl_err};
use datafusion::datasource::provider_as_source;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Cast, Sort as SortExpr, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, Join, Limit, LogicalPlan, LogicalPlanBuilder, Operator,
    RecursiveQuery, SubqueryAlias, TableScan, Union, Unnest, Values, WindowFrame, WindowFunctionDefinition,
    binary_expr, lit, when,
};
use datafusion::scalar::ScalarValue;

use super::Names;
use super::references::{bind, depends_on};

/// The outer columns that a subquery refers to, and their distinct combinations.
pub(super) struct Domain<'a> {
    /// The name that the keys are qualified with.
    relation: String,
    /// The outer columns, in the order of the keys.
    columns: Vec<Column>,
    /// Rows of the keys, each once.
    plan: LogicalPlan,
    /// Names of the recursive queries around the plan that is being computed, whose rows so far have the keys too.
    recursive: Vec<String>,
    names: &'a mut Names,
}

impl<'a> Domain<'a> {
    /// The domain of `columns` of `outer`.
    pub(super) fn new(outer: &LogicalPlan, columns: Vec<Column>, names: &'a mut Names) -> Result<Self> {
        let relation = names.next("outer");
        let keys = columns.iter().enumerate();
        let keys = keys.map(|(index, column)| Expr::Column(column.clone()).alias(key_name(&relation, index)));
        let plan = LogicalPlanBuilder::from(outer.clone())
            .project(keys.collect::<Vec<_>>())?
            .distinct()?
            .alias(relation.as_str())?
            .build()?;
        Ok(Self { relation, columns, plan, recursive: Vec::new(), names })
    }

    /// The outer columns, in the order of the keys.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The keys as columns of what [`Self::unnest`] gives.
    pub(super) fn keys(&self) -> Vec<Column> {
        self.keys_of(&self.relation)
    }

    fn keys_of(&self, relation: &str) -> Vec<Column> {
        (0..self.columns.len()).map(|index| Column::new(Some(relation), key_name(relation, index))).collect()
    }

    fn key_exprs(&self) -> Vec<Expr> {
        self.keys().into_iter().map(Expr::Column).collect()
    }

    /// The key that stands for an outer column.
    fn key_of(&self, column: &Column) -> Option<Column> {
        let index = self.columns.iter().position(|known| known == column)?;
        Some(Column::new(Some(self.relation.as_str()), key_name(&self.relation, index)))
    }

    /// The expression over the keys; `own` are the columns that inner subqueries may mean first.
    fn bind(&self, expr: Expr, own: &DFSchema) -> Result<Expr> {
        bind(expr, &|column| self.key_of(column), own)
    }

    /// Likewise, under the name that it had.
    fn bind_named(&self, expr: Expr, own: &DFSchema) -> Result<Expr> {
        let (relation, name) = expr.qualified_name();
        let bound = self.bind(expr.clone(), own)?;
        if bound == expr {
            return Ok(expr);
        }
        Ok(bound.unalias().alias_qualified(relation, name))
    }

    fn depends(&self, plan: &LogicalPlan) -> Result<bool> {
        let reads_rows_so_far = || plan.exists(|node| Ok(self.is_rows_so_far(node)));
        Ok(depends_on(plan, &self.columns)? || !self.recursive.is_empty() && reads_rows_so_far()?)
    }

    /// Whether the plan reads the rows that a recursive query has by then.
    fn is_rows_so_far(&self, plan: &LogicalPlan) -> bool {
        let LogicalPlan::TableScan(scan) = plan else { return false };
        let source = scan.source.downcast_ref::<DefaultTableSource>();
        let table = source.and_then(|source| source.table_provider.downcast_ref::<CteWorkTable>());
        table.is_some_and(|table| self.recursive.iter().any(|name| name == table.name()))
    }

    /// The rows that the plan has for each row of the domain: its own columns, in their order, and then the keys.
    ///
    /// # Errors
    /// [`DataFusionError::NotImplemented`](datafusion::common::DataFusionError::NotImplemented) for a plan that cannot
    /// be computed for many rows at once.
    pub(super) fn unnest(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        if !self.depends(&plan)? {
            return LogicalPlanBuilder::from(plan).cross_join(self.plan.clone())?.build();
        }
        let schema = Arc::clone(plan.schema());
        match plan {
            LogicalPlan::Projection(projection) => {
                let own = Arc::clone(projection.input.schema());
                let input = self.unnest(Arc::unwrap_or_clone(projection.input))?;
                let mut exprs = Vec::with_capacity(projection.expr.len() + self.columns.len());
                for expr in projection.expr {
                    exprs.push(self.bind_named(expr, &own)?);
                }
                exprs.extend(self.key_exprs());
                let projected = LogicalPlanBuilder::from(input).project(exprs)?.build()?;
                super::rewrite(projected, self.names).map(|rewritten| rewritten.data)
            }
            LogicalPlan::Filter(filter) => {
                let own = Arc::clone(filter.input.schema());
                let input = self.unnest(Arc::unwrap_or_clone(filter.input))?;
                let predicate = self.bind(filter.predicate, &own)?;
                let filtered = LogicalPlanBuilder::from(input).filter(predicate)?.build()?;
                super::rewrite(filtered, self.names).map(|rewritten| rewritten.data)
            }
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => {
                let input = self.unnest(Arc::unwrap_or_clone(input))?;
                let aliased = LogicalPlanBuilder::from(input).alias(alias.clone())?.build()?;
                let mut exprs = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
                exprs.extend(self.keys().into_iter().map(|key| {
                    let inner = Column::new(Some(alias.clone()), key.name.clone());
                    Expr::Column(inner).alias_qualified(key.relation, key.name)
                }));
                LogicalPlanBuilder::from(aliased).project(exprs)?.build()
            }
            LogicalPlan::Subquery(subquery) => {
                let columns = subquery.subquery.schema().columns();
                let input = self.unnest(Arc::unwrap_or_clone(subquery.subquery))?;
                self.renamed(input, columns, &schema)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, &schema),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.unnest(Arc::unwrap_or_clone(input))?;
                LogicalPlanBuilder::from(input).distinct()?.build()
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.distinct_on(distinct),
            // Nobody looks at the order but a limit, which takes it from here itself.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.unnest(Arc::unwrap_or_clone(sort.input)),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => {
                let own = Arc::clone(window.input.schema());
                let input = self.unnest(Arc::unwrap_or_clone(window.input))?;
                let mut exprs = Vec::with_capacity(window.window_expr.len());
                for expr in window.window_expr {
                    let (relation, name) = expr.qualified_name();
                    let bound = self.partitioned(self.bind(expr, &own)?.unalias())?;
                    exprs.push(bound.alias_qualified(relation, name));
                }
                let plan = LogicalPlanBuilder::from(input).window(exprs)?.build()?;
                self.renamed(plan, schema.columns(), &schema)
            }
            LogicalPlan::Union(union) => self.union(union, &schema),
            LogicalPlan::Join(join) => self.join(join, &schema),
            LogicalPlan::Unnest(unnest) => {
                let Unnest { input, exec_columns, options, .. } = unnest;
                let input = self.unnest(Arc::unwrap_or_clone(input))?;
                let plan = LogicalPlanBuilder::from(input)
                    .unnest_columns_with_options(exec_columns, options)?
                    .build()?;
                self.renamed(plan, schema.columns(), &schema)
            }
            LogicalPlan::Values(values) => self.values(values, &schema),
            LogicalPlan::RecursiveQuery(query) => self.recursive_query(query, &schema),
            LogicalPlan::TableScan(scan) => self.rows_so_far(&scan, &schema),
            _ => not_impl_err!("Correlated subquery of this form"),
        }
    }

    /// The columns under the names that `schema` gives them, and the keys.
    fn renamed(&self, plan: LogicalPlan, columns: Vec<Column>, schema: &DFSchema) -> Result<LogicalPlan> {
        let columns = columns.into_iter().zip(schema.iter());
        let columns = columns.map(|(column, (qualifier, field))| {
            if column.relation.as_ref() == qualifier && column.name == *field.name() {
                Expr::Column(column)
            } else {
                Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
            }
        });
        let exprs = columns.chain(self.key_exprs()).collect::<Vec<_>>();
        LogicalPlanBuilder::from(plan).project(exprs)?.build()
    }

    /// The same plan with its keys under another name: the plan and that name.
    fn with_other_keys(&mut self, plan: LogicalPlan, own: &DFSchema) -> Result<(LogicalPlan, Vec<Column>)> {
        let relation = self.names.next("outer");
        let others = self.keys_of(&relation);
        let columns = own.columns().into_iter().map(Expr::Column);
        let keys = self.key_exprs().into_iter().zip(&others);
        let keys = keys.map(|(key, other)| key.alias_qualified(other.relation.clone(), other.name.as_str()));
        let plan =
            LogicalPlanBuilder::from(plan).project(columns.chain(keys).collect::<Vec<_>>())?.build()?;
        Ok((plan, others))
    }

    fn aggregate(&mut self, aggregate: Aggregate, schema: &DFSchema) -> Result<LogicalPlan> {
        let own = Arc::clone(aggregate.input.schema());
        let input = self.unnest(Arc::unwrap_or_clone(aggregate.input))?;
        let mut named = schema.iter();
        let mut groups = self.key_exprs();
        let is_plain = !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
        if !is_plain {
            return not_impl_err!("Correlated subquery with grouping sets");
        }
        for (expr, _) in aggregate.group_expr.iter().zip(named.by_ref()) {
            groups.push(self.bind_named(expr.clone(), &own)?);
        }
        let mut values = Vec::with_capacity(aggregate.aggr_expr.len());
        let mut results = Vec::with_capacity(schema.fields().len());
        let is_scalar = aggregate.group_expr.is_empty();
        results.extend(schema.columns().into_iter().take(aggregate.group_expr.len()).map(Expr::Column));
        for (expr, (qualifier, field)) in aggregate.aggr_expr.into_iter().zip(named) {
            let bound = self.bind_named(expr, &own)?;
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let default = match bound.clone().unalias() {
                Expr::AggregateFunction(call) => call.func.default_value(field.data_type())?,
                _ => ScalarValue::Null,
            };
            results.push(if is_scalar && !default.is_null() {
                when(column.clone().is_null(), Expr::Literal(default, None))
                    .otherwise(column)?
                    .alias_qualified(qualifier.cloned(), field.name())
            } else {
                column
            });
            values.push(bound);
        }
        let grouped = LogicalPlanBuilder::from(input).aggregate(groups, values)?.build()?;
        let grouped = super::rewrite(grouped, self.names)?.data;
        results.extend(self.key_exprs());
        if !is_scalar {
            return LogicalPlanBuilder::from(grouped).project(results)?.build();
        }
        // Without groups there is one row even over no rows.
        let (grouped, others) = self.with_other_keys(grouped, schema)?;
        LogicalPlanBuilder::from(self.plan.clone())
            .join_detailed(
                grouped,
                JoinType::Left,
                (self.keys(), others),
                None,
                NullEquality::NullEqualsNull,
            )?
            .project(results)?
            .build()
    }

    fn distinct_on(&mut self, distinct: DistinctOn) -> Result<LogicalPlan> {
        let DistinctOn { on_expr, select_expr, sort_expr, input, .. } = distinct;
        let own = Arc::clone(input.schema());
        let input = self.unnest(Arc::unwrap_or_clone(input))?;
        let mut on = self.key_exprs();
        for expr in on_expr {
            on.push(self.bind(expr, &own)?);
        }
        let mut select = Vec::with_capacity(select_expr.len() + self.columns.len());
        for expr in select_expr {
            select.push(self.bind_named(expr, &own)?);
        }
        select.extend(self.key_exprs());
        let sort = sort_expr.map(|sort| {
            let mut keys = self.key_exprs().into_iter().map(|key| key.sort(true, false)).collect::<Vec<_>>();
            for key in sort {
                keys.push(SortExpr { expr: self.bind(key.expr, &own)?, ..key });
            }
            Ok::<_, datafusion::error::DataFusionError>(keys)
        });
        LogicalPlanBuilder::from(input).distinct_on(on, select, sort.transpose()?)?.build()
    }

    /// A limit for each row of the domain: a filter over the rows' numbers.
    fn limit(&mut self, limit: Limit) -> Result<LogicalPlan> {
        let Limit { skip, fetch, input } = limit;
        let schema = Arc::clone(input.schema());
        match Arc::unwrap_or_clone(input) {
            // What renames and computes rows leaves their order and number alone.
            LogicalPlan::Projection(mut projection) => {
                projection.input =
                    Arc::new(LogicalPlan::Limit(Limit { skip, fetch, input: projection.input }));
                self.unnest(LogicalPlan::Projection(projection))
            }
            LogicalPlan::SubqueryAlias(mut alias) => {
                alias.input = Arc::new(LogicalPlan::Limit(Limit { skip, fetch, input: alias.input }));
                self.unnest(LogicalPlan::SubqueryAlias(alias))
            }
            LogicalPlan::Sort(sort) => {
                let own = Arc::clone(sort.input.schema());
                let input = self.unnest(Arc::unwrap_or_clone(sort.input))?;
                let mut keys = Vec::with_capacity(sort.expr.len());
                for key in sort.expr {
                    keys.push(SortExpr { expr: self.bind(key.expr, &own)?, ..key });
                }
                self.numbered(input, keys, skip, fetch, &schema)
            }
            input => {
                let input = self.unnest(input)?;
                self.numbered(input, Vec::new(), skip, fetch, &schema)
            }
        }
    }

    fn numbered(
        &mut self,
        input: LogicalPlan,
        order_by: Vec<SortExpr>,
        skip: Option<Box<Expr>>,
        fetch: Option<Box<Expr>>,
        schema: &DFSchema,
    ) -> Result<LogicalPlan> {
        let name = self.names.next("number");
        let number = Expr::from(WindowFunction {
            fun: WindowFunctionDefinition::WindowUDF(row_number_udwf()),
            params: WindowFunctionParams {
                args: Vec::new(),
                partition_by: self.key_exprs(),
                order_by,
                window_frame: WindowFrame::new(None),
                filter: None,
                null_treatment: None,
                distinct: false,
            },
        });
        let column = || {
            let column = Expr::Column(Column::from_name(name.as_str()));
            Expr::Cast(Cast::new(Box::new(column), DataType::Int64))
        };
        let mut plan = LogicalPlanBuilder::from(input).window(vec![number.alias(name.as_str())])?;
        let skip = skip.map(|skip| self.bind(*skip, schema)).transpose()?;
        let fetch = fetch.map(|fetch| self.bind(*fetch, schema)).transpose()?;
        if let Some(skip) = &skip {
            plan = plan.filter(column().gt(skip.clone()))?;
        }
        if let Some(fetch) =
            fetch.filter(|fetch| !matches!(fetch, Expr::Literal(value, _) if value.is_null()))
        {
            let before = match skip {
                Some(skip) => binary_expr(column(), Operator::Minus, skip),
                None => column(),
            };
            plan = plan.filter(before.lt_eq(fetch))?;
        }
        let plan = plan.build()?;
        self.renamed(plan, schema.columns(), schema)
    }

    /// A window function that also divides its rows by the keys.
    fn partitioned(&self, expr: Expr) -> Result<Expr> {
        let Expr::WindowFunction(mut call) = expr else {
            return not_impl_err!("Correlated subquery with this window function");
        };
        let mut partition_by = self.key_exprs();
        partition_by.append(&mut call.params.partition_by);
        call.params.partition_by = partition_by;
        Ok(Expr::WindowFunction(call))
    }

    fn union(&mut self, union: Union, schema: &DFSchema) -> Result<LogicalPlan> {
        let mut all: Option<LogicalPlanBuilder> = None;
        for input in union.inputs {
            let columns = input.schema().columns();
            let input = self.unnest(Arc::unwrap_or_clone(input))?;
            let input = self.renamed(input, columns, schema)?;
            all = Some(match all {
                None => LogicalPlanBuilder::from(input),
                Some(before) => before.union(input)?,
            });
        }
        match all {
            Some(all) => {
                // By place: a union may forget what its columns were qualified with.
                let all = all.build()?;
                let columns = all
                    .schema()
                    .columns()
                    .into_iter()
                    .zip(schema.iter().map(|(q, f)| (q.cloned(), f.name().clone())));
                let own = columns
                    .map(|(column, (qualifier, name))| Expr::Column(column).alias_qualified(qualifier, name));
                let keys = all.schema().columns().into_iter().skip(schema.fields().len()).zip(self.keys());
                let keys =
                    keys.map(|(column, key)| Expr::Column(column).alias_qualified(key.relation, key.name));
                let exprs = own.chain(keys).collect::<Vec<_>>();
                LogicalPlanBuilder::from(all).project(exprs)?.build()
            }
            None => not_impl_err!("Union of nothing"),
        }
    }

    /// A recursive query whose rows carry the keys, its own rows so far too.
    fn recursive_query(&mut self, query: RecursiveQuery, schema: &DFSchema) -> Result<LogicalPlan> {
        let RecursiveQuery { name, static_term, recursive_term, is_distinct, .. } = query;
        let first = self.unnest(Arc::unwrap_or_clone(static_term))?;
        let first = self.unqualified(first, schema)?;
        self.recursive.push(name.clone());
        let next = self.unnest(Arc::unwrap_or_clone(recursive_term));
        self.recursive.pop();
        let next = self.unqualified(next?, schema)?;
        let plan = LogicalPlanBuilder::from(first).to_recursive_query(name, next, is_distinct)?.build()?;
        let columns = plan.schema().columns();
        let own = columns.iter().cloned().zip(schema.iter());
        let own = own.map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
        let keys = columns.iter().cloned().skip(schema.fields().len()).zip(self.keys());
        let keys = keys.map(|(column, key)| Expr::Column(column).alias_qualified(key.relation, key.name));
        let exprs = own.chain(keys).collect::<Vec<_>>();
        LogicalPlanBuilder::from(plan).project(exprs)?.build()
    }

    /// The columns by the names of `schema` and the keys, all without qualifiers.
    fn unqualified(&self, plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
        let own = plan.schema().columns().into_iter().zip(schema.fields());
        let own = own.map(|(column, field)| Expr::Column(column).alias(field.name()));
        let keys = self.keys().into_iter().map(|key| {
            let name = key.name.clone();
            Expr::Column(key).alias(name)
        });
        let exprs = own.chain(keys).collect::<Vec<_>>();
        LogicalPlanBuilder::from(plan).project(exprs)?.build()
    }

    /// What a recursive query has by then, with the keys.
    fn rows_so_far(&self, scan: &TableScan, schema: &DFSchema) -> Result<LogicalPlan> {
        let own = scan.source.schema();
        let keys =
            self.plan.schema().fields().iter().map(|key| Arc::new(key.as_ref().clone().with_nullable(true)));
        let fields = own.fields().iter().cloned().chain(keys).collect::<Vec<_>>();
        let Some(name) = self.recursive.last() else {
            return not_impl_err!("Correlated subquery of this form");
        };
        let table = CteWorkTable::new(name, Arc::new(Schema::new(fields)));
        let source = provider_as_source(Arc::new(table));
        let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
        let mut exprs = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        exprs.extend(self.keys().into_iter().map(|key| {
            let scanned = Column::new(Some(scan.table_name.clone()), key.name.clone());
            Expr::Column(scanned).alias_qualified(key.relation, key.name)
        }));
        let plan = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        match scan.filters.iter().cloned().reduce(Expr::and) {
            Some(filter) => LogicalPlanBuilder::from(plan).filter(filter)?.build(),
            None => Ok(plan),
        }
    }

    fn values(&mut self, values: Values, schema: &DFSchema) -> Result<LogicalPlan> {
        let mut rows = Vec::with_capacity(values.values.len());
        for row in values.values {
            let mut exprs = Vec::with_capacity(row.len() + self.columns.len());
            for (expr, (qualifier, field)) in row.into_iter().zip(schema.iter()) {
                let bound = self.bind(expr, &DFSchema::empty())?.unalias();
                exprs.push(bound.alias_qualified(qualifier.cloned(), field.name()));
            }
            exprs.extend(self.key_exprs());
            rows.push(Arc::new(LogicalPlanBuilder::from(self.plan.clone()).project(exprs)?.build()?));
        }
        if rows.len() == 1
            && let Some(row) = rows.pop()
        {
            return Ok(Arc::unwrap_or_clone(row));
        }
        let union = LogicalPlan::Union(Union::try_new_with_loose_types(rows)?);
        let columns = union.schema().columns();
        let own = columns.iter().cloned().zip(schema.iter());
        let own = own.map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
        let keys = columns.iter().cloned().skip(schema.fields().len()).zip(self.keys());
        let keys = keys.map(|(column, key)| Expr::Column(column).alias_qualified(key.relation, key.name));
        let exprs = own.chain(keys).collect::<Vec<_>>();
        LogicalPlanBuilder::from(union).project(exprs)?.build()
    }

    fn join(&mut self, join: Join, schema: &DFSchema) -> Result<LogicalPlan> {
        if super::lateral(&join.right).is_some() {
            // Its right side depends on the left one too, so that it has to become a plain join first.
            let joined = super::join_lateral(join, self.names)?;
            return self.unnest(joined);
        }
        let Join { left, right, on, filter, join_type, null_equality, null_aware, .. } = join;
        if null_aware || join_type == JoinType::Full {
            return not_impl_err!("Correlated subquery over this join");
        }
        let (left, right) = (Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right));
        let own = left.schema().join(right.schema()).unwrap_or_else(|_| schema.clone());
        // One kind of equality holds for all pairs of a join: the keys' is that NULL equals NULL.
        let mut conditions = Vec::with_capacity(on.len() + 1);
        for (left, right) in on {
            let equal = match null_equality {
                NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
                NullEquality::NullEqualsNothing => Operator::Eq,
            };
            conditions.push(self.bind(binary_expr(left, equal, right), &own)?);
        }
        if let Some(filter) = filter {
            conditions.push(self.bind(filter, &own)?);
        }
        let condition = conditions.into_iter().reduce(Expr::and);
        let (left_own, right_own) = (Arc::clone(left.schema()), Arc::clone(right.schema()));
        let (left_depends, right_depends) = (self.depends(&left)?, self.depends(&right)?);
        // The side whose rows are kept has to carry the keys; for an inner join either can.
        let keeps_right = matches!(
            join_type,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
        ) || join_type == JoinType::Inner && right_depends && !left_depends;
        let pairs;
        let (left, right) = if keeps_right {
            let right = self.unnest(right)?;
            if left_depends {
                let left = self.unnest(left)?;
                let (left, others) = self.with_other_keys(left, &left_own)?;
                pairs = Some((others, self.keys()));
                (left, right)
            } else {
                pairs = None;
                (left, right)
            }
        } else {
            let left = self.unnest(left)?;
            if right_depends {
                let right = self.unnest(right)?;
                let (right, others) = self.with_other_keys(right, &right_own)?;
                pairs = Some((self.keys(), others));
                (left, right)
            } else {
                pairs = None;
                (left, right)
            }
        };
        let (left_keys, right_keys) = pairs.unwrap_or_default();
        let joined = if left_keys.is_empty() {
            let condition = condition.unwrap_or_else(|| lit(true));
            LogicalPlanBuilder::from(left).join_on(right, join_type, Some(condition))?.build()?
        } else {
            LogicalPlanBuilder::from(left)
                .join_detailed(
                    right,
                    join_type,
                    (left_keys, right_keys),
                    condition,
                    NullEquality::NullEqualsNull,
                )?
                .build()?
        };
        let joined = super::rewrite(joined, self.names)?.data;
        self.renamed(joined, schema.columns(), schema)
    }
}

/// Names of keys differ from domain to domain, so that they tell themselves apart without a qualifier too.
fn key_name(relation: &str, index: usize) -> String {
    format!("{relation}_key_{index}")
}

/// Puts `project` around a plan whose columns outgrew those of `schema`.
pub(super) fn with_columns_of(plan: LogicalPlan, schema: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(Transformed::yes(plan));
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(columns)?.build().map(Transformed::yes)
}
