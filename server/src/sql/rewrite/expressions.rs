//! Expressions in PostgreSQL's spelling: casts, keywords, operators, collations, patterns and rows.
//!
//! The functions that the system catalogue has to answer are called by these names, all over `text` or an oid:
//!
//! | written | becomes | gives |
//! |---|---|---|
//! | `'t'::regclass`, `x::text::regclass`, `$1::regclass` | `regclassin(text)` | oid of the relation |
//! | likewise `regtype`, `regproc`, `regprocedure`, `regoper`, `regoperator`, `regrole`, `regnamespace`, `regcollation` | `regtypein`, ... | |
//!
//! Other casts from and to these types are the analyzer's, which knows what is cast.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CastKind, CharacterLength, DataType, DuplicateTreatment,
    ExactNumberInfo, Expr, Fetch, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, Interval, LimitClause, NamedWindowDefinition, NamedWindowExpr, ObjectName,
    ObjectNamePart, OrderByExpr, OrderByOptions, Query, Select, Spanned, UnaryOperator, Value, ValueWithSpan,
    VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::functions::arrays::literal::is_multi_text;

use super::accesses::accessed;
use super::arrays::{array_elements, array_literal, multi_literal_type};
use super::calls::{make_interval, percentiles, result_type, type_call};
use super::hypothetical::hypothetical;
use super::intervals::{FRAME_MARK, interval_cast, interval_literal, keep_frame};
use super::matches::{escaped_pattern, like_over_array, over_array, quantified, similar_to};
use super::operators::{binary, is_marked, ordinals_of_sets, unary, unmarked};
use super::rows::{between, in_list, is_simple};
use super::subqueries::call;
use super::{folded, unnested, windows};
use crate::error::PgError;
use crate::sql::position::char_position;
use crate::sql::{SessionFacts, types};

/// Collations that order as the server does: by bytes.
const COLLATIONS: [&str; 8] =
    ["default", "c", "posix", "ucs_basic", "c.utf8", "c.utf-8", "en_us.utf8", "en_us.utf-8"];

/// Rewrites the expressions of a statement; the first refusal is kept.
#[derive(Debug)]
pub struct Expressions<'a> {
    facts: &'a SessionFacts,
    source: &'a str,
    /// What was refused.
    pub error: Option<PgError>,
}

impl<'a> Expressions<'a> {
    /// A pass that answers `current_user` and the like from `facts`; spans refer to `source`.
    pub fn new(facts: &'a SessionFacts, source: &'a str) -> Self {
        Self { facts, source, error: None }
    }

    fn refuse(&mut self, error: PgError) {
        self.error.get_or_insert(error);
    }

    fn position(&self, location: Location) -> Option<usize> {
        char_position(self.source, location.line, location.column)
    }
}

impl VisitorMut for Expressions<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for NamedWindowDefinition(_, window) in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                keep_frame(spec);
            }
        }
        if let Err(error) = windows::expand(select) {
            self.refuse(error);
        }
        ordinals_of_sets(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // Rows are never written under a reader's feet: there is nothing to lock.
        query.locks.clear();
        if query.limit_clause.is_none()
            && let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch
        {
            let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
            let limit = Some(quantity.clone().unwrap_or_else(one));
            query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() });
            query.fetch = None;
        } else if let (
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }),
            Some(Fetch { with_ties: false, percent: false, quantity }),
        ) = (&mut query.limit_clause, &query.fetch)
        {
            *limit = Some(
                quantity.clone().unwrap_or_else(|| Expr::Value(Value::Number("1".to_owned(), false).into())),
            );
            query.fetch = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) = expr {
            keep_frame(spec);
        }
        // Signs belong to the number before anything else looks at it.
        if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: operand } = expr
            && let Expr::Value(ValueWithSpan { value: Value::Number(digits, kept), span }) = operand.as_ref()
            && !digits.starts_with('-')
        {
            *expr = Expr::Value(Value::Number(format!("-{digits}"), *kept).with_span(*span));
        }
        // A sign binds more tightly than a power.
        if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: operand } = expr
            && matches!(operand.as_ref(), Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
        {
            let mut power = operand.as_ref().clone();
            let mut base = &mut power;
            while let Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } = base {
                base = left;
            }
            let signed = std::mem::replace(base, Expr::Value(Value::Null.into()));
            *base = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(signed) };
            *expr = power;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let taken = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = self.rewrite(taken);
        ControlFlow::Continue(())
    }
}

