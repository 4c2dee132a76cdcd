//! `sum` and `avg` of [`aggregates`](crate::sql::aggregates) become DataFusion's own over casts.
//!
//! | typed | computed |
//! |---|---|
//! | `sum(int)` | `sum(int::bigint)` |
//! | `sum(bigint)` | `sum(bigint::numeric(20,0))` |
//! | `sum(real)` | `sum(real::double)::real` |
//! | `avg(int or numeric)` | `average(sum(...), count(...), scale)` |
//! | `avg(float)` | `avg(float::double)` |
//! | `avg(interval)` | `sum(...) / count(...)` |
//! | `var_samp(int or numeric)` and its like | `exact_variance(sum(x), sum(x * x), count(x), which)` |
//! | `var_samp(float)` and its like | DataFusion's own |
//! | `minmax(x)` | `extremes_record(min(x), max(x))`, of a float where it is finite |
//! | `bool_or`, `bool_and` over a frame that begins at a row | `max`, `min`, which can forget rows |
//!
//! What keeps values (`array_agg`, `min`, `max`) keeps PostgreSQL's name for their type.
//!
//! A call of [`named_apart`] gave an aggregate a name of its own, and ends here.
//!
//! The aggregate, or the window, is computed under a projection that gives the results their names.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Cast, ScalarFunction, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Projection, Window, WindowFrame,
    WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::apart::named_apart;
use quickdb_executor::functions::arithmetic::Arithmetic;
use quickdb_executor::functions::average::{average_scale, average_udf};
use quickdb_executor::functions::finite::{extremes_record_udf, finite_or_null_udf};
use quickdb_executor::functions::nan::positive_nan_udf;
use quickdb_executor::functions::type_names::PG_TYPE_KEY;
use quickdb_executor::functions::variance::{Variance, exact_variance_udf};

use super::type_names::name_of;
use crate::sql::aggregates::{Typed, result_type, summed_as};

/// Replaces typed aggregates; runs after type coercion.
#[derive(Debug)]
pub struct LowerAggregates;

impl AnalyzerRule for LowerAggregates {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Aggregate(aggregate)
                if aggregate.aggr_expr.iter().any(|expr| has_typed(expr, aggregate.input.schema())) =>
            {
                lower_aggregate(aggregate).map(Transformed::yes)
            }
            LogicalPlan::Window(window)
                if window.window_expr.iter().any(|expr| has_typed(expr, window.input.schema())) =>
            {
                lower_window(window).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "lower_aggregates"
    }
}

fn typed(function: &AggregateUDF) -> Option<Typed> {
    Typed::of_function(function)
}

fn has_typed(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            Expr::AggregateFunction(call) => {
                typed(&call.func).is_some()
                    || call.params.args.iter().any(|arg| named_apart(arg).is_some())
                    || kept_name(&call.func, &call.params.args, schema)?.is_some()
            }
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    typed(function).is_some()
                        || kept_name(function, &call.params.args, schema)?.is_some()
                        || cannot_forget(function, &call.params.window_frame).is_some()
                        || call.params.args.iter().any(|arg| named_apart(arg).is_some())
                }
                WindowFunctionDefinition::WindowUDF(_) => false,
            },
            _ => false,
        })
    })
    .unwrap_or(false)
}

fn lower_aggregate(aggregate: Aggregate) -> Result<LogicalPlan> {
    let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
    let mut parts = Parts::default();
    let groups = schema.fields().len().saturating_sub(aggr_expr.len());
    let input_schema = Arc::clone(input.schema());
    let lowered: Vec<Expr> =
        aggr_expr.into_iter().map(|expr| parts.lower(expr, &input_schema)).collect::<Result<_>>()?;
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(input, group_expr, parts.computed)?);
    named(plan, &schema, groups, lowered)
}

