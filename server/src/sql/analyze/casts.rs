//! Casts that DataFusion would do its own way become functions that do them PostgreSQL's way.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::BinaryExpr;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arrays::shape::{is_array, is_multi};
use quickdb_executor::functions::cast::{cast_function_name, is_plain_cast};
use quickdb_executor::functions::scalar_functions;
use quickdb_executor::functions::type_names::{PG_TYPE_KEY, pg_type_name, timestamp};

use crate::sql::json_operators::{JsonType, json_call, json_type};

static CASTS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    scalar_functions().into_iter().filter(|function| function.name().starts_with("cast_")).collect()
});

static CASTS_TO_ARRAY: LazyLock<Option<Arc<ScalarUDF>>> =
    LazyLock::new(|| scalar_functions().into_iter().find(|function| function.name() == "array_cast"));

/// Replaces casts, explicit and implied alike; runs after type coercion.
#[derive(Debug)]
pub struct PgCasts;

impl AnalyzerRule for PgCasts {
    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let config = Arc::new(config.clone());
        plan.transform_up_with_subqueries(|plan| {
            let schema = input_schema(&plan);
            let names = NamePreserver::new(&plan);
            // What is inside a grouping set cannot carry an alias: it must keep its name by itself, which a function of
            // ours does and a computed literal does not.
            let fold = match &plan {
                LogicalPlan::Aggregate(aggregate) => {
                    !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
                }
                _ => true,
            };
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| rewrite(expr, &schema, fold, &config))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "pg_casts"
    }
}

/// The columns that a node's expressions can refer to.
pub(super) fn input_schema(plan: &LogicalPlan) -> DFSchema {
    match plan {
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())
                .unwrap_or_else(|_| plan.schema().as_ref().clone())
        }
        _ => merge_schema(&plan.inputs()),
    }
}

fn rewrite(
    expr: Expr,
    schema: &DFSchema,
    fold: bool,
    config: &Arc<ConfigOptions>,
) -> Result<Transformed<Expr>> {
    let (inner, field) = match expr {
        Expr::Cast(Cast { expr: inner, field }) => (inner, field),
        Expr::BinaryExpr(comparison) if comparison.op.supports_propagation() => {
            return Ok(Transformed::yes(Expr::BinaryExpr(plain_sides(comparison, schema))));
        }
        Expr::ScalarFunction(mut call)
            if call.func.name() == "to_numeric" && is_jsonb(call.args.first(), schema)? =>
        {
            let args = call.args.drain(..).chain(std::iter::once(utf8("numeric")));
            return json_call("jsonb_to_numeric", args.collect()).map(Transformed::yes);
        }
        Expr::ScalarFunction(call)
            if fold
                && matches!(call.func.name(), "to_numeric" | "cast_interval" | "json_in" | "jsonb_in") =>
        {
            return Ok(match literal_value(&call.func, &call.args, config)? {
                Some(Expr::Literal(value, _)) if matches!(call.func.name(), "json_in" | "jsonb_in") => {
                    let name = call.func.name().trim_end_matches("_in").to_owned();
                    let metadata = BTreeMap::from([(PG_TYPE_KEY.to_owned(), name)]);
                    Transformed::yes(Expr::Literal(value, Some(FieldMetadata::from(metadata))))
                }
                Some(value) => Transformed::yes(value),
                None => Transformed::no(Expr::ScalarFunction(call)),
            });
        }
        other => return Ok(Transformed::no(other)),
    };
    let to = field.data_type();
    let from = inner.get_type(schema)?;
    if is_text(&from)
        && let Some(reader) = jsonb_reader(to)
        && is_jsonb(Some(&inner), schema)?
    {
        let read = json_call(reader, vec![*inner, utf8(&pg_type_name(to))])?;
        // What is read may be wider than what is asked for.
        return rewrite(Expr::Cast(Cast { expr: Box::new(read), field }), schema, fold, config)
            .map(|rewritten| Transformed::yes(rewritten.data));
    }
    let unchanged = |inner| Ok(Transformed::no(Expr::Cast(Cast { expr: inner, field: Arc::clone(&field) })));
    if (is_text(&from) || is_array(&from) || from.is_null() && is_multi(to))
        && &from != to
        && is_array(to)
        && let Some(read) = CASTS_TO_ARRAY.as_ref()
    {
        let typed = Expr::Literal(ScalarValue::try_new_null(to)?, None);
        let value = if is_text(&from) { inner.cast_to(&DataType::Utf8View, schema)? } else { *inner };
        let call = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(read), vec![value, typed]));
        let described = !field.metadata().is_empty();
        return Ok(Transformed::yes(if described {
            Expr::Cast(Cast { expr: Box::new(call), field })
        } else {
            call
        }));
    }
    if is_array(&from) != is_array(to) && !is_text(to) && !from.is_null() {
        let message = format!("cannot cast type {} to {}", pg_type_name(&from), pg_type_name(to));
        return Err(ExecError::new(ErrorKind::CannotCoerce, message).into());
    }
    if is_plain_cast(&from, to) {
        return unchanged(inner);
    }
    let function =
        cast_function_name(to).and_then(|name| CASTS.iter().find(|function| function.name() == name));
    let Some(function) = function else { return unchanged(inner) };
    let mut args = vec![*inner];
    if let DataType::Decimal128(precision, scale) = to {
        args.push(literal(i64::from(*precision)));
        args.push(literal(i64::from(*scale)));
    }
    let types: Vec<DataType> = args.iter().map(|arg| arg.get_type(schema)).collect::<Result<_>>()?;
    let coerced = function.inner().coerce_types(&types)?;
    let args: Vec<Expr> = args
        .into_iter()
        .zip(types.iter().zip(&coerced))
        .map(
            |(arg, (from, to))| {
                if from == to { arg } else { Expr::Cast(Cast::new(Box::new(arg), to.clone())) }
            },
        )
        .collect();
    let call = match literal_value(function, &args, config)? {
        Some(value) if fold => value,
        _ => Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args)),
    };
    // A cast of one type to itself keeps the metadata of types that arrow does not tell apart.
    let described = !field.metadata().is_empty();
    Ok(Transformed::yes(if described { Expr::Cast(Cast { expr: Box::new(call), field }) } else { call }))
}

