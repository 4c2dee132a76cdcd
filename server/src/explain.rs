//! `EXPLAIN`: the plan as it will run, stages and workers included, or as it has run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::StringViewArray;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    AnalyzeFormat, AnalyzeFormatKind, Expr, Statement as Ast, UtilityOption, Value,
};
use pgwire::api::Type;

use crate::cursor::{Cursor, Description};
use crate::error::{PgError, SqlState};
use crate::session::Session;
use crate::settings::parse_bool;
use crate::sql::{ParsedStatement, PlannedQuery};

/// How long EXPLAIN ANALYZE waits for the workers' measurements after the last row.
const METRICS_TIMEOUT: Duration = Duration::from_secs(5);

/// A query to be explained, and how.
#[derive(Debug)]
pub(crate) struct Explain {
    pub(crate) query: PlannedQuery,
    source: Arc<str>,
    analyze: bool,
    verbose: bool,
    timing: bool,
}

/// One column of text, as PostgreSQL calls it.
pub(crate) fn description() -> Description {
    Description::of(Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8View, false)])))
}

/// Plans the query inside an EXPLAIN.
///
/// # Errors
/// The query's, or 0A000 / 42601 for an option that is not known.
pub(crate) async fn prepare(
    session: &mut Session,
    statement: &ParsedStatement,
    declared: &[Option<Type>],
) -> Result<Explain, PgError> {
    let Ast::Explain { analyze, verbose, statement: inner, format, options, .. } = &statement.ast else {
        return Err(PgError::with_state(SqlState::INTERNAL_ERROR, "not an EXPLAIN statement"));
    };
    let (mut analyze, mut verbose, mut timing) = (*analyze, *verbose, true);
    let text_format = match format {
        None => true,
        Some(AnalyzeFormatKind::Keyword(format) | AnalyzeFormatKind::Assignment(format)) => {
            *format == AnalyzeFormat::TEXT
        }
    };
    if !text_format {
        return Err(unsupported_format());
    }
    for option in options.iter().flatten() {
        let on = option_value(option);
        match option.name.value.to_lowercase().as_str() {
            "analyze" => analyze = on?,
            "verbose" => verbose = on?,
            "timing" | "summary" => timing = on?,
            // The plan is always the distributed one; the others have nothing to add to it.
            "distributed" | "costs" | "buffers" | "settings" | "wal" | "generic_plan" => {
                on?;
            }
            "format" if option_word(option).is_some_and(|word| word.eq_ignore_ascii_case("text")) => {}
            "format" => return Err(unsupported_format()),
            other => {
                let message = format!("unrecognized EXPLAIN option \"{other}\"");
                return Err(PgError::with_state(SqlState::SYNTAX_ERROR, message));
            }
        }
    }
    if !matches!(**inner, Ast::Query(_)) {
        return Err(PgError::with_state(
            SqlState::FEATURE_NOT_SUPPORTED,
            "EXPLAIN is supported for queries only",
        ));
    }
    let inner = ParsedStatement { ast: (**inner).clone(), ..statement.clone() };
    let query = session.plan(&inner, declared).await?;
    Ok(Explain { query, source: Arc::clone(&statement.source), analyze, verbose, timing })
}

fn unsupported_format() -> PgError {
    PgError::with_state(SqlState::FEATURE_NOT_SUPPORTED, "EXPLAIN prints text only").hint("Leave FORMAT out.")
}

fn option_word(option: &UtilityOption) -> Option<String> {
    match option.arg.as_ref()? {
        Expr::Identifier(word) => Some(word.value.clone()),
        Expr::Value(value) => Some(match &value.value {
            Value::Number(number, _) => number.to_string(),
            Value::Boolean(on) => on.to_string(),
            value => value.clone().into_string()?,
        }),
        _ => None,
    }
}

fn option_value(option: &UtilityOption) -> Result<bool, PgError> {
    if option.arg.is_none() {
        return Ok(true);
    }
    option_word(option).and_then(|word| parse_bool(&word)).ok_or_else(|| {
        let message = format!("{} requires a Boolean value", option.name.value.to_lowercase());
        PgError::with_state(SqlState::SYNTAX_ERROR, message)
    })
}

/// Renders the plan, after running it where ANALYZE asks for that.
///
/// # Errors
/// The query's.
pub(crate) async fn run(
    session: &mut Session,
    explain: &Explain,
    values: &[ScalarValue],
) -> Result<Cursor, PgError> {
    let wrong = |error| PgError::from_datafusion(error, Some(explain.source.as_ref()));
    let context = session.context();
    let started = Instant::now();
    let logical = explain.query.bind(values)?;
    let engine = Arc::clone(&session.engine);
    let logical = engine.with_present_rows(logical, &context.snapshot).map_err(wrong)?;
    let planned = engine.physical_plan(&context.state, &context.snapshot, &logical, explain.analyze).await;
    let (state, plan) = planned.map_err(wrong)?;
    let planning = started.elapsed();
    let mut lines: Vec<String> = Vec::new();
    if explain.analyze {
        let started = Instant::now();
        let mut rows = engine.plans.start(Arc::clone(&plan), state.task_ctx(), Arc::clone(&context.snapshot));
        let mut row_count = 0;
        while let Some(batch) = rows.next().await.transpose().map_err(wrong)? {
            row_count += batch.num_rows();
        }
        let execution = started.elapsed();
        // A worker that died just after its last row never sends its measurements.
        let measured = quickdb_executor::pinning::explain_analyze(plan, explain.verbose);
        let text = match tokio::time::timeout(METRICS_TIMEOUT, measured).await {
            Ok(text) => text.map_err(wrong)?,
            Err(_) => {
                return Err(PgError::with_state(
                    SqlState::IO_ERROR,
                    "the workers' measurements did not arrive",
                ));
            }
        };
        lines.extend(text.lines().map(str::to_owned));
        lines.push(format!("Rows: {row_count}"));
        if explain.timing {
            lines.push(format!("Planning Time: {:.3} ms", milliseconds(planning)));
            lines.push(format!("Execution Time: {:.3} ms", milliseconds(execution)));
        }
    } else {
        if explain.verbose {
            lines.extend(logical.display_indent().to_string().lines().map(str::to_owned));
            lines.push(String::new());
        }
        lines.extend(quickdb_executor::pinning::explain(&plan).lines().map(str::to_owned));
    }
    let lines = StringViewArray::from_iter_values(lines);
    let batch = RecordBatch::try_new(description().schema, vec![Arc::new(lines)]);
    Ok(Cursor::of_batches([batch.map_err(|error| wrong(error.into()))?]))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
