//! Binary operators with PostgreSQL's choice of types.
//!
//! A string literal is of no type yet: it takes the other operand's. Arithmetic becomes our checked functions; a
//! comparison casts to the type that PostgreSQL compares in; what PostgreSQL has no operator for is 42883.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::json_operators;
use super::types::REG_TYPES;
use crate::wire::params::{InputContext, parse_text};
use crate::wire::types::column_type;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arithmetic::{self, Arithmetic};
use quickdb_executor::functions::arrays::shape::{is_array, is_multi, item_of, multi_of};
use quickdb_executor::functions::arrays::types::common_type;
use quickdb_executor::functions::input::numeric_literal_type;
use quickdb_executor::functions::type_names::{PG_TYPE_KEY, pg_type_name, timestamptz};
use quickdb_executor::functions::{scalar_functions, undefined_operator};

static ARITHMETIC: LazyLock<Vec<(Arithmetic, Arc<ScalarUDF>)>> =
    LazyLock::new(|| Arithmetic::ALL.into_iter().map(|op| (op, op.udf())).collect());

static POWER: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("power"));

static ARRAY_ORDER: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_order"));
static ARRAY_APPEND: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_append"));
static ARRAY_PREPEND: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_prepend"));
static ARRAY_CAT: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_cat"));
static ARRAY_CONTAINS: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_contains"));
static ARRAY_CONTAINED: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("array_contained"));

static BYTEA_CONCAT: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| function("bytea_concat"));

/// A function of the executor's.
fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    scalar_functions().into_iter().find(|function| function.name() == name)
}

/// Plans operators.
#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = match json_operators::plan(&op, left, right, schema)? {
            Ok(planned) => return Ok(PlannerResult::Planned(planned)),
            Err(operands) => operands,
        };
        if let Some(arithmetic) = arithmetic_of(&op) {
            return plan_arithmetic(arithmetic, left, right, schema);
        }
        match op {
            BinaryOperator::Eq => plan_comparison(Operator::Eq, left, right, schema),
            BinaryOperator::NotEq => plan_comparison(Operator::NotEq, left, right, schema),
            BinaryOperator::Lt => plan_comparison(Operator::Lt, left, right, schema),
            BinaryOperator::LtEq => plan_comparison(Operator::LtEq, left, right, schema),
            BinaryOperator::Gt => plan_comparison(Operator::Gt, left, right, schema),
            BinaryOperator::GtEq => plan_comparison(Operator::GtEq, left, right, schema),
            BinaryOperator::And => plan_logic(Operator::And, "AND", left, right, schema),
            BinaryOperator::Or => plan_logic(Operator::Or, "OR", left, right, schema),
            BinaryOperator::StringConcat => plan_concatenation(left, right, schema),
            BinaryOperator::AtArrow => plan_of_arrays(op, &ARRAY_CONTAINS, left, right, schema),
            BinaryOperator::ArrowAt => plan_of_arrays(op, &ARRAY_CONTAINED, left, right, schema),
            BinaryOperator::PGExp => match POWER.as_ref() {
                Some(power) => Ok(PlannerResult::Planned(call(power, vec![left, right]))),
                None => Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
            },
            BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::PGLikeMatch
            | BinaryOperator::PGILikeMatch
            | BinaryOperator::PGNotLikeMatch
            | BinaryOperator::PGNotILikeMatch => {
                let left = adopt(left, &DataType::Utf8View, schema)?;
                let right = adopt(right, &DataType::Utf8View, schema)?;
                for (operand, other) in [(&left, &right), (&right, &left)] {
                    let data_type = operand.get_type(schema)?;
                    if !is_text(&data_type) && !data_type.is_null() {
                        let other = other.get_type(schema)?;
                        let (l, r) = if std::ptr::eq(operand, &raw const left) {
                            (&data_type, &other)
                        } else {
                            (&other, &data_type)
                        };
                        return Err(undefined_operator(&op.to_string(), Some(l), r));
                    }
                }
                Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
            }
            op => {
                let (left, right) = adopt_each_other(left, right, schema)?;
                let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
                if is_bitwise(&op) && [&l, &r].iter().any(|of| !of.is_integer() && !of.is_null()) {
                    return Err(undefined_operator(&op.to_string(), Some(&l), &r));
                }
                Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
            }
        }
    }
}

fn is_bitwise(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseOr
            | BinaryOperator::PGBitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
    )
}

fn arithmetic_of(op: &BinaryOperator) -> Option<Arithmetic> {
    Some(match op {
        BinaryOperator::Plus => Arithmetic::Add,
        BinaryOperator::Minus => Arithmetic::Subtract,
        BinaryOperator::Multiply => Arithmetic::Multiply,
        BinaryOperator::Divide => Arithmetic::Divide,
        BinaryOperator::Modulo => Arithmetic::Modulo,
        _ => return None,
    })
}

