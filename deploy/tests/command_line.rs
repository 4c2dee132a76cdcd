//! The program from outside: exit codes, messages, the life of its processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_quickdb");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that must fail with one line; the line.
fn failure(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim().strip_prefix("quickdb: ").unwrap_or_else(|| panic!("{stderr}")).to_owned()
}

/// A running server; dropping it kills it.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Server {
    fn spawn(arguments: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Starts a server and waits until it is ready; its connection string.
    fn ready(arguments: &[&str]) -> (Self, String) {
        let mut server = Self::spawn(arguments);
        let mut line = String::new();
        server.stdout.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("quickdb ready: ") {
            Some(url) => (server, url.to_owned()),
            None => panic!("no ready line but {line:?}; {}", server.rest_of_stderr()),
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Sends a signal and waits for the end; what it wrote to standard error.
    fn stop(mut self, name: &str) -> String {
        self.signal(name);
        let stderr = self.rest_of_stderr();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{stderr}");
        stderr
    }

    fn rest_of_stderr(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(status.success());
}

fn port(url: &str) -> u16 {
    url.strip_prefix("postgresql://quickdb@127.0.0.1:").unwrap().split('/').next().unwrap().parse().unwrap()
}

/// Waits until no process has the data directory open any more.
fn wait_until_closed(data_dir: &Path) {
    File::open(data_dir.join("lock")).unwrap().lock().unwrap();
}

fn demo<'a>(data_dir: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["demo", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
    arguments.extend(more);
    arguments
}

#[test]
fn help_and_version_are_complete_and_wrong_usage_exits_with_2() {
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(version.stdout, format!("quickdb {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    for arguments in [
        &["--help"][..],
        &["demo", "--help"],
        &["start", "--help"],
        &["load", "--help"],
        &["gen", "--help"],
        &["master", "--help"],
        &["worker", "--help"],
    ] {
        let help = run(arguments);
        let text = String::from_utf8(help.stdout).unwrap();
        assert_eq!(help.status.code(), Some(0));
        assert!(text.contains("Example"), "{arguments:?}: {text}");
    }
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(run(&["demo", "--no-such-option"]).status.code(), Some(2));
}

#[test]
fn a_demo_loads_once_and_stops_on_signals() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("demo");
    let arguments = demo(&data_dir, &[]);
    let (server, url) = Server::ready(&arguments);
    assert!(port(&url) != 0 && url.ends_with("/quickdb"), "{url}");

    let in_use = failure(&arguments);
    let process = format!("(process {})", server.child.id());
    assert!(in_use.contains("in use by another quickdb") && in_use.contains(&process), "{in_use}");
    let other_role = failure(&["start", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()]);
    assert!(other_role.contains("in use by another quickdb"), "{other_role}");

    let stderr = server.stop("INT");
    assert_eq!(stderr.matches("loaded ").count(), 7, "{stderr}");
    assert!(stderr.contains("loaded flights    336776 rows in "), "{stderr}");
    let other_role = failure(&["start", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()]);
    assert!(other_role.contains("is the directory of a demo"), "{other_role}");

    let (server, _) = Server::ready(&arguments);
    let stderr = server.stop("TERM");
    assert!(!stderr.contains("loaded "), "{stderr}");
}

#[test]
fn a_demo_shows_queries_to_try() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("demo");
    let (mut server, url) = Server::ready(&demo(&data_dir, &[]));
    server.signal("TERM");
    let mut guide = String::new();
    server.stdout.read_to_string(&mut guide).unwrap();
    for part in [&format!("psql '{url}'"), "GROUP BY", "OVER (ORDER BY", "EXPLAIN", "Ctrl-C"] {
        assert!(guide.contains(part), "no {part} in {guide}");
    }
}

#[test]
fn a_port_in_use_is_named_before_anything_is_loaded() {
    let parent = tempfile::tempdir().unwrap();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for command in ["demo", "start"] {
        let data_dir = parent.path().join(command);
        let message = failure(&[command, "--listen", &address, "--data-dir", data_dir.to_str().unwrap()]);
        assert!(message.starts_with(&format!("cannot listen on {address}: the port is in use")), "{message}");
        assert!(message.contains("--listen 127.0.0.1:"), "{message}");
        assert!(!data_dir.exists(), "{command} has left a directory");
    }
}

#[test]
fn an_unusable_directory_is_named() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("letter.txt"), "dear").unwrap();
    let data_dir = parent.path().to_str().unwrap();
    let start = |data_dir: &str| failure(&["start", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    let foreign = start(data_dir);
    assert!(foreign.contains(data_dir) && foreign.contains("holds something else (letter.txt"), "{foreign}");
    let file = format!("{data_dir}/letter.txt");
    assert!(start(&file).contains("is not a directory"));
    let unwritable = start("/proc/quickdb");
    assert!(unwritable.starts_with("cannot write /proc/quickdb"), "{unwritable}");
}

#[test]
fn a_started_server_has_a_private_password_and_keeps_its_certificate() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    let arguments = ["start", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()];
    let (server, url) = Server::ready(&arguments);
    assert!(!url.contains("sslmode"), "{url}");
    let password = data_dir.join("password");
    assert_eq!(fs::metadata(&password).unwrap().permissions().mode() & 0o777, 0o600);
    let made_up = fs::read_to_string(&password).unwrap();
    let authority = fs::read(data_dir.join("tls/ca.pem")).unwrap();
    let stderr = server.stop("TERM");
    assert!(stderr.contains(password.to_str().unwrap()), "{stderr}");
    assert!(!stderr.contains(made_up.trim()), "{stderr}");

    let given = parent.path().join("given");
    fs::write(&given, "correct horse\n").unwrap();
    let mut arguments = arguments.to_vec();
    arguments.extend(["--password-file", given.to_str().unwrap()]);
    let (server, _) = Server::ready(&arguments);
    assert_eq!(fs::read(data_dir.join("tls/ca.pem")).unwrap(), authority);
    assert_eq!(fs::read_to_string(&password).unwrap(), "correct horse\n");
    server.stop("INT");
}

