//! Where in a statement an error of planning comes from, and what PostgreSQL adds to it.
//!
//! DataFusion tells the place of some missing columns; for the rest, the name in the message is looked for in the syntax
//! tree as it was parsed.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Spanned, TableFactor, UnaryOperator, Value, ValueWithSpan, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::analyze::READING;
use super::parse::ParsedStatement;
use super::position::{byte_offset, char_position, position_of_byte};
use super::rewrite::folded;
use super::rewrite::subqueries::is_aggregate;
use crate::error::PgError;

/// The error as PostgreSQL would send it for this statement.
pub fn explain(error: DataFusionError, statement: &ParsedStatement) -> PgError {
    let literal = literal_read(&error).map(ToOwned::to_owned);
    let error = PgError::from_datafusion(error, Some(&statement.source));
    let error = locate(error, statement);
    match literal {
        Some(literal) if error.position.is_none() => error.at(find(statement, &Wanted::Literal(literal))),
        _ => error,
    }
}

/// The literal that could not be read.
fn literal_read(error: &DataFusionError) -> Option<&str> {
    match error {
        DataFusionError::Context(context, inner) => {
            context.strip_prefix(READING).or_else(|| literal_read(inner))
        }
        DataFusionError::Diagnostic(_, inner) => literal_read(inner),
        DataFusionError::Shared(inner) => literal_read(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(literal_read),
        _ => None,
    }
}

/// Adds a position, and what the statement itself tells about the cause.
pub fn locate(error: PgError, statement: &ParsedStatement) -> PgError {
    let quoted = error.message.split('"').nth(1).unwrap_or_default().to_owned();
    let message = error.message.clone();
    let find = |wanted: Wanted| find(statement, &wanted);
    match error.sqlstate.0 {
        "42P01" if message.starts_with("relation ") => error.at(find(Wanted::Relation(quoted))),
        "42P01" => {
            let alias = alias_of(statement, &quoted);
            let position = find(Wanted::Qualifier(quoted.clone()));
            match alias {
                Some(alias) => {
                    let mut error = error;
                    error.message = format!("invalid reference to FROM-clause entry for table \"{quoted}\"");
                    error
                        .hint(format!("Perhaps you meant to reference the table alias \"{alias}\"."))
                        .at(position)
                }
                None => error.at(position),
            }
        }
        "42703" | "42702" => {
            let name =
                match message.strip_prefix("column ").and_then(|rest| rest.strip_suffix(" does not exist")) {
                    Some(name) if !name.starts_with('"') => name.to_owned(),
                    _ => quoted,
                };
            error.at(find(Wanted::Column(name)))
        }
        "42803" if message.starts_with("column ") => error.at(find(Wanted::Ungrouped(quoted))),
        "42803" => error.at(find(Wanted::Aggregate)),
        "42883" if message.starts_with("operator ") => {
            let shape = message.rsplit(": ").next().unwrap_or_default();
            error.at(find(Wanted::Operator(sign_of(shape))))
        }
        "42883" => {
            let name =
                message.strip_prefix("function ").and_then(|rest| rest.split('(').next()).unwrap_or_default();
            error.at(find(Wanted::Function(name.to_owned())))
        }
        "42P10" => {
            let ordinal =
                message.split(' ').find(|word| word.chars().all(|c| c.is_ascii_digit())).unwrap_or_default();
            error.at(find(Wanted::Ordinal(ordinal.to_owned())))
        }
        "22P02" | "22007" | "22008" | "22003" => {
            let value =
                message.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(value, _)| value);
            match value {
                Some(value) => error.at(find(Wanted::Literal(value.to_owned()))),
                None => error,
            }
        }
        "42804" if message.starts_with("argument of WHERE") => error.at(where_position(statement)),
        _ => error,
    }
}

enum Wanted {
    Relation(String),
    Qualifier(String),
    /// `name` or `table.name`.
    Column(String),
    /// A column of the select list or HAVING that is in no aggregate.
    Ungrouped(String),
    Function(String),
    Aggregate,
    Operator(String),
    Ordinal(String),
    Literal(String),
}

