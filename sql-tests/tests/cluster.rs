//! Three worker processes over mutual TLS: who gets in, what a dead worker does, cancelling, concurrency,
//! and what EXPLAIN says about it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::programs::psql_rows;
use quickdb_sql_tests::server::{self, Server, Signal, Worker, cpu_ticks};
use quickdb_sql_tests::session::{Session, SessionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const WORKERS: usize = 3;

/// How soon a client must hear of a worker that is gone, and of a statement that it cancelled.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(5);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// How soon a restarted worker must be used again, without a word to the master.
const HEAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Long enough for a statement to be planned and under way on every worker.
const UNDER_WAY: Duration = Duration::from_millis(800);

/// Forty billion pairs of rows: minutes of work in the middle of a plan, in small batches.
const SLOW_JOIN: &str =
    "SELECT count(*) FROM flights a JOIN flights b ON a.origin = b.origin AND a.distance < b.distance";

/// Half a minute of regular expressions over every row, which each worker evaluates over its own shards.
const SLOW_SCAN: &str = "SELECT sum(length(regexp_replace(repeat(tailnum, 300), '(A|B|C)+[0-9]*', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 301), '[1-5]+[A-F]*', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 302), '(N|[0-9])+E?', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 303), '[^N]+V', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 304), '([0-9][0-9])+', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 305), '(Q|U|E)+', 'x', 'g'))), \
     sum(length(regexp_replace(repeat(tailnum, 306), '[0-9]+[A-Z]+', 'x', 'g'))) FROM flights";

/// A count alone could come from the catalogue, which needs no worker.
const READS_EVERYTHING: &str = "SELECT sum(distance) FROM flights";

/// Answers of PostgreSQL 15, per month: flights, miles, tail numbers, longest delay.
const MONTHS: [(i64, i64, i64, i64); 12] = [
    (27_004, 27_188_805, 3_148, 1_272),
    (24_951, 24_975_509, 3_071, 834),
    (28_834, 29_179_636, 3_186, 915),
    (28_330, 29_427_294, 3_184, 931),
    (28_796, 29_974_128, 3_194, 875),
    (28_243, 29_856_388, 3_164, 1_127),
    (29_425, 31_149_199, 3_215, 989),
    (29_327, 31_149_334, 3_219, 490),
    (27_574, 28_711_426, 3_201, 1_007),
    (28_889, 30_012_086, 3_163, 688),
    (27_268, 28_639_718, 3_118, 796),
    (28_135, 29_954_084, 3_113, 878),
];

/// An HTTP/2 client opens with this and an empty SETTINGS frame; a server that talks HTTP/2 with it
/// answers with SETTINGS of its own.
const HTTP2_OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Whether bytes from a server contain a SETTINGS frame: type 4 on stream 0.
fn has_settings(bytes: &[u8]) -> bool {
    bytes.windows(9).any(|frame| matches!(frame, [_, _, _, 4, _, 0, 0, 0, 0]))
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn authority_of(worker: &Worker) -> Outcome<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(worker.tls_file("ca.pem"))?)?;
    Ok(roots)
}

fn identity_from(certificate: &Path, key: &Path) -> Outcome<Identity> {
    Ok((vec![CertificateDer::from_pem_file(certificate)?], PrivateKeyDer::from_pem_file(key)?))
}

/// A certificate for every name that a node of a demo has, signed by an authority of our own that calls
/// itself what the demo's calls itself.
fn identity_of_another_authority() -> Outcome<Identity> {
    let mut of_authority = rcgen::CertificateParams::new(Vec::new())?;
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    of_authority.distinguished_name.push(rcgen::DnType::CommonName, "quickdb demo, for one run");
    let authority = rcgen::CertifiedIssuer::self_signed(of_authority, rcgen::KeyPair::generate()?)?;
    let names = ["master", "worker-1", "localhost", "127.0.0.1"].map(str::to_owned);
    let mut of_node = rcgen::CertificateParams::new(names)?;
    of_node.distinguished_name.push(rcgen::DnType::CommonName, "master");
    of_node.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth, rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate()?;
    let certificate = of_node.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    Ok((vec![certificate.der().clone()], key))
}

