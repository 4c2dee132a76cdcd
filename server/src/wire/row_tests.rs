//! Rows of every arrow layout: records, lists, dictionaries, slices, columns that metadata declares.

use super::column::{EncodeError, RegNames};
use super::recorded::hex;
use super::row::{RowEncoder, field_infos};
use super::settings::OutputSettings;
use super::types::PG_TYPE_KEY;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    FixedSizeListArray, Float64Array, Int32Array, Int64Array, LargeListArray, ListArray, NullArray,
    StringArray, StringViewArray, StructArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int8Type, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use pgwire::api::results::FieldFormat;
use std::collections::HashMap;
use std::sync::Arc;

/// What PostgreSQL sends for the record of these tests, whose untyped literals are text here.
const RECORD_SENT: &str = "0000000a000000170000000400000001000000190000000361206200000019ffffffff000000190000000000000019000000057822795c7a000000100000000101000003ef0000002000000001000000010000001700000002000000010000000400000001ffffffff000006a40000000c0002000000000002000113880000043a000000040000018f0000001900000003282c29";
const RECORD_ARRAY_SENT: &str = "0000000100000001000008c900000002000000010000001b000000020000001700000004000000010000001900000003612062ffffffff";

fn declared(array: &ArrayRef, pg_type: &str) -> Field {
    let field = Field::new("v", array.data_type().clone(), true);
    if pg_type.is_empty() {
        return field;
    }
    field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), pg_type.to_owned())]))
}

/// All values of a column, `None` for NULL.
fn column(array: &ArrayRef, pg_type: &str, format: FieldFormat) -> Result<Vec<Option<Vec<u8>>>, EncodeError> {
    let schema = Arc::new(Schema::new(vec![declared(array, pg_type)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(array)]).unwrap();
    let mut encoder = RowEncoder::new(&schema, &[format], Arc::new(OutputSettings::default()))?;
    let rows = encoder.encode_batch(&batch)?;
    assert_eq!(rows.len(), batch.num_rows());
    rows.map(|row| {
        let row = row?;
        assert_eq!(row.field_count, 1);
        let (len, value) = row.data.split_at(4);
        let len = i32::from_be_bytes(len.try_into().unwrap());
        if len < 0 {
            assert!(value.is_empty());
            return Ok(None);
        }
        assert_eq!(usize::try_from(len).unwrap(), value.len());
        Ok(Some(value.to_vec()))
    })
    .collect()
}

fn text(array: &ArrayRef, pg_type: &str) -> Vec<Option<String>> {
    let values = column(array, pg_type, FieldFormat::Text).unwrap();
    values.into_iter().map(|value| value.map(|bytes| String::from_utf8(bytes).unwrap())).collect()
}

fn binary(array: &ArrayRef, pg_type: &str) -> Vec<Option<String>> {
    let values = column(array, pg_type, FieldFormat::Binary).unwrap();
    values.into_iter().map(|value| value.map(|bytes| hex(&bytes))).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (*text != "NULL").then(|| (*text).to_owned())).collect()
}

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn int_list(rows: &[Option<&[Option<i32>]>]) -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>(rows.iter().map(|row| row.map(<[Option<i32>]>::to_vec)))
}

fn record() -> ArrayRef {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", array(Int32Array::from(vec![1]))),
        ("b", array(StringViewArray::from(vec!["a b"]))),
        ("c", array(StringArray::from(vec![None::<&str>]))),
        ("d", array(StringArray::from(vec![""]))),
        ("e", array(StringArray::from(vec!["x\"y\\z"]))),
        ("f", array(BooleanArray::from(vec![true]))),
        ("g", array(int_list(&[Some(&[Some(1), None])]))),
        ("h", array(Decimal128Array::from(vec![150]).with_precision_and_scale(3, 2).unwrap())),
        ("i", array(Date32Array::from(vec![11_356]))),
        ("j", array(StringArray::from(vec!["(,)"]))),
    ];
    let fields: Fields =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    array(StructArray::new(fields, columns.into_iter().map(|(_, values)| values).collect(), None))
}

#[test]
fn records_recorded_from_postgresql() {
    assert_eq!(
        text(&record(), ""),
        some(&["(1,\"a b\",,\"\",\"x\"\"y\\\\z\",t,\"{1,NULL}\",1.50,2001-02-03,\"(,)\")"])
    );
    assert_eq!(binary(&record(), ""), some(&[RECORD_SENT]));
    let inner = StructArray::new(
        vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8, true)].into(),
        vec![array(Int32Array::from(vec![1, 2])), array(StringArray::from(vec!["a b", "x"]))],
        Some(NullBuffer::from(vec![true, false])),
    );
    let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let list = array(ListArray::new(field, OffsetBuffer::from_lengths([2]), array(inner), None));
    assert_eq!(text(&list, ""), some(&["{\"(1,\\\"a b\\\")\",NULL}"]));
    assert_eq!(binary(&list, ""), some(&[RECORD_ARRAY_SENT]));
}

