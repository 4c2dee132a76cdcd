//! The syntax tree in PostgreSQL's meaning, before DataFusion plans it.
//!
//! ```text
//! names ─▶ relations ─▶ subqueries ─▶ expressions and literals
//! ```
//!
//! Each pass is general and looks at shapes, never at a statement's text.

pub mod expressions;
pub mod literals;
pub mod names;
pub mod relations;
pub mod subqueries;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Statement, VisitMut};

use crate::error::PgError;
use crate::sql::SessionFacts;

/// How much a statement's projections need distinct names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Names that repeat among the written items are told apart.
    AmongItems,
    /// Every item beside a `*` gets a name that no column can have.
    BesideWildcards,
}

/// All passes over one statement; `source` is the text that its spans refer to.
///
/// # Errors
/// 42704 for unknown collations and types, 0A000 for what is refused.
pub fn rewrite(
    statement: &mut Statement,
    source: &str,
    facts: &SessionFacts,
    uniqueness: Uniqueness,
) -> Result<(), PgError> {
    let mut names = names::OutputNames::new(uniqueness);
    let _ = statement.visit(&mut names);
    let _ = statement.visit(&mut relations::Relations);
    let _ = statement.visit(&mut subqueries::ScalarSubqueries);
    let mut expressions = expressions::Expressions::new(facts, source);
    let _ = statement.visit(&mut expressions);
    if let Some(error) = expressions.error {
        return Err(error);
    }
    let _ = statement.visit(&mut literals::Literals);
    Ok(())
}

/// The name that an identifier stands for: folded to lower case unless quoted.
pub fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The expression inside parentheses.
pub fn unnested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}
