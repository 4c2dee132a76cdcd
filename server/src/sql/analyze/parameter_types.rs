//! Parameters that are arguments of functions take the types that PostgreSQL's functions of the name have, and those
//! that are columns of a set operation the type of the column beside them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Placeholder, ScalarFunction,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::functions::type_names::PG_TYPE_KEY;

use super::traversal::with_expressions;
use crate::catalogue::PgType;
use crate::pg_catalog::overloads;
use crate::sql::operators::{adopt, is_unknown, typed_parameter};
use crate::wire::types::{arrow_type, column_type, oid};

/// Gives parameters types; runs before what takes them for text.
#[derive(Debug)]
pub struct ParameterTypes;

impl AnalyzerRule for ParameterTypes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let plan = match plan {
                LogicalPlan::Union(union) if union.inputs.iter().any(|input| has_open_column(input)) => {
                    return united(union.inputs).map(Transformed::yes);
                }
                plan => plan,
            };
            let rewritten = with_expressions(plan, typed_arguments)?;
            if rewritten.transformed {
                rewritten.map_data(LogicalPlan::recompute_schema)
            } else {
                Ok(rewritten)
            }
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "parameter_types"
    }
}

fn typed_arguments(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        // `x = ANY (array)`
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if matches!(func.name(), "array_any" | "array_all") && args.iter().any(is_open) =>
        {
            if let [item, list, ..] = args.as_mut_slice()
                && is_open(list)
            {
                let taken = std::mem::replace(list, Expr::Literal(ScalarValue::Null, None));
                *list = adopt_array(taken, item, schema)?;
            }
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if args.iter().any(is_open) => {
            let args = typed(func.name(), args, schema)?;
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) if params.args.iter().any(is_open) => {
            let args = typed(func.name(), params.args, schema)?;
            let params = AggregateFunctionParams { args, ..params };
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the expression is a parameter that has no type yet.
fn is_open(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

/// An array of no type beside one of its elements.
fn adopt_array(list: Expr, item: &Expr, schema: &DFSchema) -> Result<Expr> {
    let unknown = is_unknown(item);
    let element = if unknown { DataType::Utf8View } else { item.get_type(schema)? };
    let array = DataType::new_list(element, true);
    let adopted = adopt(list, &array, schema)?;
    Ok(match adopted {
        Expr::Placeholder(Placeholder { id, field: Some(field) }) if !unknown => {
            let element = item.to_field(schema)?.1;
            let name = element.metadata().get(PG_TYPE_KEY).map(|name| format!("{name}[]"));
            let metadata = name.map(|name| (PG_TYPE_KEY.to_owned(), name)).into_iter().collect();
            let field = field.as_ref().clone().with_metadata(metadata);
            Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(field))))
        }
        adopted => adopted,
    })
}

fn typed(function: &str, args: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    let known = args
        .iter()
        .map(|arg| {
            if is_unknown(arg) {
                return Ok(None);
            }
            if let Expr::Literal(ScalarValue::Int64(Some(number)), _) = arg
                && i32::try_from(*number).is_ok()
            {
                // A number that had to stay bare.
                return Ok(Some(oid::INT4));
            }
            Ok(column_type(&arg.to_field(schema)?.1).map(|column| column.oid))
        })
        .collect::<Result<Vec<Option<u32>>>>()?;
    let Some(types) = overloads::argument_types(function, &known) else { return Ok(args) };
    Ok(args.into_iter().zip(types).map(|(arg, oid)| with_type(arg, oid)).collect())
}

fn with_type(arg: Expr, oid: u32) -> Expr {
    match (arg, arrow_type(oid)) {
        (Expr::Placeholder(Placeholder { id, field: None }), Some(data_type)) => {
            let known = PgType::new(oid).field(&id, true);
            typed_parameter(id, &Field::new("", data_type, true).with_metadata(known.metadata().clone()))
        }
        (arg, _) => arg,
    }
}

/// A union whose inputs' parameters have the types of the columns beside them.
fn united(inputs: Vec<Arc<LogicalPlan>>) -> Result<LogicalPlan> {
    let width = inputs.first().map_or(0, |input| input.schema().fields().len());
    let known: Vec<Option<FieldRef>> =
        (0..width).map(|place| inputs.iter().find_map(|input| column_with_type(input, place))).collect();
    let inputs = inputs
        .into_iter()
        .map(|input| match input.as_ref() {
            LogicalPlan::Projection(projection) if has_open_column(&input) => {
                let columns = projection.expr.iter().zip(&known).map(|(expr, known)| match known {
                    Some(known) => adopted(expr, known),
                    None => expr.clone(),
                });
                let projection = Projection::try_new(columns.collect(), Arc::clone(&projection.input))?;
                Ok(Arc::new(LogicalPlan::Projection(projection)))
            }
            _ => Ok(input),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Union(datafusion::logical_expr::Union::try_new_with_loose_types(inputs)?))
}

fn has_open_column(input: &LogicalPlan) -> bool {
    let LogicalPlan::Projection(projection) = input else { return false };
    projection.expr.iter().any(|expr| is_open(bare(expr)))
}

fn column_with_type(input: &LogicalPlan, place: usize) -> Option<FieldRef> {
    if let LogicalPlan::Projection(projection) = input
        && is_unknown(bare(projection.expr.get(place)?))
    {
        return None;
    }
    input.schema().fields().get(place).cloned()
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        expr => expr,
    }
}

fn adopted(expr: &Expr, known: &Field) -> Expr {
    match expr {
        Expr::Alias(alias) => {
            adopted(&alias.expr, known).alias_qualified(alias.relation.clone(), &alias.name)
        }
        Expr::Placeholder(Placeholder { id, field: None }) => typed_parameter(id.clone(), known),
        expr => expr.clone(),
    }
}
