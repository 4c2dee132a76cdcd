//! Worker processes of the demo: started from this binary, watched, and stopped with it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::console;
use crate::error::Error;
use crate::listen;

/// What a worker prints on standard output when it accepts tasks, followed by its name and address.
pub(crate) const READY_PREFIX: &str = "quickdb worker ready: ";

/// A worker opens its shards before it is ready; the demo's take milliseconds.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a worker may take to stop on its own before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Ports that are tried for one worker, in case others take them at the same moment.
const PORT_ATTEMPTS_MAX: usize = 5;

/// A worker process to start.
pub(crate) struct WorkerPlan {
    /// Its name.
    pub(crate) name: String,
    /// Its configuration file.
    pub(crate) config_file: PathBuf,
    /// Writes that file for a port on 127.0.0.1.
    pub(crate) write_config: Box<dyn Fn(u16) -> Result<(), Error> + Send + Sync>,
}

/// Worker processes that run until [`WorkerFleet::stop`].
pub(crate) struct WorkerFleet {
    ports: Vec<u16>,
    stop: watch::Sender<bool>,
    watchers: JoinSet<()>,
}

impl WorkerFleet {
    /// Starts a process of `program` per plan, on ports from `port_first` upwards, and waits until all are ready. When
    /// one fails, all are stopped.
    ///
    /// # Errors
    /// [`Error::SpawnWorker`], [`Error::WorkerEnded`], [`Error::WorkerSlow`], and what writing a configuration gives.
    pub(crate) async fn start(program: &Path, plans: &[WorkerPlan], port_first: u16) -> Result<Self, Error> {
        let next_port = AtomicU16::new(port_first);
        // Dropping a process kills it, so an error here leaves none behind.
        let processes =
            try_join_all(plans.iter().map(|plan| WorkerProcess::start(program, plan, &next_port))).await?;
        let (stop, _) = watch::channel(false);
        let mut fleet = Self { ports: Vec::new(), stop, watchers: JoinSet::new() };
        for process in processes {
            fleet.ports.push(process.port);
            fleet.watchers.spawn(process.watch(fleet.stop.subscribe()));
        }
        Ok(fleet)
    }

    /// The ports, in the order of the plans.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Stops all processes and waits until they have ended.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.watchers.join_next().await.is_some() {}
    }
}

/// The command that starts a worker by hand, ready to paste into a shell.
pub(crate) fn command_line(program: &Path, config_file: &Path) -> String {
    format!("{} worker --config {}", quoted(program), quoted(config_file))
}

struct WorkerProcess {
    name: String,
    port: u16,
    command: String,
    child: Child,
    /// Its standard input. The worker stops when this end closes, whatever becomes of this process.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl WorkerProcess {
    async fn start(program: &Path, plan: &WorkerPlan, next_port: &AtomicU16) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let port = free_port(next_port);
            (plan.write_config)(port)?;
            let mut process = Self::spawn(program, plan, port).map_err(|source| Error::SpawnWorker {
                worker: plan.name.clone(),
                program: program.into(),
                source,
            })?;
            match process.wait_ready().await? {
                None => return Ok(process),
                Some(_) if attempt < PORT_ATTEMPTS_MAX && !listen::is_free(port) => attempt += 1,
                Some(status) => return Err(Error::WorkerEnded { worker: plan.name.clone(), status }),
            }
        }
    }

    fn spawn(program: &Path, plan: &WorkerPlan, port: u16) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("worker")
            .arg("--config")
            .arg(&plan.config_file)
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the terminal goes to this process alone, which stops the workers after the master.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe to its standard output"))?;
        Ok(Self {
            name: plan.name.clone(),
            port,
            command: command_line(program, &plan.config_file),
            child,
            stdin,
            stdout: BufReader::new(stdout).lines(),
        })
    }

    /// Waits for the line that says the worker is ready. The exit status, if it ended instead.
    async fn wait_ready(&mut self) -> Result<Option<ExitStatus>, Error> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let slow = |worker: &Self| Error::WorkerSlow {
            worker: worker.name.clone(),
            seconds: READY_TIMEOUT.as_secs(),
            command: worker.command.clone(),
        };
        loop {
            match timeout_at(deadline, self.stdout.next_line()).await {
                Ok(Ok(Some(line))) if line.starts_with(READY_PREFIX) => return Ok(None),
                Ok(Ok(Some(_))) => {}
                // Standard output has ended, and the process with it.
                Ok(Ok(None) | Err(_)) => {
                    let status = timeout_at(deadline, self.child.wait()).await.map_err(|_| slow(self))?;
                    return match status {
                        Ok(status) => Ok(Some(status)),
                        Err(source) => Err(Error::Setup { what: "the watch over a worker process", source }),
                    };
                }
                Err(_) => return Err(slow(self)),
            }
        }
    }

    /// Reports when the worker ends by itself; stops it when asked to.
    async fn watch(mut self, mut stop: watch::Receiver<bool>) {
        let mut stdout = self.stdout;
        // What else it prints is of no interest, but a full pipe would block it.
        let drain = tokio::spawn(async move { while let Ok(Some(_)) = stdout.next_line().await {} });
        let ended = tokio::select! {
            status = self.child.wait() => Some(status),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        if let Some(status) = ended {
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            console::note(&format!(
                "quickdb: {} on port {} has ended ({how}) and its shards are out of reach; start it again with: {}",
                self.name, self.port, self.command
            ));
            // It is reported once. Who starts it again by hand also stops it.
            let _ = stop.wait_for(|stop| *stop).await;
        } else {
            drop(self.stdin.take());
            if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
                // Kills and reaps. An error means that it has ended meanwhile.
                let _ = self.child.kill().await;
            }
        }
        drain.abort();
    }
}

/// The next port that is free on 127.0.0.1. When none is, the last one, at which the worker fails with a clear line.
fn free_port(next_port: &AtomicU16) -> u16 {
    loop {
        let port = next_port.fetch_add(1, Ordering::Relaxed);
        if port == u16::MAX || listen::is_free(port) {
            return port;
        }
    }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_command_line_survives_the_shell() {
        let line = |path: &str| command_line(Path::new("/usr/bin/quickdb"), Path::new(path));
        assert_eq!(line("/data/w.toml"), "/usr/bin/quickdb worker --config /data/w.toml");
        assert_eq!(line("/my data/it's"), r"/usr/bin/quickdb worker --config '/my data/it'\''s'");
    }

    #[test]
    fn ports_in_use_are_skipped() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = holder.local_addr().unwrap().port();
        let next = AtomicU16::new(held);
        assert_ne!(free_port(&next), held);
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let plan = WorkerPlan {
            name: "worker-1".to_owned(),
            config_file: folder.path().join("worker.toml"),
            write_config: Box::new(|_| Ok(())),
        };
        let started = WorkerFleet::start(Path::new("false"), &[plan], 21_000).await;
        let message = started.err().unwrap().line();
        assert!(message.starts_with("worker-1 did not start (exit status: 1)"), "{message}");
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let plan = WorkerPlan {
            name: "worker-1".to_owned(),
            config_file: PathBuf::from("worker.toml"),
            write_config: Box::new(|_| Ok(())),
        };
        let started = WorkerFleet::start(Path::new("/nonexistent/quickdb"), &[plan], 21_000).await;
        let message = started.err().unwrap().line();
        assert!(message.starts_with("cannot run /nonexistent/quickdb for worker-1"), "{message}");
    }
}
