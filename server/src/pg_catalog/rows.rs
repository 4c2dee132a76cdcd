//! Values of the catalogue, and rows of them turned into Arrow columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanBuilder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, RecordBatch,
    RecordBatchOptions, StringViewBuilder, StructArray, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, IntervalMonthDayNano, SchemaRef};
use datafusion::error::{DataFusionError, Result};

use super::relation::Relation;

/// One value. What a number means (a small one, an OID, microseconds) is the column's matter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'static, str>),
    List(Vec<Datum>),
}

impl Datum {
    pub(super) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn list<T: Into<Datum>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    pub(super) fn as_list(&self) -> Option<&[Datum]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// The value as an OID, where it is a number that can be one.
    pub(super) fn as_oid(&self) -> Option<u32> {
        self.as_int().and_then(|number| u32::try_from(number).ok())
    }
}

impl From<bool> for Datum {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Datum {
            fn from(number: $number) -> Self {
                Self::Int(i64::from(number))
            }
        }
    )*};
}
from_numbers!(i16, i32, i64, u32);

/// Counts beyond `i64` do not occur; they would show as the largest number.
impl From<u64> for Datum {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Datum {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Datum {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&'static str> for Datum {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&String> for Datum {
    fn from(text: &String) -> Self {
        Self::Text(Cow::Owned(text.clone()))
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The rows of one relation while they are gathered; only the columns that are asked for are kept.
pub(super) struct Rows {
    relation: &'static Relation,
    schema: SchemaRef,
    /// Where a column goes: `None` for one that nobody asked for.
    positions: HashMap<&'static str, Option<usize>>,
    defaults: Vec<Datum>,
    columns: Vec<Vec<Datum>>,
    row_count: usize,
    unknown: Option<&'static str>,
}

impl Rows {
    /// Rows with the columns at these places, or with all of them.
    ///
    /// # Errors
    /// When there is no column at one of the places.
    pub(super) fn new(relation: &'static Relation, projection: Option<&[usize]>) -> Result<Self> {
        let schema = match projection {
            Some(projection) => Arc::new(relation.arrow_schema.project(projection)?),
            None => Arc::clone(&relation.arrow_schema),
        };
        let kept = |index: usize| match projection {
            Some(projection) => projection.iter().position(|kept| *kept == index),
            None => Some(index),
        };
        let columns = relation.columns.iter().enumerate();
        let positions = columns.map(|(index, column)| (column.name, kept(index))).collect();
        let defaults = schema.fields().iter().map(|field| match field.is_nullable() {
            true => Datum::Null,
            false => zero(field.data_type()),
        });
        let defaults = defaults.collect::<Vec<_>>();
        let columns = vec![Vec::new(); defaults.len()];
        Ok(Self { relation, schema, positions, defaults, columns, row_count: 0, unknown: None })
    }

    /// Whether somebody asked for the column of that name.
    pub(super) fn has(&self, column: &str) -> bool {
        self.positions.get(column).is_some_and(Option::is_some)
    }

    /// Adds a row. Columns that it does not name are NULL, or zero, false, empty where the relation has them NOT NULL.
    pub(super) fn push<const N: usize>(&mut self, values: [(&'static str, Datum); N]) {
        for (name, value) in values {
            match self.positions.get(name) {
                Some(Some(index)) => {
                    if let Some(column) = self.columns.get_mut(*index) {
                        // A column named twice keeps the last value.
                        column.truncate(self.row_count);
                        column.push(value);
                    }
                }
                Some(None) => (),
                None => self.unknown = Some(name),
            }
        }
        self.row_count += 1;
        for (column, default) in self.columns.iter_mut().zip(&self.defaults) {
            if column.len() < self.row_count {
                column.push(default.clone());
            }
        }
    }

    /// The rows as one batch.
    ///
    /// # Errors
    /// When a row named a column that the relation has not, or a value does not fit its column.
    pub(super) fn finish(self) -> Result<RecordBatch> {
        if let Some(column) = self.unknown {
            return Err(DataFusionError::Internal(format!("{} has no column {column}", self.relation.name)));
        }
        let fields = self.schema.fields().iter();
        let arrays =
            fields.zip(&self.columns).map(|(field, values)| array(field, values)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.row_count));
        Ok(RecordBatch::try_new_with_options(self.schema, arrays, &options)?)
    }
}

fn zero(data_type: &DataType) -> Datum {
    match data_type {
        DataType::Boolean => Datum::Bool(false),
        DataType::Utf8View | DataType::BinaryView => Datum::text(""),
        DataType::List(_) => Datum::List(Vec::new()),
        DataType::Float32 | DataType::Float64 => Datum::Float(0.0),
        _ => Datum::Int(0),
    }
}

/// Values as a column of the field's type.
///
/// # Errors
/// [`DataFusionError::Internal`] when a value does not fit.
pub(super) fn array(field: &FieldRef, values: &[Datum]) -> Result<ArrayRef> {
    let wrong = |value: &Datum| {
        DataFusionError::Internal(format!("{value:?} in {} column {}", field.data_type(), field.name()))
    };
    macro_rules! gather {
        ($builder:expr, $take:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Datum::Null => builder.append_null(),
                    value => builder.append_value($take(value).ok_or_else(|| wrong(value))?),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    let float = |value: &Datum| match value {
        Datum::Float(number) => Some(*number),
        // Whole numbers of the catalogue are small enough.
        Datum::Int(number) => number.to_string().parse().ok(),
        _ => None,
    };
    Ok(match field.data_type() {
        DataType::Boolean => gather!(BooleanBuilder::new(), Datum::as_bool),
        DataType::Int16 => gather!(Int16Builder::new(), |value: &Datum| i16::try_from(value.as_int()?).ok()),
        DataType::Int32 => gather!(Int32Builder::new(), |value: &Datum| i32::try_from(value.as_int()?).ok()),
        DataType::Int64 => gather!(Int64Builder::new(), Datum::as_int),
        DataType::Float32 => gather!(Float32Builder::new(), |value: &Datum| {
            float(value).and_then(|number| number.to_string().parse().ok())
        }),
        DataType::Float64 => gather!(Float64Builder::new(), float),
        DataType::Decimal128(precision, scale) => gather!(
            Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?,
            |value: &Datum| value.as_int().map(i128::from)
        ),
        DataType::Utf8View => gather!(StringViewBuilder::new(), Datum::as_str),
        DataType::BinaryView => gather!(BinaryViewBuilder::new(), |value: &'_ Datum| {
            value.as_str().map(|text| text.as_bytes().to_vec())
        }),
        DataType::Timestamp(_, zone) => {
            gather!(TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone()), Datum::as_int)
        }
        DataType::Interval(_) => gather!(IntervalMonthDayNanoBuilder::new(), |value: &Datum| {
            // Microseconds.
            Some(IntervalMonthDayNano::new(0, 0, value.as_int()?.checked_mul(1_000)?))
        }),
        DataType::List(element) => {
            let mut flat = Vec::new();
            let mut lengths = Vec::with_capacity(values.len());
            let mut valid = Vec::with_capacity(values.len());
            for value in values {
                let items = match value {
                    Datum::Null => &[][..],
                    value => value.as_list().ok_or_else(|| wrong(value))?,
                };
                valid.push(!matches!(value, Datum::Null));
                lengths.push(items.len());
                flat.extend_from_slice(items);
            }
            let flat = array(element, &flat)?;
            let nulls = NullBuffer::from(valid);
            Arc::new(ListArray::try_new(
                Arc::clone(element),
                OffsetBuffer::from_lengths(lengths),
                flat,
                Some(nulls),
            )?)
        }
        // A record is the list of its fields.
        DataType::Struct(fields) => {
            let mut columns = vec![Vec::with_capacity(values.len()); fields.len()];
            for value in values {
                let items = value.as_list().unwrap_or_default();
                for (index, column) in columns.iter_mut().enumerate() {
                    column.push(items.get(index).cloned().unwrap_or(Datum::Null));
                }
            }
            let columns = fields
                .iter()
                .zip(&columns)
                .map(|(field, values)| array(field, values))
                .collect::<Result<_>>()?;
            let nulls = values.iter().map(|value| !matches!(value, Datum::Null)).collect::<Vec<_>>();
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(NullBuffer::from(nulls)))?)
        }
        data_type if values.iter().all(|value| matches!(value, Datum::Null)) => {
            new_null_array(data_type, values.len())
        }
        _ => return Err(wrong(values.first().unwrap_or(&Datum::Null))),
    })
}
