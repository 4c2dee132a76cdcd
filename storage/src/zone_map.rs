//! What is known about the values of a chunk or a column without reading them.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use quickdb_kernels::packing;

use crate::decoder::{Decoder, malformed};
use crate::{Bound, Result, TEXT_BOUND_BYTES_MAX};

/// What is known about one column of one row group.
///
/// The bounds ignore NULL and NaN. They are both there or both absent: absent when nothing but NULL and NaN is left,
/// when the type has no order (binary, intervals), or when no short upper bound exists. **Absent bounds therefore say
/// nothing**; that no value can match follows from `null_count + nan_count == row_count` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneMap {
    /// Rows of the row group, NULLs included.
    pub row_count: u64,
    /// Rows that are NULL.
    pub null_count: u64,
    /// Rows that are NaN; 0 for every type but floats. PostgreSQL sorts NaN above every other value.
    pub nan_count: u64,
    /// No value but NULL and NaN lies below.
    pub min: Option<Bound>,
    /// No value but NULL and NaN lies above.
    pub max: Option<Bound>,
}

/// What is known about one column of a whole shard. The bounds mean what they mean in [`ZoneMap`].
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Rows that are NULL.
    pub null_count: u64,
    /// Rows that are NaN.
    pub nan_count: u64,
    /// No value but NULL and NaN lies below.
    pub min: Option<Bound>,
    /// No value but NULL and NaN lies above.
    pub max: Option<Bound>,
    /// How many different values there are, NULL not counted: known where the column has a dictionary, is constant or
    /// is all NULL.
    pub distinct: Option<u64>,
}

impl ZoneMap {
    /// What is known of `array`, by reading all its values; it has a stored type.
    pub fn gather(array: &dyn Array) -> Self {
        let (nan_count, bounds) = match array.data_type() {
            DataType::Boolean => (0, bool_bounds(array)),
            DataType::Int16 => (0, int_bounds::<Int16Type>(array)),
            DataType::Int32 => (0, int_bounds::<Int32Type>(array)),
            DataType::Int64 => (0, int_bounds::<Int64Type>(array)),
            DataType::Date32 => (0, int_bounds::<Date32Type>(array)),
            DataType::Time64(_) => (0, int_bounds::<Time64MicrosecondType>(array)),
            DataType::Timestamp(_, _) => (0, int_bounds::<TimestampMicrosecondType>(array)),
            DataType::Float32 => float_bounds::<Float32Type>(array),
            DataType::Float64 => float_bounds::<Float64Type>(array),
            DataType::Decimal128(_, _) => {
                let bounds = min_max(array.as_primitive::<Decimal128Type>());
                (0, bounds.map(|(min, max)| (Bound::Decimal(min), Bound::Decimal(max))))
            }
            DataType::Utf8View => (0, text_bounds(array)),
            _ => (0, None),
        };
        Self::new(array.len() as u64, array.null_count() as u64, nan_count, bounds)
    }

    pub(crate) fn new(
        row_count: u64,
        null_count: u64,
        nan_count: u64,
        bounds: Option<(Bound, Bound)>,
    ) -> Self {
        let (min, max) = bounds.unzip();
        Self { row_count, null_count, nan_count, min, max }
    }

    /// True when there is a value that is neither NULL nor NaN.
    fn has_values(&self) -> bool {
        self.null_count + self.nan_count < self.row_count
    }

