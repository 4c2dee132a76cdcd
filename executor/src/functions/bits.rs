//! Bits and bytes of a `bytea`.
//!
//! Bytes are counted from 0; bit 0 is the lowest of the first byte.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::error::ErrorKind;
use crate::functions::by_row::{byteas, values};
use crate::functions::function::{Function, error, is_int};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "get_byte",
            |types| of_bytes(types, &[DataType::Int32]),
            |_, _| Ok(DataType::Int32),
            |args| {
                values::<Int32Type>(args, |row| {
                    let bytes = row.bytes(0)?;
                    let index = place(row.int(1)?.into(), bytes.len())?;
                    Ok(bytes.get(index).map(|byte| i32::from(*byte)))
                })
            },
        )
        .udf(),
        Function::new(
            "get_bit",
            |types| of_bytes(types, &[DataType::Int64]),
            |_, _| Ok(DataType::Int32),
            |args| {
                values::<Int32Type>(args, |row| {
                    let bytes = row.bytes(0)?;
                    let index = place(row.long(1)?, bytes.len().saturating_mul(8))?;
                    Ok(bytes.get(index / 8).map(|byte| i32::from(*byte >> (index % 8) & 1)))
                })
            },
        )
        .udf(),
        Function::new(
            "set_byte",
            |types| of_bytes(types, &[DataType::Int32, DataType::Int32]),
            |_, _| Ok(DataType::BinaryView),
            |args| {
                byteas(args, |row| {
                    let mut bytes = row.bytes(0)?.to_vec();
                    let index = place(row.int(1)?.into(), bytes.len())?;
                    let [value, ..] = row.int(2)?.to_le_bytes();
                    if let Some(byte) = bytes.get_mut(index) {
                        *byte = value;
                    }
                    Ok(Some(bytes))
                })
            },
        )
        .udf(),
        Function::new(
            "set_bit",
            |types| of_bytes(types, &[DataType::Int64, DataType::Int32]),
            |_, _| Ok(DataType::BinaryView),
            |args| {
                byteas(args, |row| {
                    let mut bytes = row.bytes(0)?.to_vec();
                    let index = place(row.long(1)?, bytes.len().saturating_mul(8))?;
                    let mask = 1_u8 << (index % 8);
                    let bit = row.int(2)?;
                    if let Some(byte) = bytes.get_mut(index / 8) {
                        *byte = match bit {
                            0 => *byte & !mask,
                            1 => *byte | mask,
                            _ => return Err(error(ErrorKind::InvalidParameter, "new bit must be 0 or 1")),
                        };
                    }
                    Ok(Some(bytes))
                })
            },
        )
        .udf(),
        Function::new(
            "bit_count",
            |types| of_bytes(types, &[]),
            |_, _| Ok(DataType::Int64),
            |args| {
                values::<Int64Type>(args, |row| {
                    Ok(Some(row.bytes(0)?.iter().map(|byte| i64::from(byte.count_ones())).sum()))
                })
            },
        )
        .udf(),
    ]
}

/// A `bytea` and integers of the given types.
fn of_bytes(types: &[DataType], rest: &[DataType]) -> Option<Vec<DataType>> {
    let (bytes, numbers) = types.split_first()?;
    let binary = matches!(
        bytes,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::Utf8 | DataType::Null
    );
    let fits = |(from, to): (&DataType, &DataType)| {
        is_int(from) && (*to == DataType::Int64 || *from != DataType::Int64) || matches!(from, DataType::Null)
    };
    let all = numbers.len() == rest.len() && numbers.iter().zip(rest).all(fits);
    (binary && all).then(|| std::iter::once(DataType::BinaryView).chain(rest.iter().cloned()).collect())
}

fn place(index: i64, count: usize) -> Result<usize> {
    usize::try_from(index).ok().filter(|index| *index < count).ok_or_else(|| {
        let last = i64::try_from(count).unwrap_or(i64::MAX) - 1;
        error(ErrorKind::ArraySubscript, format!("index {index} out of valid range, 0..{last}"))
    })
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    #[test]
    fn bits_count_from_the_lowest() {
        let bytes = ScalarValue::BinaryView(Some(vec![0b0000_0101, 0b1000_0000]));
        let get = |bit: i32| call_named("get_bit", &[bytes.clone(), ScalarValue::Int32(Some(bit))]).ok();
        let bit = |value| Some(ScalarValue::Int32(Some(value)));
        assert_eq!((get(0), get(1), get(15), get(16)), (bit(1), bit(0), bit(1), None));
    }
}
