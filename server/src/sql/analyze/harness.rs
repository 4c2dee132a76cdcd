//! Runs the plan that one rule makes of a query, for the rules' tests.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::config::ConfigOptions;
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::SessionContext;

/// Checks the rows of a query over two small tables, `t` and `u`, after `rule`; the cells of a row with blanks between.
pub(super) async fn check_rule(rule: &dyn AnalyzerRule, sql: &str, expected: &[&str]) {
    let context = SessionContext::new();
    for table in [
        "CREATE TABLE t AS VALUES (1, 10), (2, 20), (3, NULL), (1, 10)",
        "CREATE TABLE u AS VALUES (1, 10, 'a'), (1, 11, 'b'), (2, 21, 'c'), (3, 30, 'd')",
    ] {
        context.sql(table).await.unwrap().collect().await.unwrap();
    }
    let plan = context.state().create_logical_plan(sql).await.unwrap();
    let plan = rule.analyze(plan, &ConfigOptions::default()).unwrap();
    let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let rows =
        rows.map(|line| line.replace([' ', '|'], " ").split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(rows.collect::<Vec<_>>(), expected, "{sql}");
}