    /// Appends counts and bounds; the row count follows from the shard's.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.null_count.to_le_bytes());
        out.extend_from_slice(&self.nan_count.to_le_bytes());
        encode_bounds(self.min.as_ref(), self.max.as_ref(), out);
    }

    /// Reads what [`encode`](Self::encode) wrote for a column of `data_type`.
    pub(crate) fn decode(decoder: &mut Decoder<'_>, row_count: u64, data_type: &DataType) -> Result<Self> {
        let null_count = decoder.u64()?;
        let nan_count = decoder.u64()?;
        let bounds = decode_bounds(decoder)?;
        if null_count.checked_add(nan_count).is_none_or(|count| count > row_count) {
            return Err(malformed(format!(
                "{null_count} NULLs and {nan_count} NaNs are more than {row_count} rows"
            )));
        }
        if nan_count > 0 && !data_type.is_floating() {
            return Err(malformed(format!("{data_type} has NaNs")));
        }
        let zone_map = Self::new(row_count, null_count, nan_count, bounds);
        for bound in zone_map.min.iter().chain(&zone_map.max) {
            if !zone_map.has_values() {
                return Err(malformed("there are bounds, but no values"));
            }
            if !is_bound_of(bound, data_type) {
                return Err(malformed(format!("a bound of {data_type} is {bound:?}")));
            }
        }
        Ok(zone_map)
    }
}

impl ColumnSummary {
    /// Puts the zone maps of a column together. `dictionary_entries` is the size of its dictionary, if it has one.
    pub(crate) fn merge<'a>(
        zone_maps: impl IntoIterator<Item = &'a ZoneMap>,
        dictionary_entries: Option<u64>,
    ) -> Self {
        let mut summary = Self { null_count: 0, nan_count: 0, min: None, max: None, distinct: None };
        let mut has_values = false;
        let mut is_bounded = true;
        for zone_map in zone_maps {
            summary.null_count += zone_map.null_count;
            summary.nan_count += zone_map.nan_count;
            if !zone_map.has_values() {
                continue;
            }
            has_values = true;
            match (&zone_map.min, &zone_map.max) {
                (Some(min), Some(max)) if is_bounded => {
                    if summary.min.as_ref().is_none_or(|least| min < least) {
                        summary.min = Some(min.clone());
                    }
                    if summary.max.as_ref().is_none_or(|greatest| max > greatest) {
                        summary.max = Some(max.clone());
                    }
                }
                // One row group without bounds leaves the column without.
                _ => is_bounded = false,
            }
        }
        if !is_bounded {
            summary.min = None;
            summary.max = None;
        }
        let is_constant = summary.min.is_some() && summary.min == summary.max && summary.nan_count == 0;
        summary.distinct = match dictionary_entries {
            Some(entries) => Some(entries),
            None if !has_values && summary.nan_count == 0 => Some(0),
            None if is_constant => Some(1),
            None => None,
        };
        summary
    }

    /// Appends the summary, for those who keep it elsewhere (see `FORMAT.md`).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.null_count.to_le_bytes());
        out.extend_from_slice(&self.nan_count.to_le_bytes());
        encode_bounds(self.min.as_ref(), self.max.as_ref(), out);
        out.push(u8::from(self.distinct.is_some()));
        if let Some(distinct) = self.distinct {
            out.extend_from_slice(&distinct.to_le_bytes());
        }
    }

    /// Reads what [`encode`](Self::encode) wrote from the front of `input` and takes it off.
    ///
    /// # Errors
    /// [`StorageError::Malformed`](crate::StorageError::Malformed) on any other bytes; `input` is then unchanged.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(input);
        let null_count = decoder.u64()?;
        let nan_count = decoder.u64()?;
        let (min, max) = decode_bounds(&mut decoder)?.unzip();
        let distinct = if decoder.flag()? { Some(decoder.u64()?) } else { None };
        *input = decoder.rest();
        Ok(Self { null_count, nan_count, min, max, distinct })
    }
}

/// One byte that says whether there are bounds, then the smaller and the larger one.
fn encode_bounds(min: Option<&Bound>, max: Option<&Bound>, out: &mut Vec<u8>) {
    match (min, max) {
        (Some(min), Some(max)) => {
            out.push(1);
            min.encode(out);
            max.encode(out);
        }
        _ => out.push(0),
    }
}

fn decode_bounds(decoder: &mut Decoder<'_>) -> Result<Option<(Bound, Bound)>> {
    if !decoder.flag()? {
        return Ok(None);
    }
    let min = Bound::decode_from(decoder)?;
    let max = Bound::decode_from(decoder)?;
    if std::mem::discriminant(&min) != std::mem::discriminant(&max) || min > max {
        return Err(malformed(format!("bounds {min:?} and {max:?} do not fit together")));
    }
    Ok(Some((min, max)))
}

