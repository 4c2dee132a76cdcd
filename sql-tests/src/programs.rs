//! Other people's programs that the tests drive: psql, openssl, python.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, Outcome};

/// A client program that says nothing for so long is stuck.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(90);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The environment variable that leaves out the tests of foreign clients when it says `off`.
pub const CLIENTS_SWITCH: &str = "QUICKDB_TEST_CLIENTS";

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Printed {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output of a program that must have succeeded.
    pub fn success(self) -> Outcome<String> {
        if self.code == Some(0) {
            return Ok(self.text());
        }
        Err(format!("exit {:?}\n{}{}", self.code, self.text(), self.stderr).into())
    }
}

/// Whether the tests of foreign clients are left out, which only [`CLIENTS_SWITCH`] can say.
pub fn clients_are_off() -> bool {
    std::env::var(CLIENTS_SWITCH).is_ok_and(|value| value == "off")
}

/// Runs a command to its end with the given input, killing it when it does not end in time.
pub fn run(command: &mut Command, input: &[u8]) -> Outcome<Printed> {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| missing(&name, &error))?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let mut stdout = child.stdout.take().ok_or("no stdout")?;
    let mut stderr = child.stderr.take().ok_or("no stderr")?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that does not read its input to the end closes the pipe; its exit code tells more.
        let _ = stdin.write_all(&input);
    });
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let error_reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        bytes
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > PROGRAM_TIMEOUT {
            child.kill()?;
            child.wait()?;
            return Err(format!("{name} did not end in {} seconds", PROGRAM_TIMEOUT.as_secs()).into());
        }
        std::thread::sleep(POLL_INTERVAL);
    };
    let gone = |_| "a pipe thread died";
    writer.join().map_err(gone)?;
    let stdout = reader.join().map_err(gone)?;
    let stderr = String::from_utf8_lossy(&error_reader.join().map_err(gone)?).into_owned();
    Ok(Printed { code: status.code(), stdout, stderr })
}

/// Runs psql without its start-up file; it stops at the first error.
pub fn psql<S: AsRef<OsStr>>(dsn: &str, arguments: &[S]) -> Outcome<Printed> {
    run(psql_command(dsn).args(arguments), b"")
}

/// Runs psql on what one would type into it; it stops at the first error.
pub fn psql_types(dsn: &str, typed: &str) -> Outcome<Printed> {
    run(&mut psql_command(dsn), typed.as_bytes())
}

fn psql_command(dsn: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", dsn]);
    command.env("PGCONNECT_TIMEOUT", "10").env("PAGER", "").env("LC_ALL", "C.UTF-8");
    command
}

/// The rows of a statement as psql prints them: unaligned, cells separated by `|`.
pub fn psql_rows(dsn: &str, sql: &str) -> Outcome<Vec<String>> {
    let text = psql(dsn, &["-A", "-t", "-c", sql])?.success()?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Runs openssl.
pub fn openssl<S: AsRef<OsStr>>(arguments: &[S], input: &[u8]) -> Outcome<Printed> {
    run(Command::new("openssl").args(arguments), input)
}

/// The python of a virtual environment in the target directory that has `python/requirements.txt`. The first
/// test that needs it makes it, and a change of the requirements makes it again.
pub fn python() -> Outcome<PathBuf> {
    let environment = target_directory()?.join("quickdb-venv");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/requirements.txt");
    let (python, installed) = (environment.join("bin/python"), environment.join("requirements.txt"));
    // Tests run in processes of their own, and one makes it for all.
    let lock = File::create(environment.with_extension("lock"))?;
    lock.lock()?;
    let wanted = std::fs::read(&requirements)?;
    if std::fs::read(&installed).is_ok_and(|has| has == wanted) && python.exists() {
        return Ok(python);
    }
    let advice = |error: Failure| {
        format!(
            "cannot make a Python environment with {}: {error}\nIt needs python3 with venv \
             (`apt-get install python3-venv`) and the Python package index; \
             {CLIENTS_SWITCH}=off leaves these tests out",
            requirements.display()
        )
    };
    let make = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
    let install = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&requirements);
        pip.output()
    };
    succeeded(make).and_then(|()| succeeded(install())).map_err(advice)?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

fn succeeded(output: std::io::Result<Output>) -> Outcome<()> {
    let output = output?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&said)).into())
}

/// The target directory that holds the running test.
pub fn target_directory() -> Outcome<PathBuf> {
    let test = std::env::current_exe()?;
    // target/release/deps/test-hash
    let directory = test.parent().and_then(Path::parent).and_then(Path::parent);
    Ok(directory.ok_or("the test runs outside of a target directory")?.to_owned())
}

fn missing(name: &str, error: &std::io::Error) -> String {
    let package = match name {
        "psql" => "postgresql-client",
        "openssl" => "openssl",
        _ => "the package that has it",
    };
    format!(
        "{name}: {error}; install it with `apt-get install {package}`, \
         or leave the tests of foreign clients out with {CLIENTS_SWITCH}=off"
    )
}
