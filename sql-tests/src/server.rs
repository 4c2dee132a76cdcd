//! The binary under test: started on a free port with its own directory, its log kept, and stopped with
//! everything that it started when the value is dropped.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Outcome;
use crate::programs::{Printed, target_directory};

/// The first start loads half a million rows; on a busy machine of two cores that takes its time.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A server told to stop answers or cancels what runs and is gone by then.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The environment variable that names the binary to test instead of the built one.
pub const BINARY_VARIABLE: &str = "QUICKDB_BIN";

/// The line that a server prints first when it accepts connections starts so.
pub const READY: &str = "quickdb ready: ";

/// A signal that a test sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// What Ctrl-C sends.
    Interrupt,
    /// What a service manager sends.
    Terminate,
    /// What nothing survives.
    Kill,
}

/// A running server.
pub struct Server {
    child: Child,
    dsn: String,
    directory: PathBuf,
    log: Arc<Mutex<String>>,
    // Dropped last: the directories of a server that made its own.
    _home: Option<TempDir>,
}

impl Server {
    /// Starts `quickdb demo` on a fresh directory with so many worker processes (0 embeds the worker).
    pub fn demo(workers: usize) -> Outcome<Self> {
        let home = TempDir::with_prefix("quickdb-test-")?;
        let mut server = Self::demo_in(&home.path().join("data"), workers)?;
        server._home = Some(home);
        Ok(server)
    }

    /// Starts `quickdb demo` on a directory of the caller.
    pub fn demo_in(directory: &Path, workers: usize) -> Outcome<Self> {
        let workers = workers.to_string();
        Self::launch(&["demo", "--workers", &workers], directory)
    }

    /// Starts `quickdb start` on a directory of the caller.
    pub fn start_in(directory: &Path) -> Outcome<Self> {
        Self::launch(&["start"], directory)
    }

    /// Starts the binary with `--data-dir` and a free port after the given arguments, and waits until it
    /// accepts connections.
    pub fn launch(arguments: &[&str], directory: &Path) -> Outcome<Self> {
        let mut command = command()?;
        command.args(arguments).arg("--data-dir").arg(directory).args(["--listen", "127.0.0.1:0"]);
        Self::run(command, directory, READY)
    }

    /// Starts a command that prints a line which starts with `ready` when it serves; `directory` is named by it, or by
    /// processes that it starts, and by nothing else.
    pub fn run(mut command: Command, directory: &Path, ready: &str) -> Outcome<Self> {
        let log = Arc::new(Mutex::new(String::new()));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        follow(child.stdout.take(), &log);
        follow(child.stderr.take(), &log);
        let mut server =
            Self { child, dsn: String::new(), directory: directory.to_owned(), log, _home: None };
        server.dsn = server.wait_for(ready, READY_TIMEOUT)?.trim_start_matches(ready).trim().to_owned();
        Ok(server)
    }

    /// The URL from the ready line.
    pub fn dsn(&self) -> &str {
        &self.dsn
    }

