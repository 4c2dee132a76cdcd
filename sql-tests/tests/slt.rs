//! Every file of expected answers, on an embedded worker and on three worker processes over TLS.

use quickdb_sql_tests::server::Server;
use quickdb_sql_tests::slt::Engine;
use quickdb_sql_tests::{Outcome, corpus};

/// So that a folder that is not found, or a condition on every record, is no silent success.
const RECORDS_MIN: usize = 400;

async fn same_answers_with(workers: usize, gaps: &str) -> Outcome<()> {
    let server = Server::demo(workers)?;
    let report = corpus::run_all(server.dsn(), Engine::Quickdb, &corpus::Gaps::named(gaps)?).await?;
    eprintln!("{workers} workers: {report}");
    Ok(())
}

#[tokio::test]
async fn embedded_worker_gives_the_answers_of_postgresql() -> Outcome<()> {
    same_answers_with(0, "embedded").await
}

#[tokio::test]
async fn three_workers_give_the_answers_of_postgresql() -> Outcome<()> {
    same_answers_with(3, "three_workers").await
}

#[test]
fn there_are_enough_records() -> Outcome<()> {
    let mut records = 0;
    for path in corpus::slt_files()? {
        let text = std::fs::read_to_string(path)?;
        records +=
            text.lines().filter(|line| line.starts_with("query ") || line.starts_with("statement ")).count();
    }
    assert!(records >= RECORDS_MIN, "{records} records");
    Ok(())
}
