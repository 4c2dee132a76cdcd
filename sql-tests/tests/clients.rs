//! Programs that people use: psql with its backslash commands and `\copy`, pandas and SQLAlchemy.
//!
//! `QUICKDB_TEST_CLIENTS=off` leaves these tests out.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::programs::{self, CLIENTS_SWITCH, psql, psql_rows, psql_types};
use quickdb_sql_tests::server::{self, Server, Signal};
use tempfile::TempDir;

/// Whether to leave a test out, which it then says.
fn left_out() -> bool {
    let off = programs::clients_are_off();
    if off {
        eprintln!("left out, because {CLIENTS_SWITCH}=off");
    }
    off
}

fn print(server: &Server, command: &str) -> Outcome<String> {
    psql(server.dsn(), &["-c", command])?.success()
}

const TABLES: &str = "          List of relations
 Schema |   Name   | Type  |  Owner  
--------+----------+-------+---------
 public | airlines | table | quickdb
 public | airports | table | quickdb
 public | deep_sky | table | quickdb
 public | flights  | table | quickdb
 public | planes   | table | quickdb
 public | stars    | table | quickdb
 public | weather  | table | quickdb
(7 rows)

";
/// Cells of a line that psql aligned.
fn cells(line: &str) -> Vec<&str> {
    line.split('|').map(str::trim).collect()
}

#[test]
fn psql_lists_tables_schemas_databases_roles_and_functions() -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(0)?;
    assert_eq!(print(&server, "\\dt")?, TABLES);
    assert_eq!(print(&server, "\\d")?, TABLES);
    assert!(print(&server, "\\dt a*")?.contains("(2 rows)"));
    assert!(print(&server, "\\dt+")?.contains("flights"));
    let nothing = psql(server.dsn(), &["-c", "\\d nothing"])?;
    assert_eq!(nothing.stderr, "Did not find any relation named \"nothing\".\n");

    let schemas = print(&server, "\\dn")?;
    assert!(schemas.lines().any(|line| cells(line).first() == Some(&"public")), "{schemas}");
    let databases = print(&server, "\\l")?;
    let quickdb = databases.lines().map(cells).find(|cells| cells.first() == Some(&"quickdb"));
    assert!(quickdb.is_some_and(|cells| cells.contains(&"UTF8")), "{databases}");
    let roles = print(&server, "\\du")?;
    assert!(roles.lines().any(|line| line.contains("quickdb") && line.contains("Superuser")), "{roles}");

    assert!(print(&server, "\\df")?.starts_with("                       List of functions"));
    let functions = print(&server, "\\df upper")?;
    let upper = functions.lines().map(cells).find(|cells| cells.get(2..4) == Some(&["text", "text"]));
    assert!(upper.is_some_and(|cells| cells.starts_with(&["pg_catalog", "upper"])), "{functions}");

    for command in ["\\dv", "\\di", "\\ds", "\\dx", "\\db", "\\dg", "\\dm"] {
        psql(server.dsn(), &["-c", command])?.success().map_err(|error| format!("{command}: {error}"))?;
    }
    assert!(print(&server, "\\conninfo")?.contains("database \"quickdb\" as user \"quickdb\""));
    Ok(())
}

#[test]
fn psql_prints_results_plans_and_errors() -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(0)?;
    let text = print(&server, "SELECT carrier, name FROM airlines ORDER BY carrier LIMIT 2")?;
    let wanted = " carrier |          name          
---------+------------------------
 9E      | Endeavor Air Inc.
 AA      | American Airlines Inc.
(2 rows)

";
    assert_eq!(text, wanted);
    assert_eq!(
        psql_rows(server.dsn(), "SELECT NULL, true, 1.50, DATE '2013-07-04'")?,
        ["|t|1.50|2013-07-04"]
    );
    assert_eq!(psql_rows(server.dsn(), "SELECT 1; SELECT 2")?, ["1", "2"]);
    let typed = "\\set c 'UA'\nSELECT count(*) FROM flights WHERE carrier = :'c' \\gset\n\\echo :count\n";
    assert_eq!(psql_types(server.dsn(), typed)?.success()?, "58665\n");

    let text = psql_types(
        server.dsn(),
        "SELECT carrier, count(*) AS n, avg(arr_delay) FROM flights GROUP BY 1 \\gdesc\n",
    )?
    .success()?;
    let rows: Vec<_> = text.lines().map(cells).collect();
    for row in [["carrier", "text"], ["n", "bigint"], ["avg", "numeric"]] {
        assert!(rows.contains(&row.to_vec()), "no {row:?} in {text}");
    }
    let plan = print(&server, "EXPLAIN SELECT count(*) FROM flights")?;
    assert!(plan.contains("QUERY PLAN"), "{plan}");

    let failed = psql(server.dsn(), &["-v", "VERBOSITY=verbose", "-c", "SELECT nothing FROM flights"])?;
    assert_eq!(failed.code, Some(1));
    let mut lines = failed.stderr.lines();
    assert_eq!(lines.next(), Some("ERROR:  42703: column \"nothing\" does not exist"));
    assert_eq!(lines.next(), Some("LINE 1: SELECT nothing FROM flights"));
    assert_eq!(lines.next(), Some("               ^"));
    Ok(())
}

