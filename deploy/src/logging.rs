//! The log: events of `tracing` on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts to log what `level` selects. Called once, before anything worth logging happens.
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::builder().parse_lossy(level);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    // Fails only where a log has been started before, which then goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Checks a level or a list of them, such as `info` or `warn,quickdb_executor=debug`.
pub(crate) fn parse_level(text: &str) -> Result<String, String> {
    // A bare word that is no level would select a part of the program of that name, which is never what was meant.
    let bare_words_are_levels = text.split(',').filter(|part| !part.contains('=')).all(is_level);
    if bare_words_are_levels && EnvFilter::builder().parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected off, error, warn, info, debug or trace, or a list such as warn,quickdb_executor=debug"
        .to_owned())
}

/// Reads a level in a configuration file, checked like one on the command line.
pub(crate) fn deserialize_level<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    parse_level(&text)
        .map_err(|message| serde::de::Error::custom(format!("invalid log level {text:?}: {message}")))
}

/// Whether a word is a level. `LevelFilter` takes the empty word for one.
fn is_level(word: &str) -> bool {
    !word.trim().is_empty() && word.parse::<LevelFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        for right in ["off", "info", "warn,quickdb_executor=debug", "quickdb_server=trace"] {
            assert_eq!(parse_level(right).as_deref(), Ok(right));
        }
        for wrong in ["", " ", "loud", "quickdb=loud", "a=b=c"] {
            assert!(parse_level(wrong).is_err(), "{wrong}");
        }
    }
}
