//! Schema `quickdb`: what PostgreSQL has no relation for. Where data lies, and who holds it.

use crate::catalogue::{Column, Shard, Table, WorkerId};
use crate::layouts::Layout;
use crate::pg_catalog::relation::RowSource;
use crate::pg_catalog::rows::Rows;
use crate::pg_catalog::session::SessionView;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] =
    &[(("quickdb", "workers"), workers), (("quickdb", "tables"), tables), (("quickdb", "shards"), shards)];

fn workers(view: &SessionView, rows: &mut Rows) {
    for worker in view.snapshot.workers.iter() {
        let held = view.tables().flat_map(|table| table.shards.iter());
        let held: Vec<&Shard> = held.filter(|shard| shard.workers.contains(&worker.id)).collect();
        rows.push([
            ("id", i64::from(worker.id.0).into()),
            ("name", (&worker.name).into()),
            ("address", (&worker.address).into()),
            ("shards", held.len().into()),
            ("row_count", held.iter().map(|shard| shard.live_rows()).sum::<u64>().into()),
            ("bytes", held.iter().map(|shard| shard.bytes).sum::<u64>().into()),
        ]);
    }
}

fn tables(view: &SessionView, rows: &mut Rows) {
    for table in view.tables() {
        rows.push([
            ("schema_name", (&table.schema).into()),
            ("table_name", (&table.name).into()),
            ("row_count", table.row_count().into()),
            ("bytes", table.bytes().into()),
            ("shards", table.shards.len().into()),
            ("logged_rows", table.log.rows().into()),
            ("deleted_rows", table.shards.iter().map(deleted).sum::<u64>().into()),
            (
                "distribute_by",
                table.options.distribute_by.clone().unwrap_or_else(|| "round_robin".to_owned()).into(),
            ),
            ("sort_by", table.options.sort_by.clone().into()),
            ("replicas", i64::from(table.options.replicas).into()),
        ]);
    }
}

fn shards(view: &SessionView, rows: &mut Rows) {
    for table in view.tables() {
        for shard in table.shards.iter() {
            for (copy, worker) in shard.workers.iter().enumerate() {
                copy_of(view, rows, table, shard, *worker, copy);
            }
        }
    }
}

fn copy_of(view: &SessionView, rows: &mut Rows, table: &Table, shard: &Shard, worker: WorkerId, copy: usize) {
    rows.push([
        ("shard", shard.id.0.into()),
        ("schema_name", (&table.schema).into()),
        ("table_name", (&table.name).into()),
        ("worker", view.snapshot.worker(worker).map(|worker| worker.name.clone()).into()),
        // The first copy is the one that queries read.
        ("copy", copy.into()),
        ("row_count", shard.live_rows().into()),
        ("deleted_rows", deleted(shard).into()),
        ("bytes", shard.bytes.into()),
        ("checksum", format!("{:08x}", shard.checksum).into()),
        ("encodings", view.layouts.get(&shard.id).map(|layout| encodings(table, layout)).into()),
    ]);
}

/// The encodings of each column that the shard has and the table still has.
fn encodings(table: &Table, layout: &Layout) -> String {
    let column =
        |column: &Column| Some(format!("{}: {}", column.name, layout.get(&column.number)?.join(", ")));
    table.columns.iter().filter_map(column).collect::<Vec<_>>().join("; ")
}

fn deleted(shard: &Shard) -> u64 {
    shard.rows - shard.live_rows()
}
