//! `string_agg(value, delimiter)`, DISTINCT and ordered too, with a delimiter that may differ from row to row.
//!
//! Each aggregate sorts its own rows, so that several of one query may have different orders. The state is the list of
//! rows, as large as the group.

use std::collections::HashSet;
use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringArray, StructArray, UInt32Array, new_empty_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{SortColumn, SortOptions, cast, concat, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::functions::function::{arg, internal, is_text, undefined_function};

/// `string_agg`.
pub(crate) fn string_agg_udaf() -> Arc<AggregateUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(StringAgg { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StringAgg {
    signature: Signature,
}

impl AggregateUDFImpl for StringAgg {
    fn name(&self) -> &'static str {
        "string_agg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, delimiter]
                if (is_text(value) || value.is_null()) && (is_text(delimiter) || delimiter.is_null()) =>
            {
                Ok(vec![DataType::LargeUtf8, DataType::Utf8])
            }
            _ => Err(undefined_function(self.name(), types)),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::LargeUtf8)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::SoftRequirement
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new_list_field(DataType::Struct(row_fields(args.ordering_fields)), true);
        let name = format_state_name(args.name, self.name());
        Ok(vec![Arc::new(Field::new(name, DataType::List(Arc::new(item)), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let keys: Vec<FieldRef> =
            args.order_bys.iter().map(|key| key.expr.return_field(args.schema)).collect::<Result<_>>()?;
        Ok(Box::new(Rows {
            fields: row_fields(&keys),
            orders: args.order_bys.iter().map(|key| key.options).collect(),
            distinct: args.is_distinct,
            batches: Vec::new(),
        }))
    }
}

/// Value, delimiter and keys of a row.
fn row_fields(keys: &[FieldRef]) -> Fields {
    let own = [("value", DataType::LargeUtf8), ("delimiter", DataType::Utf8)];
    let own = own.into_iter().map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)));
    let keys = keys
        .iter()
        .enumerate()
        .map(|(index, key)| Arc::new(Field::new(format!("key{index}"), key.data_type().clone(), true)));
    own.chain(keys).collect()
}

#[derive(Debug)]
struct Rows {
    fields: Fields,
    orders: Vec<SortOptions>,
    distinct: bool,
    batches: Vec<StructArray>,
}

impl Rows {
    fn all(&self) -> Result<StructArray> {
        let arrays: Vec<&dyn Array> = self.batches.iter().map(|batch| batch as &dyn Array).collect();
        if arrays.is_empty() {
            let empty = new_empty_array(&DataType::Struct(self.fields.clone()));
            return Ok(empty.as_struct().clone());
        }
        Ok(concat(&arrays)?.as_struct().clone())
    }

    /// The rows in their order, as places: without an order as they came, of DISTINCT by value.
    fn order(&self, rows: &StructArray) -> Result<UInt32Array> {
        let key = |index: usize| arg(rows.columns(), index).map(Arc::clone);
        let mut columns = Vec::new();
        for (index, options) in self.orders.iter().enumerate() {
            columns.push(SortColumn { values: key(index + 2)?, options: Some(*options) });
        }
        if self.distinct {
            columns.push(SortColumn { values: key(0)?, options: None });
            columns.push(SortColumn { values: key(1)?, options: None });
        }
        if columns.is_empty() {
            let count = u32::try_from(rows.len()).map_err(|_| internal("too many rows for one text"))?;
            return Ok((0..count).collect());
        }
        // Rows of one key stay in the order in which they came.
        let places: ArrayRef = Arc::new((0_u32..).take(rows.len()).collect::<UInt32Array>());
        columns.push(SortColumn { values: places, options: None });
        Ok(lexsort_to_indices(&columns, None)?)
    }
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<ArrayRef> = self
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| Ok(cast(arg(values, index)?, field.data_type())?))
            .collect::<Result<_>>()?;
        let rows = StructArray::try_new(self.fields.clone(), columns, None)?;
        let value = arg(rows.columns(), 0)?;
        let valid: UInt32Array =
            (0_u32..).zip(0..value.len()).filter(|(_, row)| value.is_valid(*row)).map(|(at, _)| at).collect();
        if !valid.is_empty() {
            self.batches.push(take(&rows, &valid, None)?.as_struct().clone());
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let rows = self.all()?;
        if rows.is_empty() {
            return Ok(ScalarValue::LargeUtf8(None));
        }
        let values = arg(rows.columns(), 0)?.as_string::<i64>();
        let delimiters: &StringArray = arg(rows.columns(), 1)?.as_string::<i32>();
        let mut seen = HashSet::new();
        let mut text = String::new();
        let mut first = true;
        for row in self.order(&rows)?.values() {
            let row = usize::try_from(*row).unwrap_or(usize::MAX);
            let delimiter = delimiters.is_valid(row).then(|| delimiters.value(row));
            if self.distinct && !seen.insert((values.value(row), delimiter)) {
                continue;
            }
            if !first {
                text.push_str(delimiter.unwrap_or_default());
            }
            first = false;
            text.push_str(values.value(row));
        }
        Ok(ScalarValue::LargeUtf8(Some(text)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.batches.iter().map(Array::get_array_memory_size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let rows = self.all()?;
        let offsets = OffsetBuffer::from_lengths([rows.len()]);
        let item = Arc::new(Field::new_list_field(DataType::Struct(self.fields.clone()), true));
        let list = ListArray::try_new(item, offsets, Arc::new(rows), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = arg(states, 0)?.as_list::<i32>();
        for row in 0..lists.len() {
            if lists.is_valid(row) && lists.value_length(row) > 0 {
                self.batches.push(lists.value(row).as_struct().clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int32Array, LargeStringArray};

    use super::*;

    fn joined(orders: &[SortOptions], distinct: bool, rows: &[(Option<&str>, &str, i32)]) -> Option<String> {
        let keys = [Arc::new(Field::new("k", DataType::Int32, true))];
        let empty = || Rows {
            fields: row_fields(keys.get(..orders.len()).unwrap()),
            orders: orders.to_vec(),
            distinct,
            batches: Vec::new(),
        };
        let mut merged = empty();
        for (value, delimiter, key) in rows {
            let mut partial = empty();
            let columns: [ArrayRef; 3] = [
                Arc::new(LargeStringArray::from(vec![*value])),
                Arc::new(StringArray::from(vec![*delimiter])),
                Arc::new(Int32Array::from(vec![*key])),
            ];
            partial.update_batch(&columns).unwrap();
            let state: Vec<ArrayRef> =
                partial.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            merged.merge_batch(&state).unwrap();
        }
        match merged.evaluate().unwrap() {
            ScalarValue::LargeUtf8(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn texts_are_joined_in_order() {
        let rows = [(Some("b"), ",", 2), (None, ",", 5), (Some("a"), ";", 3), (Some("b"), ",", 1)];
        let descending = SortOptions { descending: true, nulls_first: true };
        assert_eq!(joined(&[], false, &rows).as_deref(), Some("b;a,b"));
        assert_eq!(joined(&[descending], false, &rows).as_deref(), Some("a,b,b"));
        assert_eq!(joined(&[], true, &rows).as_deref(), Some("a,b"));
        assert_eq!(joined(&[], false, &[(None, ",", 1)]), None);
    }
}
