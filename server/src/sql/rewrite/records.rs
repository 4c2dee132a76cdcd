//! `(record).*` in a select list: the fields of a record one by one.
//!
//! The fields are known where the record is the result of one of our aggregates, in this query or in one that stands
//! in its FROM or WITH.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Cte, Expr, Ident, ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, Statement, TableFactor, VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use super::laterals::relation_names;
use super::names::output_name;
use super::{folded, unnested};
use crate::error::PgError;
use crate::sql::position::char_position;
use crate::sql::spellings::ALL_FIELDS;

/// Writes out the fields of records.
///
/// # Errors
/// 0A000 for a record whose fields are not known.
pub(super) fn expand(statement: &mut Statement, source: &str) -> Result<(), PgError> {
    match VisitMut::visit(statement, &mut Records { named: vec![], source }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Queries are visited from the outside in, with the WITH of those around.
struct Records<'a> {
    /// The queries of every WITH that is in sight, by name, the innermost last.
    named: Vec<Vec<(String, Query)>>,
    source: &'a str,
}

impl VisitorMut for Records<'_> {
    type Break = Box<PgError>;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let of = |cte: &Cte| (folded(&cte.alias.name), cte.query.as_ref().clone());
        let named = query.with.iter().flat_map(|with| with.cte_tables.iter().map(of)).collect();
        self.named.push(named);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.named.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if !select.projection.iter().any(|item| record_of(item).is_some()) {
            return ControlFlow::Continue(());
        }
        let relations = relation_names(&select.from);
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            let Some(record) = record_of(&item) else {
                items.push(item);
                continue;
            };
            if let Expr::Identifier(relation) = unnested(&record)
                && relations.contains(&folded(relation))
            {
                // A relation's own row.
                let name = ObjectName::from(vec![relation.clone()]);
                let options = WildcardAdditionalOptions::default();
                items.push(SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    options,
                ));
                continue;
            }
            match self.fields(&record, select, &mut vec![]) {
                Some(fields) => items.extend(fields.iter().map(|field| SelectItem::ExprWithAlias {
                    expr: Expr::CompoundFieldAccess {
                        root: Box::new(record.clone()),
                        access_chain: vec![AccessExpr::Dot(Expr::Identifier(Ident::new(*field)))],
                    },
                    alias: Ident::new(*field),
                })),
                None => items.push(item),
            }
        }
        select.projection = items;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return ControlFlow::Continue(()) };
        let Some(star) = access_chain.iter().find_map(star) else { return ControlFlow::Continue(()) };
        let start = star.span.start;
        let error = PgError::unsupported("the fields of this record by *")
            .hint("Name them: (record).field.")
            .at(char_position(self.source, start.line, start.column));
        ControlFlow::Break(Box::new(error))
    }
}

fn star(access: &AccessExpr) -> Option<&Ident> {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) if name.value == ALL_FIELDS => Some(name),
        _ => None,
    }
}

/// The record of which an item of a select list wants all fields.
fn record_of(item: &SelectItem) -> Option<Expr> {
    let SelectItem::UnnamedExpr(Expr::CompoundFieldAccess { root, access_chain }) = item else { return None };
    let (last, before) = access_chain.split_last()?;
    star(last)?;
    if before.is_empty() {
        return Some(root.as_ref().clone());
    }
    Some(Expr::CompoundFieldAccess { root: root.clone(), access_chain: before.to_vec() })
}

type Fields = &'static [&'static str];

impl Records<'_> {
    /// The fields of a record in a select list. `seen` are the named queries that are being looked into.
    fn fields(&self, record: &Expr, select: &Select, seen: &mut Vec<String>) -> Option<Fields> {
        match unnested(record) {
            Expr::Function(function) => match folded(function.name.0.last()?.as_ident()?).as_str() {
                "histogram" => Some(&["counts", "edges"]),
                "histogram2d" => Some(&["counts", "x_edges", "y_edges"]),
                "minmax" => Some(&["min", "max"]),
                _ => None,
            },
            Expr::Identifier(column) => self.column(None, &folded(column), select, seen),
            Expr::CompoundIdentifier(parts) => {
                let [relation, column] = parts.as_slice() else { return None };
                self.column(Some(&folded(relation)), &folded(column), select, seen)
            }
            _ => None,
        }
    }

    /// The same of a column of a relation in FROM, or of any of them.
    fn column(
        &self,
        relation: Option<&str>,
        column: &str,
        select: &Select,
        seen: &mut Vec<String>,
    ) -> Option<Fields> {
        let tables = select.from.iter().flat_map(|from| {
            std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
        });
        tables.into_iter().find_map(|table| match table {
            TableFactor::Derived { subquery, alias, .. } => {
                let alias = alias.as_ref().map(|alias| folded(&alias.name));
                let wanted = relation.is_none() || alias.as_deref() == relation;
                wanted.then(|| self.output(subquery, column, seen)).flatten()
            }
            TableFactor::Table { name, alias, .. } => {
                let [part] = name.0.as_slice() else { return None };
                let name = folded(part.as_ident()?);
                let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| folded(&alias.name));
                if relation.is_some_and(|relation| relation != alias) || seen.contains(&name) {
                    return None;
                }
                let named = self.named.iter().rev().flatten();
                let query = named.filter(|(known, _)| *known == name).map(|(_, query)| query).next()?;
                seen.push(name);
                let fields = self.output(query, column, seen);
                seen.pop();
                fields
            }
            _ => None,
        })
    }

    /// The same of an output column of a query.
    fn output(&self, query: &Query, column: &str, seen: &mut Vec<String>) -> Option<Fields> {
        let SetExpr::Select(select) = query.body.as_ref() else { return None };
        select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if folded(alias) == column => {
                self.fields(expr, select, seen)
            }
            SelectItem::UnnamedExpr(expr) if output_name(expr) == column => self.fields(expr, select, seen),
            SelectItem::Wildcard(_) => self.column(None, column, select, seen),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse;

    fn expanded(sql: &str) -> Result<String, String> {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        expand(&mut statement, sql).map_err(|error| error.message)?;
        Ok(statement.to_string())
    }

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        assert_eq!(expanded(sql), Ok(expected.to_owned()));
    }

    #[test]
    fn records_become_their_fields() {
        check("SELECT (minmax(a)).* FROM t", "SELECT (minmax(a)).min AS min, (minmax(a)).max AS max FROM t");
        check(
            "SELECT (h).*, 1 FROM (SELECT histogram(a) AS h FROM t) AS s",
            "SELECT (h).counts AS counts, (h).edges AS edges, 1 FROM (SELECT histogram(a) AS h FROM t) AS s",
        );
        check(
            "WITH q AS (SELECT minmax(a) FROM t) SELECT (q.minmax).* FROM q",
            "WITH q AS (SELECT minmax(a) FROM t) SELECT (q.minmax).min AS min, (q.minmax).max AS max FROM q",
        );
        check("SELECT (t).* FROM t", "SELECT t.* FROM t");
    }

    #[test]
    fn other_records_are_refused() {
        for sql in
            ["SELECT (a).* FROM t", "WITH q AS (SELECT * FROM q) SELECT (h).* FROM q", "SELECT f((a).*)"]
        {
            assert!(expanded(sql).is_err(), "{sql}");
        }
    }
}