fn is_bound_of(bound: &Bound, data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean => matches!(bound, Bound::Bool(_)),
        DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Timestamp(_, _) => matches!(bound, Bound::Int(_)),
        DataType::Float32 | DataType::Float64 => matches!(bound, Bound::Float(_)),
        DataType::Decimal128(_, _) => matches!(bound, Bound::Decimal(_)),
        DataType::Utf8View => matches!(bound, Bound::Text(text) if text.len() <= TEXT_BOUND_BYTES_MAX),
        _ => false,
    }
}

fn bool_bounds(array: &dyn Array) -> Option<(Bound, Bound)> {
    let array = array.as_boolean();
    let (has_true, has_false) = (array.true_count() > 0, array.false_count() > 0);
    (has_true || has_false).then_some((Bound::Bool(!has_false), Bound::Bool(has_true)))
}

/// The values that are not NULL, in as few slices as they make.
fn valid_slices<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> impl Iterator<Item = &[T::Native]> {
    let values: &[T::Native] = array.values();
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    let whole = nulls.is_none().then_some(values);
    let slices = nulls.into_iter().flat_map(NullBuffer::valid_slices);
    whole.into_iter().chain(slices.filter_map(|(start, end)| values.get(start..end)))
}

/// Smallest and largest value that is not NULL.
fn min_max<T>(array: &PrimitiveArray<T>) -> Option<(T::Native, T::Native)>
where
    T: ArrowPrimitiveType,
    T::Native: Ord,
{
    let ranges = valid_slices(array).filter_map(packing::range);
    ranges.reduce(|(min, max), (low, high)| (min.min(low), max.max(high)))
}

fn int_bounds<T>(array: &dyn Array) -> Option<(Bound, Bound)>
where
    T: ArrowPrimitiveType,
    T::Native: Ord + Into<i64>,
{
    let (min, max) = min_max(array.as_primitive::<T>())?;
    Some((Bound::Int(min.into()), Bound::Int(max.into())))
}

/// Number of NaNs, and bounds of the rest.
fn float_bounds<T>(array: &dyn Array) -> (u64, Option<(Bound, Bound)>)
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let mut nan_count = 0;
    let mut bounds: Option<(f64, f64)> = None;
    for values in valid_slices(array.as_primitive::<T>()) {
        let (nans, range) = float_range(values);
        nan_count += nans;
        let Some((low, high)) = range else { continue };
        let (min, max) = bounds.get_or_insert((low, high));
        if low.total_cmp(min).is_lt() {
            *min = low;
        }
        if high.total_cmp(max).is_gt() {
            *max = high;
        }
    }
    (nan_count, bounds.map(|(min, max)| (Bound::Float(min), Bound::Float(max))))
}

/// Number of NaNs, and the least and the greatest of the rest; -0 lies below 0.
fn float_range<T: Copy + Into<f64>>(values: &[T]) -> (u64, Option<(f64, f64)>) {
    let (mut nans, mut min, mut max) = (0_u64, f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        let value: f64 = (*value).into();
        nans += u64::from(value.is_nan());
        // NaN is neither.
        min = if value < min { value } else { min };
        max = if value > max { value } else { max };
    }
    if nans == values.len() as u64 {
        return (nans, None);
    }
    // Comparing does not tell the zeros apart.
    let has = |zero: f64| values.iter().any(|value| (*value).into().to_bits() == zero.to_bits());
    if min == 0.0 {
        min = if has(-0.0) { -0.0 } else { 0.0 };
    }
    if max == 0.0 {
        max = if has(0.0) { 0.0 } else { -0.0 };
    }
    (nans, Some((min, max)))
}