pub(super) fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))
}

fn plan_arithmetic(
    op: Arithmetic,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let (left_type, right_type) = (known_type(&left, schema)?, known_type(&right, schema)?);
    let wanted = arithmetic::coerce(op, &[left_type.clone(), right_type.clone()])
        .ok_or_else(|| undefined_operator(op.sign(), Some(&left_type), &right_type))?;
    let [left_type, right_type] = wanted.as_slice() else {
        return Ok(PlannerResult::Original(RawBinaryExpr { op: sql_operator(op), left, right }));
    };
    let (left, right) = (adopt(left, left_type, schema)?, adopt(right, right_type, schema)?);
    let function = ARITHMETIC.iter().find(|(known, _)| *known == op).map(|(_, function)| function);
    match function {
        Some(function) => Ok(PlannerResult::Planned(call(function, vec![left, right]))),
        None => Ok(PlannerResult::Original(RawBinaryExpr { op: sql_operator(op), left, right })),
    }
}

fn sql_operator(op: Arithmetic) -> BinaryOperator {
    match op {
        Arithmetic::Add => BinaryOperator::Plus,
        Arithmetic::Subtract => BinaryOperator::Minus,
        Arithmetic::Multiply => BinaryOperator::Multiply,
        Arithmetic::Divide => BinaryOperator::Divide,
        Arithmetic::Modulo => BinaryOperator::Modulo,
    }
}

fn planned(left: Expr, op: Operator, right: Expr) -> PlannerResult<RawBinaryExpr> {
    PlannerResult::Planned(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
}

fn plan_comparison(
    op: Operator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let (left, right) = compared(op, left, right, schema)?;
    let ordered = matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    if ordered
        && is_array(&left.get_type(schema)?)
        && let Some(order) = ARRAY_ORDER.as_ref()
    {
        return Ok(planned(call(order, vec![left, right]), op, lit(0_i32)));
    }
    Ok(planned(left, op, right))
}

/// An operator that only arrays have here.
fn plan_of_arrays(
    op: BinaryOperator,
    function: &LazyLock<Option<Arc<ScalarUDF>>>,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let (left, right) = adopt_each_other(left, right, schema)?;
    let types = [left.get_type(schema)?, right.get_type(schema)?];
    let taken = types.iter().any(is_array) && types.iter().all(|found| is_array(found) || found.is_null());
    match (taken, function.as_ref()) {
        (true, Some(function)) => Ok(PlannerResult::Planned(call(function, vec![left, right]))),
        _ => {
            let [l, r] = &types;
            Err(undefined_operator(&op.to_string(), Some(l), r))
        }
    }
}

/// Both operands in the type that PostgreSQL compares them in.
///
/// # Errors
/// 42883 for types that do not compare.
pub fn compared(op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    let (left, right) = adopt_each_other(left, right, schema)?;
    let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
    match common_comparison_type(&left_type, &right_type) {
        Comparable::AsIs => Ok((left, right)),
        Comparable::In(data_type) => {
            Ok((cast(left, &left_type, &data_type), cast(right, &right_type, &data_type)))
        }
        Comparable::No => {
            Err(undefined_operator(&op.to_string().replace("!=", "<>"), Some(&left_type), &right_type))
        }
    }
}

/// How two types compare.
pub enum Comparable {
    /// DataFusion brings them together as PostgreSQL does.
    AsIs,
    /// In this type.
    In(DataType),
    /// Not at all.
    No,
}

/// The type that values of two types are compared in.
pub fn common_comparison_type(left: &DataType, right: &DataType) -> Comparable {
    use DataType::{Date32, Null, Time64, Timestamp};
    if left == right || matches!(left, Null) || matches!(right, Null) || is_text(left) && is_text(right) {
        return Comparable::AsIs;
    }
    if let Some((l, r)) = arithmetic::common_number_types(left, right) {
        return match (&l, &r) {
            (DataType::Float64 | DataType::Float32, _) if l == r => Comparable::In(l),
            (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) if s1 != s2 => {
                let scale = (*s1).max(*s2);
                let whole = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
                // Where no decimal holds both types, the values still may fit one.
                if whole + i16::from(scale) > 38 {
                    Comparable::In(DataType::Decimal128(38, scale))
                } else {
                    Comparable::AsIs
                }
            }
            _ => Comparable::AsIs,
        };
    }
    if is_array(left) && is_array(right) {
        return common_type(left, right).map_or(Comparable::No, Comparable::In);
    }
    match (left, right) {
        (Timestamp(_, None) | Date32, Timestamp(_, Some(_)))
        | (Timestamp(_, Some(_)), Timestamp(_, None) | Date32) => Comparable::In(timestamptz()),
        (Date32, Timestamp(_, None)) | (Timestamp(_, None), Date32) => Comparable::AsIs,
        (Timestamp(..), Timestamp(..)) | (Time64(_), Time64(_)) => Comparable::AsIs,
        (DataType::Interval(_), DataType::Interval(_) | Time64(_)) | (Time64(_), DataType::Interval(_)) => {
            Comparable::AsIs
        }
        (l, r) if is_scalar(l) && is_scalar(r) => Comparable::No,
        (l, r) if is_scalar(l) != is_scalar(r) && !is_record(l) && !is_record(r) => Comparable::No,
        _ => Comparable::AsIs,
    }
}

fn is_record(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(_)) && !is_array(data_type)
}