fn lower_window(window: Window) -> Result<LogicalPlan> {
    let Window { input, window_expr, schema } = window;
    let mut parts = Parts::default();
    let kept = input.schema().fields().len();
    let input_schema = Arc::clone(input.schema());
    let lowered: Vec<Expr> =
        window_expr.into_iter().map(|expr| parts.lower(expr, &input_schema)).collect::<Result<_>>()?;
    let plan = LogicalPlan::Window(Window::try_new(parts.computed, input)?);
    named(plan, &schema, kept, lowered)
}

/// A projection with the fields of `schema`: the first `kept` as they are, the others computed by `lowered`.
fn named(plan: LogicalPlan, schema: &DFSchema, kept: usize, lowered: Vec<Expr>) -> Result<LogicalPlan> {
    let columns = schema.iter().take(kept).map(|(qualifier, field)| Expr::from((qualifier, field)));
    let results = schema
        .iter()
        .skip(kept)
        .zip(lowered)
        .map(|((qualifier, field), expr)| expr.alias_qualified(qualifier.cloned(), field.name().clone()));
    let exprs: Vec<Expr> = columns.chain(results).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}

/// The aggregates to compute, each once.
#[derive(Default)]
struct Parts {
    computed: Vec<Expr>,
}

impl Parts {
    /// The expression over computed aggregates that stands for `expr`.
    fn lower(&mut self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        match expr {
            Expr::Alias(alias) => self.lower(*alias.expr, schema),
            Expr::AggregateFunction(AggregateFunction { func, params }) => match typed(&func) {
                Some(kind) => {
                    let argument = bare(only_argument(&params.args)?);
                    let build = |func: Arc<AggregateUDF>, argument: Expr| {
                        let params = AggregateFunctionParams { args: vec![argument], ..params.clone() };
                        Expr::AggregateFunction(AggregateFunction { func, params })
                    };
                    self.combine(kind, argument, params.distinct, schema, build)
                }
                None => {
                    let name = kept_name(&func, &params.args, schema)?;
                    let call = Expr::AggregateFunction(AggregateFunction { func, params });
                    let data_type = call.get_type(schema)?;
                    Ok(under_name(self.compute(call), data_type, name))
                }
            },
            Expr::WindowFunction(call) => {
                let WindowFunction { fun, params } = *call;
                let kind = match &fun {
                    WindowFunctionDefinition::AggregateUDF(function) => typed(function),
                    WindowFunctionDefinition::WindowUDF(_) => None,
                };
                match kind {
                    Some(kind) => {
                        let argument = bare(only_argument(&params.args)?);
                        let build = |func: Arc<AggregateUDF>, argument: Expr| {
                            let params = WindowFunctionParams { args: vec![argument], ..params.clone() };
                            let fun = WindowFunctionDefinition::AggregateUDF(func);
                            Expr::WindowFunction(Box::new(WindowFunction { fun, params }))
                        };
                        self.combine(kind, argument, params.distinct, schema, build)
                    }
                    None => {
                        let args = params.args.iter().map(bare).collect();
                        let params = WindowFunctionParams { args, ..params };
                        let fun = forgetting(fun, &params.window_frame);
                        let name = match &fun {
                            WindowFunctionDefinition::AggregateUDF(function) => {
                                kept_name(function, &params.args, schema)?
                            }
                            WindowFunctionDefinition::WindowUDF(_) => None,
                        };
                        let call = Expr::WindowFunction(Box::new(WindowFunction { fun, params }));
                        let data_type = call.get_type(schema)?;
                        Ok(under_name(self.compute(call), data_type, name))
                    }
                }
            }
            other => Ok(self.compute(other)),
        }
    }

