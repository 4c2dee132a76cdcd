//! The catalogue's functions, one file per group, and what makes DataFusion call them.
//!
//! A group is a table of [`CatalogueFunction`]s: a name, the forms of arguments it takes, the type it returns, and a
//! Rust function from values to a value. [`udf`] wraps each in a [`ScalarUDF`].

mod comments;
mod definitions;
mod names;
mod privileges;
mod sequences;
mod session;
mod sets;
mod sizes;
mod udf;

use datafusion::logical_expr::ScalarUDF;

pub(super) use names::reg_text;

use super::PgCatalog;
use super::error::FunctionResult;
use super::rows::Datum;
use super::session::SessionView;

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, a name, a "char".
    Text,
    /// A whole number: an integer, an OID, a `reg...` value.
    Int,
    /// A boolean.
    Bool,
    /// A numeric of any size; comes as the text of its digits.
    Numeric,
    /// An array of anything.
    List,
    /// Anything; comes as its text.
    Any,
}

/// A function of the catalogue.
#[derive(Debug)]
pub(super) struct CatalogueFunction {
    pub(super) name: &'static str,
    /// The argument lists that it takes.
    pub(super) forms: &'static [&'static [Kind]],
    /// The name of the type it returns, in `pg_type`; `{name:type,..}` for an array of records, each a list of fields.
    pub(super) returns: &'static str,
    /// Whether a NULL argument gives NULL without a call.
    pub(super) strict: bool,
    /// Whether it does something, so that it is called for every row and never when planning.
    pub(super) volatile: bool,
    pub(super) call: fn(&SessionView, &[Datum]) -> FunctionResult<Datum>,
}

/// A strict function.
const fn strict(
    name: &'static str,
    forms: &'static [&'static [Kind]],
    returns: &'static str,
    call: fn(&SessionView, &[Datum]) -> FunctionResult<Datum>,
) -> CatalogueFunction {
    CatalogueFunction { name, forms, returns, strict: true, volatile: false, call }
}

/// A strict function that does something.
const fn volatile(
    name: &'static str,
    forms: &'static [&'static [Kind]],
    returns: &'static str,
    call: fn(&SessionView, &[Datum]) -> FunctionResult<Datum>,
) -> CatalogueFunction {
    CatalogueFunction { name, forms, returns, strict: true, volatile: true, call }
}

/// A function that sees NULL arguments.
const fn lenient(
    name: &'static str,
    forms: &'static [&'static [Kind]],
    returns: &'static str,
    call: fn(&SessionView, &[Datum]) -> FunctionResult<Datum>,
) -> CatalogueFunction {
    CatalogueFunction { name, forms, returns, strict: false, volatile: false, call }
}

/// All functions, by group.
pub(super) const GROUPS: &[&[CatalogueFunction]] = &[
    names::FUNCTIONS,
    comments::FUNCTIONS,
    definitions::FUNCTIONS,
    privileges::FUNCTIONS,
    sequences::FUNCTIONS,
    session::FUNCTIONS,
    sets::FUNCTIONS,
    sizes::FUNCTIONS,
];

/// Whether a function of that name does something each time that it is called.
pub(crate) fn is_volatile_function(name: &str) -> bool {
    let mut functions = GROUPS.iter().flat_map(|group| group.iter());
    functions.any(|function| function.volatile && function.name == name)
}

/// The functions as DataFusion calls them. They look at `catalog` when they are called.
pub(super) fn udfs(catalog: &PgCatalog) -> Vec<ScalarUDF> {
    let functions = GROUPS.iter().flat_map(|group| group.iter());
    functions.map(|function| ScalarUDF::from(udf::CatalogueUdf::new(function, catalog.clone()))).collect()
}

/// The argument at `index`, NULL where it was left out.
fn argument(arguments: &[Datum], index: usize) -> &Datum {
    arguments.get(index).unwrap_or(&Datum::Null)
}

/// A text argument; the empty text where it is NULL or was left out.
fn text(arguments: &[Datum], index: usize) -> &str {
    argument(arguments, index).as_str().unwrap_or_default()
}

/// An OID argument. Numbers that cannot be an OID are no object's.
fn oid(arguments: &[Datum], index: usize) -> u32 {
    argument(arguments, index).as_oid().unwrap_or_default()
}
