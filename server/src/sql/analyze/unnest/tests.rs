//! Plans with subqueries, executed after the rule.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::*;

async fn check(sql: &str, expected: &[&str]) {
    let context = SessionContext::new();
    for table in [
        "CREATE TABLE t AS VALUES (1, 10), (2, 20), (3, NULL), (1, 10)",
        "CREATE TABLE u AS VALUES (1, 10, 'a'), (1, 11, 'b'), (2, 21, 'c'), (3, 30, 'd')",
    ] {
        context.sql(table).await.unwrap().collect().await.unwrap();
    }
    let plan = context.state().create_logical_plan(sql).await.unwrap();
    let plan = UnnestSubqueries.analyze(plan, &ConfigOptions::default()).unwrap();
    let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
    let text = pretty_format_batches(&batches).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let rows =
        rows.map(|line| line.replace([' ', '|'], " ").split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(rows.collect::<Vec<_>>(), expected, "{sql}");
}

#[tokio::test]
async fn a_condition_that_is_no_equality_becomes_a_join() {
    check(
        "SELECT column1 AS a, column2 AS b, \
         (SELECT max(u.column3) FROM u WHERE u.column1 = t.column1 AND u.column2 <> t.column2) AS m \
         FROM t ORDER BY a",
        &["1 10 b", "1 10 b", "2 20 c", "3"],
    )
    .await;
}

#[tokio::test]
async fn a_condition_on_outer_columns_alone_becomes_a_join() {
    check(
        "SELECT column1 AS a, \
         (SELECT min(u.column3) FROM u WHERE u.column1 = t.column1 AND t.column2 > 10) AS m FROM t ORDER BY a",
        &["1", "1", "2 c", "3"],
    )
    .await;
}

#[tokio::test]
async fn a_filter_keeps_its_columns() {
    check(
        "SELECT * FROM t WHERE (SELECT min(u.column2) FROM u WHERE u.column2 > t.column2) = 11",
        &["1 10", "1 10"],
    )
    .await;
}
