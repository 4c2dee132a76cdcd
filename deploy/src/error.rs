//! Everything that makes a command fail. Each variant reads as one line that names the thing and says what to do.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::directory::Role;

/// The failure of a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another process listens on the address.
    #[error(
        "cannot listen on {address}: the port is in use; stop what uses it or choose another address {}",
        listen_hint(next_port(*address), setting)
    )]
    PortInUse { address: SocketAddr, setting: &'static str },

    /// The address cannot be listened on for another reason.
    #[error(
        "cannot listen on {address}: {source}; choose another address {}",
        listen_hint(crate::cli::CLIENT_ADDRESS_DEFAULT, setting)
    )]
    Listen { address: SocketAddr, setting: &'static str, source: io::Error },

    /// The data directory is a file or the like.
    #[error("{} is not a directory; choose another --data-dir", path.display())]
    NotADirectory { path: PathBuf },

    /// The data directory has content, and none of it is ours.
    #[error(
        "{} holds something else ({entry}, and no {} of quickdb); choose an empty or a new directory as --data-dir",
        path.display(), crate::directory::MARKER
    )]
    ForeignDirectory { path: PathBuf, entry: String },

    /// The data directory was written in a later format.
    #[error(
        "{} was written by quickdb {version} in directory format {format}, and this is quickdb {} with format {}; \
         use the newer quickdb or another --data-dir",
        path.display(), crate::directory::VERSION, crate::directory::FORMAT
    )]
    NewerDirectory { path: PathBuf, version: String, format: u32 },

    /// The data directory belongs to another kind of process.
    #[error(
        "{} is the directory of {found}, not of {wanted}; choose another --data-dir, or run {}",
        path.display(), found.command()
    )]
    OtherRole { path: PathBuf, found: Role, wanted: Role },

    /// The marker of the data directory does not read.
    #[error("{}: {message}; restore the file or choose another --data-dir", path.display())]
    Marker { path: PathBuf, message: String },

    /// Another process has the data directory open.
    #[error("{} is in use by another quickdb{}; stop it or choose another --data-dir", path.display(), holder(*pid))]
    DirectoryInUse { path: PathBuf, pid: Option<u32> },

    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}; check the permissions and the space there, or choose another place", path.display())]
    Write { path: PathBuf, source: io::Error },

    /// A file cannot be read.
    #[error("cannot read {} ({what}): {source}", path.display())]
    Read { path: PathBuf, what: &'static str, source: io::Error },

    /// A configuration file has a mistake.
    #[error("{}{}: {message}", file.display(), at_line(*line))]
    Config { file: PathBuf, line: Option<usize>, message: String },

    /// A certificate or key in a file is unusable.
    #[error("{} ({what}): {message}", path.display())]
    Certificate { path: PathBuf, what: &'static str, message: String },

    /// A certificate cannot be made.
    #[error("cannot make a certificate for {name:?}: {source}")]
    MakeCertificate { name: String, source: rcgen::Error },

    /// The password file has no usable password.
    #[error("{}: {message}", path.display())]
    Password { path: PathBuf, message: &'static str },

    /// The bundled data does not read.
    #[error("the bundled table {table} does not read: {source}; this build of quickdb is damaged")]
    BundledData { table: &'static str, source: arrow::error::ArrowError },

    /// Loading a bundled table failed.
    #[error("cannot load the table {table}: {}", chain(source.as_ref()))]
    Load { table: &'static str, source: Box<dyn StdError + Send + Sync> },

    /// Generated data cannot be written.
    #[error("cannot write {}: {}", path.display(), chain(source.as_ref()))]
    Generate { path: PathBuf, source: Box<dyn StdError + Send + Sync> },

    /// Files cannot be loaded.
    #[error(transparent)]
    Files(#[from] crate::load::LoadError),

    /// A catalogue cannot be made anew.
    #[error("{message}")]
    Recover { message: String },

    /// A bundled table has other rows after loading than before.
    #[error("the table {table} has {found} rows after loading instead of {expected}")]
    RowCount { table: &'static str, found: u64, expected: u64 },

    /// A worker process cannot be started at all.
    #[error("cannot run {} for {worker}: {source}", program.display())]
    SpawnWorker { worker: String, program: PathBuf, source: io::Error },

    /// A worker process ended before it was ready.
    #[error("{worker} did not start ({status}); its own message is above")]
    WorkerEnded { worker: String, status: ExitStatus },

    /// A worker process did not become ready in time.
    #[error("{worker} was not ready within {seconds} seconds; run {command:?} to see why")]
    WorkerSlow { worker: String, seconds: u64, command: String },

    /// The server or the worker reports a failure of its own.
    #[error("cannot start the {role}: {}", chain(source.as_ref()))]
    Role { role: &'static str, source: Box<dyn StdError + Send + Sync> },

    /// The runtime or the signal handlers cannot be set up.
    #[error("cannot set up {what}: {source}")]
    Setup { what: &'static str, source: io::Error },
}

impl Error {
    /// The failure to listen on an address that the user gave as `setting` (`--listen`, or a key of a file).
    pub(crate) fn from_listen(address: SocketAddr, setting: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { address, setting },
            _ => Self::Listen { address, setting, source },
        }
    }

    /// The failure of a role to start: a port that is in use, found anywhere in its causes, becomes our own line.
    pub(crate) fn from_role(
        role: &'static str,
        address: SocketAddr,
        setting: &'static str,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(source.as_ref());
        while let Some(error) = cause {
            if let Some(io_error) = error.downcast_ref::<io::Error>()
                && io_error.kind() == io::ErrorKind::AddrInUse
            {
                return Self::PortInUse { address, setting };
            }
            cause = error.source();
        }
        Self::Role { role, source }
    }

    /// The failure to read a file, with what the file was wanted for.
    pub(crate) fn read(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, what, source }
    }

    /// The whole message on one line.
    pub(crate) fn line(&self) -> String {
        let text = self.to_string();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// An error with its causes, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// How to give another address, for example this one.
fn listen_hint(example: SocketAddr, setting: &str) -> String {
    if setting.starts_with("--") {
        format!("with {setting}, for example {setting} {example}")
    } else {
        format!("as {setting}, for example {setting} = \"{example}\"")
    }
}

fn next_port(address: SocketAddr) -> SocketAddr {
    let default = crate::cli::CLIENT_ADDRESS_DEFAULT.port();
    SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(default))
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer failure")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_port_in_use_is_found_below_other_errors() {
        let address: SocketAddr = "127.0.0.1:5433".parse().unwrap();
        let in_use = Outer(io::Error::from(io::ErrorKind::AddrInUse));
        let error = Error::from_role("server", address, "--listen", Box::new(in_use));
        assert_eq!(
            error.line(),
            "cannot listen on 127.0.0.1:5433: the port is in use; stop what uses it or choose another address with \
             --listen, for example --listen 127.0.0.1:5434"
        );
        let other = Outer(io::Error::other("no such luck"));
        let error = Error::from_role("server", address, "--listen", Box::new(other));
        assert_eq!(error.line(), "cannot start the server: the outer failure: no such luck");
    }

    #[test]
    fn a_message_is_one_line() {
        let error = Error::Config { file: "a.toml".into(), line: Some(3), message: "one\n  two\n\n".into() };
        assert_eq!(error.line(), "a.toml:3: one two");
    }
}
