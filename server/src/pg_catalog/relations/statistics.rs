//! Relations with statistics of tables: what the summaries of the shards say.

use quickdb_storage::Bound;

use crate::catalogue::{Column, Table};
use crate::pg_catalog::relation::{RELATIONS, RowSource};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_stat_all_tables"), |view, rows| {
        system_tables(rows);
        user_tables(view, rows);
    }),
    (("pg_catalog", "pg_stat_sys_tables"), |_, rows| system_tables(rows)),
    (("pg_catalog", "pg_stat_user_tables"), user_tables),
    (("pg_catalog", "pg_statio_user_tables"), user_table_blocks),
    (("pg_catalog", "pg_statio_all_tables"), user_table_blocks),
    (("pg_catalog", "pg_stat_database"), databases),
    (("pg_catalog", "pg_stats"), column_statistics),
];

fn user_tables(view: &SessionView, rows: &mut Rows) {
    for table in view.tables() {
        push_table(rows, table.oid, table.schema.clone(), table.name.clone(), table.row_count());
    }
}

fn system_tables(rows: &mut Rows) {
    for relation in RELATIONS.iter().filter(|relation| relation.kind == "r") {
        push_table(rows, relation.oid, relation.schema.to_owned(), relation.name.to_owned(), 0);
    }
}

fn push_table(rows: &mut Rows, oid: u32, schema: String, name: String, row_count: u64) {
    let zero = || Datum::Int(0);
    rows.push([
        ("relid", oid.into()),
        ("schemaname", schema.into()),
        ("relname", name.into()),
        ("seq_scan", zero()),
        ("seq_tup_read", zero()),
        ("n_tup_ins", row_count.into()),
        ("n_tup_upd", zero()),
        ("n_tup_del", zero()),
        ("n_tup_hot_upd", zero()),
        ("n_live_tup", row_count.into()),
        ("n_dead_tup", zero()),
        ("n_mod_since_analyze", zero()),
        ("n_ins_since_vacuum", zero()),
        ("vacuum_count", zero()),
        ("autovacuum_count", zero()),
        ("analyze_count", zero()),
        ("autoanalyze_count", zero()),
    ]);
}

fn user_table_blocks(view: &SessionView, rows: &mut Rows) {
    for table in view.tables() {
        rows.push([
            ("relid", table.oid.into()),
            ("schemaname", (&table.schema).into()),
            ("relname", (&table.name).into()),
            ("heap_blks_read", Datum::Int(0)),
            ("heap_blks_hit", Datum::Int(0)),
        ]);
    }
}

fn databases(view: &SessionView, rows: &mut Rows) {
    let sessions = view.facts.live.sessions();
    for database in view.snapshot.databases.iter() {
        let backends = sessions.iter().filter(|session| session.database == database.name).count();
        let zero = || Datum::Int(0);
        rows.push([
            ("datid", database.oid.into()),
            ("datname", (&database.name).into()),
            ("numbackends", backends.into()),
            ("xact_commit", zero()),
            ("xact_rollback", zero()),
            ("blks_read", zero()),
            ("blks_hit", zero()),
            ("tup_returned", zero()),
            ("tup_fetched", zero()),
            ("tup_inserted", zero()),
            ("tup_updated", zero()),
            ("tup_deleted", zero()),
            ("conflicts", zero()),
            ("temp_files", zero()),
            ("temp_bytes", zero()),
            ("deadlocks", zero()),
        ]);
    }
}

/// The share of NULLs and the number of distinct values, where the shards know them.
fn column_statistics(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    for table in view.tables().filter(|table| user.superuser || user.is(table.owner)) {
        let row_count = table.row_count();
        if row_count == 0 {
            continue;
        }
        for column in &table.columns {
            let null_count: u64 = summaries(table, column).map(|summary| summary.null_count).sum();
            rows.push([
                ("schemaname", (&table.schema).into()),
                ("tablename", (&table.name).into()),
                ("attname", (&column.name).into()),
                ("inherited", false.into()),
                ("null_frac", ratio(null_count, row_count).into()),
                ("avg_width", Datum::Int(8)),
                ("n_distinct", distinct(table, column).into()),
            ]);
        }
    }
}

fn summaries<'a>(
    table: &'a Table,
    column: &'a Column,
) -> impl Iterator<Item = &'a quickdb_storage::ColumnSummary> {
    table.shards.iter().filter_map(move |shard| shard.summary(column))
}

/// How many distinct values the column has, as `pg_stats.n_distinct` counts: 0 for unknown. With more than one shard
/// the largest of them is a lower bound that is near the truth for the low counts that dictionaries have; whole
/// numbers between small bounds cap it.
fn distinct(table: &Table, column: &Column) -> f64 {
    let known = summaries(table, column).map(|summary| summary.distinct).collect::<Option<Vec<_>>>();
    if let Some(largest) = known.and_then(|known| known.into_iter().max()) {
        return ratio(largest, 1);
    }
    let bound = |of: fn(&quickdb_storage::ColumnSummary) -> &Option<Bound>| {
        summaries(table, column)
            .map(move |summary| match of(summary) {
                Some(Bound::Int(number)) => Some(*number),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
    };
    let min = bound(|summary| &summary.min).and_then(|all| all.into_iter().min());
    let max = bound(|summary| &summary.max).and_then(|all| all.into_iter().max());
    match (min, max) {
        (Some(min), Some(max)) if max.abs_diff(min) < table.row_count() / 10 => {
            ratio(max.abs_diff(min) + 1, 1)
        }
        _ => 0.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "statistics need no more than 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
