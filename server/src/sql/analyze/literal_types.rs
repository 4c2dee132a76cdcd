//! String literals take the type that their context has, where the planner's operators did not see them: IN lists,
//! BETWEEN, CASE, IS DISTINCT FROM, and the functions whose arguments share one type.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arithmetic::common_number_types;
use quickdb_executor::functions::arrays::shape::is_array;
use quickdb_executor::functions::scalar_functions;
use quickdb_executor::functions::type_names::{pg_type_name, timestamptz};

use super::traversal::with_expressions;
use crate::sql::operators::{
    Comparable, adopt, adopt_from, cast, common_comparison_type, compared, is_unknown,
};

/// Functions whose arguments have one type.
pub(super) const ONE_TYPE: [&str; 5] = ["coalesce", "nullif", "greatest", "least", "make_array"];

/// Gives literals types; runs before type coercion.
#[derive(Debug)]
pub struct LiteralTypes;

impl AnalyzerRule for LiteralTypes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let rewritten = with_expressions(plan, rewrite)?;
            // A literal that got a type may change the type of its column.
            if rewritten.transformed {
                rewritten.map_data(LogicalPlan::recompute_schema)
            } else {
                Ok(rewritten)
            }
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "literal_types"
    }
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::IsDistinctFrom | Operator::IsNotDistinctFrom),
            right,
        }) => {
            let (left, right) = compared(op, *left, *right, schema)?;
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut items = vec![*expr];
            items.extend(list);
            let mut items = one_type(items, schema, Together::InList)?;
            let expr = Box::new(items.remove(0));
            Ok(Transformed::yes(Expr::InList(InList { expr, list: items, negated })))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut items = one_type(vec![*expr, *low, *high], schema, Together::InList)?;
            let (high, low, expr) = (items.pop(), items.pop(), items.pop());
            match (expr, low, high) {
                (Some(expr), Some(low), Some(high)) => Ok(Transformed::yes(Expr::Between(Between {
                    expr: Box::new(expr),
                    negated,
                    low: Box::new(low),
                    high: Box::new(high),
                }))),
                _ => Err(ExecError::new(ErrorKind::Internal, "BETWEEN lost an operand").into()),
            }
        }
        Expr::Not(operand) => {
            let operand = adopt(*operand, &DataType::Boolean, schema)?;
            let data_type = operand.get_type(schema)?;
            if !matches!(data_type, DataType::Boolean | DataType::Null) {
                let message =
                    format!("argument of NOT must be type boolean, not type {}", pg_type_name(&data_type));
                return Err(ExecError::new(ErrorKind::DatatypeMismatch, message).into());
            }
            Ok(Transformed::yes(Expr::Not(Box::new(operand))))
        }
        // Text has DataFusion's LIKE, bytes have their own.
        Expr::Like(like) if !like.case_insensitive && is_bytes(&like.expr.get_type(schema)?) => {
            let Like { negated, expr, pattern, .. } = like;
            let pattern = adopt(*pattern, &DataType::BinaryView, schema)?;
            let found = function("bytea_like", vec![*expr, pattern])?;
            Ok(Transformed::yes(if negated { Expr::Not(Box::new(found)) } else { found }))
        }
        Expr::Case(case) => case_types(case, schema).map(Transformed::yes),
        Expr::ScalarFunction(ScalarFunction { func, args }) if ONE_TYPE.contains(&func.name()) => {
            let together = match func.name() {
                "coalesce" => Together::Named("COALESCE"),
                "greatest" => Together::Named("GREATEST"),
                "least" => Together::Named("LEAST"),
                "make_array" => Together::Named("ARRAY"),
                _ => Together::InList,
            };
            // `ARRAY[]` is the function's to refuse.
            let args = if args.is_empty() { args } else { one_type(args, schema, together)? };
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
        }
        // What is collected is no arrays: the call has no meaning, and would be in the way of rules that look for
        // aggregates.
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if func.name() == "array_of_arrays" => {
            match args.pop() {
                Some(list) if !is_list_of_arrays(&list.get_type(schema)?) => Ok(Transformed::yes(list)),
                list => {
                    args.extend(list);
                    Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })))
                }
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// A call of a function of the executor's.
fn function(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let found = scalar_functions().into_iter().find(|function| function.name() == name);
    let found =
        found.ok_or_else(|| ExecError::new(ErrorKind::Internal, format!("there is no function {name}")))?;
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(found, args)))
}

fn is_list_of_arrays(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(item) if is_array(item.data_type()))
}

