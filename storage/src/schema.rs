//! The columns of a shard as bytes of its footer, and which Arrow types they may have.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, TimeUnit};

use crate::Result;
use crate::decoder::{Decoder, malformed, put_text};

/// The type in which values of `data_type` are stored without loss, `None` if there is none.
///
/// Text of any layout becomes Utf8View, binary of any layout BinaryView, small integers the next larger signed one,
/// timestamps and times of seconds and milliseconds the same in microseconds.
pub fn stored_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::BinaryView
        }
        DataType::Dictionary(_, values) => stored_type(values)?,
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
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

/// Appends the schema.
///
/// # Errors
/// [`StorageError::Malformed`](crate::StorageError::Malformed) for types that are not stored.
pub(crate) fn encode_schema(schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
    encode_metadata(&schema.metadata, out)?;
    out.extend_from_slice(&count(schema.fields.len())?);
    for field in &schema.fields {
        put_text(out, field.name())?;
        encode_type(field.data_type(), out)?;
        out.push(u8::from(field.is_nullable()));
        encode_metadata(field.metadata(), out)?;
    }
    Ok(())
}

/// Reads what [`encode_schema`] wrote.
pub(crate) fn decode_schema(decoder: &mut Decoder<'_>) -> Result<Schema> {
    let metadata = decode_metadata(decoder)?;
    let mut fields = Vec::new();
    for _ in 0..decoder.u32()? {
        let name = decoder.text()?.to_owned();
        let data_type = decode_type(decoder)?;
        let nullable = decoder.flag()?;
        let metadata = decode_metadata(decoder)?;
        fields.push(Field::new(name, data_type, nullable).with_metadata(metadata));
    }
    Ok(Schema::new_with_metadata(fields, metadata))
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
        other => return Err(malformed(format!("{other} is not a stored type"))),
    }
    Ok(())
}

fn decode_type(decoder: &mut Decoder<'_>) -> Result<DataType> {
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
        assert_eq!(decode_schema(&mut decoder).unwrap(), schema);
        decoder.end().unwrap();
        for cut in 0..bytes.len() {
            assert!(decode_schema(&mut Decoder::new(&bytes[..cut])).is_err());
        }
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
        assert_eq!(stored_type(&DataType::UInt64), None);
        assert_eq!(stored_type(&DataType::Timestamp(TimeUnit::Nanosecond, None)), None);
        let mut bytes = Vec::new();
        let list = Field::new_list("l", Field::new_list_field(DataType::Int32, true), true);
        assert!(encode_schema(&Schema::new(vec![list]), &mut bytes).is_err());
    }
}