#[test]
fn lists_of_all_layouts_print_alike() {
    let list = int_list(&[Some(&[Some(1), None]), None, Some(&[]), Some(&[Some(3)])]);
    let expected = some(&["{1,NULL}", "NULL", "{}", "{3}"]);
    assert_eq!(text(&array(list.clone()), ""), expected);
    let large: ArrayRef = arrow::compute::cast(
        &list,
        &DataType::LargeList(Arc::new(Field::new_list_field(DataType::Int32, true))),
    )
    .unwrap();
    assert!(large.as_any().is::<LargeListArray>());
    assert_eq!(text(&large, ""), expected);
    assert_eq!(text(&array(list.slice(2, 2)), ""), expected[2..]);
    let fixed = FixedSizeListArray::new(
        Arc::new(Field::new_list_field(DataType::Int32, true)),
        2,
        array(Int32Array::from(vec![1, 2, 3, 4, 5, 6])),
        Some(NullBuffer::from(vec![true, false, true])),
    );
    assert_eq!(text(&array(fixed.clone()), ""), some(&["{1,2}", "NULL", "{5,6}"]));
    assert_eq!(text(&array(fixed.slice(2, 1)), ""), some(&["{5,6}"]));
}

#[test]
fn nested_lists_are_arrays_of_more_dimensions() {
    let nest = |inner: ListArray, lens: &[usize]| {
        let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        array(ListArray::new(field, OffsetBuffer::from_lengths(lens.iter().copied()), array(inner), None))
    };
    let square = nest(int_list(&[Some(&[Some(1), Some(2)]), Some(&[Some(3), None])]), &[2]);
    assert_eq!(text(&square, ""), some(&["{{1,2},{3,NULL}}"]));
    let sent = "00000002000000010000001700000002000000010000000200000001000000040000000100000004000000020000000400000003ffffffff";
    assert_eq!(binary(&square, ""), some(&[sent]));
    let empty = nest(int_list(&[Some(&[]), Some(&[])]), &[2]);
    assert_eq!(text(&empty, ""), some(&["{}"]));
    assert_eq!(binary(&empty, ""), some(&["000000000000000000000017"]));
    let ragged = nest(int_list(&[Some(&[Some(1)]), Some(&[Some(3), None])]), &[2]);
    let error = column(&ragged, "", FieldFormat::Binary).unwrap_err();
    assert_eq!(error.sqlstate(), "2202E");
}

#[test]
fn dictionaries_and_nulls_write_their_values() {
    let dictionary: DictionaryArray<Int8Type> =
        vec![Some("x"), None, Some("y"), Some("x")].into_iter().collect();
    assert_eq!(text(&array(dictionary), ""), some(&["x", "NULL", "y", "x"]));
    let empty: DictionaryArray<Int8Type> = vec![None::<&str>, None].into_iter().collect();
    assert_eq!(text(&array(empty), ""), some(&["NULL", "NULL"]));
    assert_eq!(text(&array(NullArray::new(2)), ""), some(&["NULL", "NULL"]));
}

#[test]
fn metadata_changes_the_binary_form() {
    let numbers = array(Int64Array::from(vec![Some(4_294_967_295), None]));
    assert_eq!(binary(&numbers, "oid"), some(&["ffffffff", "NULL"]));
    assert_eq!(text(&numbers, "oid"), some(&["4294967295", "NULL"]));
    assert_eq!(binary(&numbers, "numeric"), some(&["0003000200000000002a25181c7f", "NULL"]));
    let small = array(Int64Array::from(vec![7]));
    assert_eq!(binary(&small, "int4"), some(&["00000007"]));
    assert_eq!(column(&numbers, "int4", FieldFormat::Binary).unwrap_err().sqlstate(), "22003");
    let chars = array(StringViewArray::from(vec!["r", ""]));
    assert_eq!(binary(&chars, "\"char\""), some(&["72", "00"]));
    let vectors = array(StringViewArray::from(vec!["1 2", ""]));
    assert_eq!(text(&vectors, "int2vector"), some(&["1 2", ""]));
    assert_eq!(
        binary(&vectors, "int2vector"),
        some(&[
            "0000000100000000000000150000000200000000000000020001000000020002",
            "0000000100000000000000150000000000000000",
        ])
    );
    let lists = array(int_list(&[Some(&[Some(1), Some(2)])]));
    assert_eq!(text(&lists, "oidvector"), some(&["1 2"]));
    let uuids = array(FixedSizeBinaryArray::try_from_iter(std::iter::once([0xa0_u8; 16])).unwrap());
    assert_eq!(text(&uuids, "uuid"), some(&["a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0"]));
    let json = array(StringViewArray::from(vec!["{}"]));
    assert_eq!(binary(&json, "jsonb"), some(&["017b7d"]));
    let numerics = array(StringViewArray::from(vec!["NaN", "1.50"]));
    assert_eq!(text(&numerics, "numeric"), some(&["NaN", "1.50"]));
    assert_eq!(binary(&numerics, "numeric"), some(&["00000000c0000000", "000200000000000200011388"]));
    let floats = array(Float64Array::from(vec![1e20, 0.1, f64::NAN]));
    assert_eq!(text(&floats, "numeric"), some(&["100000000000000000000", "0.1", "NaN"]));
    assert_eq!(text(&floats, "text"), some(&["1e+20", "0.1", "NaN"]));
    let acl = array(StringViewArray::from(vec!["a=r/b"]));
    assert_eq!(text(&acl, "aclitem"), some(&["a=r/b"]));
    assert_eq!(column(&acl, "aclitem", FieldFormat::Binary).unwrap_err().sqlstate(), "42883");
}

