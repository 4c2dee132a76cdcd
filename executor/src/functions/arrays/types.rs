//! The types that arrays and elements meet in: PostgreSQL's `anycompatible`.

use datafusion::arrow::datatypes::DataType;

use super::shape::{is_multi, item_of, list_of, multi_of};
use crate::functions::arithmetic::common_number_types;
use crate::functions::function::is_text;
use crate::functions::type_names::{timestamp, timestamptz};

/// Whether nothing gave the expression a type yet: NULL, or a literal in quotes.
pub(crate) fn is_unknown(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Null | DataType::Utf8)
}

/// The type that holds values of both types without loss, `None` where PostgreSQL has none.
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (DataType::Null | DataType::Utf8, other) | (other, DataType::Null | DataType::Utf8) => {
            return Some(other.clone());
        }
        _ => {}
    }
    if let (Some(l), Some(r)) = (item_of(left), item_of(right)) {
        let item = common_type(l, r)?;
        return Some(if is_multi(left) || is_multi(right) { multi_of(item) } else { list_of(item) });
    }
    if is_text(left) && is_text(right) {
        return Some(DataType::Utf8View);
    }
    if let Some(numbers) = common_number_types(left, right) {
        return Some(match numbers {
            (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
                let scale = s1.max(s2);
                let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
                let precision = u8::try_from((whole + i16::from(scale)).clamp(1, 38)).unwrap_or(38);
                DataType::Decimal128(precision, scale)
            }
            (common, _) => common,
        });
    }
    let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Date32 | DataType::Timestamp(..));
    if is_time(left) && is_time(right) {
        return Some(if zoned(left) || zoned(right) { timestamptz() } else { timestamp() });
    }
    None
}

/// An array type over other elements.
pub fn with_item(array: &DataType, item: DataType) -> DataType {
    if is_multi(array) { multi_of(item) } else { list_of(item) }
}

/// The types of an array and an element of it: both of their common element type.
pub(crate) fn array_and_element(array: &DataType, element: &DataType) -> Option<(DataType, DataType)> {
    match item_of(array) {
        Some(item) => {
            let item = common_type(item, element).filter(|_| item_of(element).is_none())?;
            // A literal of no type takes the element's.
            let item = if is_unknown(&item) { DataType::Utf8View } else { item };
            Some((with_item(array, item.clone()), item))
        }
        None if is_unknown(array) && item_of(element).is_none() => {
            let item = if is_unknown(element) { DataType::Utf8View } else { element.clone() };
            Some((list_of(item.clone()), item))
        }
        None => None,
    }
}

/// The types of two arrays: both over their common element type, each in its own form.
pub(crate) fn two_arrays(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    match (item_of(left), item_of(right)) {
        (Some(l), Some(r)) => {
            let item = common_type(l, r)?;
            let item = if is_unknown(&item) { DataType::Utf8View } else { item };
            Some((with_item(left, item.clone()), with_item(right, item)))
        }
        (Some(_), None) if is_unknown(right) => Some((left.clone(), list_of(item_of(left)?.clone()))),
        (None, Some(_)) if is_unknown(left) => Some((list_of(item_of(right)?.clone()), right.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_meet_in_the_wider_type() {
        assert_eq!(
            array_and_element(&list_of(DataType::Int32), &DataType::Float64),
            Some((list_of(DataType::Float64), DataType::Float64))
        );
        assert_eq!(
            two_arrays(&multi_of(DataType::Int16), &list_of(DataType::Int64)),
            Some((multi_of(DataType::Int64), list_of(DataType::Int64)))
        );
        assert_eq!(array_and_element(&list_of(DataType::Int32), &DataType::Boolean), None);
    }
}
