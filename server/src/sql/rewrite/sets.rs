//! Functions that return sets.
//!
//! Each has a scalar function that gives the set as an array, which `unnest` takes apart:
//!
//! | written | becomes |
//! |---|---|
//! | `SELECT f(x)` | `SELECT unnest(f_list(x))` |
//! | `FROM f(x) a` | `FROM LATERAL (SELECT unnest(f_list(x)) AS a) a` |
//! | `FROM f(x) WITH ORDINALITY a` | `FROM LATERAL (SELECT unnest(f_list(x)) AS a, unnest(ordinality_list(f_list(x))) AS ordinality) a` |
//! | `FROM f(x) a`, where it returns records | `FROM LATERAL (SELECT (s.r).p AS p, .. FROM (SELECT unnest(f_list(x)) AS r) s) a` |
//!
//! A function that returns no set is a relation of one row: `FROM f(x) a` becomes `FROM (SELECT f(x) AS a) a`.
//!
//! An item without columns in its arguments is not LATERAL. `generate_series` of whole numbers and `unnest` of constants
//! stay what they are: DataFusion has them as relations.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, Select, SelectItem,
    SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value,
    ValueWithSpan, VisitorMut, visit_expressions, visit_expressions_mut,
};

use super::folded;
use super::relations::{query, select_all};
use super::subqueries::call;

/// A function that returns a set.
struct SetFunction {
    name: &'static str,
    /// The scalar function that gives its set as an array.
    list: &'static str,
    /// What the one column is called where the item's name is not it.
    column: Option<&'static str>,
    /// The type of the values, where it is one that Arrow does not know.
    type_name: Option<&'static str>,
    /// The columns of its records.
    record: &'static [(&'static str, Option<&'static str>)],
}

const fn set_of(name: &'static str, list: &'static str) -> SetFunction {
    SetFunction { name, list, column: None, type_name: None, record: &[] }
}

const fn json_set(name: &'static str, list: &'static str, type_name: Option<&'static str>) -> SetFunction {
    SetFunction { name, list, column: Some("value"), type_name, record: &[] }
}

const fn record_set(
    name: &'static str,
    list: &'static str,
    record: &'static [(&'static str, Option<&'static str>)],
) -> SetFunction {
    SetFunction { name, list, column: None, type_name: None, record }
}

/// Set-returning functions.
const SETS: [SetFunction; 20] = [
    set_of("generate_subscripts", "generate_subscripts_list"),
    set_of("regexp_matches", "regexp_matches_all"),
    set_of("regexp_split_to_table", "regexp_split_to_array"),
    set_of("string_to_table", "string_to_array"),
    record_set("_pg_expandarray", "expandarray_list", &[("x", None), ("n", None)]),
    record_set(
        "aclexplode",
        "aclexplode_list",
        &[("grantor", None), ("grantee", None), ("privilege_type", None), ("is_grantable", None)],
    ),
    record_set("pg_options_to_table", "pg_options_list", &[("option_name", None), ("option_value", None)]),
    record_set(
        "pg_partition_tree",
        "pg_partition_tree_list",
        &[("relid", None), ("parentrelid", None), ("isleaf", None), ("level", None)],
    ),
    set_of("pg_partition_ancestors", "pg_partition_ancestors_list"),
    record_set(
        "pg_get_keywords",
        "pg_keywords_list",
        &[("word", None), ("catcode", None), ("barelabel", None), ("catdesc", None), ("baredesc", None)],
    ),
    json_set("json_array_elements", "json_array_elements_list", Some("json")),
    json_set("jsonb_array_elements", "jsonb_array_elements_list", Some("jsonb")),
    json_set("json_array_elements_text", "json_array_elements_text_list", None),
    json_set("jsonb_array_elements_text", "jsonb_array_elements_text_list", None),
    set_of("json_object_keys", "json_object_keys_list"),
    set_of("jsonb_object_keys", "jsonb_object_keys_list"),
    record_set("json_each", "json_each_list", &[("key", None), ("value", Some("json"))]),
    record_set("jsonb_each", "jsonb_each_list", &[("key", None), ("value", Some("jsonb"))]),
    record_set("json_each_text", "json_each_text_list", &[("key", None), ("value", None)]),
    record_set("jsonb_each_text", "jsonb_each_text_list", &[("key", None), ("value", None)]),
];

/// The set-returning function of that name.
fn set_function(name: &str) -> Option<&'static SetFunction> {
    SETS.iter().find(|function| function.name == name)
}