fn copy_gives_the_rows(workers: usize) -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(workers)?;
    let home = TempDir::new()?;
    let file = home.path().join("out.csv");
    let target = file.to_string_lossy();

    let copy = format!(
        "\\copy (SELECT carrier, name FROM airlines WHERE carrier < 'AT' ORDER BY 1) TO '{target}' CSV HEADER"
    );
    assert_eq!(print(&server, &copy)?, "COPY 3\n");
    let wanted = "carrier,name\n9E,Endeavor Air Inc.\nAA,American Airlines Inc.\nAS,Alaska Airlines Inc.\n";
    assert_eq!(std::fs::read_to_string(&file)?, wanted);

    // Every row of a large table arrives, and NULL is nothing.
    let copy =
        format!("\\copy (SELECT tailnum, arr_delay, time_hour FROM flights) TO '{target}' WITH (FORMAT csv)");
    assert_eq!(print(&server, &copy)?, "COPY 336776\n");
    let text = std::fs::read_to_string(&file)?;
    assert_eq!(text.lines().count(), 336_776);
    assert_eq!(text.lines().filter(|line| line.split(',').nth(1) == Some("")).count(), 9_430);
    let sum: i64 = text.lines().filter_map(|line| line.split(',').nth(1)?.parse::<i64>().ok()).sum();
    assert_eq!(sum, 2_257_174);

    let text = print(&server, "COPY (SELECT 'a\tb', NULL, 'c\\d', E'e\\nf') TO STDOUT")?;
    assert_eq!(text, "a\\tb\t\\N\tc\\\\d\te\\nf\n");
    let text = print(&server, "COPY (SELECT 'a,b', 'c\"d', NULL, '') TO STDOUT (FORMAT csv)")?;
    assert_eq!(text, "\"a,b\",\"c\"\"d\",,\"\"\n");
    let text = print(&server, "COPY airlines TO STDOUT (FORMAT csv, DELIMITER ';')")?;
    assert_eq!(text.lines().count(), 16);

    let failed = psql(server.dsn(), &["-c", "\\copy (SELECT 1 / 0) TO '/dev/null'"])?;
    assert!(failed.stderr.contains("division by zero"), "{}", failed.stderr);
    assert_eq!(psql_rows(server.dsn(), "SELECT 1")?, ["1"]);
    Ok(())
}

#[test]
fn psql_copies_results_out_of_the_embedded_worker() -> Outcome<()> {
    copy_gives_the_rows(0)
}

#[test]
fn psql_copies_results_out_of_three_workers() -> Outcome<()> {
    copy_gives_the_rows(3)
}

#[test]
fn an_interrupt_in_psql_cancels_its_statement() -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(3)?;
    let slow =
        "SELECT count(*) FROM flights a JOIN flights b ON a.origin = b.origin AND a.distance < b.distance";
    let mut command = Command::new("psql");
    command.args(["-X", "-d", server.dsn(), "-c", slow]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    std::thread::sleep(Duration::from_secs(1));
    server::signal(child.id(), Signal::Interrupt)?;
    let asked_at = Instant::now();
    let output = child.wait_with_output()?;
    assert!(asked_at.elapsed() < Duration::from_secs(3), "took {:?}", asked_at.elapsed());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("ERROR:  canceling statement due to user request"), "{stderr}");
    Ok(())
}

/// Runs `python/clients.py`, which says what it checks.
fn python_clients_read(workers: usize) -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(workers)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/clients.py");
    let mut command = Command::new(programs::python()?);
    let printed = programs::run(command.arg(script).arg(server.dsn()), b"")?;
    eprintln!("{}{}", printed.text(), printed.stderr);
    printed.success()?;
    Ok(())
}

#[test]
fn pandas_and_sqlalchemy_read_from_the_embedded_worker() -> Outcome<()> {
    python_clients_read(0)
}

#[test]
fn pandas_and_sqlalchemy_read_from_three_workers() -> Outcome<()> {
    python_clients_read(3)
}