impl Expressions<'_> {
    fn rewrite(&mut self, expr: Expr) -> Expr {
        match expr {
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
                ..
            } => self.cast(*expr, data_type),
            Expr::TypedString(typed) => {
                let literal = Expr::Value(typed.value);
                self.cast(literal, typed.data_type)
            }
            Expr::Interval(Interval {
                leading_precision: Some(FRAME_MARK),
                value,
                leading_field,
                last_field,
                ..
            }) => Expr::Interval(Interval {
                value,
                leading_field,
                leading_precision: None,
                last_field,
                fractional_seconds_precision: None,
            }),
            Expr::Interval(interval) => interval_literal(interval),
            Expr::Collate { expr, collation } => self.collate(*expr, &collation),
            Expr::BinaryOp { left, op, right } => binary(*left, op, *right),
            Expr::UnaryOp { op, expr } => unary(op, *expr),
            Expr::Function(function) => self.function(function),
            Expr::Identifier(ident) if ident.quote_style.is_none() && is_value_keyword(&ident.value) => {
                self.keyword(&ident.value).unwrap_or(Expr::Identifier(ident))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                call("timezone", vec![*time_zone, *timestamp], Vec::new())
            }
            Expr::Extract { field, expr, .. } => {
                call("extract", vec![text(&field.to_string().to_lowercase()), *expr], Vec::new())
            }
            Expr::Substring { expr, substring_from: Some(pattern), substring_for: None, .. }
                if literal_text(&pattern).is_some() =>
            {
                // The first group of the match, or all of it.
                let one = Expr::Value(Value::Number("1".to_owned(), false).into());
                let found = call("regexp_match", vec![*expr, *pattern], Vec::new());
                call("array_subscript", vec![found, one], Vec::new())
            }
            Expr::Substring { expr, substring_from: Some(from), substring_for, special: _, shorthand: _ }
                if literal_text(&from).is_none() =>
            {
                let mut arguments = vec![*expr, *from];
                arguments.extend(substring_for.map(|length| *length));
                call("substr", arguments, Vec::new())
            }
            Expr::Substring { expr, substring_from: None, substring_for: Some(length), .. } => {
                let one = Expr::Value(Value::Number("1".to_owned(), true).into());
                call("substr", vec![*expr, one, *length], Vec::new())
            }
            Expr::CompoundFieldAccess { root, access_chain } => accessed(*root, access_chain),
            Expr::Between { expr, negated, low, high } if is_marked(&low) => {
                let low = Box::new(unmarked(*low));
                // The bounds in the order that makes a range of them.
                let upward =
                    between(expr.as_ref().clone(), false, low.as_ref().clone(), high.as_ref().clone());
                let downward = between(*expr, false, *high, *low);
                let either = Expr::Nested(Box::new(Expr::BinaryOp {
                    left: Box::new(upward),
                    op: BinaryOperator::Or,
                    right: Box::new(downward),
                }));
                if negated {
                    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) }
                } else {
                    either
                }
            }
            Expr::Between { expr, negated, low, high } if is_simple(&expr) => {
                between(*expr, negated, *low, *high)
            }
            Expr::InList { expr, list, negated } => in_list(*expr, list, negated),
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                similar_to(negated, *expr, *pattern, escape_char.as_ref())
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None }
                if over_array(&pattern).is_some() =>
            {
                let op = if negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
                like_over_array(*expr, &op, *pattern)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: None }
                if over_array(&pattern).is_some() =>
            {
                let op = if negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
                like_over_array(*expr, &op, *pattern)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: Some(escape) } => {
                let (pattern, rest) = escaped_pattern(*pattern, &escape);
                Expr::Like { negated, any: false, expr, pattern: Box::new(pattern), escape_char: rest }
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char: Some(escape) } => {
                let (pattern, rest) = escaped_pattern(*pattern, &escape);
                Expr::ILike { negated, any: false, expr, pattern: Box::new(pattern), escape_char: rest }
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if !is_subquery(&right) => {
                match array_elements(&right) {
                    Some(list) => in_list(*left, list, false),
                    None => quantified("array_any", *left, &BinaryOperator::Eq, *right),
                }
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } if !is_subquery(&right) => {
                match array_elements(&right) {
                    Some(list) => in_list(*left, list, true),
                    None => quantified("array_all", *left, &BinaryOperator::NotEq, *right),
                }
            }
            Expr::AnyOp { left, compare_op, right, .. } if !is_subquery(&right) => {
                quantified("array_any", *left, &compare_op, *right)
            }
            Expr::AllOp { left, compare_op, right } if !is_subquery(&right) => {
                quantified("array_all", *left, &compare_op, *right)
            }
            Expr::Like { negated, any: true, expr, pattern, escape_char: None } => {
                let op = if negated { BinaryOperator::PGNotLikeMatch } else { BinaryOperator::PGLikeMatch };
                quantified("array_any", *expr, &op, *pattern)
            }
            Expr::ILike { negated, any: true, expr, pattern, escape_char: None } => {
                let op = if negated { BinaryOperator::PGNotILikeMatch } else { BinaryOperator::PGILikeMatch };
                quantified("array_any", *expr, &op, *pattern)
            }
            other => other,
        }
    }

    fn cast(&mut self, expr: Expr, data_type: DataType) -> Expr {
        if let Some(reg) = reg_type(&data_type)
            && is_read_from_text(&expr)
        {
            return call(&format!("{reg}in"), vec![expr], Vec::new());
        }
        if let DataType::Custom(name, _) = &data_type
            && !types::is_known_custom(name)
        {
            let at = name.span().start;
            let unsupported = types::is_refused_custom(name);
            let shown = name.to_string().replace('"', "");
            let error = if unsupported {
                PgError::new(ErrorKind::Unsupported, format!("type \"{shown}\" is not supported"))
                    .hint("Cast to text instead.")
            } else {
                PgError::new(ErrorKind::UndefinedObject, format!("type \"{shown}\" does not exist"))
            };
            let position = self.position(at);
            self.refuse(error.at(position));
        }
        if matches!(data_type, DataType::Date | DataType::Time(..) | DataType::Timestamp(..))
            && literal_text(&expr).is_some_and(|literal| literal.trim().eq_ignore_ascii_case("now"))
            && let Some(now) = self.keyword("now")
        {
            // The start of the transaction, as the function.
            return self.cast(now, data_type);
        }
        let float = matches!(
            data_type,
            DataType::Real
                | DataType::Float4
                | DataType::Float8
                | DataType::Float(_)
                | DataType::Double(_)
                | DataType::DoublePrecision
        );
        if float && let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = unnested(&expr) {
            // Read as the float it is to be: a numeric would lose the exponent's reach.
            let literal = text(&digits.replace('_', ""));
            return plain_cast(literal, data_type);
        }
        if let DataType::Array(ArrayElemTypeDef::SquareBracket(element, length)) = &data_type {
            let empty = matches!(unnested(&expr), Expr::Array(array) if array.elem.is_empty());
            let literal = if empty { Some("{}") } else { literal_text(&expr) };
            if let Some(literal) = literal {
                if is_multi_text(literal) {
                    return plain_cast(text(literal), multi_literal_type(literal, element));
                }
                if let Some(array) = array_literal(literal, element) {
                    return plain_cast(array, data_type);
                }
                return plain_cast(
                    text(literal),
                    DataType::Array(ArrayElemTypeDef::SquareBracket(element.clone(), *length)),
                );
            }
        }
        if let Some(reader) = json_reader(&data_type) {
            // A parameter is of the type itself.
            let parameter =
                matches!(unnested(&expr), Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }));
            let value = if parameter { plain_cast(expr, data_type) } else { expr };
            return call(reader, vec![value], Vec::new());
        }
        match &data_type {
            DataType::Numeric(ExactNumberInfo::None)
            | DataType::Decimal(ExactNumberInfo::None)
            | DataType::Dec(ExactNumberInfo::None) => call("to_numeric", vec![expr], Vec::new()),
            DataType::Custom(name, arguments)
                if arguments.is_empty() && types::custom_name(name) == "numeric" =>
            {
                call("to_numeric", vec![expr], Vec::new())
            }
            DataType::Timestamp(Some(digits), _) | DataType::Time(Some(digits), _) => {
                let digits = Expr::Value(Value::Number(digits.to_string(), false).into());
                call("moment_digits", vec![plain_cast(expr, data_type), digits], Vec::new())
            }
            DataType::Interval { fields, precision } if fields.is_some() || precision.is_some() => {
                let fields = fields.as_ref().map(|fields| fields.to_string().to_lowercase());
                interval_cast(expr, fields.as_deref(), *precision)
            }
            DataType::Varchar(Some(length))
            | DataType::CharacterVarying(Some(length))
            | DataType::CharVarying(Some(length)) => truncated(expr, length, "varchar"),
            DataType::Char(length) | DataType::Character(length) => {
                let one = CharacterLength::IntegerLength { length: 1, unit: None };
                truncated(expr, length.as_ref().unwrap_or(&one), "bpchar")
            }
            _ => plain_cast(expr, data_type),
        }
    }

    fn collate(&mut self, expr: Expr, collation: &ObjectName) -> Expr {
        let name =
            collation.0.last().and_then(|part| part.as_ident()).cloned().unwrap_or_else(|| Ident::new(""));
        let known =
            COLLATIONS.contains(&name.value.to_lowercase().as_str()) || name.value.ends_with("-x-icu");
        if !known {
            let shown = folded(&name);
            let error = PgError::new(
                ErrorKind::UndefinedObject,
                format!("collation \"{shown}\" for encoding \"UTF8\" does not exist"),
            );
            // PostgreSQL points at the word COLLATE, which stands before the name with white space between.
            let at = self.position(name.span.start).and_then(|position| {
                let before: String = self.source.chars().take(position - 1).collect();
                before
                    .to_lowercase()
                    .rfind("collate")
                    .map(|byte| before.get(..byte).map_or(0, |b| b.chars().count()) + 1)
            });
            self.refuse(error.at(at));
        }
        expr
    }

    fn function(&mut self, mut function: Function) -> Expr {
        if let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] =
            function.name.0.as_slice()
            && matches!(folded(schema).as_str(), "pg_catalog" | "information_schema")
        {
            function.name = ObjectName::from(vec![name.clone()]);
        }
        let Some(name) = function.name.0.last().and_then(|part| part.as_ident()).map(folded) else {
            return Expr::Function(function);
        };
        let no_arguments = match &function.args {
            FunctionArguments::None => true,
            FunctionArguments::List(list) => list.args.is_empty() && list.clauses.is_empty(),
            FunctionArguments::Subquery(_) => false,
        };
        if function.name.0.len() == 1
            && no_arguments
            && function.over.is_none()
            && let Some(value) = self.keyword(&name)
        {
            return value;
        }
        if let Some((argument, data_type)) = type_call(&name, &function) {
            return self.cast(argument, data_type);
        }
        if function.over.is_some()
            && let Some(error) = below_one(&name, &function)
        {
            self.refuse(error);
        }
        if let Some(rank) = hypothetical(&name, &function) {
            return rank;
        }
        if let Some(several) = percentiles(&name, &mut function) {
            return several;
        }
        if name == "count" {
            count_of_constant(&mut function);
        }
        sorted_distinct(&name, &mut function);
        let renamed = match name.as_str() {
            "row" => Some("struct"),
            "every" => Some("bool_and"),
            "variance" => Some("var_samp"),
            "char_length" | "character_length" => Some("length"),
            "date_part" if no_arguments => None,
            _ => None,
        };
        if let Some(renamed) = renamed {
            function.name = ObjectName::from(vec![Ident::new(renamed)]);
        }
        if name == "age"
            && let FunctionArguments::List(list) = &mut function.args
            && list.args.len() == 1
            && let Some(today) = self.keyword("current_date")
        {
            list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(today)));
        }
        if name == "make_interval"
            && let Some(placed) = make_interval(&function)
        {
            return placed;
        }
        result_type(&name, function)
    }

    /// What a word that is a function without parentheses, or a function of the session's facts, stands for.
    fn keyword(&self, word: &str) -> Option<Expr> {
        let name = |value: &str| plain_cast(text(value), custom("name"));
        let now = || call("now", Vec::new(), Vec::new());
        let zoned = || DataType::Timestamp(None, datafusion::sql::sqlparser::ast::TimezoneInfo::Tz);
        let local = || DataType::Timestamp(None, datafusion::sql::sqlparser::ast::TimezoneInfo::None);
        Some(match word.to_lowercase().as_str() {
            "current_user" | "user" | "current_role" => name(&self.facts.user),
            "session_user" => name(&self.facts.session_user),
            "current_catalog" | "current_database" => name(&self.facts.database),
            "current_schema" => match self.facts.search_path.first() {
                Some(schema) => name(schema),
                None => plain_cast(Expr::Value(Value::Null.into()), custom("name")),
            },
            "version" => plain_cast(text(&self.facts.version), DataType::Text),
            "current_timestamp"
            | "now"
            | "transaction_timestamp"
            | "statement_timestamp"
            | "clock_timestamp" => {
                // DataFusion's `now` counts nanoseconds.
                plain_cast(now(), zoned())
            }
            "localtimestamp" => plain_cast(plain_cast(now(), zoned()), local()),
            "localtime" | "current_time" => plain_cast(
                plain_cast(now(), zoned()),
                DataType::Time(None, datafusion::sql::sqlparser::ast::TimezoneInfo::None),
            ),
            "current_date" => plain_cast(plain_cast(now(), zoned()), DataType::Date),
            _ => return None,
        })
    }
}