/// A value in a type that Arrow does not know.
fn typed(expr: Expr, type_name: Option<&str>) -> Expr {
    match type_name {
        Some(name) => {
            let name = ObjectName::from(vec![Ident::new(name)]);
            super::expressions::plain_cast(expr, DataType::Custom(name, Vec::new()))
        }
        None => expr,
    }
}

/// Whether a function of that name returns a set.
pub(super) fn returns_set(name: &str) -> bool {
    matches!(name, "generate_series" | "unnest") || set_function(name).is_some()
}

/// A call in the select list of a function that returns a set.
pub(super) fn in_select_list(name: &str, args: Vec<Expr>) -> Option<Expr> {
    let function = set_function(name)?;
    Some(typed(unnest(call(function.list, args, Vec::new())), function.type_name))
}

/// Rewrites set-returning functions in FROM.
#[derive(Debug)]
pub struct SetsInFrom;

impl VisitorMut for SetsInFrom {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        let mut wholes = Vec::new();
        for item in &select.from {
            wholes.extend(whole(&item.relation));
            wholes.extend(item.joins.iter().filter_map(|join| whole(&join.relation)));
        }
        if !wholes.is_empty() {
            let _ = visit_expressions_mut(query, |expr| {
                if let Expr::Identifier(name) = expr
                    && let Some((alias, column)) =
                        wholes.iter().find(|(alias, _)| folded(alias) == folded(name))
                {
                    *expr = Expr::CompoundIdentifier(vec![alias.clone(), column.clone()]);
                }
                ControlFlow::<()>::Continue(())
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut is_first = true;
        for item in &mut select.from {
            rewrite_item(item, is_first);
            is_first = false;
        }
        ControlFlow::Continue(())
    }
}

/// The name of an item of FROM that is a set of single values, and its column's: the name alone is the value.
fn whole(factor: &TableFactor) -> Option<(Ident, Ident)> {
    let (name, alias) = match factor {
        TableFactor::Table { name, args: Some(_), alias: Some(alias), .. }
        | TableFactor::Function { name, alias: Some(alias), .. } => (name_of(name)?, alias),
        TableFactor::UNNEST { alias: Some(alias), array_exprs, .. } if array_exprs.len() == 1 => {
            ("unnest".to_owned(), alias)
        }
        _ => return None,
    };
    let function = set_function(&name);
    if function.is_some_and(|function| !function.record.is_empty()) {
        return None;
    }
    let own = function.and_then(|function| function.column).map(|column| Ident::with_quote('"', column));
    let column = match alias.columns.as_slice() {
        [] => own?,
        [column] if function.is_some() || matches!(name.as_str(), "unnest" | "generate_series") => {
            column.name.clone()
        }
        _ => return None,
    };
    (folded(&column) != folded(&alias.name)).then(|| (alias.name.clone(), column))
}

/// `json_to_record(j) AS x(a int, ..)` and its like: the fields that the definition names, as values of their types.
fn defined_record(factor: &TableFactor, is_first: bool) -> Option<TableFactor> {
    let (name, args, alias) = match factor {
        TableFactor::Table { name, args: Some(args), alias: Some(alias), with_ordinality: false, .. } => {
            (name_of(name)?, values(&args.args)?, alias)
        }
        TableFactor::Function { name, args, alias: Some(alias), with_ordinality: false, .. } => {
            (name_of(name)?, values(args)?, alias)
        }
        _ => return None,
    };
    let (prefix, is_set) = match name.as_str() {
        "json_to_record" => ("json", false),
        "jsonb_to_record" => ("jsonb", false),
        "json_to_recordset" => ("json", true),
        "jsonb_to_recordset" => ("jsonb", true),
        _ => return None,
    };
    let [json] = args.as_slice() else { return None };
    let lateral = has_columns(json) && !is_first;
    let json = if is_set {
        unnest(call(&format!("{prefix}_array_elements_list"), vec![json.clone()], Vec::new()))
    } else {
        json.clone()
    };
    let record = Ident::with_quote('"', "record");
    let source = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(select_of(vec![SelectItem::ExprWithAlias { expr: json, alias: record.clone() }])),
        alias: Some(named("set")),
        sample: None,
    };
    let mut items = Vec::with_capacity(alias.columns.len());
    for column in &alias.columns {
        let data_type = column.data_type.clone()?;
        let key = super::expressions::text(&folded(&column.name));
        let getter = match &data_type {
            DataType::JSON | DataType::JSONB => "json_get",
            DataType::Array(_) => "json_get_array",
            _ => "json_get_text",
        };
        let value = call(getter, vec![Expr::Identifier(record.clone()), key], Vec::new());
        items.push(SelectItem::ExprWithAlias {
            expr: super::expressions::plain_cast(value, data_type),
            alias: column.name.clone(),
        });
    }
    let select = Select { projection: items, ..select_all(source) };
    let plain = TableAlias {
        columns: alias
            .columns
            .iter()
            .map(|column| TableAliasColumnDef { data_type: None, ..column.clone() })
            .collect(),
        ..alias.clone()
    };
    Some(TableFactor::Derived {
        lateral,
        subquery: Box::new(query(SetExpr::Select(Box::new(select)))),
        alias: Some(plain),
        sample: None,
    })
}

fn rewrite_item(item: &mut TableWithJoins, is_first: bool) {
    rewrite_factor(&mut item.relation, is_first);
    for join in &mut item.joins {
        rewrite_factor(&mut join.relation, false);
    }
}

fn rewrite_factor(factor: &mut TableFactor, is_first: bool) {
    if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
        return rewrite_item(table_with_joins, is_first);
    }
    if let Some(derived) = defined_record(factor, is_first).or_else(|| derived(factor, is_first)) {
        *factor = derived;
    }
}