fn case_types(case: Case, schema: &DFSchema) -> Result<Expr> {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<Expr>, Vec<Expr>) =
        when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let (expr, whens) = match expr {
        Some(operand) => {
            let mut items = vec![*operand];
            items.extend(whens);
            let mut items = one_type(items, schema, Together::InList)?;
            let operand = Box::new(items.remove(0));
            (Some(operand), items)
        }
        None => {
            let mut conditions = Vec::with_capacity(whens.len());
            for when in whens {
                let when = adopt(when, &DataType::Boolean, schema)?;
                let data_type = when.get_type(schema)?;
                if !matches!(data_type, DataType::Boolean | DataType::Null) {
                    return Err(ExecError::new(
                        ErrorKind::DatatypeMismatch,
                        format!(
                            "argument of CASE/WHEN must be type boolean, not type {}",
                            pg_type_name(&data_type)
                        ),
                    )
                    .into());
                }
                conditions.push(when);
            }
            (None, conditions)
        }
    };
    let has_else = else_expr.is_some();
    let mut results = thens;
    results.extend(else_expr.map(|e| *e));
    let mut results = one_type(results, schema, Together::Named("CASE"))?;
    let else_expr = if has_else { results.pop().map(Box::new) } else { None };
    let when_then_expr = whens.into_iter().zip(results).map(|(w, t)| (Box::new(w), Box::new(t))).collect();
    Ok(Expr::Case(Case { expr, when_then_expr, else_expr }))
}

#[derive(Clone, Copy)]
enum Together {
    /// Compared with each other: what does not compare is 42883.
    InList,
    /// One of them is the result: what does not fit is 42804.
    Named(&'static str),
}

/// Gives all expressions the type that they have in common; literals of no type follow the others.
fn one_type(items: Vec<Expr>, schema: &DFSchema, together: Together) -> Result<Vec<Expr>> {
    let mut common: Option<DataType> = None;
    for item in items.iter().filter(|item| !is_unknown(item)) {
        let data_type = item.get_type(schema)?;
        common = Some(match common {
            None => data_type,
            Some(known) => wider(&known, &data_type, together)?,
        });
    }
    let Some(common) = common.or(Some(DataType::Utf8View)).filter(|_| !items.is_empty()) else {
        return Ok(items);
    };
    let model = items
        .iter()
        .find(|item| !is_unknown(item) && item.get_type(schema).is_ok_and(|data_type| data_type == common));
    let model = model.cloned();
    items
        .into_iter()
        .map(|item| {
            let item = match &model {
                Some(model) => adopt_from(item, model, schema)?,
                None => adopt(item, &common, schema)?,
            };
            let from = item.get_type(schema)?;
            let number = common_number_types(&from, &common).is_some();
            let to_float = matches!(common, DataType::Float64 | DataType::Float32) && number;
            let arrays = is_array(&from) && is_array(&common);
            let keeps =
                matches!(from, DataType::Null) || !(to_float || arrays || is_time(&from) && is_time(&common));
            Ok(if keeps { item } else { cast(item, &from, &common) })
        })
        .collect()
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

fn wider(a: &DataType, b: &DataType, together: Together) -> Result<DataType> {
    if a == b || matches!(b, DataType::Null) {
        return Ok(a.clone());
    }
    if matches!(a, DataType::Null) {
        return Ok(b.clone());
    }
    if let Some((l, r)) = common_number_types(a, b) {
        return Ok(match (l, r) {
            (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
                let scale = s1.max(s2);
                let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
                let precision = u8::try_from((whole + i16::from(scale)).min(38)).unwrap_or(38);
                DataType::Decimal128(precision, scale)
            }
            (l, _) => l,
        });
    }
    if is_time(a) && is_time(b) {
        let zoned =
            matches!(a, DataType::Timestamp(_, Some(_))) || matches!(b, DataType::Timestamp(_, Some(_)));
        return Ok(if zoned { timestamptz() } else { quickdb_executor::functions::type_names::timestamp() });
    }
    match (common_comparison_type(a, b), together) {
        (Comparable::No, Together::InList) => {
            Err(quickdb_executor::functions::undefined_operator("=", Some(a), b))
        }
        (Comparable::No, Together::Named(construct)) => Err(ExecError::new(
            ErrorKind::DatatypeMismatch,
            format!("{construct} types {} and {} cannot be matched", pg_type_name(a), pg_type_name(b)),
        )
        .into()),
        (Comparable::In(data_type), _) => Ok(data_type),
        (Comparable::AsIs, _) => Ok(a.clone()),
    }
}
