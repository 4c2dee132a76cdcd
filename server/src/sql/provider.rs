//! What the planner can ask for: relations, functions, settings, under PostgreSQL's rules of naming.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::catalog::{Session, TableFunctionArgs, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Constraint, Constraints, DFSchema, Result, TableReference};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TableSource, TableType, Volatility, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::undefined_function;

use super::SessionFacts;
use super::aggregates::Typed;
use super::joins::UsingJoins;
use super::operators::Operators;
use super::types::PgTypes;
use crate::catalogue::{ConstraintKind, TEMPORARY_SCHEMA, View, is_temporary_schema};
use crate::error::PgError;

/// The relations that one statement names, looked up before it is planned.
pub struct Relations<'a> {
    state: &'a SessionState,
    planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    types: Arc<dyn TypePlanner>,
    found: HashMap<TableReference, Arc<dyn TableSource>>,
}

impl fmt::Debug for Relations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relations").field("found", &self.found.keys()).finish_non_exhaustive()
    }
}

impl<'a> Relations<'a> {
    /// Looks up `names`; a bare name is sought in `pg_catalog` and then along the search path. `with_keys`: the planner
    /// sees primary keys, and [`without_keys`] is to be called on the plan.
    ///
    /// # Errors
    /// Whatever a catalogue says; a name that nothing has is an error only when the planner asks for it.
    pub async fn look_up(
        state: &'a SessionState,
        names: &[TableReference],
        facts: &SessionFacts,
        with_keys: bool,
    ) -> Result<Relations<'a>, PgError> {
        let mut found = HashMap::new();
        for name in names {
            let own = facts.temporary_schema.as_deref();
            let candidates: Vec<TableReference> = match (name, own) {
                (TableReference::Bare { table }, own) => own
                    .into_iter()
                    .chain(std::iter::once("pg_catalog"))
                    .chain(facts.search_path.iter().map(String::as_str))
                    .map(|schema| TableReference::partial(schema, table.as_ref()))
                    .collect(),
                (TableReference::Partial { schema, table }, Some(own)) if **schema == *TEMPORARY_SCHEMA => {
                    vec![TableReference::partial(own, table.as_ref())]
                }
                (qualified, _) => vec![qualified.clone()],
            };
            for candidate in candidates {
                let Ok(schema) = state.schema_for_ref(candidate.clone()) else { continue };
                let table = schema.table(candidate.table()).await;
                if let Some(table) = table.map_err(|error| PgError::from_datafusion(error, None))? {
                    let table = match table.downcast_ref::<ViewRelation>() {
                        Some(view) => Box::pin(view.expand(state, facts)).await?,
                        None => table,
                    };
                    let source = provider_as_source(table);
                    let source = if with_keys { Keyed::of(source, &candidate, facts) } else { source };
                    found.insert(name.clone(), source);
                    break;
                }
            }
        }
        let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(Operators)];
        planners.extend(state.expr_planners().iter().cloned());
        let mut relation_planners: Vec<Arc<dyn RelationPlanner>> = vec![Arc::new(UsingJoins)];
        relation_planners.extend(state.relation_planners().iter().cloned());
        Ok(Self { state, planners, relation_planners, types: Arc::new(PgTypes), found })
    }
}

/// A table whose primary key the planner sees, so that it knows what depends on it.
struct Keyed {
    table: Arc<dyn TableSource>,
    constraints: Constraints,
}

impl Keyed {
    fn of(table: Arc<dyn TableSource>, name: &TableReference, facts: &SessionFacts) -> Arc<dyn TableSource> {
        let found = facts.catalogue.as_ref().zip(name.schema());
        let found = found.and_then(|(catalogue, schema)| catalogue.table(schema, name.table()).cloned());
        let Some(definition) = found else { return table };
        let key = definition.constraints.iter().find(|known| known.kind == ConstraintKind::PrimaryKey);
        let position = |number: &u32| definition.columns.iter().position(|column| column.number == *number);
        match key.map(|key| key.columns.iter().map(position).collect::<Option<Vec<_>>>()) {
            Some(Some(key)) if !key.is_empty() => {
                let constraints = Constraints::new_unverified(vec![Constraint::PrimaryKey(key)]);
                Arc::new(Self { table, constraints })
            }
            _ => table,
        }
    }
}

impl TableSource for Keyed {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }
}

