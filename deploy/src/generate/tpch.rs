//! TPC-H's eight tables, row for row those of the official generator: by the library tpchgen.

use std::fmt::{Display, Write};
use std::path::Path;

use quickdb_server::catalogue::PgType;
use quickdb_server::copy_in::{CopyColumn, csv_decoder};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

use super::FileFormat;
use super::output::TableWriter;
use crate::error::Error;

/// Rows of `lineitem` at scale factor 1, as nearly as it is a round number.
const LINEITEM_ROWS: f64 = 6_000_000.0;
/// Rows that are handed on at once.
const STEP_ROWS: usize = 8_192;

/// Columns and types of a table, as TPC-H's specification has them (2.18, section 1.4).
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
}

const REGION: Table = Table {
    name: "region",
    columns: &[("r_regionkey", "integer"), ("r_name", "char(25)"), ("r_comment", "varchar(152)")],
};
const NATION: Table = Table {
    name: "nation",
    columns: &[
        ("n_nationkey", "integer"),
        ("n_name", "char(25)"),
        ("n_regionkey", "integer"),
        ("n_comment", "varchar(152)"),
    ],
};
const PART: Table = Table {
    name: "part",
    columns: &[
        ("p_partkey", "integer"),
        ("p_name", "varchar(55)"),
        ("p_mfgr", "char(25)"),
        ("p_brand", "char(10)"),
        ("p_type", "varchar(25)"),
        ("p_size", "integer"),
        ("p_container", "char(10)"),
        ("p_retailprice", "numeric(15,2)"),
        ("p_comment", "varchar(23)"),
    ],
};
const SUPPLIER: Table = Table {
    name: "supplier",
    columns: &[
        ("s_suppkey", "integer"),
        ("s_name", "char(25)"),
        ("s_address", "varchar(40)"),
        ("s_nationkey", "integer"),
        ("s_phone", "char(15)"),
        ("s_acctbal", "numeric(15,2)"),
        ("s_comment", "varchar(101)"),
    ],
};
const PARTSUPP: Table = Table {
    name: "partsupp",
    columns: &[
        ("ps_partkey", "integer"),
        ("ps_suppkey", "integer"),
        ("ps_availqty", "integer"),
        ("ps_supplycost", "numeric(15,2)"),
        ("ps_comment", "varchar(199)"),
    ],
};
const CUSTOMER: Table = Table {
    name: "customer",
    columns: &[
        ("c_custkey", "integer"),
        ("c_name", "varchar(25)"),
        ("c_address", "varchar(40)"),
        ("c_nationkey", "integer"),
        ("c_phone", "char(15)"),
        ("c_acctbal", "numeric(15,2)"),
        ("c_mktsegment", "char(10)"),
        ("c_comment", "varchar(117)"),
    ],
};
const ORDERS: Table = Table {
    name: "orders",
    columns: &[
        ("o_orderkey", "bigint"),
        ("o_custkey", "integer"),
        ("o_orderstatus", "char(1)"),
        ("o_totalprice", "numeric(15,2)"),
        ("o_orderdate", "date"),
        ("o_orderpriority", "char(15)"),
        ("o_clerk", "char(15)"),
        ("o_shippriority", "integer"),
        ("o_comment", "varchar(79)"),
    ],
};
const LINEITEM: Table = Table {
    name: "lineitem",
    columns: &[
        ("l_orderkey", "bigint"),
        ("l_partkey", "integer"),
        ("l_suppkey", "integer"),
        ("l_linenumber", "integer"),
        ("l_quantity", "numeric(15,2)"),
        ("l_extendedprice", "numeric(15,2)"),
        ("l_discount", "numeric(15,2)"),
        ("l_tax", "numeric(15,2)"),
        ("l_returnflag", "char(1)"),
        ("l_linestatus", "char(1)"),
        ("l_shipdate", "date"),
        ("l_commitdate", "date"),
        ("l_receiptdate", "date"),
        ("l_shipinstruct", "char(25)"),
        ("l_shipmode", "char(10)"),
        ("l_comment", "varchar(44)"),
    ],
};

