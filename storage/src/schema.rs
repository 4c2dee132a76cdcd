//! The columns of a shard as bytes of its footer, and which Arrow types they may have.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};

use crate::Result;
use crate::decoder::{Decoder, malformed, put_text};
use crate::format::Version;
use crate::scaled::DecimalFloat;

/// Lists and structures inside each other at most: PostgreSQL's arrays have six dimensions.
pub(crate) const TYPE_DEPTH_MAX: usize = 16;

/// The type in which values of `data_type` are stored without loss, `None` if there is none.
///
/// Text of any layout becomes Utf8View, binary of any layout BinaryView, small integers the next larger signed one,
/// timestamps and times of seconds and milliseconds the same in microseconds, short decimals Decimal128, and lists of any
/// layout List; the elements of lists and the fields of structures follow the same rules.
pub fn stored_type(data_type: &DataType) -> Option<DataType> {
    stored_nested(data_type, 0)
}

fn stored_nested(data_type: &DataType, depth: usize) -> Option<DataType> {
    if depth > TYPE_DEPTH_MAX {
        return None;
    }
    let stored_field = |field: &FieldRef| {
        let stored = stored_nested(field.data_type(), depth + 1)?;
        Some(FieldRef::new(field.as_ref().clone().with_data_type(stored)))
    };
    Some(match data_type {
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => DataType::List(stored_field(element)?),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(stored_field).collect::<Option<Fields>>()?)
        }
        DataType::Dictionary(_, values) => stored_nested(values, depth + 1)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::BinaryView
        }
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Float16 => DataType::Float32,
        DataType::Time32(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(_, _)
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Interval(IntervalUnit::MonthDayNano) => data_type.clone(),
        _ => return None,
    })
}

/// Bytes of a value in a plain segment; `None` for types whose values have no fixed width of whole bytes.
pub(crate) fn value_bytes(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean => None,
        _ => data_type.primitive_width(),
    }
}

/// Whether values are integers, or decimals that may be small enough to be.
pub(crate) fn is_packable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Decimal128(_, _)
    )
}

/// How many powers of ten floats of a type may be divided by.
pub(crate) fn scaled_exponents(data_type: &DataType) -> usize {
    match data_type {
        DataType::Float32 => f32::DIVISORS.len(),
        _ => f64::DIVISORS.len(),
    }
}

/// Appends the schema.
///
/// # Errors
/// [`StorageError::Malformed`](crate::StorageError::Malformed) for types that are not stored.
pub(crate) fn encode_schema(schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
    encode_metadata(&schema.metadata, out)?;
    encode_fields(&schema.fields, out)
}

/// Reads what [`encode_schema`] wrote, or what version 1 wrote, which had no lists and structures.
pub(crate) fn decode_schema(decoder: &mut Decoder<'_>, version: Version) -> Result<Schema> {
    let metadata = decode_metadata(decoder)?;
    let fields = decode_fields(decoder, version, 0)?;
    Ok(Schema::new_with_metadata(fields, metadata))
}

fn encode_fields(fields: &Fields, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(&count(fields.len())?);
    fields.iter().try_for_each(|field| encode_field(field, out))
}

fn encode_field(field: &Field, out: &mut Vec<u8>) -> Result<()> {
    put_text(out, field.name())?;
    encode_type(field.data_type(), out)?;
    out.push(u8::from(field.is_nullable()));
    encode_metadata(field.metadata(), out)
}

fn decode_fields(decoder: &mut Decoder<'_>, version: Version, depth: usize) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for _ in 0..decoder.u32()? {
        fields.push(decode_field(decoder, version, depth)?);
    }
    Ok(fields)
}

