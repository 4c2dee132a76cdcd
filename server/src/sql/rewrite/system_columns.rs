//! `tableoid`: the relation that a row is of, which every relation has without listing it. And `xmin` of the system's
//! own relations, which were all there when transactions began.
//!
//! A relation here has its rows in one place, so that the column is one value, known when the statement is planned.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, Select, SelectItem, TableFactor, TableWithJoins, Value, VisitorMut,
};

use super::expressions::{plain_cast, text};
use super::folded;
use super::subqueries::call;

/// The transaction that the system's relations are from, as in PostgreSQL.
const BOOTSTRAP_TRANSACTION: &str = "1";

/// Replaces `tableoid` by the OID of the relation that it is of.
#[derive(Debug, Default)]
pub struct SystemColumns {
    /// What is in FROM, from the outermost query to the innermost.
    scopes: Vec<Vec<Item>>,
    /// Names that mean a CTE somewhere in the statement.
    ctes: HashSet<String>,
}

#[derive(Debug)]
struct Item {
    name: String,
    /// `None` for what is no relation of the catalogue.
    relation: Option<ObjectName>,
}

impl VisitorMut for SystemColumns {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.extend(ctes.map(|cte| folded(&cte.alias.name)));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut items = Vec::new();
        select.from.iter().for_each(|from| self.add(from, &mut items));
        self.scopes.push(items);
        // The column keeps its name when another expression stands for it.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some(column) = column_of(expr).filter(|column| is_system_column(column))
            {
                let alias = Ident::new(folded(column));
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let relation = match expr {
            Expr::Identifier(column) if is_system_column(column) => {
                match self.scopes.last().map(Vec::as_slice) {
                    Some([Item { relation: Some(relation), .. }]) => relation,
                    _ => return ControlFlow::Continue(()),
                }
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., of, column] if is_system_column(column) => {
                    let name = folded(of);
                    let item = self.scopes.iter().rev().flatten().find(|item| item.name == name);
                    match item.and_then(|item| item.relation.as_ref()) {
                        Some(relation) => relation,
                        None => return ControlFlow::Continue(()),
                    }
                }
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        let named = |name: &str| {
            let name = ObjectName::from(vec![Ident::new(name)]);
            datafusion::sql::sqlparser::ast::DataType::Custom(name, Vec::new())
        };
        if !column_of(expr).is_some_and(is_tableoid) {
            let name = relation.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
            // Rows of users' tables do not know which transaction they are from.
            if name.starts_with("pg_") {
                *expr = plain_cast(text(BOOTSTRAP_TRANSACTION), named("xid"));
            }
            return ControlFlow::Continue(());
        }
        let oid = call("regclassin", vec![text(&relation.to_string())], Vec::new());
        *expr = plain_cast(oid, named("oid"));
        ControlFlow::Continue(())
    }
}

impl SystemColumns {
    fn add(&self, from: &TableWithJoins, items: &mut Vec<Item>) {
        let factors = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
        for factor in factors {
            let (alias, relation) = match factor {
                TableFactor::Table { name, alias, args: None, .. } => (alias, Some(name)),
                TableFactor::NestedJoin { table_with_joins, alias: None } => {
                    self.add(table_with_joins, items);
                    continue;
                }
                TableFactor::Derived { alias, .. }
                | TableFactor::Function { alias, .. }
                | TableFactor::Table { alias, .. }
                | TableFactor::UNNEST { alias, .. } => (alias, None),
                _ => (&None, None),
            };
            let own = relation.and_then(|name| name.0.last()).and_then(|part| part.as_ident()).map(folded);
            let is_cte = relation.is_some_and(|name| name.0.len() == 1)
                && own.as_ref().is_some_and(|name| self.ctes.contains(name));
            let name = alias.as_ref().map(|alias| folded(&alias.name)).or(own).unwrap_or_default();
            items.push(Item { name, relation: relation.filter(|_| !is_cte).cloned() });
        }
    }
}

/// The last name of a reference to a column.
fn column_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(column) => Some(column),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

fn is_tableoid(column: &Ident) -> bool {
    folded(column) == "tableoid"
}

fn is_system_column(column: &Ident) -> bool {
    matches!(folded(column).as_str(), "tableoid" | "xmin")
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;

    use super::*;
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let _ = VisitMut::visit(&mut statement, &mut SystemColumns::default());
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn the_relation_of_a_row_is_known() {
        check("SELECT c.xmin FROM pg_class AS c", "SELECT CAST('1' AS xid) AS xmin FROM pg_class AS c");
        check("SELECT xmin AS x FROM t", "SELECT xmin AS x FROM t");
        check("SELECT tableoid FROM s.t", "SELECT CAST(regclassin('s.t') AS oid) AS tableoid FROM s.t");
        check(
            "SELECT 1 FROM t AS a WHERE EXISTS (SELECT 1 FROM u WHERE u.x = a.tableoid)",
            "SELECT 1 FROM t AS a WHERE EXISTS (SELECT 1 FROM u WHERE u.x = CAST(regclassin('t') AS oid))",
        );
    }

    #[test]
    fn columns_of_queries_keep_their_name() {
        for sql in [
            "SELECT q.tableoid AS x FROM (SELECT 1 AS tableoid) AS q",
            "WITH t AS (SELECT 1 AS tableoid) SELECT t.tableoid AS x FROM t",
            "SELECT tableoid AS x FROM t, u",
        ] {
            check(sql, sql);
        }
    }
}
