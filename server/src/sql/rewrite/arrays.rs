//! Arrays that are written as constants, as `ARRAY[...]` or in a text.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, DataType, ExactNumberInfo, Expr, Value, VisitorMut,
};
use quickdb_executor::functions::arrays::literal::ArrayText;
use quickdb_executor::functions::input::numeric_literal_type;

use super::expressions::{literal_text, plain_cast, text};
use super::subqueries::call;
use super::unnested;

/// The elements of an array that is written as a constant: `ARRAY['a', 'b']` or `'{a,b}'`.
pub(super) fn array_elements(array: &Expr) -> Option<Vec<Expr>> {
    match unnested(array) {
        Expr::Array(array)
            if array.elem.iter().any(|element| matches!(unnested(element), Expr::Array(_))) =>
        {
            None
        }
        Expr::Array(array) if !array.elem.is_empty() => Some(array.elem.clone()),
        Expr::Cast { expr, data_type: DataType::Array(element), .. } => {
            let elements = array_elements(expr)?;
            let (ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) =
                element
            else {
                return None;
            };
            Some(elements.into_iter().map(|item| plain_cast(item, element.as_ref().clone())).collect())
        }
        expr => {
            let body = literal_text(expr)?.trim().strip_prefix('{')?.strip_suffix('}')?;
            if body.contains(['"', '\\', '{']) || body.trim().is_empty() {
                return None;
            }
            Some(body.split(',').map(|item| text(item.trim())).collect())
        }
    }
}

/// `ARRAY[x, y]` as a call: the planner takes the elements of a literal out of their query, so that they find no columns
/// of the queries around it.
pub(super) struct ArrayCalls;

impl VisitorMut for ArrayCalls {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Array(array) = expr {
            let elements = std::mem::take(&mut array.elem);
            *expr = call("make_array", elements, Vec::new());
        }
        ControlFlow::Continue(())
    }
}

/// A text in PostgreSQL's notation of arrays as an array of its elements, one dimension deep.
pub(super) fn array_literal(literal: &str, element: &DataType) -> Option<Expr> {
    let body = literal.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut chars = body.chars().peekable();
    while chars.peek().is_some() {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut item = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => item.push(chars.next()?),
                    c => item.push(c),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' => return None,
                    '\\' => item.push(chars.next()?),
                    c => item.push(c),
                }
            }
        }
        let trimmed = if quoted { item.as_str() } else { item.trim_end() };
        let value = if !quoted && trimmed.eq_ignore_ascii_case("null") {
            Expr::Value(Value::Null.into())
        } else {
            text(trimmed)
        };
        elements.push(plain_cast(value, element.clone()));
        match chars.next() {
            Some(',') | None => {}
            Some(_) => return None,
        }
    }
    // The constructor takes no type from an empty list.
    (!elements.is_empty()).then_some(Expr::Array(Array { elem: elements, named: true }))
}

/// The type of a literal that is an array of several dimensions: of numerics, one of as many digits as it has.
pub(super) fn multi_literal_type(literal: &str, element: &DataType) -> DataType {
    let mut innermost = element;
    while let DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _)) = innermost {
        innermost = inner;
    }
    let mut innermost = innermost.clone();
    if matches!(
        innermost,
        DataType::Numeric(ExactNumberInfo::None)
            | DataType::Decimal(ExactNumberInfo::None)
            | DataType::Dec(ExactNumberInfo::None)
    ) && let Ok(read) = ArrayText::parse(literal)
    {
        let digits = read.elements.iter().flatten().filter_map(|text| numeric_literal_type(text));
        let scale = digits.map(|(_, scale)| scale).max().unwrap_or(0);
        innermost = DataType::Numeric(ExactNumberInfo::PrecisionAndScale(38, i64::from(scale)));
    }
    let around = |inner| DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(inner), None));
    around(around(innermost))
}
