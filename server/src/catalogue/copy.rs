//! The catalogue as bytes: what lies on every worker beside its shards, and becomes a catalogue again when the master's
//! own is lost.
//!
//! ```text
//!  SQLite, one transaction ─▶ version · statements that make the tables · rows of each · logs left out ─▶ CatalogueCopy
//! ```
//!
//! It holds every table of the file, whatever a version of quickdb keeps there, but for two things: the summaries of
//! shards, which each shard has in its own footer, and logs that are too large to be copied at every commit.
//!
//! All numbers are little-endian; a text is a u32 length and UTF-8.

use std::path::Path;
use std::sync::Arc;

use quickdb_storage::{CatalogueCopy, ColumnSummary, ShardId};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::error::{CatalogueError, CatalogueResult};
use super::load::stored;
use super::numbers::FAR;
use super::{Catalogue, CatalogueSnapshot, file, runs, sequences, summary_codec};

/// The version of the bytes.
const VERSION: u8 = 1;

/// Bytes of all logs together that a copy takes along at most: it is written anew with every commit that changes more
/// than logs, at most once a second otherwise.
const LOG_BYTES_MAX: i64 = 4 << 20;

/// Rows of small writes that a copy does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The table's number.
    pub table: u64,
    /// How many small writes.
    pub writes: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Catalogue {
    /// The catalogue as bytes, and the snapshot that has the same commits.
    ///
    /// # Errors
    /// [`CatalogueError::Sqlite`]; [`CatalogueError::Corrupt`] before the first run.
    pub fn copy(&self) -> CatalogueResult<(CatalogueCopy, Arc<CatalogueSnapshot>)> {
        let connection = self.lock();
        let present = runs::present(&connection)?;
        let (run, commit) =
            present.ok_or_else(|| CatalogueError::Corrupt("a copy before the first run".into()))?;
        // Commits publish their snapshot before they give the connection up.
        Ok((CatalogueCopy { run, commit, content: encode(&connection)? }, self.snapshot()))
    }
}

fn encode(connection: &Connection) -> CatalogueResult<Vec<u8>> {
    let mut out = vec![VERSION];
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    out.extend_from_slice(&version.to_le_bytes());
    let mut statement = connection.prepare(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
         ORDER BY type = 'index', rowid",
    )?;
    let objects = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(String, String, String)>>>()?;
    put_count(&mut out, objects.len())?;
    objects.iter().try_for_each(|(_, _, sql)| put_bytes(&mut out, sql.as_bytes()))?;
    let left_out = too_large(connection)?;
    let tables: Vec<&String> =
        objects.iter().filter(|(kind, ..)| kind == "table").map(|(_, name, _)| name).collect();
    put_count(&mut out, tables.len())?;
    for table in tables {
        put_table(&mut out, connection, table, &left_out)?;
    }
    put_count(&mut out, left_out.len())?;
    for LeftOut { table, writes, bytes } in left_out {
        [table, writes, bytes].iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }
    Ok(out)
}

/// The logs that do not go with a copy: the largest ones, so that the others fit.
fn too_large(connection: &Connection) -> CatalogueResult<Vec<LeftOut>> {
    let mut statement = connection
        .prepare("SELECT table_id, count(*), sum(length(rows)) FROM log GROUP BY table_id ORDER BY 3, 1")?;
    let sizes = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()?;
    let mut total = 0_i64;
    let left_out = sizes.into_iter().filter(|(_, _, bytes)| {
        total = total.saturating_add(*bytes);
        total > LOG_BYTES_MAX
    });
    let unsigned = i64::unsigned_abs;
    Ok(left_out
        .map(|(table, writes, bytes)| LeftOut {
            table: unsigned(table),
            writes: unsigned(writes),
            bytes: unsigned(bytes),
        })
        .collect())
}

