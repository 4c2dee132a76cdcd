//! Binary operators with PostgreSQL's choice of types.
//!
//! A string literal is of no type yet: it takes the other operand's. Arithmetic becomes our checked functions; a
//! comparison casts to the type that PostgreSQL compares in; what PostgreSQL has no operator for is 42883.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::types::REG_TYPES;
use crate::wire::params::{InputContext, parse_text};
use crate::wire::types::column_type;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arithmetic::{self, Arithmetic};
use quickdb_executor::functions::input::numeric_literal_type;
use quickdb_executor::functions::type_names::{PG_TYPE_KEY, pg_type_name, timestamptz};
use quickdb_executor::functions::{scalar_functions, undefined_operator};

static ARITHMETIC: LazyLock<Vec<(Arithmetic, Arc<ScalarUDF>)>> =
    LazyLock::new(|| Arithmetic::ALL.into_iter().map(|op| (op, op.udf())).collect());

static POWER: LazyLock<Option<Arc<ScalarUDF>>> =
    LazyLock::new(|| scalar_functions().into_iter().find(|function| function.name() == "power"));

static SUBSCRIPT: LazyLock<Option<Arc<ScalarUDF>>> =
    LazyLock::new(|| scalar_functions().into_iter().find(|function| function.name() == "array_subscript"));

/// Plans operators.
#[derive(Debug)]
pub struct Operators;

impl ExprPlanner for Operators {
    /// `array[n]`: NULL for a place that is not there. What `int2vector` and `oidvector` hold is counted from 0, where
    /// arrays are counted from 1.
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = access;
        match (field_access, SUBSCRIPT.as_ref()) {
            (GetFieldAccess::ListIndex { key }, Some(function)) if is_list(&expr.get_type(schema)?) => {
                let key = if is_vector(&expr, schema)? {
                    cast(*key, &DataType::Null, &DataType::Int64) + lit(1_i64)
                } else {
                    *key
                };
                let subscript = ScalarFunction::new_udf(Arc::clone(function), vec![expr, key]);
                Ok(PlannerResult::Planned(Expr::ScalarFunction(subscript)))
            }
            (field_access, _) => Ok(PlannerResult::Original(RawFieldAccessExpr { field_access, expr })),
        }
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
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
                    if !is_text(&data_type) {
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
                Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
            }
        }
    }
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

fn call(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
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
    Ok(planned(left, op, right))
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
    match (left, right) {
        (Timestamp(_, None) | Date32, Timestamp(_, Some(_)))
        | (Timestamp(_, Some(_)), Timestamp(_, None) | Date32) => Comparable::In(timestamptz()),
        (Date32, Timestamp(_, None)) | (Timestamp(_, None), Date32) => Comparable::AsIs,
        (Timestamp(..), Timestamp(..)) | (Time64(_), Time64(_)) => Comparable::AsIs,
        (DataType::Interval(_), DataType::Interval(_) | Time64(_)) | (Time64(_), DataType::Interval(_)) => {
            Comparable::AsIs
        }
        (l, r) if is_scalar(l) && is_scalar(r) => Comparable::No,
        (l, r)
            if is_scalar(l) != is_scalar(r)
                && !matches!(l, DataType::Struct(_))
                && !matches!(r, DataType::Struct(_)) =>
        {
            Comparable::No
        }
        _ => Comparable::AsIs,
    }
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
    if is_list(&left_type) || is_list(&right_type) {
        let (left, right) = array_operands(left, right, schema)?;
        return Ok(PlannerResult::Original(RawBinaryExpr { op: BinaryOperator::StringConcat, left, right }));
    }
    let some_text = |data_type: &DataType| is_text(data_type) || matches!(data_type, DataType::Null);
    if !some_text(&left_type) && !some_text(&right_type) {
        return Err(undefined_operator("||", Some(&left_type), &right_type));
    }
    let left = cast(adopt(left, &DataType::Utf8View, schema)?, &left_type, &DataType::Utf8View);
    let right = cast(adopt(right, &DataType::Utf8View, schema)?, &right_type, &DataType::Utf8View);
    Ok(planned(left, Operator::StringConcat, right))
}

/// The operands of `||` where one is an array: with one type of elements. A literal of no type is an array itself.
fn array_operands(left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
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
    let (left_type, right_type) = (left.get_type(schema)?, right.get_type(schema)?);
    let element = |data_type: &DataType| match data_type {
        DataType::List(item) => item.data_type().clone(),
        other => other.clone(),
    };
    let (l, r) = (element(&left_type), element(&right_type));
    let Some(common) = common_element(&l, &r) else { return Ok((left, right)) };
    let wanted = |data_type: &DataType| match data_type {
        DataType::List(item) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(common.clone()).with_nullable(true)))
        }
        _ => common.clone(),
    };
    let (l, r) = (wanted(&left_type), wanted(&right_type));
    Ok((cast(left, &left_type, &l), cast(right, &right_type, &r)))
}

fn array_or_null(literal: Expr, wanted: &DataType, schema: &DFSchema) -> Result<Expr> {
    match literal {
        Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(None), _) => {
            Ok(Expr::Literal(ScalarValue::try_new_null(wanted)?, None))
        }
        other => adopt(other, wanted, schema),
    }
}

/// The type that holds numbers of both types, where they are two.
fn common_element(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return None;
    }
    match arithmetic::common_number_types(left, right)? {
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            let scale = s1.max(s2);
            let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
            let precision = u8::try_from((whole + i16::from(scale)).clamp(1, 38)).unwrap_or(38);
            Some(DataType::Decimal128(precision, scale))
        }
        (common, other) if common == other => Some(common),
        _ => None,
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
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) if is_list(wanted) => array_literal(&text, wanted),
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
    let value = parse_text(text, type_oid, &context)
        .map_err(|error| ExecError::new(ErrorKind::InvalidText, error.message).into_datafusion())?;
    Ok(Expr::Literal(value.cast_to(wanted)?, None))
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

fn is_vector(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let (_, field) = expr.to_field(schema)?;
    Ok(matches!(field.metadata().get(PG_TYPE_KEY).map(String::as_str), Some("int2vector" | "oidvector")))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}