    fn combine(
        &mut self,
        kind: Typed,
        argument: Expr,
        distinct: bool,
        schema: &DFSchema,
        build: impl Fn(Arc<AggregateUDF>, Expr) -> Expr,
    ) -> Result<Expr> {
        let input = argument.get_type(schema)?;
        let summed = summed_as(&input, kind);
        let widened = if summed == input { argument.clone() } else { cast(argument.clone(), &summed) };
        match (kind, &input) {
            (Typed::Extremes, _) => {
                let finite = if matches!(input, DataType::Float32 | DataType::Float64) {
                    Expr::ScalarFunction(ScalarFunction::new_udf(finite_or_null_udf(), vec![argument]))
                } else {
                    argument
                };
                let least = self.compute(build(min_udaf(), finite.clone()));
                let greatest = self.compute(build(max_udaf(), finite));
                let record = ScalarFunction::new_udf(extremes_record_udf(), vec![least, greatest]);
                Ok(Expr::ScalarFunction(record))
            }
            (Typed::Sum, DataType::Float32) => {
                let sum = self.compute(build(sum_udaf(), widened));
                Ok(cast(one_nan(sum), &DataType::Float32))
            }
            (Typed::Sum, DataType::Float64) => Ok(one_nan(self.compute(build(sum_udaf(), widened)))),
            (Typed::Sum, _) => Ok(self.compute(build(sum_udaf(), widened))),
            (Typed::Avg, DataType::Float32 | DataType::Float64) => {
                Ok(one_nan(self.compute(build(avg_udaf(), widened))))
            }
            (Typed::Avg, DataType::Interval(_)) => {
                let sum = self.compute(build(sum_udaf(), widened));
                let count = self.compute(build(count_udaf(), argument));
                let divide = Arithmetic::Divide.udf();
                Ok(Expr::ScalarFunction(ScalarFunction::new_udf(
                    divide,
                    vec![sum, cast(count, &DataType::Float64)],
                )))
            }
            (Typed::Variance(variance), DataType::Float32 | DataType::Float64) => {
                Ok(self.compute(build(float_variance(variance), widened)))
            }
            (Typed::Variance(variance), _) => {
                let base = match &input {
                    DataType::Int64 => cast(argument.clone(), &DataType::Decimal128(19, 0)),
                    DataType::Decimal128(..) => argument.clone(),
                    _ => cast(argument.clone(), &DataType::Int64),
                };
                let square = Expr::ScalarFunction(ScalarFunction::new_udf(
                    Arithmetic::Multiply.udf(),
                    vec![base.clone(), base],
                ));
                let square_type = square.get_type(schema)?;
                let exact = match (&input, &square_type) {
                    (DataType::Decimal128(_, scale), DataType::Decimal128(_, square_scale)) => {
                        i16::from(*square_scale) == 2 * i16::from(*scale)
                    }
                    _ => true,
                };
                if !exact || distinct {
                    let float = cast(argument, &DataType::Float64);
                    let computed = self.compute(build(float_variance(variance), float));
                    return Ok(cast(computed, &result_type(&input, kind)));
                }
                let squares = match square_type {
                    DataType::Int64 => cast(square, &DataType::Decimal128(20, 0)),
                    _ => square,
                };
                let sum = self.compute(build(sum_udaf(), widened));
                let squares = self.compute(build(sum_udaf(), squares));
                let count = self.compute(build(count_udaf(), argument));
                let sum = match result_type(&summed, Typed::Sum) {
                    DataType::Int64 => cast(sum, &DataType::Decimal128(20, 0)),
                    _ => sum,
                };
                let which = Expr::Literal(ScalarValue::Int64(Some(variance.number())), None);
                let call = ScalarFunction::new_udf(exact_variance_udf(), vec![sum, squares, count, which]);
                Ok(Expr::ScalarFunction(call))
            }
            (Typed::Avg, _) => {
                let sum = self.compute(build(sum_udaf(), widened));
                let count = self.compute(build(count_udaf(), argument));
                let scale = Expr::Literal(ScalarValue::Int64(Some(i64::from(average_scale(&input)))), None);
                let sum = match result_type(&summed, Typed::Sum) {
                    DataType::Int64 => cast(sum, &DataType::Decimal128(20, 0)),
                    _ => sum,
                };
                Ok(Expr::ScalarFunction(ScalarFunction::new_udf(average_udf(), vec![sum, count, scale])))
            }
        }
    }

