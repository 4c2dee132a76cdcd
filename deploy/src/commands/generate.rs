//! `quickdb gen`: data of documented schemas.

use super::Surroundings;
use crate::cli::GenArgs;
use crate::console;
use crate::error::Error;
use crate::generate::generate;

/// Writes the files.
///
/// # Errors
/// A file that cannot be written.
pub(crate) async fn run(args: GenArgs, around: Surroundings) -> Result<(), Error> {
    around.start_log("warn");
    let threads = around.machine.cpu_count;
    let work = tokio::task::spawn_blocking(move || {
        generate(args.dataset, args.rows, &args.out, args.format, threads, console::print)
    });
    tokio::select! {
        done = work => done.unwrap_or_else(|error| Err(Error::Setup { what: "a thread", source: error.into() })),
        // What is half written has another name.
        () = around.shutdown.requested() => std::process::exit(1),
    }
}