/// The derived table that gives the rows of a function.
fn derived(factor: &TableFactor, is_first: bool) -> Option<TableFactor> {
    let (name, args, alias, with_ordinality, qualified) = match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (name_of(name)?, values(&args.args)?, alias, *with_ordinality, name.0.len() > 1)
        }
        TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            (name_of(name)?, values(args)?, alias, *with_ordinality, true)
        }
        TableFactor::UNNEST { array_exprs, alias, with_ordinality, with_offset: false, .. } => {
            ("unnest".to_owned(), array_exprs.clone(), alias, *with_ordinality, false)
        }
        _ => return None,
    };
    let has_columns = args.iter().any(has_columns);
    let function = set_function(&name);
    let (lists, columns) = match (name.as_str(), function) {
        ("unnest", _) if has_columns || with_ordinality || qualified => (args, &[][..]),
        // Taken apart by a later pass, which knows its type.
        ("generate_series", _) if !is_plain_series(&args) && !with_ordinality => {
            return Some(wrap(
                vec![call("generate_series", args, Vec::new())],
                &name,
                alias,
                has_columns && !is_first,
                None,
            ));
        }
        (_, Some(function)) => (vec![call(function.list, args, Vec::new())], function.record),
        ("unnest" | "generate_series" | "range", None) => return None,
        (_, None) => {
            let mut columns = vec![call(&name, args, Vec::new())];
            columns.extend(with_ordinality.then(|| cast_one()));
            return Some(wrap(columns, &name, alias, has_columns && !is_first, None));
        }
    };
    let subscripts = with_ordinality.then(|| {
        let list = lists.first().cloned().unwrap_or_else(|| Expr::Value(Value::Null.into()));
        unnest(call("ordinality_list", vec![list], Vec::new()))
    });
    let lateral = has_columns && !is_first;
    let type_name = function.and_then(|function| function.type_name);
    let mut sets: Vec<Expr> = lists.into_iter().map(|list| typed(unnest(list), type_name)).collect();
    if columns.is_empty() {
        sets.extend(subscripts);
        let column = function.and_then(|function| function.column);
        return Some(wrap(sets, &name, alias, lateral, column));
    }
    let record = Ident::with_quote('"', "record");
    let ordinality = Ident::with_quote('"', "ordinality");
    let mut inner: Vec<SelectItem> = Vec::new();
    for set in sets {
        inner.push(SelectItem::ExprWithAlias { expr: set, alias: record.clone() });
    }
    let numbered = subscripts.is_some();
    inner.extend(subscripts.map(|expr| SelectItem::ExprWithAlias { expr, alias: ordinality.clone() }));
    let inner = select_of(inner);
    let field = |(column, type_name): &(&str, Option<&str>)| SelectItem::ExprWithAlias {
        expr: typed(
            call(
                "get_field",
                vec![Expr::Identifier(record.clone()), super::expressions::text(column)],
                Vec::new(),
            ),
            *type_name,
        ),
        alias: Ident::with_quote('"', *column),
    };
    let mut items: Vec<SelectItem> = columns.iter().map(field).collect();
    if numbered {
        items.push(SelectItem::UnnamedExpr(Expr::Identifier(ordinality)));
    }
    let source = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(inner),
        alias: Some(named("set")),
        sample: None,
    };
    let select = Select { projection: items, ..select_all(source) };
    let alias = alias.clone().unwrap_or_else(|| named(&name));
    Some(TableFactor::Derived {
        lateral,
        subquery: Box::new(query(SetExpr::Select(Box::new(select)))),
        alias: Some(alias),
        sample: None,
    })
}