fn put_table(
    out: &mut Vec<u8>,
    connection: &Connection,
    table: &str,
    left_out: &[LeftOut],
) -> CatalogueResult<()> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {}", quoted(table)))?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    put_bytes(out, table.as_bytes())?;
    put_count(out, columns.len())?;
    columns.iter().try_for_each(|column| put_bytes(out, column.as_bytes()))?;
    let is_summary = |column: &str| table == "shards" && column == "summaries";
    let count_at = out.len();
    put_count(out, 0)?;
    let mut count = 0_usize;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if table == "log" {
            let of: i64 = row.get("table_id")?;
            if left_out.iter().any(|left| left.table == of.unsigned_abs()) {
                continue;
            }
        }
        for (at, column) in columns.iter().enumerate() {
            match row.get_ref(at)? {
                _ if is_summary(column) => put_value(out, ValueRef::Blob(&summary_codec::encode(&[])))?,
                value => put_value(out, value)?,
            }
        }
        count += 1;
    }
    let count = u32::try_from(count).map_err(|_| too_long())?.to_le_bytes();
    if let Some(place) = out.get_mut(count_at..count_at + count.len()) {
        place.copy_from_slice(&count);
    }
    Ok(())
}

fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>) -> CatalogueResult<()> {
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Integer(number) => {
            out.push(1);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Real(number) => {
            out.push(2);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Text(text) => {
            out.push(3);
            put_bytes(out, text)?;
        }
        ValueRef::Blob(blob) => {
            out.push(4);
            put_bytes(out, blob)?;
        }
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) -> CatalogueResult<()> {
    let count = u32::try_from(count).map_err(|_| too_long())?;
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> CatalogueResult<()> {
    put_count(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn too_long() -> CatalogueError {
    CatalogueError::Corrupt("more than a copy of the catalogue can hold".into())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes the catalogue that a copy is of into a file that is not there yet, without the summaries of its shards: what
/// the copy does not have.
///
/// # Errors
/// [`CatalogueError::Corrupt`] for bytes that are no copy, [`CatalogueError::Newer`], [`CatalogueError::Sqlite`].
pub(crate) fn restore(content: &[u8], path: &Path) -> CatalogueResult<Vec<LeftOut>> {
    let mut reader = Reader { rest: content };
    let version = reader.array::<1>()?[0];
    if version != VERSION {
        return Err(CatalogueError::Corrupt(format!("a copy of version {version}, known is {VERSION}")));
    }
    let schema_version = reader.i64()?;
    if schema_version > file::VERSION {
        let path = path.to_path_buf();
        return Err(CatalogueError::Newer { path, found: schema_version, known: file::VERSION });
    }
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Rows come table by table, whichever refer to which.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction()?;
    for _ in 0..reader.count()? {
        let sql = reader.text()?;
        if !["CREATE TABLE ", "CREATE INDEX "].iter().any(|start| sql.starts_with(start)) {
            return Err(CatalogueError::Corrupt("a copy that makes more than tables".into()));
        }
        transaction.execute(sql, [])?;
    }
    for _ in 0..reader.count()? {
        restore_table(&mut reader, &transaction)?;
    }
    let mut left_out = Vec::new();
    for _ in 0..reader.count()? {
        let mut number = || Ok::<_, CatalogueError>(reader.i64()?.unsigned_abs());
        left_out.push(LeftOut { table: number()?, writes: number()?, bytes: number()? });
    }
    let violated = transaction.query_row("PRAGMA foreign_key_check", [], |row| row.get(0)).optional()?;
    if let Some(table) = violated {
        let table: String = table;
        return Err(CatalogueError::Corrupt(format!("rows of table {table} that refer to nothing")));
    }
    transaction.pragma_update(None, "application_id", file::APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", schema_version)?;
    transaction.commit()?;
    Ok(left_out)
}

fn restore_table(reader: &mut Reader<'_>, connection: &Connection) -> CatalogueResult<()> {
    let table = reader.text()?.to_owned();
    let columns = (0..reader.count()?).map(|_| reader.text().map(quoted)).collect::<Result<Vec<_>, _>>()?;
    let places = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({places})", quoted(&table), columns.join(", "));
    let mut insert = connection.prepare(&sql)?;
    for _ in 0..reader.count()? {
        let row = columns.iter().map(|_| reader.value()).collect::<Result<Vec<_>, _>>()?;
        insert.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// Completes a catalogue that was restored: `summaries` is what its shards say of their columns, by number. Numbers that
/// the lost catalogue may have given out since the copy was made are not given out again; `shard_end` is one more than
/// the largest number of a file.
///
/// # Errors
/// [`CatalogueError::Sqlite`].
pub(crate) fn complete(
    path: &Path,
    summaries: &[(ShardId, Vec<(u32, ColumnSummary)>)],
    shard_end: u64,
) -> CatalogueResult<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", "full")?;
    let transaction = connection.transaction()?;
    let mut update = transaction.prepare("UPDATE shards SET summaries = ?2 WHERE id = ?1")?;
    for (shard, summaries) in summaries {
        update.execute(params![stored(shard.0)?, summary_codec::encode(summaries)])?;
    }
    drop(update);
    transaction.execute("UPDATE counters SET next = next + ?1 WHERE name <> 'worker'", [FAR])?;
    transaction
        .execute("UPDATE counters SET next = max(next, ?1) WHERE name = 'shard'", [stored(shard_end)?])?;
    sequences::skip_ahead(&transaction, FAR)?;
    transaction.commit()?;
    Ok(())
}

/// Reads bytes that nobody vouches for.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> CatalogueResult<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn i64(&mut self) -> CatalogueResult<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn count(&mut self) -> CatalogueResult<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn bytes(&mut self) -> CatalogueResult<&'a [u8]> {
        let length = usize::try_from(self.count()?).map_err(|_| cut_off())?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self) -> CatalogueResult<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| cut_off())
    }

    fn value(&mut self) -> CatalogueResult<Value> {
        Ok(match self.array::<1>()?[0] {
            0 => Value::Null,
            1 => Value::Integer(self.i64()?),
            2 => Value::Real(self.array().map(f64::from_le_bytes)?),
            3 => Value::Text(self.text()?.to_owned()),
            4 => Value::Blob(self.bytes()?.to_owned()),
            _ => return Err(cut_off()),
        })
    }
}

fn cut_off() -> CatalogueError {
    CatalogueError::Corrupt("a copy that is none".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Change, Column, CommentOn, NewTable, PgType, TableOptions};

    fn filled(path: &Path) -> Catalogue {
        let catalogue = Catalogue::open(path).unwrap();
        catalogue.begin_run().unwrap();
        catalogue.mock_secret().unwrap();
        catalogue.create_schema("größe", "quickdb").unwrap();
        catalogue.register_worker("worker-1", "host:1").unwrap();
        let table = NewTable {
            id: catalogue.allocate_table_id().unwrap(),
            schema: "größe".into(),
            name: "t".into(),
            owner: "quickdb".into(),
            columns: vec![Column::new("id", PgType::parse("bigint").unwrap())],
            constraints: Vec::new(),
            options: TableOptions::default(),
            on_commit: crate::catalogue::OnCommit::default(),
            comment: Some("it's".into()),
        };
        catalogue.create_table(table).unwrap();
        let comment = Change::Comment { on: CommentOn::Schema(2200), comment: None };
        catalogue.commit(vec![comment]).unwrap();
        catalogue
    }

    #[test]
    fn a_copy_becomes_the_same_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = filled(&folder.path().join("catalogue.sqlite"));
        let (copy, snapshot) = catalogue.copy().unwrap();
        let path = folder.path().join("restored.sqlite");
        assert_eq!(restore(&copy.content, &path).unwrap(), []);
        complete(&path, &[], 1_000).unwrap();
        let restored = Catalogue::open(&path).unwrap();
        let shown = |snapshot: &CatalogueSnapshot| {
            format!(
                "{:?} {:?} {:?} {:?}",
                snapshot.schemas,
                snapshot.roles,
                snapshot.workers,
                snapshot.tables().iter().map(|table| table.definition()).collect::<Vec<_>>()
            )
        };
        assert_eq!(shown(&restored.snapshot()), shown(&snapshot));
        assert_eq!(restored.mock_secret().unwrap().as_bytes(), catalogue.mock_secret().unwrap().as_bytes());
        assert_eq!(restored.standing_of(&copy).unwrap(), runs::Standing::Own);
        assert!(restored.allocate_shard_ids(1).unwrap()[0].0 >= 1_000);
        assert!(restored.allocate_oids(1).unwrap() > catalogue.allocate_oids(1).unwrap());
    }

    #[test]
    fn bytes_that_are_no_copy_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let content = filled(&folder.path().join("catalogue.sqlite")).copy().unwrap().0.content;
        for cut in (0..content.len()).step_by(7) {
            let path = folder.path().join(format!("{cut}.sqlite"));
            assert!(restore(&content[..cut], &path).is_err(), "{cut} bytes");
        }
    }
}
