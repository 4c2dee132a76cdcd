//! Statements that change tables: from their syntax trees to [`Change`]s of the catalogue and shards on workers.
//!
//! ```text
//!  INSERT, COPY FROM ─▶ rows ─▶ sink ─┬─ few: a log entry
//!                                     └─ many: shards on workers, written while rows come
//!  UPDATE, DELETE ─▶ query for row numbers ─▶ deletion vectors, and new rows into a sink
//!  CREATE, ALTER, DROP ─▶ definitions
//!            all ─▶ [Change] ─▶ Work of the session ─ COMMIT ─▶ Catalogue::commit
//! ```
//!
//! Nothing here is visible to anybody else before the commit, and nothing stays on the workers when it does not come.

pub(crate) mod alter;
pub(crate) mod cells;
pub(crate) mod check_table;
pub(crate) mod checks;
pub(crate) mod columns;
pub(crate) mod compaction;
pub(crate) mod conflict;
pub(crate) mod copy_from;
pub(crate) mod create_as;
pub(crate) mod defaults;
pub(crate) mod define;
pub(crate) mod drop;
pub(crate) mod expressions;
pub(crate) mod insert;
pub(crate) mod like;
pub(crate) mod merge;
pub(crate) mod modify;
pub(crate) mod names;
pub(crate) mod overlay;
pub(crate) mod placement;
pub(crate) mod rename;
pub(crate) mod returning;
pub(crate) mod rewrite_rows;
pub(crate) mod rows;
pub(crate) mod schemas;
pub(crate) mod sequences;
pub(crate) mod sink;
pub(crate) mod tables;
pub(crate) mod unique;
pub(crate) mod views;
pub(crate) mod work;
