//! Subscripts of arrays, which introspection queries use to take arrays apart.
//!
//! PostgreSQL's `generate_subscripts` and `information_schema._pg_expandarray` return sets. Here each gives the array
//! of what the set would hold, for the planner to unnest.

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

use crate::functions::arrays::shape::{Arrays, is_array};
use crate::functions::function::{Function, arg, is_int, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

/// The functions of this file.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
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
                [list] if is_array(list) || list.is_null() => Some(vec![list.clone()]),
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
        [list, dimension]
            if (is_array(list) || list.is_null()) && (is_int(dimension) || dimension.is_null()) =>
        {
            Some(vec![list.clone(), DataType::Int32])
        }
        _ => None,
    }
}

/// The length and the lower bound of the dimension that each row asks for; `None` where there is none.
fn dimensions(arrays: &[ArrayRef], first: i32) -> Result<Vec<Option<(i32, i32)>>> {
    let (lists, asked) = (arg(arrays, 0)?, arg(arrays, 1)?.as_primitive::<Int32Type>());
    if lists.data_type().is_null() {
        return Ok(vec![None; lists.len()]);
    }
    let lists = Arrays::of(lists)?.counted_from(first);
    let found = (0..lists.len()).map(|row| {
        let index = usize::try_from(asked.is_valid(row).then(|| asked.value(row))?.checked_sub(1)?).ok()?;
        let dimensions = lists.get(row)?.dimensions;
        Some((*dimensions.lengths().get(index)?, *dimensions.lower().get(index)?))
    });
    Ok(found.collect())
}

/// The subscript of the first element: `int2vector` and `oidvector` count from 0, arrays from 1.
fn first_subscript(args: &ScalarFunctionArgs) -> i32 {
    let name = args.arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY));
    i32::from(!matches!(name.map(String::as_str), Some("int2vector" | "oidvector")))
}

/// The numbers of the elements, from 1 whatever their subscripts are.
fn ordinality(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let lists = arg(arrays, 0)?;
    let mut builder = ListBuilder::new(Int64Builder::new());
    let values = if lists.data_type().is_null() { None } else { Some(Arrays::of(lists)?) };
    for row in 0..lists.len() {
        let count = values.as_ref().and_then(|values| values.get(row)).map_or(0, |value| value.range.len());
        (1..=i64::try_from(count).unwrap_or(i64::MAX))
            .for_each(|number| builder.values().append_value(number));
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
    for (row, dimension) in dimensions(arrays, first)?.into_iter().enumerate() {
        let (length, lower) = dimension.unwrap_or((0, 1));
        let subscripts = lower..lower + length;
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
    fn an_empty_array_has_no_subscripts() {
        let one = || ScalarValue::Int32(Some(1));
        for (name, list, expected) in [
            ("generate_subscripts_list", ints(&[7, 8]), ints(&[1, 2])),
            ("generate_subscripts_list", ints(&[]), ints(&[])),
        ] {
            let function = functions().into_iter().find(|function| function.name() == name).unwrap();
            assert_eq!(call(&function, &[list.clone(), one()]).unwrap(), expected, "{name}({list})");
        }
    }
}