/// Writes the tables at the scale factor that gives `lineitem` about `rows` rows.
///
/// # Errors
/// A file that cannot be written.
#[expect(clippy::cast_precision_loss, reason = "a scale factor is no exact number")]
pub(super) fn generate(
    rows: u64,
    out: &Path,
    format: FileFormat,
    threads: usize,
    say: fn(&str),
) -> Result<(), Error> {
    let scale = rows as f64 / LINEITEM_ROWS;
    type Job<'a> = Box<dyn FnOnce() -> Result<String, Error> + Send + 'a>;
    let job = |table: &'static Table, lines: Box<dyn FnOnce() -> Lines + Send>| -> Job<'_> {
        Box::new(move || write(table, lines(), out, format))
    };
    // The largest first, so that the threads end together.
    let jobs: Vec<Job<'_>> = vec![
        job(&LINEITEM, Box::new(move || lines(LineItemGenerator::new(scale, 1, 1).iter()))),
        job(&ORDERS, Box::new(move || lines(OrderGenerator::new(scale, 1, 1).iter()))),
        job(&PARTSUPP, Box::new(move || lines(PartSuppGenerator::new(scale, 1, 1).iter()))),
        job(&CUSTOMER, Box::new(move || lines(CustomerGenerator::new(scale, 1, 1).iter()))),
        job(&PART, Box::new(move || lines(PartGenerator::new(scale, 1, 1).iter()))),
        job(&SUPPLIER, Box::new(move || lines(SupplierGenerator::new(scale, 1, 1).iter()))),
        job(&NATION, Box::new(move || lines(NationGenerator::new(scale, 1, 1).iter()))),
        job(&REGION, Box::new(move || lines(RegionGenerator::new(scale, 1, 1).iter()))),
    ];
    let jobs = std::sync::Mutex::new(jobs.into_iter());
    let take = || jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(job) = take() {
                        say(&job()?);
                    }
                    Ok::<(), Error>(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(stopped())))
    })
}

fn stopped() -> Error {
    Error::Setup { what: "a thread", source: std::io::Error::other("it stopped") }
}

/// Rows as lines with a bar after each field.
type Lines = Box<dyn FnMut(&mut String) -> bool>;

fn lines<R: Display>(mut rows: impl Iterator<Item = R> + 'static) -> Lines {
    Box::new(move |out| match rows.next() {
        // Writing to a string cannot fail.
        Some(row) => writeln!(out, "{row}").is_ok(),
        None => false,
    })
}

fn write(table: &Table, mut next: Lines, out: &Path, format: FileFormat) -> Result<String, Error> {
    let path = out.join(table.name);
    let failed = |message: String| Error::Generate { path: path.clone(), source: message.into() };
    let column = |(name, of_column): &(&str, &str)| {
        let pg_type = PgType::parse(of_column).map_err(|error| failed(error.to_string()))?;
        Ok(CopyColumn { name: (*name).to_owned(), pg_type, not_null: true })
    };
    let mut columns = table.columns.iter().map(column).collect::<Result<Vec<_>, Error>>()?;
    let fields: Vec<_> = columns.iter().map(|column| column.pg_type.field(&column.name, false)).collect();
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
    columns.push(CopyColumn { name: String::new(), pg_type: PgType::new(25), not_null: false });
    let wanted: Vec<usize> = (0..table.columns.len()).collect();
    let mut decoder =
        csv_decoder(columns, b'|', "", false, false).map_err(|error| failed(error.to_string()))?;
    let mut writer = TableWriter::create(table.name, &schema, out, format)?;
    let mut text = String::new();
    let mut more = true;
    while more {
        text.clear();
        more = (0..STEP_ROWS).all(|_| next(&mut text));
        let batches = if more {
            decoder.feed(text.as_bytes())
        } else {
            decoder.feed(text.as_bytes()).and_then(|mut batches| {
                batches.extend(decoder.finish()?);
                Ok(batches)
            })
        };
        for batch in batches.map_err(|error| failed(error.to_string()))? {
            let batch = batch.project(&wanted).map_err(|error| failed(error.to_string()))?;
            writer.write(&batch)?;
        }
    }
    writer.finish()
}