#[test]
fn internal_types_have_the_nearest_postgresql_form() {
    let unsigned = array(UInt64Array::from(vec![u64::MAX]));
    assert_eq!(text(&unsigned, ""), some(&["18446744073709551615"]));
    assert_eq!(binary(&unsigned, ""), some(&["000500040000000007341a5802e103bb064f"]));
    let nanos = array(TimestampNanosecondArray::from(vec![1_999, -1, i64::MAX]));
    assert_eq!(
        text(&nanos, ""),
        some(&["1970-01-01 00:00:00.000001", "1969-12-31 23:59:59.999999", "infinity"])
    );
}

#[derive(Debug)]
struct OneTable;

impl RegNames for OneTable {
    fn name_of(&self, reg_type_oid: u32, oid: u32) -> Option<String> {
        (reg_type_oid == 2205 && oid == 16_400).then(|| "flights".to_owned())
    }
}

#[test]
fn oids_of_objects_print_as_names() {
    let oids = array(Int64Array::from(vec![16_400, 1_259]));
    let schema = Arc::new(Schema::new(vec![declared(&oids, "regclass")]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&oids)]).unwrap();
    let rows = |format| {
        let encoder = RowEncoder::new(&schema, &[format], Arc::new(OutputSettings::default())).unwrap();
        let rows = encoder.with_names(Arc::new(OneTable)).encode_batch(&batch).unwrap();
        rows.map(|row| row.unwrap().data[4..].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(rows(FieldFormat::Text), [b"flights".to_vec(), b"1259".to_vec()]);
    assert_eq!(
        rows(FieldFormat::Binary),
        [16_400_u32.to_be_bytes().to_vec(), 1_259_u32.to_be_bytes().to_vec()]
    );
}

#[test]
fn addresses_have_a_binary_form() {
    let addresses = array(StringViewArray::from(vec!["127.0.0.1", "::1"]));
    assert_eq!(
        binary(&addresses, "inet"),
        some(&["022000047f000001", "0380001000000000000000000000000000000001"])
    );
    assert_eq!(text(&addresses, "inet"), some(&["127.0.0.1", "::1"]));
}

#[test]
fn rows_hold_all_columns_and_share_buffers() {
    let ids = array(Int32Array::from_iter_values(0..20_000));
    let names =
        array(StringViewArray::from_iter((0..20_000).map(|id| (id % 3 > 0).then(|| format!("name {id}")))));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8View, true),
    ]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![ids, names]).unwrap();
    let formats = [FieldFormat::Binary, FieldFormat::Text];
    let mut encoder = RowEncoder::new(&schema, &formats, Arc::new(OutputSettings::default())).unwrap();
    let rows: Vec<_> = encoder.encode_batch(&batch).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 20_000);
    assert_eq!(&rows[3].data[..], b"\0\0\0\x04\0\0\0\x03\xff\xff\xff\xff");
    assert_eq!(&rows[19_999].data[..], b"\0\0\0\x04\0\0\x4e\x1f\0\0\0\x0aname 19999");
    let infos = field_infos(&schema, &["?column?".to_owned()], &[], &formats).unwrap();
    let described: Vec<_> = infos
        .iter()
        .map(|info| {
            (info.name(), info.datatype().oid(), info.type_size(), info.type_modifier(), info.format())
        })
        .collect();
    assert_eq!(
        described,
        [("?column?", 23, 4, -1, FieldFormat::Binary), ("name", 25, -1, -1, FieldFormat::Text)]
    );
    assert!(RowEncoder::new(&schema, &formats[..1], Arc::new(OutputSettings::default())).is_err());
}