fn text_bounds(array: &dyn Array) -> Option<(Bound, Bound)> {
    let mut values = array.as_string_view().iter().flatten();
    let first = values.next()?;
    let (min, max) = values.fold((first, first), |(min, max), value| (min.min(value), max.max(value)));
    Bound::of_text(min, max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BinaryViewArray, BooleanArray, Float32Array, Float64Array, Int32Array, StringViewArray,
    };

    fn check(array: &dyn Array, nulls: u64, nans: u64, bounds: Option<(Bound, Bound)>) {
        assert_eq!(ZoneMap::gather(array), ZoneMap::new(array.len() as u64, nulls, nans, bounds));
    }

    #[test]
    fn bounds_ignore_null_and_nan() {
        check(&Int32Array::from(vec![Some(3), None, Some(-7)]), 1, 0, Some((Bound::Int(-7), Bound::Int(3))));
        check(&Int32Array::from(vec![None, None]), 2, 0, None);
        check(&Int32Array::from(Vec::<i32>::new()), 0, 0, None);
        check(
            &Float64Array::from(vec![Some(f64::NAN), Some(-f64::NAN), None, Some(1.5), Some(f64::INFINITY)]),
            1,
            2,
            Some((Bound::Float(1.5), Bound::Float(f64::INFINITY))),
        );
        check(&Float32Array::from(vec![f32::NAN]), 0, 1, None);
        check(&Float32Array::from(vec![0.0, -0.0]), 0, 0, Some((Bound::Float(-0.0), Bound::Float(0.0))));
        check(
            &BooleanArray::from(vec![Some(true), None]),
            1,
            0,
            Some((Bound::Bool(true), Bound::Bool(true))),
        );
        check(
            &StringViewArray::from(vec![Some("b"), None, Some("")]),
            1,
            0,
            Some((Bound::Text(String::new()), Bound::Text("b".to_owned()))),
        );
        check(&BinaryViewArray::from(vec![Some(&b"b"[..]), None]), 1, 0, None);
    }

    #[test]
    fn a_summary_knows_the_distinct_count_of_constants() {
        let zone_map = |array: &dyn Array| ZoneMap::gather(array);
        let distinct = |zone_maps: &[ZoneMap], entries| ColumnSummary::merge(zone_maps, entries).distinct;
        let five = zone_map(&Int32Array::from(vec![Some(5), None]));
        let six = zone_map(&Int32Array::from(vec![6]));
        let nulls = zone_map(&Int32Array::from(vec![None]));
        assert_eq!(distinct(&[], None), Some(0));
        assert_eq!(distinct(std::slice::from_ref(&nulls), None), Some(0));
        assert_eq!(distinct(&[five.clone(), nulls, five.clone()], None), Some(1));
        assert_eq!(distinct(&[five.clone(), six.clone()], None), None);
        assert_eq!(distinct(&[five, six], Some(2)), Some(2));
        assert_eq!(distinct(&[zone_map(&Float64Array::from(vec![1.0, f64::NAN]))], None), None);
    }

    #[test]
    fn one_unbounded_row_group_leaves_the_column_unbounded() {
        let top = "\u{10ffff}".repeat(20);
        let unbounded = ZoneMap::gather(&StringViewArray::from(vec![top.as_str()]));
        assert_eq!((&unbounded.min, &unbounded.max), (&None, &None));
        let bounded = ZoneMap::gather(&StringViewArray::from(vec!["a"]));
        for order in [[&bounded, &unbounded], [&unbounded, &bounded]] {
            let summary = ColumnSummary::merge(order, None);
            assert_eq!((summary.min, summary.max, summary.distinct), (None, None, None));
        }
    }

    #[test]
    fn a_summary_survives_its_encoding() {
        let summary = ColumnSummary {
            null_count: 3,
            nan_count: 0,
            min: Some(Bound::Text("a".to_owned())),
            max: Some(Bound::Text("b".to_owned())),
            distinct: Some(2),
        };
        let mut bytes = Vec::new();
        summary.encode(&mut bytes);
        assert_eq!(ColumnSummary::decode(&mut bytes.as_slice()).unwrap(), summary);
        for cut in 0..bytes.len() {
            assert!(ColumnSummary::decode(&mut &bytes[..cut]).is_err());
        }
    }
}
