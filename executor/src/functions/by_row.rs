//! Functions that are computed value by value: NULL for a NULL argument, one result per row.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewBuilder, BooleanArray, Decimal128Array,
    ListArray, PrimitiveArray, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::functions::arrays::shape::Arrays;
use crate::functions::function::{internal, is_int, is_text, over_arrays};

/// The arguments of one row, none of them NULL.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    arrays: &'a [ArrayRef],
    row: usize,
}

impl<'a> Row<'a> {
    /// The arguments at a row of which none is NULL.
    pub(crate) fn at(arrays: &'a [ArrayRef], row: usize) -> Self {
        Self { arrays, row }
    }

    fn array(&self, index: usize) -> Result<&'a ArrayRef> {
        self.arrays.get(index).ok_or_else(|| internal(format!("argument {index} is missing")))
    }

    /// How many arguments there are.
    pub(crate) fn len(&self) -> usize {
        self.arrays.len()
    }

    pub(crate) fn text(&self, index: usize) -> Result<&'a str> {
        let array = self.array(index)?.as_string_view_opt();
        array.map(|array| array.value(self.row)).ok_or_else(|| internal("an argument is no text"))
    }

    pub(crate) fn bytes(&self, index: usize) -> Result<&'a [u8]> {
        let array = self.array(index)?.as_binary_view_opt();
        array.map(|array| array.value(self.row)).ok_or_else(|| internal("an argument is no bytea"))
    }

    /// The elements of an array of texts.
    pub(crate) fn text_list(&self, index: usize) -> Result<Vec<Option<String>>> {
        let lists = Arrays::of(self.array(index)?)?;
        let texts = lists.elements().as_string_view_opt().ok_or_else(|| internal("an element is no text"))?;
        let range = lists.get(self.row).map_or(0..0, |value| value.range);
        Ok(range.map(|place| texts.is_valid(place).then(|| texts.value(place).to_owned())).collect())
    }

    pub(crate) fn boolean(&self, index: usize) -> Result<bool> {
        let array = self.array(index)?.as_boolean_opt();
        array.map(|array| array.value(self.row)).ok_or_else(|| internal("an argument is no boolean"))
    }

    pub(crate) fn value<T: ArrowPrimitiveType>(&self, index: usize) -> Result<T::Native> {
        let array = self.array(index)?.as_primitive_opt::<T>();
        array
            .map(|array| array.value(self.row))
            .ok_or_else(|| internal(format!("an argument is no {}", T::DATA_TYPE)))
    }

    pub(crate) fn int(&self, index: usize) -> Result<i32> {
        self.value::<Int32Type>(index)
    }

    pub(crate) fn long(&self, index: usize) -> Result<i64> {
        self.value::<Int64Type>(index)
    }

    pub(crate) fn float(&self, index: usize) -> Result<f64> {
        self.value::<Float64Type>(index)
    }

    pub(crate) fn interval(&self, index: usize) -> Result<IntervalMonthDayNano> {
        self.value::<IntervalMonthDayNanoType>(index)
    }

    /// The unscaled value and scale of a `numeric`.
    pub(crate) fn numeric(&self, index: usize) -> Result<(i128, i8)> {
        let DataType::Decimal128(_, scale) = self.array(index)?.data_type() else {
            return Err(internal("an argument is no numeric"));
        };
        Ok((self.value::<Decimal128Type>(index)?, *scale))
    }
}

/// What `each` gives for every row without NULLs, collected by `collect`.
fn rows<T>(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<T>>,
    collect: impl Fn(Vec<Option<T>>) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let count = arrays.first().map_or(1, |array| array.len());
        let mut values = Vec::with_capacity(count);
        for row in 0..count {
            let null = arrays.iter().any(|array| array.is_null(row) || array.data_type().is_null());
            values.push(if null { None } else { each(&Row { arrays, row })? });
        }
        collect(values)
    })
}

/// Text of each row.
pub(crate) fn texts(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<String>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| Ok(Arc::new(StringViewArray::from_iter(values))))
}

/// Bytes of each row.
pub(crate) fn byteas(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<Vec<u8>>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| {
        let mut builder = BinaryViewBuilder::with_capacity(values.len());
        values.iter().for_each(|value| builder.append_option(value.as_deref()));
        Ok(Arc::new(builder.finish()))
    })
}

/// A truth value of each row.
pub(crate) fn booleans(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<bool>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| Ok(Arc::new(BooleanArray::from(values))))
}

/// A value of the result's type of each row.
pub(crate) fn values<T: ArrowPrimitiveType>(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<T::Native>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| {
        let array = PrimitiveArray::<T>::from_iter(values);
        Ok(Arc::new(array.with_data_type(args.return_type().clone())))
    })
}

/// A `numeric` of the result's type of each row, unscaled.
pub(crate) fn numerics(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<i128>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| {
        let DataType::Decimal128(precision, scale) = args.return_type() else {
            return Err(internal("a numeric result of another type"));
        };
        Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?))
    })
}

/// An array of text of each row; elements may be NULL.
pub(crate) fn text_arrays(
    args: &ScalarFunctionArgs,
    each: impl Fn(&Row<'_>) -> Result<Option<Vec<Option<String>>>>,
) -> Result<ColumnarValue> {
    rows(args, each, |values| {
        let lengths = values.iter().map(|list| list.as_ref().map_or(0, Vec::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
        let mut items = StringViewBuilder::new();
        for item in values.iter().flatten().flatten() {
            items.append_option(item.as_deref());
        }
        let field = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(items.finish()), Some(nulls))?))
    })
}

/// An array of text.
pub(crate) fn text_array() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
}

/// The kinds of arguments that a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Text,
    /// Any integer that fits an `integer`.
    Int,
    /// Any number.
    Float,
}

/// The coerced types for arguments of these kinds, of which the last `optional` may be missing.
pub(crate) fn take(types: &[DataType], kinds: &[Takes], optional: usize) -> Option<Vec<DataType>> {
    if types.len() > kinds.len() || types.len() + optional < kinds.len() {
        return None;
    }
    types
        .iter()
        .zip(kinds)
        .map(|(from, kind)| {
            // A literal of no type is Utf8.
            let unknown = matches!(from, DataType::Null | DataType::Utf8);
            match kind {
                Takes::Text if is_text(from) || from.is_null() => Some(DataType::Utf8View),
                Takes::Int if unknown || is_int(from) && *from != DataType::Int64 => Some(DataType::Int32),
                Takes::Float if unknown || crate::functions::arithmetic::is_number(from) => {
                    Some(DataType::Float64)
                }
                _ => None,
            }
        })
        .collect()
}
