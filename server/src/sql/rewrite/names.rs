//! Output column names: what PostgreSQL calls a column that has no alias (`FigureColname`), written as an alias.
//!
//! DataFusion wants the names of one projection to differ, PostgreSQL does not. A name that is taken gets a suffix after
//! [`DUPLICATE_MARK`], a character that no client sends; [`shown`] drops it again. Since the names are written into the
//! statement, they reach CTEs and derived tables too: `SELECT count FROM (SELECT count(*) FROM t) x`.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, Ident,
    Query, Select, SelectItem, SetExpr, TimezoneInfo, TrimWhereField, VisitorMut,
};

use super::laterals::relation_names;
use super::{Uniqueness, folded};

/// Begins the suffix of a name that is taken.
pub const DUPLICATE_MARK: char = '\u{1}';

/// A name as clients see it.
pub fn shown(name: &str) -> &str {
    name.split(DUPLICATE_MARK).next().unwrap_or(name)
}

/// Writes names into every projection.
#[derive(Debug)]
pub struct OutputNames {
    uniqueness: Uniqueness,
}

impl OutputNames {
    /// A pass with a degree of uniqueness.
    pub fn new(uniqueness: Uniqueness) -> Self {
        Self { uniqueness }
    }
}

impl VisitorMut for OutputNames {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_items(select, self.uniqueness);
        ControlFlow::Continue(())
    }
}

fn name_items(select: &mut Select, uniqueness: Uniqueness) {
    let wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let separate = wildcard && uniqueness == Uniqueness::BesideWildcards;
    let mut taken: HashMap<String, usize> = HashMap::new();
    let own = relation_names(&select.from);
    for item in &mut select.projection {
        let (expr, name, plain) = match std::mem::replace(item, SelectItem::Wildcard(Default::default())) {
            SelectItem::UnnamedExpr(expr) => {
                let name = output_name(&expr);
                let plain = match &expr {
                    // A column of a query around this one would be called by more than its name.
                    Expr::Identifier(ident) => {
                        !own.is_empty() && (ident.quote_style.is_some() || !is_keyword(&ident.value))
                    }
                    Expr::CompoundIdentifier(parts) => {
                        let qualifier = parts.len().checked_sub(2).and_then(|index| parts.get(index));
                        qualifier.is_some_and(|qualifier| own.contains(&folded(qualifier)))
                    }
                    _ => false,
                };
                (expr, name, plain)
            }
            SelectItem::ExprWithAlias { expr, alias } => (expr, folded(&alias), false),
            other => {
                *item = other;
                continue;
            }
        };
        let uses = taken.entry(name.clone()).or_insert(0);
        *uses += 1;
        let unique = if *uses > 1 || separate { format!("{name}{DUPLICATE_MARK}{uses}") } else { name };
        *item = if plain && *uses == 1 && !separate {
            SelectItem::UnnamedExpr(expr)
        } else {
            SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) }
        };
    }
}

/// Whether a word is a value of the session and no column, though the parser takes it for one.
fn is_keyword(word: &str) -> bool {
    [
        "current_schema",
        "current_catalog",
        "current_role",
        "current_user",
        "session_user",
        "user",
        "localtime",
        "localtimestamp",
    ]
    .iter()
    .any(|known| word.eq_ignore_ascii_case(known))
}

/// PostgreSQL's name of an unnamed output column.
pub fn output_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name and how much it is worth: a cast's type gives way to what is inside of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Weak,
    Strong,
}

fn figure(expr: &Expr) -> Option<(String, Worth)> {
    let strong = |name: &str| Some((name.to_owned(), Worth::Strong));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), Worth::Strong)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (folded(ident), Worth::Strong)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                _ => None,
            });
            field.map(|name| (name, Worth::Strong)).or_else(|| figure(root))
        }
        Expr::Function(function) => Some((function_name(function), Worth::Strong)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Cast { expr, data_type, kind, .. } => match figure(expr) {
            Some((name, Worth::Strong)) => Some((name, Worth::Strong)),
            _ if matches!(kind, CastKind::Cast | CastKind::DoubleColon) => {
                Some((type_name(data_type), Worth::Weak))
            }
            other => other,
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), Worth::Weak)),
        Expr::Interval(_) => Some(("interval".to_owned(), Worth::Weak)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, Worth::Strong)) => Some((name, Worth::Strong)),
            _ => Some(("case".to_owned(), Worth::Weak)),
        },
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => figure_query(query),
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { shorthand: true, .. } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::BinaryOp { op: BinaryOperator::Overlaps, .. } => strong("overlaps"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        _ => None,
    }
}

