//! Values of every type against what PostgreSQL 15 printed, sent and refused: `testdata/values.tsv`, made by
//! `testdata/record.sql`.

use super::params::{InputContext, InputError, decode_param, parse_text};
use super::row::RowEncoder;
use super::settings::OutputSettings;
use super::types::{type_by_name, with_pg_type};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use pgwire::api::results::FieldFormat;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::sync::Arc;

/// A field of COPY's text form.
fn unescape(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::new();
    let mut chars = field.chars();
    while let Some(next) = chars.next() {
        text.push(match next {
            '\\' => match chars.next().unwrap() {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'b' => '\x08',
                'f' => '\x0c',
                'v' => '\x0b',
                other => other,
            },
            other => other,
        });
    }
    Some(text)
}

fn encode(
    value: &ScalarValue,
    type_oid: u32,
    format: FieldFormat,
    settings: &Arc<OutputSettings>,
) -> Vec<u8> {
    let array = value.to_array().unwrap();
    let field = with_pg_type(Field::new("v", array.data_type().clone(), true), type_oid);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
    let mut encoder = RowEncoder::new(&schema, &[format], Arc::clone(settings)).unwrap();
    let row = encoder.encode_batch(&batch).unwrap().next().unwrap().unwrap();
    let (len, bytes) = row.data.split_at(4);
    assert_eq!(usize::try_from(i32::from_be_bytes(len.try_into().unwrap())).unwrap(), bytes.len());
    bytes.to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn context(settings: OutputSettings) -> InputContext {
    InputContext { settings: Arc::new(settings), now_micros: 1_700_000_000_123_456 }
}

#[test]
fn values_recorded_from_postgresql() {
    let mut settings = OutputSettings::default();
    let mut differences = String::new();
    let mut count = 0;
    for line in include_str!("testdata/values.tsv").lines() {
        let fields: Vec<Option<String>> = line.split('\t').map(unescape).collect();
        let [pairs, type_name, input, printed, sent, state, message, hint] = fields.as_slice() else {
            panic!("{line}");
        };
        for pair in pairs.as_deref().unwrap_or_default().split(';') {
            let (name, value) = pair.split_once('=').unwrap();
            settings = settings.set(name, value).unwrap().unwrap();
        }
        let context = context(settings.clone());
        let (type_name, input) = (type_name.as_deref().unwrap(), input.as_deref().unwrap());
        let (type_oid, _) = type_by_name(type_name).unwrap();
        let expected =
            (printed.as_deref(), sent.as_deref(), state.as_deref(), message.as_deref(), hint.as_deref());
        count += 1;
        let mut differ = |what: &str, found: &str| {
            let _ = writeln!(differences, "{type_name} {input:?}: {what} is {found:?}, not {expected:?}");
        };
        let value = match parse_text(input, type_oid, &context) {
            Ok(value) => value,
            Err(InputError { sqlstate, message: found, hint: found_hint, .. }) => {
                if state.as_deref() != Some(sqlstate) || message.as_deref() != Some(found.as_str()) {
                    differ(sqlstate, &found);
                }
                if found_hint.as_deref() != hint.as_deref() {
                    differ("hint", &format!("{found_hint:?}"));
                }
                continue;
            }
        };
        let text = encode(&value, type_oid, FieldFormat::Text, &context.settings);
        let text = String::from_utf8(text).unwrap();
        if printed.as_deref() != Some(text.as_str()) {
            differ("text", &text);
            continue;
        }
        let binary = encode(&value, type_oid, FieldFormat::Binary, &context.settings);
        if sent.as_deref() != Some(hex(&binary).as_str()) {
            differ("binary", &hex(&binary));
            continue;
        }
        match decode_param(1, Some(&binary), FieldFormat::Binary, type_oid, &context) {
            Ok(read) if read == value => {}
            other => differ("read from binary", &format!("{other:?} of {value:?}")),
        }
    }
    assert!(count > 1_000);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn binary_parameters_have_to_fit() {
    let context = context(OutputSettings::default());
    let decode = |bytes: &[u8], type_name: &str| {
        let (type_oid, _) = type_by_name(type_name).unwrap();
        decode_param(3, Some(bytes), FieldFormat::Binary, type_oid, &context)
            .map_err(|error| (error.sqlstate, error.message))
    };
    let cases: &[(&[u8], &str, &str, &str)] = &[
        (b"\0\0\0\0\x01", "int4", "22P03", "incorrect binary data format in bind parameter 3"),
        (b"\0\0\0", "int4", "08P01", "insufficient data left in message"),
        (b"\xff", "text", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff"),
        (b"a\xc3(", "text", "22021", "invalid byte sequence for encoding \"UTF8\": 0xc3 0x28"),
        (b"a\0b", "text", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00"),
        (b"\x7f\xff\xff\xfe", "date", "22008", "date out of range"),
        (b"\x7f\xff\xff\xff\xff\xff\xff\xfe", "timestamp", "22008", "timestamp out of range"),
        (b"\x02{}", "jsonb", "XX000", "unsupported jsonb version number 2"),
        (
            b"\0\0\0\x01\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0\x01",
            "_int4",
            "42804",
            "binary data has array element type 25 (text) instead of expected 23 (int4)",
        ),
        (
            b"\0\0\0\x07\0\0\0\0\0\0\0\x17",
            "_int4",
            "54000",
            "number of array dimensions (7) exceeds the maximum allowed (6)",
        ),
        (
            b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01",
            "_int4",
            "08P01",
            "insufficient data left in message",
        ),
    ];
    for (bytes, type_name, sqlstate, message) in cases {
        assert_eq!(
            decode(bytes, type_name),
            Err((*sqlstate, (*message).to_owned())),
            "{type_name} {bytes:02x?}"
        );
    }
}

#[test]
fn null_parameters_have_their_type() {
    let context = context(OutputSettings::default());
    for info in super::types::PG_TYPES {
        for type_oid in [info.oid, info.array_oid] {
            match super::types::arrow_type(type_oid) {
                Some(data_type) => {
                    let null = decode_param(1, None, FieldFormat::Text, type_oid, &context).unwrap();
                    assert_eq!((null.data_type(), null.is_null()), (data_type, true), "{}", info.name);
                }
                None if type_oid == 0 || ["unknown", "void"].contains(&info.name) => {
                    let null = decode_param(1, None, FieldFormat::Text, type_oid, &context).unwrap();
                    assert_eq!(null, ScalarValue::Null);
                }
                None => {
                    let error = decode_param(1, None, FieldFormat::Text, type_oid, &context).unwrap_err();
                    assert_eq!(error.sqlstate, "0A000");
                }
            }
        }
    }
}

/// Every OID that a client could name, and some that do not exist.
fn any_type() -> impl Strategy<Value = u32> {
    let known: Vec<u32> = super::types::PG_TYPES.iter().flat_map(|info| [info.oid, info.array_oid]).collect();
    prop_oneof![9 => proptest::sample::select(known), 1 => any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn hostile_parameters_do_not_panic(
        bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), "[-+0-9a-z:. /TZ{}\",\\\\]{0,40}".prop_map(String::into_bytes)],
        type_oid in any_type(),
        binary: bool,
    ) {
        let context = context(OutputSettings::default());
        let format = if binary { FieldFormat::Binary } else { FieldFormat::Text };
        if let Ok(value) = decode_param(1, Some(&bytes), format, type_oid, &context) {
            // What is read can be written, and what is written reads back.
            let written = encode(&value, type_oid, format, &context.settings);
            let again = decode_param(1, Some(&written), format, type_oid, &context);
            prop_assert!(again.is_ok(), "{:?} {:?}", value, again);
        }
    }

    #[test]
    fn array_headers_do_not_panic(
        dimensions in 0_i32..8, flags in -1_i32..3, lens in proptest::collection::vec(-2_i32..4, 0..8), tail: Vec<u8>,
    ) {
        let context = context(OutputSettings::default());
        let mut bytes = dimensions.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(25_u32.to_be_bytes());
        lens.iter().for_each(|len| bytes.extend([len.to_be_bytes(), 1_i32.to_be_bytes()].concat()));
        bytes.extend(tail);
        let _ = decode_param(1, Some(&bytes), FieldFormat::Binary, 1009, &context);
    }
}
