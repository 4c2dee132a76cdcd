//! Configuration: one typed value per role, read once from a TOML file. A key that no role knows is an error, so a
//! spelling mistake never silently leaves a default in place.

mod client;
mod disk;
mod master;
mod memory;
mod start;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub(crate) use client::{AuthConfig, AuthMethod, ClientTlsConfig, LimitsConfig};
pub(crate) use disk::DiskSize;
pub(crate) use master::{MasterConfig, WorkerEntry};
pub(crate) use memory::MemoryLimit;
pub(crate) use start::StartConfig;
pub(crate) use worker::{ClusterTlsConfig, WorkerConfig};

use crate::error::Error;

/// What is logged where neither the command line nor the configuration says.
pub(crate) const LOG_LEVEL_DEFAULT: &str = "info";

/// A configuration that can be read from a file.
pub(crate) trait Config: DeserializeOwned {
    /// Takes relative paths as relative to the folder of the file, not to the folder the command runs in.
    fn resolve_paths(&mut self, folder: &Path);
}

/// Reads the configuration of one role.
///
/// # Errors
/// [`Error::Read`], or [`Error::Config`] with file, line and key.
pub(crate) fn load<C: Config>(file: &Path) -> Result<C, Error> {
    let text = fs::read_to_string(file).map_err(Error::read(file, "configuration"))?;
    let mut config: C = parse(&text, file)?;
    let absolute = std::path::absolute(file).map_err(Error::read(file, "configuration"))?;
    config.resolve_paths(absolute.parent().unwrap_or(Path::new("/")));
    Ok(config)
}

fn parse<C: Config>(text: &str, file: &Path) -> Result<C, Error> {
    toml::from_str(text).map_err(|mut error: toml::de::Error| {
        let line = error.span().map(|span| line_of(text, span.start));
        // Without its input the error prints its message and the key alone, not a picture of several lines.
        error.set_input(None);
        Error::Config {
            file: file.to_owned(),
            line,
            message: error.to_string().trim_end().replace('\n', " "),
        }
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn resolve(folder: &Path, path: &mut PathBuf) {
    if path.is_relative() {
        *path = folder.join(&*path);
    }
}

fn resolve_optional(folder: &Path, path: &mut Option<PathBuf>) {
    if let Some(path) = path {
        resolve(folder, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference file as it is, and with its commented settings (`#key = value`) switched on.
    fn reference<C: Config>(text: &str) -> (C, C) {
        let commented = |line: &str| {
            line.strip_prefix('#')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
        };
        let full: String = text
            .lines()
            .map(|line| if commented(line) { &line[1..] } else { line })
            .fold(String::new(), |all, line| all + line + "\n");
        assert_ne!(full.trim(), text.trim(), "a reference file shows its optional settings");
        let read =
            |text: &str| parse(text, Path::new("reference.toml")).unwrap_or_else(|e: Error| panic!("{e}"));
        (read(text), read(&full))
    }

    #[test]
    fn the_start_reference_is_the_default() {
        let (plain, full) = reference::<StartConfig>(include_str!("../../start.toml"));
        assert_eq!(plain, StartConfig::default());
        assert!(full.tls.certificate.is_some() && full.tls.key.is_some() && full.tls.require.is_some());
        assert!(full.auth.password_file.is_some());
    }

    #[test]
    fn the_master_reference_is_the_default() {
        let (plain, full) = reference::<MasterConfig>(include_str!("../../master.toml"));
        assert_eq!(plain, MasterConfig::default());
        assert!(full.tls.certificate.is_some() && full.tls.key.is_some() && full.tls.require.is_some());
        assert!(full.auth.password_file.is_some());
        assert_eq!(full.workers.len(), 2);
    }

    #[test]
    fn the_worker_reference_is_the_default() {
        let text = include_str!("../../worker.toml");
        let plain: WorkerConfig = parse(text, Path::new("worker.toml")).unwrap();
        assert_eq!(plain, WorkerConfig::default());
    }

    #[test]
    fn a_mistake_names_file_line_and_key() {
        let message = |text: &str| parse::<MasterConfig>(text, Path::new("m.toml")).unwrap_err().line();
        let unknown = message("listen = \"127.0.0.1:1\"\n\n[limits]\nmax_conections = 3\n");
        assert!(unknown.starts_with("m.toml:4: unknown field `max_conections`"), "{unknown}");
        let wrong_type = message("[limits]\nmax_connections = \"many\"\n");
        assert!(wrong_type.starts_with("m.toml:2: invalid type"), "{wrong_type}");
        assert!(wrong_type.contains("limits.max_connections"), "{wrong_type}");
        let wrong_size = message("[limits]\nmemory_limit = \"4 apples\"\n");
        assert!(wrong_size.starts_with("m.toml:2: "), "{wrong_size}");
        assert!(wrong_size.contains("memory_limit"), "{wrong_size}");
        let syntax = message("listen = \n");
        assert!(syntax.starts_with("m.toml:1: "), "{syntax}");
        let twice = message(
            "[[workers]]\nname = \"a\"\naddress = \"a:1\"\n[[workers]]\nname = \"a\"\naddress = \"b:1\"\n",
        );
        assert!(twice.contains("workers") && twice.contains("the name \"a\""), "{twice}");
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker.toml");
        fs::write(&file, "data_dir = \"data\"\n[tls]\nca = \"/etc/ca.pem\"\nkey = \"node.key\"\n").unwrap();
        let config: WorkerConfig = load(&file).unwrap();
        assert_eq!(config.data_dir, folder.path().join("data"));
        assert_eq!(config.tls.ca, Path::new("/etc/ca.pem"));
        assert_eq!(config.tls.key, folder.path().join("node.key"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<WorkerConfig>(Path::new("/nonexistent/worker.toml")).unwrap_err();
        assert!(error.line().starts_with("cannot read /nonexistent/worker.toml (configuration)"), "{error}");
    }
}