fn function_name(function: &Function) -> String {
    function.name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

fn figure_query(query: &Query) -> Option<(String, Worth)> {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some((folded(alias), Worth::Strong)),
            SelectItem::UnnamedExpr(expr) => figure(expr),
            _ => None,
        },
        SetExpr::Query(inner) => figure_query(inner),
        SetExpr::SetOperation { left, .. } => match left.as_ref() {
            SetExpr::Query(inner) => figure_query(inner),
            SetExpr::Select(_) => {
                let inner = Query { body: left.clone(), ..query.clone() };
                figure_query(&inner)
            }
            _ => None,
        },
        SetExpr::Values(_) => Some(("column1".to_owned(), Worth::Strong)),
        _ => None,
    }
}

/// The internal name of a type: `int4` for `integer`.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".to_owned(),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".to_owned(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".to_owned(),
        DataType::Real | DataType::Float4 => "float4".to_owned(),
        DataType::Float(ExactNumberInfo::Precision(precision)) if *precision <= 24 => "float4".to_owned(),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => {
            "float8".to_owned()
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".to_owned(),
        DataType::Boolean | DataType::Bool => "bool".to_owned(),
        DataType::Text => "text".to_owned(),
        DataType::Varchar(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::Nvarchar(_) => "varchar".to_owned(),
        DataType::Char(_) | DataType::Character(_) => "bpchar".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => "timestamptz".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Time(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => "timetz".to_owned(),
        DataType::Time(..) => "time".to_owned(),
        DataType::Interval { .. } => "interval".to_owned(),
        DataType::Bytea => "bytea".to_owned(),
        DataType::Uuid => "uuid".to_owned(),
        DataType::JSON => "json".to_owned(),
        DataType::JSONB => "jsonb".to_owned(),
        DataType::Regclass => "regclass".to_owned(),
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::Parenthesis(inner),
        ) => type_name(inner),
        DataType::Custom(name, _) => {
            name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
        }
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;

    use super::*;
    use crate::sql::parse::parse;

    fn names(sql: &str) -> Vec<String> {
        let statement = parse(sql).unwrap().remove(0).ast;
        let Statement::Query(query) = statement else { panic!("a query") };
        let SetExpr::Select(mut select) = *query.body else { panic!("a select") };
        name_items(&mut select, Uniqueness::AmongItems);
        select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    #[test]
    fn names_are_postgresqls() {
        let sql = "select null, interval '1 day', date '2020-01-01', 1::int, A::int, (select 2), (select 2 as x), \
                   array[1], exists(select 1), case when true then 1 end, case 1 when 1 then 2 else b end, \
                   extract(year from d), trim('q'), 'x'::text, -a, count(*), \"Odd\", t.c, 1::numeric(5,2), '1'::\"char\" from t";
        assert_eq!(
            names(sql),
            [
                "?column?",
                "interval",
                "date",
                "int4",
                "a",
                "?column?\u{1}2",
                "x",
                "array",
                "exists",
                "case",
                "b",
                "extract",
                "btrim",
                "text",
                "?column?\u{1}3",
                "count",
                "\"Odd\"",
                "t.c",
                "numeric",
                "char"
            ]
        );
    }

    #[test]
    fn repeated_names_are_told_apart_and_shown_alike() {
        let names = names("select count(a), count(b), a, a");
        assert_eq!(names, ["count", "count\u{1}2", "a", "a\u{1}2"]);
        assert_eq!(shown("count\u{1}2"), "count");
    }
}
