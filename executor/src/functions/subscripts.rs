//! Subscripts of arrays, which introspection queries use to take arrays apart.
//!
//! PostgreSQL's `generate_subscripts` and `information_schema._pg_expandarray` return sets. Here each gives the array
//! of what the set would hold, for the planner to unnest. Arrays are rectangular: the first element of a
//! dimension tells the length of the next one.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int32Builder, Int64Builder, ListArray, ListBuilder, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int32Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::functions::function::{Function, arg, is_int, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

/// The functions of this file.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "array_upper",
            list_and_dimension,
            |_, _| Ok(DataType::Int32),
            |args| {
                let first = first_subscript(args);
                over_arrays(args, |arrays| bounds(arrays, |length| length + first - 1))
            },
        )
        .nullable()
        .udf(),
        Function::new(
            "array_lower",
            list_and_dimension,
            |_, _| Ok(DataType::Int32),
            |args| {
                let first = first_subscript(args);
                over_arrays(args, |arrays| bounds(arrays, |_| first))
            },
        )
        .nullable()
        .udf(),
        Function::new(
            "generate_subscripts_list",
            |types| match types {
                [list, dimension] => list_and_dimension(&[list.clone(), dimension.clone()]),
                [list, dimension, DataType::Boolean] => {
                    let mut types = list_and_dimension(&[list.clone(), dimension.clone()])?;
                    types.push(DataType::Boolean);
                    Some(types)
                }
                _ => None,
            },
            |_, _| Ok(DataType::new_list(DataType::Int32, true)),
            |args| {
                let first = first_subscript(args);
                over_arrays(args, |arrays| subscripts(arrays, first))
            },
        )
        .udf(),
        Function::new(
            "ordinality_list",
            |types| match types {
                [list @ (DataType::List(_) | DataType::Null)] => Some(vec![list.clone()]),
                _ => None,
            },
            |_, _| Ok(DataType::new_list(DataType::Int64, true)),
            |args| over_arrays(args, ordinality),
        )
        .udf(),
        Arc::new(ScalarUDF::from(ExpandArray::new())),
    ]
}

fn list_and_dimension(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [list @ (DataType::List(_) | DataType::Null), dimension]
            if is_int(dimension) || dimension.is_null() =>
        {
            Some(vec![list.clone(), DataType::Int32])
        }
        _ => None,
    }
}

/// The length of a dimension, from 1, of the array at `row`; `None` where there is none.
fn length(lists: &ArrayRef, row: usize, dimension: i32) -> Option<i32> {
    let list = lists.as_list_opt::<i32>()?;
    if list.is_null(row) || dimension < 1 {
        return None;
    }
    let items = list.value(row);
    if dimension > 1 {
        return if items.is_empty() { None } else { length(&items, 0, dimension - 1) };
    }
    i32::try_from(items.len()).ok().filter(|length| *length > 0)
}

/// The length of the dimension that each row asks for.
fn lengths(arrays: &[ArrayRef]) -> Result<Vec<Option<i32>>> {
    let (lists, dimensions) = (arg(arrays, 0)?, arg(arrays, 1)?.as_primitive::<Int32Type>());
    let rows = 0..lists.len();
    Ok(rows
        .map(|row| if dimensions.is_null(row) { None } else { length(lists, row, dimensions.value(row)) })
        .collect())
}

/// The subscript of the first element: `int2vector` and `oidvector` count from 0, arrays from 1.
fn first_subscript(args: &ScalarFunctionArgs) -> i32 {
    let name = args.arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY));
    i32::from(!matches!(name.map(String::as_str), Some("int2vector" | "oidvector")))
}

fn bounds(arrays: &[ArrayRef], bound: impl Fn(i32) -> i32) -> Result<ArrayRef> {
    let bounds = lengths(arrays)?.into_iter().map(|length| length.map(&bound));
    Ok(Arc::new(bounds.collect::<Int32Array>()))
}