fn is_scalar(data_type: &DataType) -> bool {
    is_text(data_type)
        || data_type.is_numeric()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Interval(_)
        )
}

fn plan_logic(
    op: Operator,
    word: &str,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let left = adopt(left, &DataType::Boolean, schema)?;
    let right = adopt(right, &DataType::Boolean, schema)?;
    for operand in [&left, &right] {
        let data_type = operand.get_type(schema)?;
        if !matches!(data_type, DataType::Boolean | DataType::Null) {
            return Err(ExecError::new(
                ErrorKind::DatatypeMismatch,
                format!("argument of {word} must be type boolean, not type {}", pg_type_name(&data_type)),
            )
            .into());
        }
    }
    Ok(planned(left, op, right))
}

/// `||`: text with anything is text; two that are no text have no such operator, arrays aside.
fn plan_concatenation(left: Expr, right: Expr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let (left_type, right_type) = (known_type(&left, schema)?, known_type(&right, schema)?);
    if is_array(&left_type) || is_array(&right_type) {
        return plan_array_concatenation(left, right, schema);
    }
    let bytes = |data_type: &DataType| matches!(data_type, DataType::Binary | DataType::BinaryView);
    if (bytes(&left_type) || bytes(&right_type))
        && let Some(function) = BYTEA_CONCAT.as_ref()
        && [(&left, &left_type), (&right, &right_type)]
            .iter()
            .all(|(of, found)| bytes(found) || is_unknown(of))
    {
        let (left, right) = adopt_each_other(left, right, schema)?;
        return Ok(PlannerResult::Planned(call(function, vec![left, right])));
    }
    let some_text = |data_type: &DataType| is_text(data_type) || matches!(data_type, DataType::Null);
    if !some_text(&left_type) && !some_text(&right_type) {
        return Err(undefined_operator("||", Some(&left_type), &right_type));
    }
    let left = cast(adopt(left, &DataType::Utf8View, schema)?, &left_type, &DataType::Utf8View);
    let right = cast(adopt(right, &DataType::Utf8View, schema)?, &right_type, &DataType::Utf8View);
    Ok(planned(left, Operator::StringConcat, right))
}

/// `||` where one operand is an array: two arrays, or an array and an element. A literal of no type is an array itself.
fn plan_array_concatenation(
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>> {
    let (left, right) = match (is_unknown(&left), is_unknown(&right)) {
        (true, false) => {
            let wanted = right.get_type(schema)?;
            (array_or_null(left, &wanted, schema)?, right)
        }
        (false, true) => {
            let wanted = left.get_type(schema)?;
            let right = array_or_null(right, &wanted, schema)?;
            (left, right)
        }
        _ => (left, right),
    };
    let types = [left.get_type(schema)?, right.get_type(schema)?];
    let [l, r] = &types;
    let function = match (is_array(l), is_array(r)) {
        (true, true) => ARRAY_CAT.as_ref(),
        (true, false) => ARRAY_APPEND.as_ref(),
        _ => ARRAY_PREPEND.as_ref(),
    };
    match function {
        Some(function) if function.inner().coerce_types(&types).is_ok() => {
            Ok(PlannerResult::Planned(call(function, vec![left, right])))
        }
        _ => Err(undefined_operator("||", Some(l), r)),
    }
}

fn array_or_null(literal: Expr, wanted: &DataType, schema: &DFSchema) -> Result<Expr> {
    match literal {
        Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(None), _) => {
            Ok(Expr::Literal(ScalarValue::try_new_null(wanted)?, None))
        }
        other => adopt(other, wanted, schema),
    }
}

