//! `quickdb load`: files into a table of a running server.

use std::sync::Arc;

use super::Surroundings;
use crate::cli::LoadArgs;
use crate::console;
use crate::error::Error;
use crate::load::client::Connection;
use crate::load::{
    FileOptions, LoadFile, Loaded, Plan, Progress, TableOptions, per_second_text, resume, send,
};

const LOG_LEVEL_DEFAULT: &str = "warn";
/// Threads that read files: they wait for the server most of the time.
const READERS_MAX: usize = 8;

/// Loads, or with `--dry-run` says what would be loaded.
///
/// # Errors
/// Whatever keeps it from loading all of it.
pub(crate) async fn run(args: LoadArgs, around: Surroundings) -> Result<(), Error> {
    around.start_log(LOG_LEVEL_DEFAULT);
    let options =
        FileOptions { csv: args.csv_options(), hdu: args.hdu.clone(), nan_is_null: args.nan_as_null };
    let files =
        args.files.iter().map(|path| LoadFile::inspect(path, &options)).collect::<Result<Vec<_>, _>>()?;
    let table_options = TableOptions {
        append: args.append,
        resume: args.resume,
        distribute_by: args.distribute_by.clone(),
        sort_by: args.sort_by.clone(),
        replicas: args.replicas,
        schema: args.schema.clone().unwrap_or_default().0,
    };
    if args.dry_run {
        let plan = Plan::new(args.table, &files, table_options, None)?;
        show(&plan, &files, console::print);
        plan.statements().iter().for_each(|statement| console::print(&format!("{statement};")));
        return Ok(());
    }
    let connection = Connection::open(&args.dsn, around.password.as_deref()).await?;
    let existing = connection.table_columns(&args.table).await?;
    let plan = Plan::new(args.table, &files, table_options, existing.as_deref())?;
    if plan.creates && files.iter().any(LoadFile::is_guessed) {
        show(&plan, &files, console::note);
    }
    let progress = Progress::new(&files, around.stderr_is_terminal);
    let (plan, files) = (Arc::new(plan), Arc::new(files));
    let readers = around.machine.cpu_count.clamp(1, READERS_MAX);
    let (connection, shutdown) = (&connection, &around.shutdown);
    let Loaded { rows, files: count, skipped } = if args.resume {
        resume(connection, &plan, &files, readers, &progress, shutdown).await?
    } else {
        let rows = send(connection, &plan, &files, readers, &progress, shutdown).await?;
        Loaded { rows, files: files.len(), skipped: 0 }
    };
    let seconds = progress.seconds();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = per_second_text(rows as f64 / seconds.max(1e-3));
    let of_files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
    console::print(&format!(
        "loaded {rows} rows of {of_files} into {} in {seconds:.1} s, {rate}{}",
        plan.table,
        if skipped > 0 { format!("; {skipped} were loaded before") } else { String::new() }
    ));
    Ok(())
}

/// The columns as they will be, and what the files are.
fn show(plan: &Plan, files: &[LoadFile], say: fn(&str)) {
    for file in files {
        let rows = file.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
        say(&format!("{}: {}, {} bytes{rows}", file.path.display(), file.kind.format.name(), file.bytes));
    }
    let guessed = if files.iter().any(LoadFile::is_guessed) {
        " (types guessed from the first rows; --schema 'NAME TYPE, ...' says better)"
    } else {
        ""
    };
    say(&format!("table {}{guessed}:", plan.table));
    plan.shown().iter().for_each(|line| say(line));
}
