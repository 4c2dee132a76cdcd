//! The values of columns that a statement does not give.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use quickdb_executor::error::ErrorKind;

use crate::catalogue::{Column, Generation};
use crate::error::PgError;

/// An expression of the catalogue as a syntax tree.
///
/// # Errors
/// XX000 for a text that is none: it was one when it was stored.
pub(crate) fn parse_expression(text: &str) -> Result<Expr, PgError> {
    let parsed =
        Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| {
        PgError::new(ErrorKind::Internal, format!("a stored expression does not parse: {error}"))
    })
}

/// The DEFAULT of a column; `None` for NULL, and for one that is generated of the others later.
///
/// # Errors
/// Those of [`parse_expression`].
pub(crate) fn default_of(column: &Column) -> Result<Option<Expr>, PgError> {
    if column.generation == Generation::Stored {
        return Ok(None);
    }
    column.default.as_deref().map(parse_expression).transpose()
}