/// The refusal of `ntile(0)` and `nth_value(x, 0)`.
fn below_one(name: &str, function: &Function) -> Option<PgError> {
    let (place, kind) = match name {
        "ntile" => (0, ErrorKind::InvalidNtile),
        "nth_value" => (1, ErrorKind::InvalidNthValue),
        _ => return None,
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = list.args.get(place)? else { return None };
    let digits = |expr: &Expr| match unnested(expr) {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<i64>().ok(),
        _ => None,
    };
    let value = match unnested(argument) {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => -digits(expr)?,
        other => digits(other)?,
    };
    (value < 1).then(|| PgError::new(kind, format!("argument of {name} must be greater than zero")))
}

/// Whether a word is a value without parentheses: those that SQL reserves. `version` and `now` are functions, whose
/// names columns may have.
fn is_value_keyword(word: &str) -> bool {
    const WORDS: [&str; 11] = [
        "current_user",
        "user",
        "current_role",
        "session_user",
        "current_catalog",
        "current_schema",
        "current_timestamp",
        "localtimestamp",
        "localtime",
        "current_date",
        "current_time",
    ];
    WORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// `count(1)` counts rows, as `count(*)` does; two names for one count would be one too many for the planner.
fn count_of_constant(function: &mut Function) {
    if let FunctionArguments::List(list) = &mut function.args
        && list.duplicate_treatment.is_none()
        && let [FunctionArg::Unnamed(argument @ FunctionArgExpr::Expr(_))] = list.args.as_mut_slice()
        && let FunctionArgExpr::Expr(Expr::Value(ValueWithSpan { value, .. })) = argument
        && !matches!(value, Value::Null | Value::Placeholder(_))
    {
        *argument = FunctionArgExpr::Wildcard;
    }
}

/// Aggregates of distinct values see them in order, as they come out of PostgreSQL's sort.
fn sorted_distinct(name: &str, function: &mut Function) {
    if !matches!(name, "array_agg" | "string_agg") {
        return;
    }
    if let FunctionArguments::List(list) = &mut function.args
        && list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        && list.clauses.is_empty()
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first()
    {
        let options = OrderByOptions { asc: None, nulls_first: None };
        let key = OrderByExpr { expr: value.clone(), options, with_fill: None };
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![key]));
    }
}

