//! Decoding speed on lines like those of TPC-H's lineitem, as text and as CSV: `cargo bench -p quickdb-copy`.

use std::fmt::Write;
use std::time::Instant;

use quickdb_copy::{Column, Decoder, Layout, Refusal};

const ROWS: u64 = 500_000;
const MESSAGE_BYTES: usize = 64 * 1024;

fn refuse<T>(bytes: &[u8]) -> Result<T, Refusal> {
    Err(String::from_utf8_lossy(bytes).into())
}

fn columns() -> Vec<Column> {
    let int = || Column::int32(false, Box::new(refuse));
    let decimal = || Column::decimal(false, 15, 2, Box::new(refuse));
    let text = || Column::text(false, usize::MAX, Box::new(|text| Ok(text.to_owned())));
    let date = || Column::date(false, Box::new(refuse));
    vec![
        Column::int64(false, Box::new(refuse)),
        int(),
        int(),
        int(),
        decimal(),
        decimal(),
        decimal(),
        decimal(),
        text(),
        text(),
        date(),
        date(),
        date(),
        text(),
        text(),
        text(),
    ]
}

fn lineitem(delimiter: char) -> Result<String, std::fmt::Error> {
    let mut data = String::new();
    for row in 0..ROWS {
        let d = delimiter;
        let (day, price) = (row % 28 + 1, row * 7_919 % 9_000_000);
        writeln!(
            data,
            "{row}{d}{}{d}{}{d}{}{d}{}{d}{}.{:02}{d}0.0{}{d}0.0{}{d}N{d}O{d}1996-03-{day:02}{d}1996-02-{day:02}{d}1996-04-{day:02}{d}DELIVER IN PERSON{d}TRUCK{d}egular courts above the {row}",
            row * 31 % 200_000,
            row % 10_000,
            row % 7 + 1,
            row % 50 + 1,
            price / 100,
            price % 100,
            row % 10,
            row % 8,
        )?;
    }
    Ok(data)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let csv = Layout { delimiter: b',', ..Layout::csv() };
    let bar = Layout { delimiter: b'|', ..Layout::text() };
    for (name, layout, delimiter) in [("text", bar, '|'), ("csv", csv, ',')] {
        let data = lineitem(delimiter)?;
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let names = (0..16).map(|column| format!("c{column}")).collect();
            let mut decoder = Decoder::text(layout.clone(), names, columns(), vec![true; 16], false);
            let started = Instant::now();
            for message in data.as_bytes().chunks(MESSAGE_BYTES) {
                drop(decoder.feed(message)?);
            }
            drop(decoder.finish()?);
            assert_eq!(decoder.rows(), ROWS);
            best = best.min(started.elapsed().as_secs_f64());
        }
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let (megabytes, rows) = (data.len() as f64 / 1e6, ROWS as f64 / 1e6);
        println!("{name}: {:.0} MB/s, {:.2} million rows/s", megabytes / best, rows / best);
    }
    Ok(())
}
