//! `quickdb load` and `quickdb gen` against running servers: every format, every row or none, and errors that say where.

use std::fs;
use std::path::Path;

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::programs::{Printed, psql_rows};
use quickdb_sql_tests::server::{Server, quickdb};
use tempfile::TempDir;

fn load(server: &Server, table: &str, files: &[&Path], more: &[&str]) -> Outcome<Printed> {
    let files = files.iter().map(|file| file.to_str().ok_or("a path")).collect::<Result<Vec<_>, _>>()?;
    quickdb(&[&["load", "--dsn", server.dsn(), table], &files[..], more].concat())
}

/// The one line with which a load must fail.
fn refused(printed: Printed) -> Outcome<String> {
    assert_eq!((printed.code, printed.text().as_str()), (Some(1), ""), "{}", printed.stderr);
    let lines: Vec<&str> = printed.stderr.lines().filter(|line| line.starts_with("quickdb: ")).collect();
    let [line] = lines.as_slice() else { return Err(printed.stderr.into()) };
    Ok((*line).to_owned())
}

fn rows(server: &Server, sql: &str) -> Outcome<Vec<String>> {
    psql_rows(server.dsn(), sql)
}

/// A FITS file with a table of two rows: K, E, 4A and I, with a NULL, a unit and an unsigned column.
fn fits() -> Vec<u8> {
    let unit = |cards: &[&str]| {
        let mut bytes: Vec<u8> = cards.iter().flat_map(|card| format!("{card:<80}").into_bytes()).collect();
        bytes.resize(bytes.len().next_multiple_of(2_880), b' ');
        bytes
    };
    let mut file =
        unit(&["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   = 0", "END"]);
    file.extend(unit(&[
        "XTENSION= 'BINTABLE'",
        "BITPIX  = 8",
        "NAXIS   = 2",
        "NAXIS1  = 18",
        "NAXIS2  = 2",
        "PCOUNT  = 0",
        "GCOUNT  = 1",
        "TFIELDS = 4",
        "TTYPE1  = 'ID'",
        "TFORM1  = 'K'",
        "TTYPE2  = 'Flux'",
        "TFORM2  = 'E'",
        "TUNIT2  = 'mJy'",
        "TTYPE3  = 'NAME'",
        "TFORM3  = '4A'",
        "TTYPE4  = 'N'",
        "TFORM4  = 'I'",
        "TZERO4  = 32768",
        "TNULL4  = -1",
        "END",
    ]));
    for (id, flux, name, number) in [(1_i64, 1.5_f32, b"Vega", 0x7fff_i16), (2, f32::NAN, b"x   ", -1)] {
        file.extend(id.to_be_bytes());
        file.extend(flux.to_be_bytes());
        file.extend(name);
        file.extend(number.to_be_bytes());
    }
    file.resize(file.len().next_multiple_of(2_880), 0);
    file
}

#[test]
fn generated_data_loads_on_one_server_and_on_a_cluster() -> Outcome<()> {
    let home = TempDir::new()?;
    let out = home.path().join("data");
    let folder = out.to_str().ok_or("a path")?;
    quickdb(&["gen", "sky", "--rows", "20000", "--out", folder])?.success()?;
    quickdb(&["gen", "sky", "--rows", "20000", "--out", folder, "--format", "csv"])?.success()?;
    let (parquet, csv) = (out.join("sky.parquet"), out.join("sky.csv"));
    let question = |table: &str| {
        format!(
            "SELECT count(*), count(g_mag), min(object_id), max(obs_time), sum(tract), count(DISTINCT comment) \
             FROM {table} WHERE isprimary"
        )
    };
    for workers in [0, 2] {
        let server = Server::demo(workers)?;
        let said = load(&server, "sky", &[&parquet], &["--sort-by", "ra, dec"])?.success()?;
        assert!(said.starts_with("loaded 20000 rows of 1 file into \"sky\" in "), "{said}");
        // The guessed types of CSV hold the same values.
        load(&server, "of_csv", &[&csv], &[])?.success()?;
        let expected = rows(&server, &question("sky"))?;
        assert!(expected.iter().any(|row| row.contains('|')), "{expected:?}");
        assert_eq!(rows(&server, &question("of_csv"))?, expected);
    }
    Ok(())
}