/// The function that reads JSON, where the type is one of its two.
fn json_reader(data_type: &DataType) -> Option<&'static str> {
    let name = match data_type {
        DataType::JSON => "json".to_owned(),
        DataType::JSONB => "jsonb".to_owned(),
        DataType::Custom(name, _) => types::custom_name(name),
        _ => return None,
    };
    match name.as_str() {
        "json" => Some("json_in"),
        "jsonb" => Some("jsonb_in"),
        _ => None,
    }
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(unnested(expr), Expr::Subquery(_))
}

/// `CAST(expr AS data_type)`.
pub fn plain_cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

fn custom(name: &str) -> DataType {
    DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
}

/// A text literal.
pub fn text(value: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.to_owned()).into())
}

pub(super) fn literal_text(expr: &Expr) -> Option<&str> {
    match unnested(expr) {
        Expr::Value(ValueWithSpan { value, .. }) => match value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            Value::DollarQuotedString(text) => Some(&text.value),
            _ => None,
        },
        _ => None,
    }
}

fn reg_type(data_type: &DataType) -> Option<&'static str> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => types::custom_name(name),
        _ => return None,
    };
    types::REG_TYPES.into_iter().find(|known| *known == name)
}

/// Whether a value of such a type is given as a text: a literal, a parameter, a cast to text.
fn is_read_from_text(expr: &Expr) -> bool {
    match unnested(expr) {
        Expr::Value(ValueWithSpan { value, .. }) => !matches!(value, Value::Number(..) | Value::Null),
        Expr::Cast { data_type, .. } => is_text_type(data_type),
        _ => false,
    }
}

