//! Functions that give the comments of objects.

use super::Kind::{Int, Text};
use super::{CatalogueFunction, argument, oid, strict, text};
use crate::pg_catalog::error::FunctionResult;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict("obj_description", &[&[Int, Text], &[Int]], "text", object),
    strict("col_description", &[&[Int, Int]], "text", |view, arguments| {
        let table = view.snapshot.table_by_oid(oid(arguments, 0));
        let number = argument(arguments, 1).as_int().unwrap_or(0);
        let column =
            table.and_then(|table| table.columns.iter().find(|column| i64::from(column.number) == number));
        Ok(column.and_then(|column| column.comment.as_ref()).into())
    }),
    strict("shobj_description", &[&[Int, Text]], "text", |view, arguments| {
        let oid = oid(arguments, 0);
        let comment = match text(arguments, 1) {
            "pg_database" => {
                let mut databases = view.snapshot.databases.iter();
                databases.find(|database| database.oid == oid).and_then(|database| database.comment.as_ref())
            }
            "pg_authid" => {
                let mut roles = view.snapshot.roles.iter();
                roles.find(|role| role.oid == oid).and_then(|role| role.comment.as_ref())
            }
            _ => None,
        };
        Ok(comment.into())
    }),
];

fn object(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let oid = oid(arguments, 0);
    let catalogue = argument(arguments, 1).as_str();
    let table = || view.snapshot.table_by_oid(oid).and_then(|table| table.comment.as_ref());
    let view_comment = || {
        let found = view.snapshot.views.iter().find(|found| found.oid == oid);
        found.and_then(|found| found.comment.as_ref())
    };
    let schema = || {
        let mut schemas = view.snapshot.schemas.iter();
        schemas.find(|schema| schema.oid == oid).and_then(|schema| schema.comment.as_ref())
    };
    let sequence = || view.snapshot.sequence_by_oid(oid).and_then(|found| found.comment.as_ref());
    let index = || {
        let found = view.index_by_oid(oid).filter(|found| !found.is_constraint())?;
        found.constraint.comment.as_ref()
    };
    let constraint = || view.constraint_by_oid(oid).and_then(|found| found.constraint.comment.as_ref());
    Ok(match catalogue {
        Some("pg_class") => table().or_else(view_comment).or_else(sequence).or_else(index).into(),
        Some("pg_constraint") => constraint().into(),
        Some("pg_namespace") => schema().into(),
        Some(_) => Datum::Null,
        None => table().or_else(view_comment).or_else(schema).into(),
    })
}