/// What a worker answers to the opening of HTTP/2 inside of TLS. A refusal gives no bytes: with TLS 1.3 it
/// comes after the handshake, as an alert that ends the stream.
async fn answer_to(worker: &Worker, identity: Option<Identity>) -> Outcome<Vec<u8>> {
    let config = ClientConfig::builder().with_root_certificates(authority_of(worker)?);
    let mut config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(("127.0.0.1", worker.port()?)).await?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(ServerName::try_from("localhost")?, socket).await {
        Ok(mut stream) => Ok(converse(&mut stream).await),
        Err(_) => Ok(Vec::new()),
    }
}

/// Sends the opening and reads until SETTINGS, an error or the end.
async fn converse(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let talk = async {
        if stream.write_all(HTTP2_OPENING).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let mut buffer = [0; 1024];
        while let Ok(read) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if read == 0 || has_settings(&bytes) {
                return;
            }
        }
    };
    // A server that neither answers nor hangs up has not let anybody in either.
    let _ = tokio::time::timeout(FAILURE_TIMEOUT, talk).await;
    bytes
}

#[tokio::test]
async fn a_worker_lets_in_only_certificates_of_its_authority() -> Outcome<()> {
    let server = Server::demo(1)?;
    let worker = Worker::of(&server, 1, 1)?;

    // The check can tell the difference: a node of the cluster gets an answer.
    let node = identity_from(&worker.tls_file("node.pem"), &worker.tls_file("node.key"))?;
    let answer = answer_to(&worker, Some(node)).await?;
    assert!(has_settings(&answer), "a node of the cluster got {answer:?}");

    let answer = answer_to(&worker, None).await?;
    assert_eq!(answer, b"", "without a certificate");

    let answer = answer_to(&worker, Some(identity_of_another_authority()?)).await?;
    assert_eq!(answer, b"", "with a certificate of another authority");

    let mut plain = TcpStream::connect(("127.0.0.1", worker.port()?)).await?;
    let answer = converse(&mut plain).await;
    assert!(!has_settings(&answer), "without TLS: {answer:?}");

    // And it still works for those whom it knows.
    assert_eq!(psql_rows(server.dsn(), "SELECT count(*) FROM flights")?, ["336776"]);
    Ok(())
}