fn decode_field(decoder: &mut Decoder<'_>, version: Version, depth: usize) -> Result<Field> {
    if depth > TYPE_DEPTH_MAX {
        return Err(malformed("types are nested too deeply"));
    }
    let name = decoder.text()?.to_owned();
    let data_type = decode_type(decoder, version, depth)?;
    let nullable = decoder.flag()?;
    let metadata = decode_metadata(decoder)?;
    Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn count(count: usize) -> Result<[u8; 4]> {
    u32::try_from(count).map(u32::to_le_bytes).map_err(|_| malformed("a list is too long"))
}

fn encode_type(data_type: &DataType, out: &mut Vec<u8>) -> Result<()> {
    match data_type {
        DataType::Boolean => out.push(1),
        DataType::Int16 => out.push(2),
        DataType::Int32 => out.push(3),
        DataType::Int64 => out.push(4),
        DataType::Float32 => out.push(5),
        DataType::Float64 => out.push(6),
        DataType::Decimal128(precision, scale) => {
            out.push(7);
            out.push(*precision);
            out.extend_from_slice(&scale.to_le_bytes());
        }
        DataType::Utf8View => out.push(8),
        DataType::BinaryView => out.push(9),
        DataType::Date32 => out.push(10),
        DataType::Time64(TimeUnit::Microsecond) => out.push(11),
        DataType::Timestamp(TimeUnit::Microsecond, None) => out.push(12),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            out.push(13);
            put_text(out, zone)?;
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => out.push(14),
        DataType::List(element) => {
            out.push(15);
            encode_field(element, out)?;
        }
        DataType::Struct(fields) => {
            out.push(16);
            encode_fields(fields, out)?;
        }
        other => return Err(malformed(format!("{other} is not a stored type"))),
    }
    Ok(())
}

fn decode_type(decoder: &mut Decoder<'_>, version: Version, depth: usize) -> Result<DataType> {
    Ok(match decoder.u8()? {
        1 => DataType::Boolean,
        2 => DataType::Int16,
        3 => DataType::Int32,
        4 => DataType::Int64,
        5 => DataType::Float32,
        6 => DataType::Float64,
        7 => {
            let precision = decoder.u8()?;
            let scale = decoder.i8()?;
            // Arrow's own limits: 38 digits, and not more of them behind the point than there are.
            if !(1..=38).contains(&precision) || scale.unsigned_abs() > precision {
                return Err(malformed(format!("decimal({precision}, {scale}) does not exist")));
            }
            DataType::Decimal128(precision, scale)
        }
        8 => DataType::Utf8View,
        9 => DataType::BinaryView,
        10 => DataType::Date32,
        11 => DataType::Time64(TimeUnit::Microsecond),
        12 => DataType::Timestamp(TimeUnit::Microsecond, None),
        13 => DataType::Timestamp(TimeUnit::Microsecond, Some(decoder.text()?.into())),
        14 => DataType::Interval(IntervalUnit::MonthDayNano),
        15 if version == Version::Two => {
            DataType::List(FieldRef::new(decode_field(decoder, version, depth + 1)?))
        }
        16 if version == Version::Two => DataType::Struct(decode_fields(decoder, version, depth + 1)?.into()),
        tag => return Err(malformed(format!("unknown column type {tag}"))),
    })
}

/// Sorted by key, so that equal schemas are equal bytes.
fn encode_metadata(metadata: &HashMap<String, String>, out: &mut Vec<u8>) -> Result<()> {
    let mut entries: Vec<_> = metadata.iter().collect();
    entries.sort_unstable();
    out.extend_from_slice(&count(entries.len())?);
    for (key, value) in entries {
        put_text(out, key)?;
        put_text(out, value)?;
    }
    Ok(())
}

fn decode_metadata(decoder: &mut Decoder<'_>) -> Result<HashMap<String, String>> {
    let mut metadata = HashMap::new();
    for _ in 0..decoder.u32()? {
        let key = decoder.text()?.to_owned();
        let value = decoder.text()?.to_owned();
        if metadata.insert(key, value).is_some() {
            return Err(malformed("a metadata key occurs twice"));
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Vec<DataType> {
        vec![
            DataType::Boolean,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, -3),
            DataType::Decimal128(1, 1),
            DataType::Utf8View,
            DataType::BinaryView,
            DataType::Date32,
            DataType::Time64(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::new_list(DataType::new_list(DataType::Utf8View, true), false),
            DataType::Struct(
                vec![
                    Field::new("a", DataType::Int32, true).with_metadata(metadata(&[("k", "v")])),
                    Field::new_struct("b", vec![Field::new("c", DataType::Float64, false)], true),
                ]
                .into(),
            ),
        ]
    }

    fn metadata(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn schemas_survive_their_encoding() {
        let fields: Vec<_> = every_type()
            .into_iter()
            .enumerate()
            .map(|(index, data_type)| {
                Field::new(format!("spalte {index} \u{e4}"), data_type, index % 2 == 0)
                    .with_metadata(metadata(&[("pg_type", "oid"), ("x", "")]))
            })
            .collect();
        let schema = Schema::new_with_metadata(fields, metadata(&[("a", "1"), ("b", "2")]));
        let mut bytes = Vec::new();
        encode_schema(&schema, &mut bytes).unwrap();
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decode_schema(&mut decoder, Version::Two).unwrap(), schema);
        decoder.end().unwrap();
        for cut in 0..bytes.len() {
            assert!(decode_schema(&mut Decoder::new(&bytes[..cut]), Version::Two).is_err());
        }
        assert!(decode_schema(&mut Decoder::new(&bytes), Version::One).is_err());
    }

    #[test]
    fn types_are_not_nested_without_end() {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&1_u32.to_le_bytes());
        // A list of a list of a list, each of an element without name.
        for _ in 0..100_000 {
            bytes.extend_from_slice(&[0, 0, 0, 0, 15]);
        }
        let error = decode_schema(&mut Decoder::new(&bytes), Version::Two).unwrap_err().to_string();
        assert!(error.contains("too deeply"), "{error}");
        let deep = (0..=TYPE_DEPTH_MAX).fold(DataType::Int32, |inner, _| DataType::new_list(inner, true));
        assert_eq!(stored_type(&deep), None);
    }

    #[test]
    fn stored_types_are_stored_as_they_are() {
        for data_type in every_type() {
            assert_eq!(stored_type(&data_type), Some(data_type));
        }
    }

    #[test]
    fn other_types_are_widened_or_refused() {
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        assert_eq!(stored_type(&text), Some(DataType::Utf8View));
        assert_eq!(stored_type(&DataType::UInt32), Some(DataType::Int64));
        assert_eq!(stored_type(&DataType::UInt64), Some(DataType::Decimal128(20, 0)));
        assert_eq!(stored_type(&DataType::Decimal64(9, 2)), Some(DataType::Decimal128(9, 2)));
        assert_eq!(stored_type(&DataType::Null), None);
        let texts = DataType::new_fixed_size_list(DataType::Utf8, 3, true);
        assert_eq!(stored_type(&texts), Some(DataType::new_list(DataType::Utf8View, true)));
        assert_eq!(stored_type(&DataType::Timestamp(TimeUnit::Nanosecond, None)), None);
        let mut bytes = Vec::new();
        let list = Field::new_list("l", Field::new_list_field(DataType::UInt8, true), true);
        assert!(encode_schema(&Schema::new(vec![list]), &mut bytes).is_err());
    }
}
