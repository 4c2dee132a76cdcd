//! Functions over arrays that introspection queries use.
//!
//! PostgreSQL's `generate_subscripts` and `information_schema._pg_expandarray` return sets. Here each gives the array
//! of what the set would hold, for the planner to unnest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::Kind::{Bool, Int, List};
use super::{CatalogueFunction, argument, strict};
use crate::pg_catalog::rows::Datum;

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict("array_upper", &[&[List, Int]], "int4", |_, arguments| {
        let length = level(arguments).len();
        Ok(if length == 0 { Datum::Null } else { length.into() })
    }),
    strict("array_lower", &[&[List, Int]], "int4", |_, arguments| {
        Ok(if level(arguments).is_empty() { Datum::Null } else { Datum::Int(1) })
    }),
    strict("generate_subscripts_list", &[&[List, Int], &[List, Int, Bool]], "_int4", |_, arguments| {
        let subscripts = 1..=level(arguments).len();
        Ok(if argument(arguments, 2).as_bool() == Some(true) {
            Datum::list(subscripts.rev())
        } else {
            Datum::list(subscripts)
        })
    }),
];

/// The elements of the dimension that the second argument names, from 1; none where there is no such dimension.
fn level(arguments: &[Datum]) -> &[Datum] {
    let mut level = argument(arguments, 0).as_list().unwrap_or_default();
    let dimension = argument(arguments, 1).as_int().unwrap_or(0);
    if dimension < 1 {
        return &[];
    }
    for _ in 1..dimension {
        level = level.first().and_then(Datum::as_list).unwrap_or_default();
    }
    level
}

/// `expandarray_list(array)`: an array of records `(x, n)` of the elements and their number, from 1.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ExpandArray {
    signature: Signature,
}

impl ExpandArray {
    pub(super) fn new() -> Self {
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
        let values = take(list.values(), &arrow::array::Int32Array::from(indices), None)?;
        let columns: Vec<ArrayRef> = vec![values, Arc::new(arrow::array::Int32Array::from(numbers))];
        let fields = record(&list.value_type());
        let records = StructArray::try_new(fields.clone(), columns, None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
        let nulls = NullBuffer::from((0..list.len()).map(|row| list.is_valid(row)).collect::<Vec<_>>());
        let expanded =
            ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(records), Some(nulls))?;
        Ok(ColumnarValue::Array(Arc::new(expanded)))
    }
}