/// A comparison in which a column of dates that is to be a timestamp beside a constant keeps DataFusion's cast: the
/// optimizer moves that to the constant, and shards are then pruned by the column itself.
fn plain_sides(mut comparison: BinaryExpr, schema: &DFSchema) -> BinaryExpr {
    let constant = |expr: &Expr| expr.column_refs().is_empty();
    if constant(&comparison.right) {
        *comparison.left = plain_date(*comparison.left, schema);
    } else if constant(&comparison.left) {
        *comparison.right = plain_date(*comparison.right, schema);
    }
    comparison
}

fn plain_date(expr: Expr, schema: &DFSchema) -> Expr {
    let is_date = |args: &[Expr]| match args {
        [column @ Expr::Column(_)] => column.get_type(schema).is_ok_and(|of| of == DataType::Date32),
        _ => false,
    };
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.name() == "cast_timestamp" && is_date(&args) =>
        {
            match args.pop() {
                Some(column) => Expr::Cast(Cast::new(Box::new(column), timestamp())),
                None => Expr::ScalarFunction(ScalarFunction { func, args }),
            }
        }
        other => other,
    }
}

/// What the context of an error begins with whose literal is the rest of it.
pub const READING: &str = "reading the literal ";
/// Whether an expression is of type `jsonb`.
fn is_jsonb(expr: Option<&Expr>, schema: &DFSchema) -> Result<bool> {
    match expr {
        Some(expr) => Ok(json_type(expr, schema)? == Some(JsonType::Jsonb)),
        None => Ok(false),
    }
}

/// The function that reads a scalar of `jsonb` for a cast to a type.
fn jsonb_reader(to: &DataType) -> Option<&'static str> {
    Some(match to {
        DataType::Boolean => "jsonb_to_bool",
        DataType::Int16 | DataType::Int32 | DataType::Int64 => "jsonb_to_int8",
        DataType::Float32 | DataType::Float64 => "jsonb_to_float8",
        DataType::Decimal128(..) => "jsonb_to_numeric",
        _ => return None,
    })
}

fn utf8(text: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8View(Some(text.to_owned())), None)
}

/// The value of a cast of literals, computed now: PostgreSQL refuses a bad literal before anything runs.
fn literal_value(
    function: &Arc<ScalarUDF>,
    args: &[Expr],
    config: &Arc<ConfigOptions>,
) -> Result<Option<Expr>> {
    let values: Option<Vec<ScalarValue>> = args
        .iter()
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(value.clone()),
            Expr::Cast(Cast { expr, field }) if is_text(field.data_type()) => match expr.as_ref() {
                Expr::Literal(value, _) if is_text(&value.data_type()) => {
                    value.cast_to(field.data_type()).ok()
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    let Some(values) = values else { return Ok(None) };
    if !values.first().is_some_and(|value| is_text(&value.data_type())) {
        return Ok(None);
    }
    let arg_fields: Vec<FieldRef> =
        values.iter().map(|value| Arc::new(Field::new("", value.data_type(), true))).collect();
    let scalars: Vec<Option<&ScalarValue>> = values.iter().map(Some).collect();
    let return_field = function
        .return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars })?;
    let text = values.first().and_then(|value| value.try_as_str()).flatten().unwrap_or_default().to_owned();
    let read = function.invoke_with_args(ScalarFunctionArgs {
        args: values.into_iter().map(ColumnarValue::Scalar).collect(),
        arg_fields,
        number_rows: 1,
        return_field,
        config_options: Arc::clone(config),
    });
    let result = read.map_err(|error| error.context(format!("{READING}{text}")))?;
    Ok(match result {
        ColumnarValue::Scalar(value) => Some(Expr::Literal(value, None)),
        ColumnarValue::Array(_) => None,
    })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn literal(value: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(value)), None)
}