#[test]
fn every_row_of_every_file_is_there_or_none() -> Outcome<()> {
    let server = Server::demo(0)?;
    let home = TempDir::new()?;
    let file = |name: &str, content: &str| {
        let path = home.path().join(name);
        fs::write(&path, content).map(|()| path)
    };
    let first = file("first.csv", "id,name,price\n1,a,1.5\n2,\"b,\nc\",\n")?;
    let second = file("second.csv", "Price;ID;Name\n2.5;3;d\n")?;
    let bad = file("bad.csv", "id,name,price\n4,e,1\n5,f,cheap\n")?;

    // Both files, of different layout, in one transaction.
    load(&server, "t", &[&first, &second], &[])?.success()?;
    let sum = "SELECT count(*), sum(id), sum(price), count(name) FROM t";
    assert_eq!(rows(&server, sum)?, ["3|6|4|3"]);

    let line = refused(load(&server, "t", &[&first], &[])?)?;
    assert!(line.contains("the table \"t\" exists; say --append"), "{line}");
    let line = refused(load(&server, "t", &[&second, &bad], &["--append"])?)?;
    let expected = "bad.csv: line 3, column price: invalid input syntax for type double precision: \"cheap\"";
    assert!(line.ends_with(expected), "{line}");
    assert_eq!(rows(&server, sum)?, ["3|6|4|3"]);
    let line = refused(load(&server, "fresh", &[&bad], &["--schema", "price integer"])?)?;
    assert!(line.contains("invalid input syntax for type integer: \"cheap\""), "{line}");
    assert_eq!(rows(&server, "SELECT count(*) FROM pg_class WHERE relname = 'fresh'")?, ["0"]);

    load(&server, "t", &[&second], &["--append"])?.success()?;
    assert_eq!(rows(&server, sum)?, ["4|9|6.5|4"]);
    let line = refused(load(&server, "t", &[&home.path().join("none.csv")], &["--append"])?)?;
    assert!(line.contains("none.csv: No such file"), "{line}");
    Ok(())
}

#[test]
fn fits_tables_keep_units_and_nulls() -> Outcome<()> {
    let server = Server::demo(0)?;
    let home = TempDir::new()?;
    let path = home.path().join("stars");
    fs::write(&path, fits())?;
    load(&server, "\"Stars\"", &[&path], &[])?.success()?;
    assert_eq!(
        rows(&server, "SELECT id, flux, name, n FROM \"Stars\" ORDER BY id")?,
        ["1|1.5|Vega|65535", "2|NaN|x|"]
    );
    let comment = "SELECT col_description('\"Stars\"'::regclass, 2)";
    assert_eq!(rows(&server, comment)?, ["mJy"]);
    load(&server, "nulls", &[&path], &["--nan-as-null"])?.success()?;
    assert_eq!(rows(&server, "SELECT count(*), count(flux) FROM nulls")?, ["2|1"]);
    Ok(())
}

#[test]
fn a_dry_run_needs_no_server() -> Outcome<()> {
    let home = TempDir::new()?;
    let path = home.path().join("t.csv");
    fs::write(&path, "day,what is it?\n2013-01-31,x\n")?;
    let name = path.to_str().ok_or("a path")?;
    let shown =
        quickdb(&["load", "t", name, "--dry-run", "--dsn", "postgresql://127.0.0.1:1", "--replicas", "2"])?
            .success()?;
    let last = shown.lines().last().unwrap_or_default();
    assert_eq!(last, "CREATE TABLE \"t\" (\"day\" date, \"what_is_it\" text) WITH (replicas = 2);");
    let line = refused(quickdb(&["load", "t", name, "--dsn", "postgresql://127.0.0.1:1"])?)?;
    assert!(line.starts_with("quickdb: cannot connect to 127.0.0.1:1: "), "{line}");
    Ok(())
}

#[test]
fn a_load_that_stopped_goes_on_with_the_files_that_are_missing() -> Outcome<()> {
    let server = Server::demo(0)?;
    let folder = TempDir::with_prefix("quickdb-resume-")?;
    let file = |number: u32, rows: &str| -> Outcome<std::path::PathBuf> {
        let path = folder.path().join(format!("{number}.csv"));
        fs::write(&path, format!("n,v\n{rows}"))?;
        Ok(path)
    };
    let first = file(1, "1,a\n2,b\n")?;
    let broken = file(2, "3,c\nx,d\n")?;
    let third = file(3, "5,e\n")?;
    let schema = ["--resume", "--schema", "n int, v text", "--sort-by", "n"];
    let count = || rows(&server, "SELECT count(*), sum(n) FROM public.parts");

    let line = refused(load(&server, "parts", &[&first, &broken, &third], &schema)?)?;
    assert!(line.contains("2.csv"), "{line}");
    assert_eq!(count()?, ["2|3"]);
    fs::write(&broken, "n,v\n3,c\n4,d\n")?;
    let said = load(&server, "parts", &[&first, &broken, &third], &schema)?.success()?;
    assert!(said.starts_with("loaded 3 rows of 2 files") && said.contains("1 were loaded before"), "{said}");
    assert_eq!(count()?, ["5|15"]);
    let said = load(&server, "parts", &[&first, &broken, &third], &schema)?.success()?;
    assert!(said.starts_with("loaded 0 rows of 0 files"), "{said}");
    assert_eq!(count()?, ["5|15"]);
    let remembered = "SELECT right(file, 5), row_count FROM quickdb_loaded_files ORDER BY 1";
    assert_eq!(rows(&server, remembered)?, ["1.csv|2", "2.csv|2", "3.csv|1"]);

    // A file that has changed is not the one that was loaded.
    fs::write(&third, "n,v\n5,e\n6,f\n")?;
    let line = refused(load(&server, "parts", &[&third], &schema)?)?;
    assert!(line.contains("has changed since"), "{line}");
    // A table of the same name that is another one has none of the files.
    rows(&server, "DROP TABLE parts")?;
    load(&server, "parts", &[&first, &third], &schema)?.success()?;
    assert_eq!(count()?, ["4|14"]);
    Ok(())
}
