//! The superuser's password.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};

use crate::atomic_file::{self, Access};
use crate::error::Error;

/// The file of a data directory that keeps the password.
pub(crate) const FILE: &str = "password";
/// Letters and digits in a made-up password: 24 of 62 are 142 bits.
const PASSWORD_CHARS: usize = 24;

/// The password that the catalogue has to take over, if any: the content of `given` where there is one; else, for a
/// catalogue that is new, that of `DIR/password`; else a made-up one, where that file does not exist yet. An old
/// catalogue otherwise keeps its own, which SQL may have changed. The password is kept in `DIR/password`, which only
/// the owner can read.
///
/// # Errors
/// When a file cannot be read or written, or holds no password.
pub(crate) fn ensure(
    dir: &Path,
    given: Option<&Path>,
    catalogue_is_new: bool,
) -> Result<Option<String>, Error> {
    let kept = dir.join(FILE);
    if let Some(given) = given {
        let text = fs::read_to_string(given).map_err(Error::read(given, "password file"))?;
        let password = parse(given, &text)?;
        keep(&kept, &password)?;
        return Ok(Some(password));
    }
    match fs::read_to_string(&kept) {
        Ok(text) if catalogue_is_new => parse(&kept, &text).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // `rand::rng` is a cryptographic generator, seeded by the operating system.
            let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARS);
            keep(&kept, &password)?;
            Ok(Some(password))
        }
        Err(error) => Err(Error::read(&kept, "password file")(error)),
    }
}

fn keep(path: &Path, password: &str) -> Result<(), Error> {
    atomic_file::write(path, format!("{password}\n").as_bytes(), Access::Private)
}

/// The one line of a password file.
fn parse(path: &Path, text: &str) -> Result<String, Error> {
    let invalid = |message| Error::Password { path: PathBuf::from(path), message };
    let password = text.strip_suffix('\n').unwrap_or(text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(invalid("the password file is empty; put the password on its only line"));
    }
    if password.contains(['\n', '\r', '\0']) {
        return Err(invalid("the password file has more than one line; put the password alone on one line"));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_made_up_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = ensure(dir.path(), None, true).unwrap().unwrap();
        assert_eq!(first.len(), PASSWORD_CHARS);
        // A start that ended before there was a catalogue has left the password alone.
        assert_eq!(ensure(dir.path(), None, true).unwrap().as_deref(), Some(first.as_str()));
        assert_eq!(ensure(dir.path(), None, false).unwrap(), None);
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(ensure(elsewhere.path(), None, true).unwrap().unwrap(), first);
    }

    #[test]
    fn a_given_password_is_set_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("given");
        fs::write(&given, "correct horse \n").unwrap();
        for catalogue_is_new in [true, false] {
            let password = ensure(dir.path(), Some(&given), catalogue_is_new).unwrap();
            assert_eq!(password.as_deref(), Some("correct horse "));
        }
        assert_eq!(ensure(dir.path(), None, true).unwrap().as_deref(), Some("correct horse "));
    }

    #[test]
    fn an_empty_or_long_password_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("given");
        for text in ["", "\n", "one\ntwo\n"] {
            fs::write(&given, text).unwrap();
            assert!(ensure(dir.path(), Some(&given), true).unwrap_err().line().contains("the password file"));
        }
        assert!(!dir.path().join(FILE).exists());
    }
}
