//! Plans with subqueries, executed after the rule.

use super::*;
use crate::sql::analyze::harness::check_rule;

async fn check(sql: &str, expected: &[&str]) {
    check_rule(&UnnestSubqueries, sql, expected).await;
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