/// The plan with the tables themselves in place of those whose keys the planner saw.
///
/// # Errors
/// Those of walking a plan.
pub(super) fn without_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    let bare = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => match scan.source.downcast_ref::<Keyed>() {
            Some(keyed) => {
                scan.source = Arc::clone(&keyed.table);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(bare.data)
}

/// A view before its query is put in its place.
#[derive(Debug)]
pub struct ViewRelation {
    view: Arc<View>,
    schema: SchemaRef,
}

impl ViewRelation {
    /// The relation of a view.
    pub fn new(view: Arc<View>) -> Self {
        let fields = view.columns.iter().map(|(name, pg_type)| pg_type.field(name, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { view, schema }
    }

    /// The view's query as a relation with the view's columns. It is planned where the view was created: with the
    /// search path of then.
    async fn expand(
        &self,
        state: &SessionState,
        facts: &SessionFacts,
    ) -> Result<Arc<dyn TableProvider>, PgError> {
        let wrong = |error| PgError::from_datafusion(error, None);
        let view = &self.view;
        // One for everybody does not read what is the session's own, whatever its name.
        let own = facts.temporary_schema.clone().filter(|_| is_temporary_schema(&view.schema));
        let facts =
            SessionFacts { search_path: view.search_path.clone(), temporary_schema: own, ..facts.clone() };
        let mut statements = super::parse(&view.query)?;
        let Some(statement) = statements.pop() else {
            return Err(PgError::new(ErrorKind::Internal, format!("view {} has no query", view.name)));
        };
        let planned = super::plan_query(state, &facts, &statement, &[]).await?;
        let columns = planned.plan.schema().columns();
        let named = columns
            .into_iter()
            .zip(&view.columns)
            .map(|(column, (name, _))| Expr::Column(column).alias(name));
        let plan = LogicalPlanBuilder::from(planned.plan.clone()).project(named).map_err(wrong)?;
        let plan = plan.build().map_err(wrong)?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.query.clone()))))
    }
}

#[async_trait]
impl TableProvider for ViewRelation {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(ExecError::new(ErrorKind::Internal, "a view was planned without its query").into())
    }
}

impl ContextProvider for Relations<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.found.get(&name).cloned().ok_or_else(|| {
            let shown = match &name {
                TableReference::Bare { table } => table.to_string(),
                TableReference::Partial { schema, table } => format!("{schema}.{table}"),
                TableReference::Full { catalog, schema, table } => format!("{catalog}.{schema}.{table}"),
            };
            ExecError::new(ErrorKind::UndefinedTable, format!("relation \"{shown}\" does not exist")).into()
        })
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let bare = name.strip_prefix("pg_catalog.").unwrap_or(name);
        let Some(function) = self.state.table_functions().get(bare) else {
            let schema = DFSchema::empty();
            let types: Vec<DataType> = args
                .iter()
                .map(|arg| {
                    datafusion::logical_expr::ExprSchemable::get_type(arg, &schema).unwrap_or(DataType::Null)
                })
                .collect();
            return Err(undefined_function(bare, &types));
        };
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|arg| simplifier.simplify(arg)))
            .map(|arg| arg.map(widened))
            .collect::<Result<Vec<_>>>()?;
        let session: &dyn Session = self.state;
        Ok(provider_as_source(
            function.create_table_provider_with_args(TableFunctionArgs::new(&args, session))?,
        ))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let known = self.state.scalar_functions().get(name).cloned();
        // What is no function of any kind is one that says so, in terms of its arguments' types.
        known.or_else(|| {
            let other = self.state.aggregate_functions().contains_key(name)
                || self.state.window_functions().contains_key(name)
                || self.state.higher_order_functions().contains_key(name)
                || matches!(name, "unnest" | "grouping" | "struct" | "map" | "make_map");
            (!other).then(|| Arc::new(ScalarUDF::new_from_impl(Missing::new(name))))
        })
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        match Typed::of(name) {
            Some(typed) => Some(typed.function()),
            None => self.state.aggregate_functions().get(name).cloned(),
        }
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// A whole number as a bigint, in which DataFusion's table functions count.
fn widened(expr: Expr) -> Expr {
    match &expr {
        Expr::Literal(value, None) if value.data_type().is_integer() => match value.cast_to(&DataType::Int64)
        {
            Ok(value) => Expr::Literal(value, None),
            Err(_) => expr,
        },
        _ => expr,
    }
}

/// A function that does not exist: 42883 with the types of its arguments.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Missing {
    name: String,
    signature: Signature,
}

impl Missing {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), signature: Signature::user_defined(Volatility::Volatile) }
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Err(undefined_function(&self.name, arg_types))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Err(undefined_function(&self.name, arg_types))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(undefined_function(&self.name, &[]))
    }
}
