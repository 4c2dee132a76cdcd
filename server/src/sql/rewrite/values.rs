//! Text literals in a VALUES list take the type of their column's other rows:
//! `VALUES (DATE '2013-07-04'), ('2013-07-05')` has two dates.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, Query, SetExpr, Statement, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::expressions::plain_cast;
use super::literals::number_type;
use super::unnested;

/// Types the literals of a statement; what is inserted takes the types of its table instead.
pub(super) fn rewrite(statement: &mut Statement) {
    if !matches!(statement, Statement::Insert(_)) {
        let _ = VisitMut::visit(statement, &mut ValuesLists);
    }
}

struct ValuesLists;

impl VisitorMut for ValuesLists {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Values(values) = query.body.as_mut() {
            let columns = values.rows.first().map_or(0, |row| row.content.len());
            for column in 0..columns {
                let data_type = values.rows.iter().find_map(|row| type_of(row.content.get(column)?));
                let Some(data_type) = data_type else { continue };
                for row in &mut values.rows {
                    if let Some(expr) = row.content.get_mut(column)
                        && is_text(expr)
                    {
                        *expr = plain_cast(expr.clone(), data_type.clone());
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The type that an expression says it has.
fn type_of(expr: &Expr) -> Option<DataType> {
    match unnested(expr) {
        Expr::Cast { data_type, .. } => Some(data_type.clone()),
        Expr::TypedString(typed) => Some(typed.data_type.clone()),
        Expr::Interval(_) => Some(DataType::Interval { fields: None, precision: None }),
        Expr::Array(array) => {
            let element = array.elem.iter().find_map(|element| match unnested(element) {
                Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => {
                    Some(number_type(digits))
                }
                element if is_text(element) => Some(DataType::Text),
                element => type_of(element),
            })?;
            Some(DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None)))
        }
        _ => None,
    }
}

fn is_text(expr: &Expr) -> bool {
    let literal = match unnested(expr) {
        Expr::Value(ValueWithSpan { value, .. }) => value,
        _ => return false,
    };
    matches!(
        literal,
        Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::DollarQuotedString(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse;

    #[test]
    fn literals_take_the_type_of_their_column() {
        let check = |sql: &str, expected: &str| {
            let mut statement = parse(sql).unwrap().remove(0).ast;
            rewrite(&mut statement);
            assert_eq!(statement.to_string(), expected);
        };
        check(
            "VALUES (DATE '2013-07-04', 'a'), ('2013-07-05', 'b')",
            "VALUES (DATE '2013-07-04', 'a'), (CAST('2013-07-05' AS DATE), 'b')",
        );
        check(
            "INSERT INTO t VALUES (DATE '2013-07-04'), ('now')",
            "INSERT INTO t VALUES (DATE '2013-07-04'), ('now')",
        );
    }
}
