//! FROM items: `TABLE t`, and the column that a set-returning function gives.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, GroupByExpr, Ident, ObjectName, ObjectNamePart, Query, Select,
    SelectFlavor, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins,
    VisitorMut, WildcardAdditionalOptions,
};

use super::{folded, literals};

/// Functions in FROM that give one column, which has the name of the function or of its alias.
const ONE_COLUMN: [&str; 4] = ["generate_series", "unnest", "regexp_split_to_table", "string_to_table"];

/// Rewrites FROM items.
#[derive(Debug)]
pub struct Relations;

impl VisitorMut for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::Table(table) = query.body.as_ref()
            && let Some(name) = &table.table_name
        {
            let mut parts: Vec<Ident> =
                table.schema_name.iter().map(|schema| Ident::new(schema.clone())).collect();
            parts.push(Ident::new(name.clone()));
            query.body = Box::new(SetExpr::Select(Box::new(select_all(relation(ObjectName::from(parts))))));
        }
        ControlFlow::Continue(())
    }

    /// After what is inside, so that an item made here is not visited again.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let name_of = |name: &ObjectName| name.0.last().and_then(|part| part.as_ident()).map(folded);
        match factor {
            TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
                let Some(function) = name_of(name).filter(|name| ONE_COLUMN.contains(&name.as_str())) else {
                    return ControlFlow::Continue(());
                };
                name.0 = vec![ObjectNamePart::Identifier(Ident::new(function.clone()))];
                name_column(alias, &function);
                if function == "generate_series" && all_small_integers(&args.args) {
                    narrow(factor);
                }
            }
            TableFactor::Function { name, alias, with_ordinality: false, .. } => {
                if let Some(function) = name_of(name).filter(|name| ONE_COLUMN.contains(&name.as_str())) {
                    name_column(alias, &function);
                }
            }
            TableFactor::UNNEST {
                alias, array_exprs, with_ordinality: false, with_offset: false, ..
            } if array_exprs.len() == 1 => {
                name_column(alias, "unnest");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn name_column(alias: &mut Option<TableAlias>, function: &str) {
    let alias = alias.get_or_insert_with(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', function),
        columns: Vec::new(),
        at: None,
    });
    if alias.columns.is_empty() {
        alias.columns = vec![TableAliasColumnDef { name: alias.name.clone(), data_type: None }];
    }
}

fn all_small_integers(args: &[FunctionArg]) -> bool {
    args.iter().all(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
            literals::is_number(expr) && {
                let digits = expr.to_string();
                digits.trim_start_matches(['-', ' ']).parse::<i32>().is_ok()
            }
        }
        _ => false,
    })
}

/// `generate_series` of integers gives integers, where DataFusion's gives bigints.
fn narrow(factor: &mut TableFactor) {
    let TableFactor::Table { alias: Some(alias), .. } = factor else { return };
    let Some(column) = alias.columns.first().cloned() else { return };
    let outer = alias.clone();
    let cast = Expr::Cast {
        kind: datafusion::sql::sqlparser::ast::CastKind::Cast,
        expr: Box::new(Expr::Identifier(column.name.clone())),
        data_type: datafusion::sql::sqlparser::ast::DataType::Int4(None),
        array: false,
        format: None,
    };
    let item = SelectItem::ExprWithAlias { expr: cast, alias: column.name };
    let select = Select { projection: vec![item], ..select_all(factor.clone()) };
    *factor = TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query(SetExpr::Select(Box::new(select)))),
        alias: Some(outer),
        sample: None,
    };
}

/// A query of one body and nothing around it.
pub fn query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// A table by its name.
pub fn relation(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// `SELECT * FROM factor`.
pub fn select_all(factor: TableFactor) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![TableWithJoins { relation: factor, joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}
