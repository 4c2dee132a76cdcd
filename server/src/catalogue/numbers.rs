//! Numbers that are never given out twice: OIDs, ids of tables, shards and workers, log entries.
//!
//! A number is taken in memory; SQLite holds, a block ahead, from where to go on after a restart. What is left of a
//! block when the server stops is skipped.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{CatalogueError, CatalogueResult};

/// Numbers reserved at a time.
const BLOCK: u64 = 64;

/// More numbers than are reserved between two copies of a catalogue.
pub(super) const FAR: i64 = 1 << 20;

/// A kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counter {
    Oid,
    Table,
    Shard,
    Worker,
    Log,
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Self::Oid => "oid",
            Self::Table => "table",
            Self::Shard => "shard",
            Self::Worker => "worker",
            Self::Log => "log",
        }
    }

    fn block(self) -> u64 {
        // Workers keep small numbers, log entries come fast.
        match self {
            Self::Worker => 1,
            Self::Log => BLOCK * BLOCK,
            _ => BLOCK,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Reserved {
    next: u64,
    end: u64,
}

/// The counters of one catalogue.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    reserved: Mutex<HashMap<Counter, Reserved>>,
}

impl Numbers {
    /// The number from which on none was ever given out, as far as this process knows: `None` before the first.
    pub(super) fn end(&self, counter: Counter) -> Option<u64> {
        let all = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&counter).map(|reserved| reserved.end)
    }

    /// Takes `count` numbers that follow one another: the first. `reserve` is called when the block is used up; it is
    /// to write what [`reserve`] does durably.
    pub(super) fn take(
        &self,
        counter: Counter,
        count: u64,
        reserve: impl FnOnce(u64) -> CatalogueResult<u64>,
    ) -> CatalogueResult<u64> {
        // A panic cannot happen between the two writes of the map.
        let mut all = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(counter).or_insert(Reserved { next: 0, end: 0 });
        if entry.end - entry.next < count {
            let size = count.max(counter.block());
            let first = reserve(size)?;
            *entry = Reserved { next: first, end: first + size };
        }
        let first = entry.next;
        entry.next += count;
        Ok(first)
    }
}

/// Where a counter stands.
pub(super) fn position(connection: &Connection, counter: Counter) -> CatalogueResult<u64> {
    let next: Option<i64> = connection
        .query_row("SELECT next FROM counters WHERE name = ?1", [counter.name()], |row| row.get(0))
        .optional()?;
    u64::try_from(next.unwrap_or(1))
        .map_err(|_| CatalogueError::Corrupt(format!("counter {} is negative", counter.name())))
}

/// Moves a counter on by `count`: where it was.
pub(super) fn reserve(connection: &Connection, counter: Counter, count: u64) -> CatalogueResult<u64> {
    let size =
        i64::try_from(count).map_err(|_| CatalogueError::Corrupt(format!("{count} numbers at once")))?;
    let moved: Option<i64> = connection
        .query_row(
            "UPDATE counters SET next = next + ?2 WHERE name = ?1 RETURNING next",
            params![counter.name(), size],
            |row| row.get(0),
        )
        .optional()?;
    let end = match moved {
        Some(end) => end,
        None => {
            // A counter that an earlier version did not have.
            connection.execute(
                "INSERT INTO counters (name, next) VALUES (?1, 1 + ?2)",
                params![counter.name(), size],
            )?;
            1 + size
        }
    };
    u64::try_from(end - size)
        .map_err(|_| CatalogueError::Corrupt(format!("counter {} is negative", counter.name())))
}