    /// The column of an aggregate, computed once; under a name of its own where another has the same.
    fn compute(&mut self, expr: Expr) -> Expr {
        let known = self.computed.iter().find(|known| bare_alias(known) == &expr);
        let name = match known {
            Some(known) => known.schema_name().to_string(),
            None => {
                let name = expr.schema_name().to_string();
                let taken = self.computed.iter().any(|known| known.schema_name().to_string() == name);
                if taken {
                    let name = format!("__aggregate_{}", self.computed.len());
                    self.computed.push(expr.alias(name.clone()));
                    name
                } else {
                    self.computed.push(expr);
                    name
                }
            }
        };
        Expr::Column(Column::from_name(name))
    }
}

/// PostgreSQL's name for the type of what an aggregate keeps of its argument, where arrow's type does not say it.
fn kept_name(function: &AggregateUDF, args: &[Expr], schema: &DFSchema) -> Result<Option<String>> {
    let [arg] = args else { return Ok(None) };
    let is_array = match function.name() {
        "array_agg" => true,
        "min" | "max" => false,
        _ => return Ok(None),
    };
    let name = name_of(arg, schema)?;
    Ok(if is_array {
        name.map(|name| format!("{name}[]"))
    } else {
        // PostgreSQL's of these two are those of text.
        name.filter(|name| name != "varchar" && name != "name")
    })
}

/// A column under PostgreSQL's name for its type.
fn under_name(column: Expr, data_type: DataType, name: Option<String>) -> Expr {
    let Some(name) = name else { return column };
    let field = Field::new("", data_type, true).with_metadata([(PG_TYPE_KEY.to_owned(), name)].into());
    Expr::Cast(Cast { expr: Box::new(column), field: Arc::new(field) })
}

fn bare_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => &alias.expr,
        other => other,
    }
}

/// An argument without the call that named it apart.
fn bare(expr: &Expr) -> Expr {
    match expr {
        Expr::Cast(Cast { expr, field }) if named_apart(expr).is_some() => {
            Expr::Cast(Cast { expr: Box::new(bare(expr)), field: Arc::clone(field) })
        }
        expr => named_apart(expr).unwrap_or(expr).clone(),
    }
}

fn float_variance(variance: Variance) -> Arc<AggregateUDF> {
    match variance {
        Variance::Sample => var_samp_udaf(),
        Variance::Population => var_pop_udaf(),
        Variance::SampleDeviation => stddev_udaf(),
        Variance::PopulationDeviation => stddev_pop_udaf(),
    }
}

/// The aggregate that gives the same over a frame whose first rows are forgotten again.
fn cannot_forget(function: &AggregateUDF, frame: &WindowFrame) -> Option<Arc<AggregateUDF>> {
    if frame.start_bound.is_unbounded() {
        return None;
    }
    match function.name() {
        "bool_or" => Some(max_udaf()),
        "bool_and" => Some(min_udaf()),
        _ => None,
    }
}

fn forgetting(fun: WindowFunctionDefinition, frame: &WindowFrame) -> WindowFunctionDefinition {
    match &fun {
        WindowFunctionDefinition::AggregateUDF(function) => match cannot_forget(function, frame) {
            Some(other) => WindowFunctionDefinition::AggregateUDF(other),
            None => fun,
        },
        WindowFunctionDefinition::WindowUDF(_) => fun,
    }
}

fn cast(expr: Expr, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expr), to.clone()))
}

/// A float aggregate with the one NaN that sorts after all numbers.
fn one_nan(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(positive_nan_udf(), vec![expr]))
}

fn only_argument(args: &[Expr]) -> Result<&Expr> {
    args.first().ok_or_else(|| ExecError::new(ErrorKind::Internal, "sum and avg take one argument").into())
}