fn is_text_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Text | DataType::Varchar(_) => true,
        DataType::Custom(name, _) => matches!(types::custom_name(name).as_str(), "text" | "name" | "varchar"),
        _ => false,
    }
}

/// A text cut at the length of its type.
fn truncated(expr: Expr, length: &CharacterLength, type_name: &str) -> Expr {
    let as_text = plain_cast(expr, DataType::Text);
    match length {
        CharacterLength::IntegerLength { length, .. } => {
            let length = Expr::Value(Value::Number(length.to_string(), true).into());
            plain_cast(call("left", vec![as_text, length], Vec::new()), custom(type_name))
        }
        CharacterLength::Max => as_text,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;

    use super::*;
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let facts = SessionFacts::new("tester", "quickdb");
        let mut pass = Expressions::new(&facts, sql);
        let _ = statement.visit(&mut pass);
        assert_eq!(pass.error, None);
        assert_eq!(statement.to_string(), expected);
    }

    #[test]
    fn catalogue_casts_become_functions() {
        check("SELECT 't'::regclass", "SELECT regclassin('t')");
        check("SELECT 't'::regclass::text", "SELECT CAST(regclassin('t') AS TEXT)");
    }

    #[test]
    fn operators_and_rows() {
        check("SELECT a OPERATOR(pg_catalog.~) 'x' COLLATE pg_catalog.default", "SELECT a ~ 'x'");
        check("SELECT (a, b) = (1, 2)", "SELECT (a = 1 AND b = 2)");
        check("SELECT (a, b) < (1, 2)", "SELECT (a < 1 OR (a = 1 AND b < 2))");
        check("SELECT a BETWEEN 1 AND 2", "SELECT ((a) >= (1) AND (a) <= (2))");
        check("SELECT a = ANY('{r,v}')", "SELECT a IN ('r', 'v')");
        check("SELECT -a, -5", "SELECT checked_neg(a), -5");
    }

    #[test]
    fn session_facts_are_constants() {
        check("SELECT current_user", "SELECT CAST('tester' AS name)");
        check(
            "SELECT a::numeric, a::varchar(3)",
            "SELECT to_numeric(a), CAST(left(CAST(a AS TEXT), 3L) AS varchar)",
        );
    }
}
