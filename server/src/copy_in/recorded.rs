//! What PostgreSQL 15 made of COPY data, recorded in `testdata/recorded.txt`, and that this server makes the same.
//!
//! ```text
//! copy (a integer, b text not null) (format csv)
//! |1,x\n          data: \n, \r, \t and \\ are escapes, \xHH is a byte
//! = a=1 b=x       rows as text, or
//! ! 22P02 invalid input syntax ...
//! D detail
//! H hint
//! C COPY t, line 1, column a: "x"
//! ```

use std::sync::Arc;

use bytes::BytesMut;

use super::{CopyColumn, CopyDecoder, decoder};
use crate::catalogue::PgType;
use crate::error::PgError;
use crate::sql::parse;
use crate::wire::copy_options::CopyFromOptions;
use crate::wire::params::InputContext;
use crate::wire::settings::OutputSettings;
use crate::wire::text_value;
use datafusion::sql::sqlparser::ast::Statement;

const RECORDED: &str = include_str!("testdata/recorded.txt");

fn columns(list: &str) -> Vec<CopyColumn> {
    let column = |text: &str| {
        let text = text.trim();
        let (text, not_null) = match text.strip_suffix(" not null") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (name, pg_type) = text.split_once(' ').unwrap();
        CopyColumn { name: name.into(), pg_type: PgType::parse(pg_type).unwrap(), not_null }
    };
    list.split("; ").map(column).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next().unwrap() {
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

fn options(text: &str) -> CopyFromOptions {
    let statements = parse(&format!("COPY t FROM STDIN {text}")).unwrap();
    match &statements[0].ast {
        Statement::Copy { options, legacy_options, .. } => {
            CopyFromOptions::parse(options, legacy_options).unwrap()
        }
        other => panic!("{other}"),
    }
}

/// What is recorded of one case: rows, or the fields of an error.
fn answer(columns: &[CopyColumn], options: &CopyFromOptions, data: &[u8], cut: usize) -> Vec<String> {
    let settings = Arc::new(OutputSettings::default());
    let context = InputContext { settings: Arc::clone(&settings), now_micros: 0 };
    let run = || {
        let mut decoder: Box<dyn CopyDecoder> = decoder(options, "t", columns.to_vec(), &context)?;
        let mut batches = Vec::new();
        for bytes in data.chunks(cut) {
            batches.extend(decoder.feed(bytes)?);
        }
        batches.extend(decoder.finish()?);
        Ok::<_, PgError>(batches)
    };
    match run() {
        Ok(batches) => {
            let mut lines = Vec::new();
            for batch in &batches {
                for row in 0..batch.num_rows() {
                    let value = |(field, array): (&Arc<_>, &_)| {
                        let mut out = BytesMut::new();
                        let there = text_value(field, array, row, &settings, &mut out).unwrap();
                        let text = escaped(std::str::from_utf8(&out).unwrap());
                        if there { text } else { "NULL".to_owned() }
                    };
                    let schema = batch.schema();
                    let values: Vec<String> =
                        schema.fields().iter().zip(batch.columns()).map(value).collect();
                    lines.push(format!("= {}", values.join("|")));
                }
            }
            lines
        }
        Err(error) => {
            let mut lines = vec![format!("! {} {}", error.sqlstate, escaped(&error.message))];
            let fields = [("D", error.detail), ("H", error.hint), ("C", error.context)];
            for (letter, text) in fields {
                lines.extend(text.map(|text| format!("{letter} {}", escaped(&text))));
            }
            lines
        }
    }
}

#[test]
fn copy_data_is_taken_as_postgresql_takes_it() {
    let mut cases = 0;
    let mut wrong = Vec::new();
    for case in RECORDED.split("\n\n").map(|case| case.trim_matches('\n')) {
        let mut lines = case.lines();
        let head = lines.next().unwrap();
        let (list, option_text) = head.strip_prefix("copy (").unwrap().split_once(" :: ").unwrap();
        let list = list.strip_suffix(')').unwrap();
        let data = unescaped(lines.next().unwrap().strip_prefix('|').unwrap());
        let expected: Vec<&str> = lines.collect();
        for cut in [1, data.len().max(1)] {
            let found = answer(&columns(list), &options(option_text), &data, cut);
            if found != expected {
                wrong.push(format!("{case}\n--- but here, cut at {cut}:\n{}", found.join("\n")));
                break;
            }
        }
        cases += 1;
    }
    assert!(cases > 100, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases} differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
