//! What sessions see of each other in the catalogue, and how one stops another.

use std::time::{Duration, Instant};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::server::Server;
use quickdb_sql_tests::session::{Session, SessionError};

/// Joins flights with flights: far longer than a test takes.
const SLOW: &str =
    "SELECT count(*) FROM flights a JOIN flights b ON a.origin = b.origin AND a.distance < b.distance";

/// Waits for a value of a statement, which another session brings about.
async fn becomes(session: &Session, sql: &str, wanted: &str) -> Outcome<()> {
    let started = Instant::now();
    loop {
        let value = session.value(sql).await?;
        if value == wanted {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("{sql}: {value}, not {wanted}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn sessions_see_what_the_others_do() -> Outcome<()> {
    let server = Server::demo(0)?;
    let watching = Session::connect(&format!("{}?application_name=watch", server.dsn())).await?;
    let other = Session::connect(&format!("{}?application_name=other", server.dsn())).await?;
    let state = "SELECT state || ': ' || query FROM pg_stat_activity WHERE application_name = 'other'";

    let own = "SELECT datname, usename, application_name, state, backend_type, query LIKE 'SELECT datname%', \
               client_addr FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let quickdb_sql_tests::session::Answer::Rows { rows, .. } = watching.ask(own).await? else {
        return Err("no rows".into());
    };
    assert_eq!(rows.concat(), ["quickdb", "quickdb", "watch", "active", "client backend", "t", "127.0.0.1"]);

    other.simple("SELECT 1").await?;
    becomes(&watching, state, "idle: SELECT 1").await?;
    other.simple("BEGIN").await?;
    becomes(&watching, state, "idle in transaction: BEGIN").await?;
    assert!(other.simple("SELECT 1 / 0").await.is_err());
    becomes(&watching, state, "idle in transaction (aborted): SELECT 1 / 0").await?;
    other.simple("ROLLBACK").await?;
    other.simple("SET application_name = 'renamed'").await?;
    becomes(
        &watching,
        "SELECT xact_start IS NULL AND query_start <= now() FROM pg_stat_activity WHERE application_name = 'renamed'",
        "t",
    )
    .await?;
    drop(other);
    becomes(&watching, "SELECT count(*) FROM pg_stat_activity", "1").await?;

    watching.simple("PREPARE mine(int) AS SELECT $1 + 1").await?;
    let prepared =
        "SELECT name || ' ' || statement || ' ' || from_sql FROM pg_prepared_statements WHERE from_sql";
    assert_eq!(watching.value(prepared).await?, "mine PREPARE mine(int) AS SELECT $1 + 1 true");
    assert_eq!(
        watching.value("SELECT parameter_types FROM pg_prepared_statements WHERE from_sql").await?,
        "{integer}"
    );
    watching.simple("BEGIN").await?;
    watching.simple("DECLARE c CURSOR FOR SELECT 1").await?;
    assert_eq!(watching.value("SELECT name FROM pg_cursors").await?, "c");
    Ok(())
}

#[tokio::test]
async fn a_session_cancels_the_statement_of_another() -> Outcome<()> {
    let server = Server::demo(0)?;
    let (one, other) = (Session::connect(server.dsn()).await?, Session::connect(server.dsn()).await?);
    let pid = other.value("SELECT pg_backend_pid()").await?;
    let running = format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}");
    let (stopped, done) = tokio::join!(other.simple(SLOW), async {
        becomes(&one, &running, "active").await?;
        // Planning it cancels nothing.
        let cancel = one.prepare(&format!("SELECT pg_cancel_backend({pid})")).await?;
        assert_eq!(one.value(&running).await?, "active");
        let asked_at = Instant::now();
        let row = one.client().query_one(&cancel, &[]).await?;
        assert!(row.get::<_, bool>(0));
        becomes(&one, &running, "idle").await?;
        assert!(asked_at.elapsed() < Duration::from_secs(5));
        Ok::<_, quickdb_sql_tests::Failure>(())
    });
    done?;
    match stopped {
        Err(SessionError::Server { code, message, .. }) => {
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("57014", "canceling statement due to user request")
            );
        }
        other => return Err(format!("not cancelled: {:?}", other.map(|rows| rows.len())).into()),
    }
    assert_eq!(other.value("SELECT 1").await?, "1");
    assert_eq!(one.value("SELECT pg_cancel_backend(0)").await?, "f");
    Ok(())
}

#[tokio::test]
async fn a_session_ends_another() -> Outcome<()> {
    let server = Server::demo(0)?;
    let one = Session::connect(server.dsn()).await?;
    for busy in [true, false] {
        let other = Session::connect(server.dsn()).await?;
        let pid = other.value("SELECT pg_backend_pid()").await?;
        let end = format!("SELECT pg_terminate_backend({pid})");
        let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
        if busy {
            let running = format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}");
            let (ended, done) = tokio::join!(other.simple(SLOW), async {
                becomes(&one, &running, "active").await?;
                assert_eq!(one.value(&end).await?, "t");
                Ok::<_, quickdb_sql_tests::Failure>(())
            });
            done?;
            match ended {
                Err(error) => assert_eq!(error.code(), Some("57P01"), "{error}"),
                Ok(_) => return Err("the statement ended by itself".into()),
            }
        } else {
            assert_eq!(one.value(&end).await?, "t");
        }
        becomes(&one, &gone, "0").await?;
        assert!(other.simple("SELECT 1").await.is_err());
    }
    Ok(())
}
