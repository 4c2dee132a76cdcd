//! Lines for the person at the terminal. A reader that has gone away (`quickdb demo | head -1`) is no reason to stop
//! serving, so failures to write are ignored here, where `println!` would panic.

use std::io::{self, Write};

/// One line of result on standard output, flushed, so that a program waiting for it sees it at once.
pub(crate) fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// One line of progress or warning on standard error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
