//! Rows of every type, made by a small generator, so that every run sees the same ones.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The columns: `n*` may be NULL, `word` has few values, `name` nearly as many as rows, `clock` goes up with the rows.
pub fn schema() -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("small", DataType::Int16),
        field("medium", DataType::Int32),
        field("nlarge", DataType::Int64),
        field("real", DataType::Float32),
        field("ndouble", DataType::Float64),
        field("price", DataType::Decimal128(12, 2)),
        field("nflag", DataType::Boolean),
        field("nword", DataType::Utf8View),
        field("name", DataType::Utf8View),
        field("day", DataType::Date32),
        field("hour", DataType::Time64(TimeUnit::Microsecond)),
        field("nmoment", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("instant", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))),
        field("wild", DataType::Float64),
        field("clock", DataType::Int64),
        field("many", DataType::Int64),
    ]))
}

/// The next number of the generator (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `rows` rows that start at number `first`. Floats are eighths, so that their sums are exact in any order.
pub fn rows(first: u64, rows: usize) -> RecordBatch {
    const WORDS: [&str; 7] = ["", "ab", "abc", "delta", "zebra", "a rather longer word", "Ähre"];
    let numbers: Vec<[u64; 4]> = (0..rows as u64)
        .map(|row| {
            let mut state = first.wrapping_add(row).wrapping_mul(77).wrapping_add(5);
            [next(&mut state), next(&mut state), next(&mut state), next(&mut state)]
        })
        .collect();
    let of = |make: fn(u64, &[u64; 4]) -> ArrayValue| -> Vec<ArrayValue> {
        (first..).zip(&numbers).map(|(row, numbers)| make(row, numbers)).collect()
    };
    let ints = |make: fn(u64, &[u64; 4]) -> Option<i64>| -> Vec<Option<i64>> {
        (first..).zip(&numbers).map(|(row, numbers)| make(row, numbers)).collect()
    };
    let id = ints(|row, _| Some(row as i64));
    let small = ints(|_, n| Some((n[0] % 100) as i64 - 50));
    let medium = ints(|_, n| Some((n[1] % 10_000) as i64 - 5_000));
    let nlarge = ints(|_, n| (n[2] % 11 != 0).then_some((n[2] % 1_000_003) as i64 * 1_000_000_007));
    let real = ints(|_, n| Some((n[3] % 4_001) as i64 - 2_000));
    let ndouble = ints(|_, n| (n[0] % 5 != 0).then_some((n[0] % 80_001) as i64 - 40_000));
    let price = ints(|_, n| Some((n[1] % 2_000_000) as i64 - 1_000_000));
    let nflag = ints(|_, n| (n[2] % 3 != 0).then_some((n[2] % 2) as i64));
    let nword = ints(|_, n| (n[3] % 9 != 0).then_some((n[3] % 7) as i64));
    let day = ints(|row, _| Some(18_000 + (row / 1_000) as i64));
    let hour = ints(|_, n| Some((n[0] % 86_400) as i64 * 1_000_000));
    let nmoment = ints(|row, n| (n[1] % 4 != 0).then_some(1_600_000_000_000_000 + row as i64 * 60_000_000));
    let instant = ints(|row, _| Some(1_500_000_000_000_000 + row as i64 * 3_600_000_000));
    let clock = ints(|row, _| Some(row as i64 / 10));
    let many = ints(|_, n| Some((n[1] % 300_000) as i64 * 7_919));
    let wild = of(|_, n| match n[2] % 50 {
        0 => ArrayValue::Float(f64::NAN),
        1 => ArrayValue::Float(f64::INFINITY),
        2 => ArrayValue::Float(-0.0),
        3 => ArrayValue::Null,
        _ => ArrayValue::Float(((n[2] % 1_000) as f64 - 500.0) / 8.0),
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(id.clone())),
        Arc::new(small.iter().map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        Arc::new(medium.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(Int64Array::from(nlarge)),
        Arc::new(real.iter().map(|v| v.map(|v| v as f32 / 8.0)).collect::<Float32Array>()),
        Arc::new(ndouble.iter().map(|v| v.map(|v| v as f64 / 8.0)).collect::<Float64Array>()),
        Arc::new(
            price
                .iter()
                .map(|v| v.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(nflag.iter().map(|v| v.map(|v| v == 1)).collect::<BooleanArray>()),
        Arc::new(nword.iter().map(|v| v.map(|v| WORDS[v as usize])).collect::<StringViewArray>()),
        Arc::new(
            id.iter()
                .map(|v| v.map(|v| format!("name {:07} of a row", (v * 37) % 10_000_019)))
                .collect::<StringViewArray>(),
        ),
        Arc::new(day.iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>()),
        Arc::new(Time64MicrosecondArray::from(hour)),
        Arc::new(TimestampMicrosecondArray::from(nmoment)),
        Arc::new(TimestampMicrosecondArray::from(instant).with_timezone("+00:00")),
        Arc::new(
            wild.iter()
                .map(|v| match v {
                    ArrayValue::Float(v) => Some(*v),
                    ArrayValue::Null => None,
                })
                .collect::<Float64Array>(),
        ),
        Arc::new(Int64Array::from(clock)),
        Arc::new(Int64Array::from(many)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

enum ArrayValue {
    Float(f64),
    Null,
}