    /// The client port, from the ready line.
    pub fn port(&self) -> Outcome<u16> {
        let port = self.dsn.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next());
        Ok(port.ok_or_else(|| format!("no port in {}", self.dsn))?.parse()?)
    }

    /// Its data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process id of the server itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it printed so far on either stream.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Waits for a line of the log that contains a text and returns that line.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Outcome<String> {
        let started = Instant::now();
        loop {
            // The last line may still be incomplete.
            let log = self.log();
            let complete = log.rfind('\n').and_then(|end| log.get(..end)).unwrap_or_default();
            if let Some(line) = complete.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the server ended ({status}) without printing {text:?}").into());
            }
            if started.elapsed() > timeout {
                return Err(format!("the server did not print {text:?} in {timeout:?}").into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Sends a signal to the server itself and waits until it is gone.
    pub fn stop(&mut self, with: Signal) -> Outcome<ExitStatus> {
        signal(self.child.id(), with)?;
        let started = Instant::now();
        while started.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Err(format!("the server is still there {STOP_TIMEOUT:?} after {with:?}").into())
    }

    /// Every process of this server: itself, and those that name its directory in their command line.
    pub fn processes(&self) -> Outcome<Vec<u32>> {
        processes_of(&self.directory)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.stop(Signal::Terminate).is_err() {
            eprintln!("the server does not stop on SIGTERM");
        }
        // Whatever is left belongs to a test that failed.
        let _ = self.child.kill();
        for pid in self.processes().unwrap_or_default() {
            let _ = signal(pid, Signal::Kill);
        }
        let _ = self.child.wait();
        // Captured by the test harness, which shows it when the test fails.
        eprintln!("---- log of the server in {}\n{}----", self.directory.display(), self.log());
    }
}

/// A command for the binary under test, in a process group of its own.
pub fn command() -> Outcome<Command> {
    let binary = binary()?;
    let mut command = Command::new(&binary);
    command.process_group(0);
    Ok(command)
}

/// The binary under test: `QUICKDB_BIN`, or the one built beside the running test.
pub fn binary() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let profile = std::env::current_exe()?;
    let beside =
        profile.parent().and_then(Path::parent).ok_or("the test runs outside of a target directory")?;
    let path = beside.join("quickdb");
    if path.exists() {
        return Ok(path);
    }
    let target = target_directory()?;
    Err(format!(
        "{} is missing in {}; build it with `cargo build --release`, or name another with {BINARY_VARIABLE}",
        path.display(),
        target.display()
    )
    .into())
}

/// Runs the binary with arguments that make it end by itself.
pub fn quickdb(arguments: &[&str]) -> Outcome<Printed> {
    crate::programs::run(command()?.args(arguments), b"")
}

/// Sends a signal to a process.
pub fn signal(pid: u32, with: Signal) -> Outcome<()> {
    let name = match with {
        Signal::Interrupt => "INT",
        Signal::Terminate => "TERM",
        Signal::Kill => "KILL",
    };
    shell(&format!("kill -{name} {pid}"))
}

/// The processes whose command line names a directory, zombies excepted.
pub fn processes_of(directory: &Path) -> Outcome<Vec<u32>> {
    let needle = directory.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ends while this looks at it is none.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != std::process::id() && line.windows(needle.len()).any(|window| window == needle) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A worker process of a demo with worker processes.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its name in messages.
    pub name: String,
    /// Its configuration file.
    pub config: PathBuf,
}

impl Worker {
    /// The worker of a number, from 1, of a demo with `count` worker processes.
    pub fn of(server: &Server, count: usize, number: usize) -> Outcome<Self> {
        let name = format!("worker-{number}");
        let config = server.directory().join(format!("workers-{count}")).join(&name).join("worker.toml");
        if config.is_file() {
            Ok(Self { name, config })
        } else {
            Err(format!("no {}", config.display()).into())
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Outcome<u32> {
        match processes_of(&self.config)?.as_slice() {
            [pid] => Ok(*pid),
            others => Err(format!("not one process names {} but {others:?}", self.config.display()).into()),
        }
    }

    /// The port on which it takes tasks, from its configuration.
    pub fn port(&self) -> Outcome<u16> {
        let text = std::fs::read_to_string(&self.config)?;
        let listen = text.lines().find_map(|line| line.strip_prefix("listen = \"127.0.0.1:"));
        Ok(listen.and_then(|rest| rest.strip_suffix('"')).ok_or("no listen on 127.0.0.1")?.parse()?)
    }

    /// A file of its mutual TLS: `ca.pem`, `node.pem` or `node.key`.
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }
}

/// Processor time that a process has used, in clock ticks (hundredths of a second), from `/proc`.
pub fn cpu_ticks(pid: u32) -> Outcome<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain anything; user and system time are fields 14 and 15 of the line.
    let (_, rest) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let mut ticks = 0;
    for field in rest.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u64>()?;
    }
    Ok(ticks)
}

fn shell(script: &str) -> Outcome<()> {
    // `kill` is a builtin of every shell, and an extra package as a program.
    let status = Command::new("sh").args(["-c", script]).status()?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}").into()) }
}

fn follow(stream: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let Some(stream) = stream else { return };
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            lock(&log).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

fn lock(log: &Mutex<String>) -> MutexGuard<'_, String> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