/// The sign in `integer + boolean` or `- boolean`.
fn sign_of(shape: &str) -> String {
    let is_sign = |word: &&str| !word.is_empty() && word.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c));
    shape.split(' ').find(is_sign).unwrap_or_default().to_owned()
}

fn find(statement: &ParsedStatement, wanted: &Wanted) -> Option<usize> {
    let mut search = Search { source: &statement.source, wanted, aggregates: 0, found: None };
    let _ = statement.ast.visit(&mut search);
    search.found
}

struct Search<'a> {
    source: &'a str,
    wanted: &'a Wanted,
    /// Aggregates around the expression that is visited.
    aggregates: usize,
    found: Option<usize>,
}

impl Search<'_> {
    fn at(&mut self, location: Location) -> ControlFlow<()> {
        let position = char_position(self.source, location.line, location.column);
        if position.is_some() {
            self.found = position;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn at_column(&mut self, idents: &[Ident], wanted: &str) -> ControlFlow<()> {
        let Some((name, qualifiers)) = idents.split_last() else { return ControlFlow::Continue(()) };
        let (wanted_table, wanted_name) = match wanted.rsplit_once('.') {
            Some((table, name)) => (Some(table), name),
            None => (None, wanted),
        };
        let same_table = match (wanted_table, qualifiers.last()) {
            (Some(table), Some(qualifier)) => folded(qualifier) == table.rsplit('.').next().unwrap_or(table),
            // A message may name the table of a column that was written without it.
            (Some(_), None) => matches!(self.wanted, Wanted::Ungrouped(_)),
            (None, qualifier) => qualifier.is_none(),
        };
        match idents.first() {
            Some(first) if folded(name) == wanted_name && same_table => self.at(first.span.start),
            _ => ControlFlow::Continue(()),
        }
    }

    fn at_operator(&mut self, sign: &str, left: &Expr, right: &Expr) -> ControlFlow<()> {
        let (left, right) = (left.span(), right.span());
        if left == Span::empty() || right == Span::empty() {
            return ControlFlow::Continue(());
        }
        let from = byte_offset(self.source, left.end.line, left.end.column);
        let to = byte_offset(self.source, right.start.line, right.start.column);
        let between = self.source.get(from..to).unwrap_or_default();
        let written = if sign == "<>" && between.contains("!=") { "!=" } else { sign };
        if let Some(at) = between.find(written) {
            self.found = Some(position_of_byte(self.source, from + at));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Search<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let Wanted::Relation(wanted) = self.wanted {
            let parts: Vec<String> =
                relation.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
            if parts.join(".") == *wanted {
                return self.at(relation.span().start);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let (Wanted::Ordinal(ordinal), Some(order_by)) = (self.wanted, &query.order_by)
            && let OrderByKind::Expressions(keys) = &order_by.kind
        {
            for key in keys {
                if is_ordinal(&key.expr, ordinal) {
                    return self.at(key.expr.span().start);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if let (Wanted::Ordinal(ordinal), GroupByExpr::Expressions(keys, _)) = (self.wanted, &select.group_by)
        {
            for key in keys {
                if is_ordinal(key, ordinal) {
                    return self.at(key.span().start);
                }
            }
        }
        if let Wanted::Qualifier(wanted) = self.wanted {
            for item in &select.projection {
                if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) =
                    item
                    && name
                        .0
                        .last()
                        .and_then(|part| part.as_ident())
                        .is_some_and(|ident| folded(ident) == *wanted)
                {
                    return self.at(name.span().start);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let inside_aggregate = self.aggregates > 0;
        if let Expr::Function(function) = expr
            && is_aggregate(function)
        {
            self.aggregates += 1;
        }
        match (self.wanted, expr) {
            (Wanted::Column(wanted), Expr::Identifier(ident)) => {
                self.at_column(std::slice::from_ref(ident), wanted)
            }
            (Wanted::Column(wanted), Expr::CompoundIdentifier(idents)) => self.at_column(idents, wanted),
            (Wanted::Ungrouped(wanted), Expr::Identifier(ident)) if !inside_aggregate => {
                self.at_column(std::slice::from_ref(ident), wanted)
            }
            (Wanted::Ungrouped(wanted), Expr::CompoundIdentifier(idents)) if !inside_aggregate => {
                self.at_column(idents, wanted)
            }
            (Wanted::Qualifier(wanted), Expr::CompoundIdentifier(idents)) => {
                let qualifier = idents.len().checked_sub(2).and_then(|index| idents.get(index));
                match (qualifier, idents.first()) {
                    (Some(qualifier), Some(first)) if folded(qualifier) == *wanted => {
                        self.at(first.span.start)
                    }
                    _ => ControlFlow::Continue(()),
                }
            }
            (Wanted::Function(wanted), Expr::Function(function)) => {
                let name = function.name.0.last().and_then(|part| part.as_ident()).map(folded);
                if name.as_deref() == Some(wanted) {
                    return self.at(function.name.span().start);
                }
                ControlFlow::Continue(())
            }
            (Wanted::Aggregate, Expr::Function(function)) if is_aggregate(function) => {
                self.at(function.name.span().start)
            }
            (Wanted::Operator(sign), Expr::BinaryOp { left, op, right }) => {
                let written = op.to_string();
                if written == *sign || sign == "<>" && written == "!=" {
                    return self.at_operator(sign, left, right);
                }
                ControlFlow::Continue(())
            }
            (Wanted::Operator(sign), Expr::UnaryOp { op: UnaryOperator::Minus, expr }) if sign == "-" => {
                let start = byte_offset(self.source, expr.span().start.line, expr.span().start.column);
                let before = self.source.get(..start).unwrap_or_default();
                self.found = before.rfind('-').map(|at| position_of_byte(self.source, at));
                if self.found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            (Wanted::Literal(wanted), Expr::Value(ValueWithSpan { value, span })) => {
                let text = match value {
                    Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
                    Value::DollarQuotedString(text) => &text.value,
                    _ => return ControlFlow::Continue(()),
                };
                if text == wanted { self.at(span.start) } else { ControlFlow::Continue(()) }
            }
            (Wanted::Literal(wanted), Expr::TypedString(typed)) => {
                let matches = typed.value.value.clone().into_string().is_some_and(|text| text == *wanted);
                if matches { self.at(typed.value.span.start) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && is_aggregate(function)
        {
            self.aggregates = self.aggregates.saturating_sub(1);
        }
        ControlFlow::Continue(())
    }
}

fn is_ordinal(expr: &Expr, ordinal: &str) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) if digits == ordinal)
}

/// The alias under which a table is in FROM, where it is there under an alias only.
fn alias_of(statement: &ParsedStatement, table: &str) -> Option<String> {
    struct Aliases<'a> {
        table: &'a str,
        found: Option<String>,
    }
    impl Visitor for Aliases<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, alias: Some(alias), .. } = factor
                && name
                    .0
                    .last()
                    .and_then(|part| part.as_ident())
                    .is_some_and(|ident| folded(ident) == self.table)
            {
                self.found = Some(folded(&alias.name));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut aliases = Aliases { table, found: None };
    let _ = statement.ast.visit(&mut aliases);
    aliases.found
}

/// Where the first condition of a WHERE begins.
fn where_position(statement: &ParsedStatement) -> Option<usize> {
    struct Conditions<'a> {
        source: &'a str,
        found: Option<usize>,
    }
    impl Visitor for Conditions<'_> {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            if let Some(condition) = &select.selection {
                let start = condition.span().start;
                self.found = char_position(self.source, start.line, start.column);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut conditions = Conditions { source: &statement.source, found: None };
    let _ = statement.ast.visit(&mut conditions);
    conditions.found
}