/// The numbers of the elements, from 1 whatever their subscripts are.
fn ordinality(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let lists = arg(arrays, 0)?;
    let mut builder = ListBuilder::new(Int64Builder::new());
    for row in 0..lists.len() {
        let count = length(lists, row, 1).map_or(0, i64::from);
        (1..=count).for_each(|number| builder.values().append_value(number));
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

fn subscripts(arrays: &[ArrayRef], first: i32) -> Result<ArrayRef> {
    let backwards = match arrays.get(2) {
        Some(backwards) => backwards.as_boolean().iter().map(|flag| flag == Some(true)).collect(),
        None => Vec::new(),
    };
    let mut builder = ListBuilder::new(Int32Builder::new());
    for (row, length) in lengths(arrays)?.into_iter().enumerate() {
        let subscripts = first..first + length.unwrap_or(0);
        if backwards.get(row) == Some(&true) {
            subscripts.rev().for_each(|subscript| builder.values().append_value(subscript));
        } else {
            subscripts.for_each(|subscript| builder.values().append_value(subscript));
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

/// `expandarray_list(array)`: an array of records `(x, n)` of the elements and their number, from 1.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExpandArray {
    signature: Signature,
}

impl ExpandArray {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn record(element: &DataType) -> Fields {
    Fields::from(vec![Field::new("x", element.clone(), true), Field::new("n", DataType::Int32, true)])
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &'static str {
        "expandarray_list"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [DataType::List(element)] = types else {
            return plan_err!("function _pg_expandarray needs an array");
        };
        let item = Field::new_list_field(DataType::Struct(record(element.data_type())), true);
        Ok(DataType::List(Arc::new(item)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(list) = arrays.first().and_then(|array| array.as_list_opt::<i32>()) else {
            return plan_err!("function _pg_expandarray needs an array");
        };
        // Row by row, since a list's values may lie anywhere in its child array.
        let (mut indices, mut numbers, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let offsets = list.value_offsets();
        for (row, bounds) in offsets.windows(2).enumerate() {
            let (start, end) = match bounds {
                [start, end] if list.is_valid(row) => (*start, *end),
                _ => (0, 0),
            };
            indices.extend(start..end);
            numbers.extend(1..=end - start);
            lengths.push(usize::try_from(end - start).unwrap_or(0));
        }
        let values = take(list.values(), &Int32Array::from(indices), None)?;
        let columns: Vec<ArrayRef> = vec![values, Arc::new(Int32Array::from(numbers))];
        let fields = record(&list.value_type());
        let records = StructArray::try_new(fields.clone(), columns, None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
        let nulls = NullBuffer::from((0..list.len()).map(|row| list.is_valid(row)).collect::<Vec<_>>());
        let expanded =
            ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(records), Some(nulls))?;
        Ok(ColumnarValue::Array(Arc::new(expanded)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;
    use crate::functions::testing::call;

    fn ints(values: &[i32]) -> ScalarValue {
        let values: Vec<ScalarValue> = values.iter().map(|value| ScalarValue::Int32(Some(*value))).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Int32))
    }

    #[test]
    fn an_empty_array_has_no_bounds_and_no_subscripts() {
        let one = || ScalarValue::Int32(Some(1));
        for (name, list, expected) in [
            ("array_upper", ints(&[7, 8]), ScalarValue::Int32(Some(2))),
            ("array_lower", ints(&[7, 8]), one()),
            ("array_upper", ints(&[]), ScalarValue::Int32(None)),
            ("generate_subscripts_list", ints(&[7, 8]), ints(&[1, 2])),
            ("generate_subscripts_list", ints(&[]), ints(&[])),
        ] {
            let function = functions().into_iter().find(|function| function.name() == name).unwrap();
            assert_eq!(call(&function, &[list.clone(), one()]).unwrap(), expected, "{name}({list})");
        }
        let function = functions().into_iter().find(|function| function.name() == "array_upper").unwrap();
        let second = ScalarValue::Int32(Some(2));
        assert_eq!(call(&function, &[ints(&[7, 8]), second]).unwrap(), ScalarValue::Int32(None));
    }
}