/// The type of an operand; a literal or parameter of no type is `Utf8` or `Null`.
fn known_type(expr: &Expr, schema: &DFSchema) -> Result<DataType> {
    expr.get_type(schema)
}

/// Whether the expression is a string literal that nothing gave a type, or a parameter without one.
pub fn is_unknown(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _)
            | Expr::Placeholder(Placeholder { field: None, .. })
    )
}

/// A literal or parameter of no type takes `wanted`; everything else stays.
pub fn adopt(expr: Expr, wanted: &DataType, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let wanted = match wanted {
                DataType::Utf8 | DataType::Null => &DataType::Utf8View,
                other => other,
            };
            let field = Arc::new(Field::new(id.clone(), wanted.clone(), true));
            Ok(Expr::Placeholder(Placeholder::new_with_field(id, Some(field))))
        }
        Expr::Literal(ScalarValue::Utf8(Some(text)), metadata)
            if matches!(wanted, DataType::Decimal128(..)) =>
        {
            // A literal beside a numeric keeps its own digits.
            let own =
                numeric_literal_type(&text).map(|(precision, scale)| DataType::Decimal128(precision, scale));
            let literal = Expr::Literal(ScalarValue::Utf8(Some(text)), metadata);
            let from = literal.get_type(schema)?;
            Ok(cast(literal, &from, own.as_ref().unwrap_or(wanted)))
        }
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) if is_array(wanted) => array_literal(&text, wanted),
        Expr::Literal(ScalarValue::Utf8(_), _) if !matches!(wanted, DataType::Utf8) => {
            let from = expr.get_type(schema)?;
            Ok(cast(expr, &from, wanted))
        }
        other => Ok(other),
    }
}

/// `{1,2}` as an array of the type wanted.
fn array_literal(text: &str, wanted: &DataType) -> Result<Expr> {
    let type_oid = column_type(&Field::new("", wanted.clone(), true)).map_or(0, |column| column.oid);
    let context = InputContext { settings: Arc::default(), now_micros: 0 };
    let value = parse_text(text, type_oid, &context).map_err(|error| {
        let found = ExecError::new(ErrorKind::InvalidText, error.message);
        match error.detail {
            Some(detail) => found.with_detail(detail),
            None => found,
        }
        .into_datafusion()
    })?;
    let found = value.data_type();
    let wanted = match (item_of(&found), item_of(wanted)) {
        // What the text says is kept: how many dimensions it has, and the digits of numerics.
        (Some(DataType::Decimal128(..)), Some(DataType::Decimal128(..))) => found.clone(),
        (Some(_), Some(item)) if is_multi(&found) => multi_of(item.clone()),
        _ => wanted.clone(),
    };
    if found == wanted {
        return Ok(Expr::Literal(value, None));
    }
    Ok(cast(Expr::Literal(value, None), &found, &wanted))
}

/// As [`adopt`], from another expression: a parameter takes its type under PostgreSQL's name.
pub fn adopt_from(expr: Expr, other: &Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) if !is_unknown(other) => {
            Ok(typed_parameter(id, &other.to_field(schema)?.1))
        }
        expr => adopt(expr, &other.get_type(schema)?, schema),
    }
}

/// A parameter of the type that a value beside it has.
pub fn typed_parameter(id: String, other: &Field) -> Expr {
    let field = parameter_beside(other, &id);
    Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(field))))
}

/// The field of a parameter that stands beside a value: `varchar` has no operators of its own but those of `text`,
/// and what identifies an object is compared as an `oid`.
pub fn parameter_beside(other: &Field, id: &str) -> Field {
    let data_type = match other.data_type() {
        DataType::Utf8 | DataType::Null => DataType::Utf8View,
        data_type => data_type.clone(),
    };
    let field = Field::new(id, data_type, true);
    let name = match other.metadata().get(PG_TYPE_KEY).map(String::as_str) {
        None | Some("varchar" | "cstring" | "unknown") => return field,
        Some(reg) if REG_TYPES.contains(&reg) => "oid",
        Some(name) => name,
    };
    field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]))
}

fn adopt_each_other(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    match (is_unknown(&left), is_unknown(&right)) {
        (true, true) => {
            Ok((adopt(left, &DataType::Utf8View, schema)?, adopt(right, &DataType::Utf8View, schema)?))
        }
        (true, false) => Ok((adopt_from(left, &right, schema)?, right)),
        (false, true) => {
            let right = adopt_from(right, &left, schema)?;
            Ok((left, right))
        }
        (false, false) => Ok((left, right)),
    }
}

/// A cast, unless the type is there already.
pub fn cast(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { Expr::Cast(Cast::new(Box::new(expr), to.clone())) }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}