/// A derived table of sets side by side. The first column is called as the item is, or `column`; a last one beyond the
/// sets that were asked for is `ordinality`.
fn wrap(
    sets: Vec<Expr>,
    name: &str,
    alias: &Option<TableAlias>,
    lateral: bool,
    column: Option<&str>,
) -> TableFactor {
    let alias = alias.clone().unwrap_or_else(|| named(name));
    let last = sets.len().saturating_sub(1);
    let first = column;
    let items = sets.into_iter().enumerate().map(|(index, expr)| {
        let column = alias.columns.get(index).map(|column| column.name.clone());
        let column = column.unwrap_or_else(|| match index {
            0 => first.map_or_else(|| alias.name.clone(), |first| Ident::with_quote('"', first)),
            index if index == last => Ident::with_quote('"', "ordinality"),
            index => Ident::with_quote('"', format!("{name}_{index}")),
        });
        SelectItem::ExprWithAlias { expr, alias: column }
    });
    let subquery = select_of(items.collect());
    TableFactor::Derived { lateral, subquery: Box::new(subquery), alias: Some(alias), sample: None }
}

/// `SELECT items` without FROM.
fn select_of(projection: Vec<SelectItem>) -> datafusion::sql::sqlparser::ast::Query {
    let nothing = super::relations::relation(ObjectName::from(Vec::<Ident>::new()));
    let select = Select { projection, from: Vec::new(), ..select_all(nothing) };
    query(SetExpr::Select(Box::new(select)))
}

/// `1::bigint`, the ordinality of a single row.
fn cast_one() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Number("1".to_owned(), false).into())),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn unnest(list: Expr) -> Expr {
    call("unnest", vec![list], Vec::new())
}

fn named(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::with_quote('"', name), columns: Vec::new(), at: None }
}

fn name_of(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

fn values(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    args.iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// Whether the arguments are whole numbers written out, and the step is none or not zero.
fn is_plain_series(args: &[Expr]) -> bool {
    fn number(expr: &Expr) -> Option<i64> {
        match super::unnested(expr) {
            Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => number(expr),
            _ => None,
        }
    }
    args.iter().all(|arg| number(arg).is_some()) && args.get(2).is_none_or(|step| number(step) != Some(0))
}

/// Whether the expression refers to a column, in a subquery of it too.
pub(super) fn has_columns(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;

    use super::*;
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let _ = VisitMut::visit(&mut statement, &mut SetsInFrom);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn functions_of_columns_become_lateral_queries() {
        check("SELECT x FROM t, unnest(t.a) x", "SELECT x FROM t, LATERAL (SELECT unnest(t.a) AS x) x");
        check("SELECT x FROM unnest(a) AS u(x)", "SELECT x FROM (SELECT unnest(a) AS x) AS u (x)");
        check(
            "SELECT * FROM t, pg_catalog.unnest(t.a) WITH ORDINALITY AS u(x, n)",
            "SELECT * FROM t, LATERAL (SELECT unnest(t.a) AS x, unnest(ordinality_list(t.a)) AS n) AS u (x, n)",
        );
        check(
            "SELECT n FROM t, information_schema._pg_expandarray(t.a)",
            "SELECT n FROM t, LATERAL (SELECT get_field(\"record\", 'x') AS \"x\", get_field(\"record\", 'n') AS \"n\" \
             FROM (SELECT unnest(expandarray_list(t.a)) AS \"record\") AS \"set\") AS \"_pg_expandarray\"",
        );
    }

    #[test]
    fn functions_of_constants_stay_relations() {
        check("SELECT * FROM upper('a') AS u", "SELECT * FROM (SELECT upper('a') AS u) AS u");
        for sql in ["SELECT * FROM generate_series(1, 3) AS g", "SELECT * FROM UNNEST(ARRAY[1, 2]) AS u"] {
            check(sql, sql);
        }
    }
}