#[tokio::test]
async fn a_killed_worker_is_named_within_seconds_and_heals_when_it_is_restarted() -> Outcome<()> {
    let mut server = Server::demo(WORKERS)?;
    let victim = Worker::of(&server, WORKERS, 2)?;
    let session = Session::connect(server.dsn()).await?;

    let killed_at = tokio::spawn({
        let pid = victim.pid()?;
        async move {
            tokio::time::sleep(UNDER_WAY).await;
            server::signal(pid, Signal::Kill).map(|()| Instant::now())
        }
    });
    let outcome = session.simple(SLOW_SCAN).await;
    let heard_at = Instant::now();
    let killed_at = killed_at.await??;
    assert!(heard_at > killed_at, "the statement was over before the worker was killed: {outcome:?}");
    let waited = heard_at - killed_at;
    assert!(waited < FAILURE_TIMEOUT, "heard of the dead worker after {waited:?}");
    let complaint = worker_error(outcome.map(drop), &victim.name);
    assert!(complaint.is_none(), "{complaint:?}");

    // Without its shards there is no answer, but a quick error and not a part of the answer.
    let asked_at = Instant::now();
    let complaint = worker_error(session.value(READS_EVERYTHING).await.map(drop), &victim.name);
    assert!(complaint.is_none(), "{complaint:?}");
    assert!(asked_at.elapsed() < FAILURE_TIMEOUT, "took {:?}", asked_at.elapsed());

    // The server lives: this session and new ones go on.
    assert_eq!(session.value("SELECT 6 * 7").await?, "42");
    assert_eq!(
        Session::connect(server.dsn())
            .await?
            .value("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = 'flights'")
            .await?,
        "1"
    );

    // It says how to start the worker again, and that is all that is needed.
    let advice = server.wait_for("worker --config", FAILURE_TIMEOUT)?;
    assert!(advice.contains(&*victim.config.to_string_lossy()), "{advice}");
    let config = victim.config.to_string_lossy().into_owned();
    let mut restarted = server::command()?.args(["worker", "--config", &config]).spawn()?;
    let restarted_at = Instant::now();
    let healed = loop {
        match session.value(READS_EVERYTHING).await {
            Ok(count) => break Ok(count),
            Err(error) if restarted_at.elapsed() > HEAL_TIMEOUT => break Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    server::signal(restarted.id(), Signal::Terminate)?;
    let ended = restarted.wait()?;
    assert_eq!(healed?, "350217607");
    assert!(ended.success(), "the restarted worker ended with {ended} on SIGTERM");
    Ok(())
}

/// What is wrong with an outcome that must be an error of a lost worker, with its name.
fn worker_error(outcome: Result<(), SessionError>, name: &str) -> Option<String> {
    match outcome {
        Err(SessionError::Server { code, message, .. }) => {
            // Connection exceptions, system errors, operator intervention.
            let of_class = ["08", "58", "57P"].iter().any(|class| code.starts_with(class));
            (!of_class || !message.contains(name)).then(|| format!("{code}: {message}"))
        }
        other => Some(format!("{other:?}")),
    }
}

async fn cancelling_stops_the_work(workers: usize) -> Outcome<()> {
    let server = Server::demo(workers)?;
    let session = Session::connect(server.dsn()).await?;
    let token = session.client().cancel_token();
    let cancelled_at = tokio::spawn(async move {
        tokio::time::sleep(UNDER_WAY).await;
        let asked_at = Instant::now();
        token.cancel_query(NoTls).await.map(|()| asked_at)
    });
    let outcome = session.simple(SLOW_JOIN).await;
    let waited = cancelled_at.await??.elapsed();
    match outcome {
        Err(SessionError::Server { code, message, .. }) => {
            assert_eq!((&*code, &*message), ("57014", "canceling statement due to user request"));
        }
        other => return Err(format!("not cancelled but {other:?}").into()),
    }
    assert!(waited < CANCEL_TIMEOUT, "cancelled after {waited:?}");

    // The session goes on, and nothing computes any more, neither here nor on a worker.
    assert_eq!(session.value("SELECT count(*) FROM flights").await?, "336776");
    let busy = busy_ticks(&server.processes()?).await?;
    assert!(busy < 50, "the processes used {busy} hundredths of a second in one second after the cancelling");
    Ok(())
}

/// Clock ticks that processes use in one second, after another second to come to rest.
async fn busy_ticks(pids: &[u32]) -> Outcome<u64> {
    let total = || pids.iter().map(|pid| cpu_ticks(*pid)).sum::<Outcome<u64>>();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = total()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(total()? - before)
}

#[tokio::test]
async fn cancelling_stops_the_embedded_worker() -> Outcome<()> {
    cancelling_stops_the_work(0).await
}

#[tokio::test]
async fn cancelling_stops_the_worker_processes() -> Outcome<()> {
    cancelling_stops_the_work(WORKERS).await
}

#[tokio::test]
async fn a_statement_timeout_cancels() -> Outcome<()> {
    let server = Server::demo(0)?;
    let session = Session::connect(server.dsn()).await?;
    session.simple("SET statement_timeout = 300").await?;
    let asked_at = Instant::now();
    match session.simple(SLOW_JOIN).await {
        Err(SessionError::Server { code, message, .. }) => {
            assert_eq!((&*code, &*message), ("57014", "canceling statement due to statement timeout"));
        }
        other => return Err(format!("not cancelled but {other:?}").into()),
    }
    assert!(asked_at.elapsed() < CANCEL_TIMEOUT, "took {:?}", asked_at.elapsed());
    session.simple("SET statement_timeout = 0").await?;
    assert_eq!(session.value("SELECT 1").await?, "1");
    Ok(())
}

/// Ten clients that ask at the same moment, each its own questions, several times.
async fn ten_clients_get_right_answers(workers: usize) -> Outcome<()> {
    let server = Server::demo(workers)?;
    let mut clients = Vec::new();
    for client in 0..10 {
        let dsn = server.dsn().to_owned();
        clients.push(tokio::spawn(async move {
            let session = Session::connect(&dsn).await?;
            for round in 0..6 {
                let month = (client + round * 5) % MONTHS.len();
                let (flights, miles, tails, delay) = *MONTHS.get(month).ok_or("twelve months")?;
                let month = month + 1;
                let wanted = format!("{flights} {miles} {tails} {delay}");
                let rows = session
                    .client()
                    .query_one(
                        "SELECT concat_ws(' ', count(*), sum(distance), count(DISTINCT tailnum), max(arr_delay)) \
                         FROM flights WHERE month = $1::int",
                        &[&i32::try_from(month)?],
                    )
                    .await?;
                let got: String = rows.get(0);
                if got != wanted {
                    return Err(format!("client {client}, month {month}: {got} instead of {wanted}").into());
                }
                let sql = format!(
                    "SELECT count(*) FROM flights f JOIN airlines a USING (carrier) WHERE f.month = {month}"
                );
                let got = session.value(&sql).await?;
                if got != flights.to_string() {
                    return Err(format!("client {client}, join of month {month}: {got}").into());
                }
            }
            Outcome::Ok(())
        }));
    }
    for client in clients {
        client.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_clients_at_once_get_right_answers_of_the_embedded_worker() -> Outcome<()> {
    ten_clients_get_right_answers(0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_clients_at_once_get_right_answers_of_three_workers() -> Outcome<()> {
    ten_clients_get_right_answers(WORKERS).await
}

#[tokio::test]
async fn explain_shows_which_worker_does_which_task() -> Outcome<()> {
    let server = Server::demo(WORKERS)?;
    let sql = "SELECT carrier, count(*), avg(arr_delay) FROM flights GROUP BY carrier";
    let plan = psql_rows(server.dsn(), &format!("EXPLAIN {sql}"))?;
    let text = plan.join("\n");
    for number in 1..=WORKERS {
        let name = format!("worker-{number}");
        assert!(text.contains(&name), "no task on {name}:\n{text}");
    }
    let partial = plan.iter().filter(|line| line.contains("ShardAggregateExec")).count();
    assert!(partial == 1 || partial == WORKERS, "{partial} fused partial aggregates:\n{text}");
    let finals = plan.iter().filter(|line| line.contains("AggregateExec: mode=Final")).count();
    assert_eq!(finals, 1, "final aggregates:\n{text}");

    let analyzed = psql_rows(server.dsn(), &format!("EXPLAIN ANALYZE {sql}"))?.join("\n");
    assert!(analyzed.contains("rows=") || analyzed.contains("output_rows="), "no rows:\n{analyzed}");
    assert!(analyzed.contains("ms") || analyzed.contains("µs"), "no times:\n{analyzed}");
    assert!(!analyzed.contains(" 9E"), "the rows themselves:\n{analyzed}");
    Ok(())
}

#[test]
fn no_process_outlives_the_demo() -> Outcome<()> {
    for end in [Signal::Interrupt, Signal::Terminate, Signal::Kill] {
        let mut server = Server::demo(WORKERS)?;
        let running = server.processes()?;
        assert_eq!(running.len(), WORKERS + 1, "{running:?}");
        let status = server.stop(end)?;
        if end == Signal::Kill {
            // Nobody is left to stop the workers: they notice.
            let asked_at = Instant::now();
            while !server.processes()?.is_empty() && asked_at.elapsed() < FAILURE_TIMEOUT {
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            assert_eq!(status.code(), Some(0), "on {end:?}");
        }
        let left = server.processes()?;
        assert!(left.is_empty(), "left after {end:?}: {left:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_told_to_stop_in_the_middle_of_a_statement_stops() -> Outcome<()> {
    let mut server = Server::demo(WORKERS)?;
    let session = Session::connect(server.dsn()).await?;
    let waiting = tokio::spawn(async move { session.simple(SLOW_JOIN).await });
    tokio::time::sleep(UNDER_WAY).await;
    let status = tokio::task::block_in_place(|| server.stop(Signal::Terminate));
    assert_eq!(status?.code(), Some(0));
    assert!(waiting.await?.is_err(), "the statement cannot have finished");
    assert!(server.processes()?.is_empty());
    Ok(())
}

#[test]
fn settings_are_told_from_other_bytes() {
    assert!(has_settings(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00abcdef"));
    assert!(!has_settings(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert!(!has_settings(b"\x15\x03\x03\x00\x02\x02\x74"));
}
