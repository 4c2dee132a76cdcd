//! The data directory of a process: the marker that says it is ours, and the lock that keeps a second process out.
//!
//! ```text
//! DIR/quickdb.toml   the marker: directory format, version, role
//! DIR/lock           locked (flock) while a process has the directory open; holds its process id
//! DIR/...            whatever the role keeps there
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Access};
use crate::error::Error;

/// The file that makes a directory one of ours.
pub(crate) const MARKER: &str = "quickdb.toml";
/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The layout of the directories that this program writes. It counts up when an older program could misread them.
pub(crate) const FORMAT: u32 = 1;

const LOCK: &str = "lock";
/// What may be in a directory that is still to become ours: the lock of a process that is just making it, the
/// marker that a crash left half written, and what file systems put into their root.
const IGNORED: [&str; 3] = [LOCK, "quickdb.toml.tmp", "lost+found"];

/// Whose directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// `quickdb demo`.
    Demo,
    /// `quickdb start`.
    Server,
    /// `quickdb master`.
    Master,
    /// `quickdb worker`.
    Worker,
}

impl Role {
    /// The command that opens directories of this role.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Demo => "quickdb demo",
            Self::Server => "quickdb start",
            Self::Master => "quickdb master",
            Self::Worker => "quickdb worker",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "a demo",
            Self::Server => "a one-process server",
            Self::Master => "a master",
            Self::Worker => "a worker",
        })
    }
}

/// The content of the marker. Later formats may add keys, so unknown ones are let through here.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    version: String,
    role: Role,
}

/// The part of the marker that every format has.
#[derive(Deserialize)]
struct MarkerHead {
    format: u32,
    #[serde(default)]
    version: String,
}

/// A data directory that this process has to itself until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Opens the directory, making it if it is absent or empty.
    ///
    /// # Errors
    /// When it is no directory, holds something else, is of a newer version or another role, is in use, or cannot be
    /// written.
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::read(path, "data directory"))?;
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => return Err(Error::NotADirectory { path }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                atomic_file::create_private_folder(&path)?;
            }
            Err(error) => return Err(Error::read(&path, "data directory")(error)),
        }
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        check_marker(&path, role)?;
        Ok(Self { path, _lock: lock })
    }

    /// Opens a directory that is ours already.
    ///
    /// # Errors
    /// As [`Self::open`]; when there is none.
    pub(crate) fn open_existing(path: &Path, role: Role) -> Result<Self, Error> {
        fs::metadata(path.join(MARKER)).map_err(Error::read(path, "data directory"))?;
        Self::open(path, role)
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn refuse_foreign(path: &Path) -> Result<(), Error> {
    if path.join(MARKER).exists() {
        return Ok(());
    }
    let unreadable = Error::read(path, "data directory");
    let mut entries: Vec<String> = fs::read_dir(path)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(unreadable)?
        .into_iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !IGNORED.contains(&name.as_str()))
        .collect();
    entries.sort();
    match entries.into_iter().next() {
        Some(entry) => Err(Error::ForeignDirectory { path: path.to_owned(), entry }),
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let file_path = path.join(LOCK);
    let unwritable = |source| Error::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file_path)
        .map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Err(Error::DirectoryInUse { path: path.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(unwritable(source)),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(unwritable)?;
    Ok(file)
}

fn check_marker(path: &Path, role: Role) -> Result<(), Error> {
    let marker_path = path.join(MARKER);
    let text = match fs::read_to_string(&marker_path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let marker = Marker { format: FORMAT, version: VERSION.to_owned(), role };
            let text = toml::to_string(&marker)
                .map_err(|error| Error::Marker { path: marker_path.clone(), message: error.to_string() })?;
            return atomic_file::write(&marker_path, text.as_bytes(), Access::Public);
        }
        Err(error) => return Err(Error::read(&marker_path, "marker of the data directory")(error)),
    };
    let invalid = |error: toml::de::Error| Error::Marker {
        path: marker_path.clone(),
        message: error.message().to_owned(),
    };
    let head: MarkerHead = toml::from_str(&text).map_err(invalid)?;
    if head.format > FORMAT {
        return Err(Error::NewerDirectory {
            path: path.to_owned(),
            version: head.version,
            format: head.format,
        });
    }
    let marker: Marker = toml::from_str(&text).map_err(invalid)?;
    if marker.role != role {
        return Err(Error::OtherRole { path: path.to_owned(), found: marker.role, wanted: role });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, role: Role) -> String {
        DataDirectory::open(path, role).unwrap_err().line()
    }

    #[test]
    fn a_new_directory_is_made_marked_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let directory = DataDirectory::open(&path, Role::Demo).unwrap();
        assert_eq!(directory.path(), path);
        drop(directory);
        let marker: Marker = toml::from_str(&fs::read_to_string(path.join(MARKER)).unwrap()).unwrap();
        assert_eq!((marker.format, marker.version.as_str(), marker.role), (FORMAT, VERSION, Role::Demo));
        DataDirectory::open(&path, Role::Demo).unwrap();
    }

    #[test]
    fn a_directory_of_something_else_is_refused_and_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("thesis.tex"), "x").unwrap();
        let message = refusal(parent.path(), Role::Server);
        assert!(message.contains("holds something else (thesis.tex"), "{message}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(refusal(&path, Role::Server).contains("is not a directory"));
        assert!(refusal(&path.join("below"), Role::Server).contains("cannot"));
    }

    #[test]
    fn a_newer_format_is_refused_even_with_keys_and_roles_unknown_here() {
        let parent = tempfile::tempdir().unwrap();
        let text = "format = 2\nversion = \"9.1.0\"\nrole = \"oracle\"\nextra = true\n";
        fs::write(parent.path().join(MARKER), text).unwrap();
        let message = refusal(parent.path(), Role::Server);
        assert!(message.contains("quickdb 9.1.0 in directory format 2"), "{message}");
    }

    #[test]
    fn another_role_is_refused_with_its_command() {
        let parent = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(parent.path(), Role::Demo).unwrap());
        let message = refusal(parent.path(), Role::Server);
        assert!(message.contains("is the directory of a demo, not of a one-process server"), "{message}");
        assert!(message.ends_with("or run quickdb demo"), "{message}");
    }

    #[test]
    fn a_directory_in_use_is_refused_with_the_process() {
        let parent = tempfile::tempdir().unwrap();
        let _open = DataDirectory::open(parent.path(), Role::Demo).unwrap();
        let message = refusal(parent.path(), Role::Demo);
        let process = format!("in use by another quickdb (process {})", std::process::id());
        assert!(message.contains(&process), "{message}");
    }

    #[test]
    fn a_broken_marker_is_named() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join(MARKER), "format = \"one\"").unwrap();
        assert!(refusal(parent.path(), Role::Demo).contains(MARKER));
    }
}