#[test]
fn a_server_beyond_loopback_requires_tls() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    let (server, url) =
        Server::ready(&["start", "--listen", "0.0.0.0:0", "--data-dir", data_dir.to_str().unwrap()]);
    assert!(url.ends_with("/quickdb?sslmode=require"), "{url}");
    server.stop("TERM");
}

#[test]
fn a_mistake_in_a_configuration_names_file_line_and_key() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("role.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "\nlisten = \"127.0.0.1:0\"\nthread = 3\n").unwrap();
    for command in ["worker", "master"] {
        let message = failure(&[command, "--config", path]);
        assert!(message.starts_with(&format!("{path}:3: unknown field `thread`")), "{message}");
    }
    fs::write(&file, "listen = \"127.0.0.1:0\"\n").unwrap();
    let message = failure(&["master", "--config", path]);
    assert!(message.contains("no workers are configured"), "{message}");
    fs::write(&file, "[tls]\nca = \"missing.pem\"\n").unwrap();
    let message = failure(&["worker", "--config", path]);
    assert!(message.contains(parent.path().join("missing.pem").to_str().unwrap()), "{message}");
}

/// The data directory and the process of a worker of a demo.
fn worker(data_dir: &Path, id: usize) -> (PathBuf, u32) {
    let worker_dir = data_dir.join(format!("workers-2/worker-{id}/data"));
    let process = fs::read_to_string(worker_dir.join("lock")).unwrap().trim().parse().unwrap();
    (worker_dir, process)
}

#[test]
fn a_dead_worker_is_reported_with_the_command_that_starts_it_again() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("demo");
    let (mut server, _) = Server::ready(&demo(&data_dir, &["--workers", "2"]));
    let (first_dir, first) = worker(&data_dir, 1);
    let (second_dir, second) = worker(&data_dir, 2);
    signal(first, "KILL");
    let report = (&mut server.stderr)
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("quickdb: worker-1 "))
        .unwrap();
    let (_, command) = report.split_once("start it again with: ").unwrap();
    let config = data_dir.join("workers-2/worker-1/worker.toml");
    assert_eq!(command, format!("{PROGRAM} worker --config {}", config.display()));

    wait_until_closed(&first_dir);
    let mut again = Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(again.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("quickdb worker ready: worker-1 on 127.0.0.1:"), "{line}");

    server.stop("INT");
    wait_until_closed(&second_dir);
    assert!(!Path::new(&format!("/proc/{second}")).exists());
    signal(again.id(), "TERM");
    assert_eq!(again.wait().unwrap().code(), Some(0));
}

#[test]
fn workers_end_with_a_killed_demo() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("demo");
    let (mut server, _) = Server::ready(&demo(&data_dir, &["--workers", "2"]));
    let workers = [worker(&data_dir, 1), worker(&data_dir, 2)];
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    for (worker_dir, _) in workers {
        wait_until_closed(&worker_dir);
    }
}
