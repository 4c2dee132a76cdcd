//! Columns that grow by the fields of one chunk at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, PrimitiveBuilder,
    StringViewBuilder, new_null_array,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::fast;
use crate::fault::Refusal;
use crate::list::ListColumn;
use crate::rows::{Cell, Fields};

/// Reads any form of a value, or refuses it.
pub type Reader<T> = Box<dyn Fn(&[u8]) -> Result<T, Refusal> + Send>;

/// Reads any form of a text value: the value as it is stored.
pub type TextReader = Box<dyn Fn(&str) -> Result<String, Refusal> + Send>;

/// The first field of a column that cannot be taken.
pub(crate) struct BadField {
    /// Row of the chunk.
    pub(crate) row: usize,
    /// `None` where the line has no such field.
    pub(crate) refusal: Option<Refusal>,
}

/// A column of one type.
pub(crate) trait Grow: Send {
    /// Appends the fields of `rows` rows, or those before the first that is bad; gives how many are NULL.
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField>;

    /// What has been appended since the last call.
    fn finish(&mut self) -> Result<ArrayRef, ArrowError>;
}

/// A column that is being read: an Arrow type, the fast form of its values and the reader for all others.
pub struct Column {
    grow: Box<dyn Grow>,
    data_type: DataType,
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Column").field("data_type", &self.data_type).finish_non_exhaustive()
    }
}

macro_rules! primitive_columns {
    ($($(#[$doc:meta])* $name:ident, $arrow:ty, $text:expr, $binary:expr;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(binary: bool, reader: Reader<<$arrow as ArrowPrimitiveType>::Native>) -> Self {
                if binary {
                    Self::primitive::<$arrow>(<$arrow>::DATA_TYPE, $binary, reader)
                } else {
                    Self::primitive::<$arrow>(<$arrow>::DATA_TYPE, $text, reader)
                }
            }
        )*
    };
}

impl Column {
    primitive_columns! {
        /// `smallint`.
        int16, Int16Type, fast::int16, fast::wire::int16;
        /// `integer`.
        int32, Int32Type, fast::int32, fast::wire::int32;
        /// `bigint`.
        int64, Int64Type, fast::int64, fast::wire::int64;
        /// `oid`, in 64 bits.
        oid, Int64Type, |bytes| fast::int64(bytes).filter(|oid| (0..1 << 32).contains(oid)),
            |bytes| fast::wire::int32(bytes).map(|oid| i64::from(oid.cast_unsigned()));
        /// `real`.
        float32, Float32Type, fast::float32, fast::wire::float32;
        /// `double precision`.
        float64, Float64Type, fast::float64, fast::wire::float64;
        /// `date`.
        date, Date32Type, fast::date, fast::wire::date;
        /// `time`.
        time, Time64MicrosecondType, fast::time, fast::wire::time;
        /// `time` of fewer digits than six, which the reader rounds to.
        rounded_time, Time64MicrosecondType, |_| None, |_| None;
        /// `interval`.
        interval, IntervalMonthDayNanoType, |_| None, fast::wire::interval;
        /// `interval` of fewer digits or fields, which the reader cuts to.
        cut_interval, IntervalMonthDayNanoType, |_| None, |_| None;
    }

    /// `timestamp`; `rounded` where it has fewer digits than six, to which the reader rounds.
    #[must_use]
    pub fn timestamp(binary: bool, rounded: bool, reader: Reader<i64>) -> Self {
        Self::timestamps(None, binary, rounded, fast::timestamp, reader)
    }

    /// `timestamptz`; `utc` where a text without offset is in UTC.
    #[must_use]
    pub fn timestamptz(binary: bool, rounded: bool, utc: bool, reader: Reader<i64>) -> Self {
        let zone = Some(Arc::from("UTC"));
        if utc {
            let any = |bytes: &[u8]| fast::timestamptz(bytes).or_else(|| fast::timestamp(bytes));
            Self::timestamps(zone, binary, rounded, any, reader)
        } else {
            Self::timestamps(zone, binary, rounded, fast::timestamptz, reader)
        }
    }

    fn timestamps(
        zone: Option<Arc<str>>,
        binary: bool,
        rounded: bool,
        text: impl Fn(&[u8]) -> Option<i64> + Send + 'static,
        reader: Reader<i64>,
    ) -> Self {
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, zone);
        match (rounded, binary) {
            (true, _) => Self::primitive::<TimestampMicrosecondType>(data_type, |_| None, reader),
            (_, true) => {
                Self::primitive::<TimestampMicrosecondType>(data_type, fast::wire::timestamp, reader)
            }
            (_, false) => Self::primitive::<TimestampMicrosecondType>(data_type, text, reader),
        }
    }

    /// `numeric` of `precision` digits, `scale` of them behind the point.
    #[must_use]
    pub fn decimal(binary: bool, precision: u8, scale: i8, reader: Reader<i128>) -> Self {
        let data_type = DataType::Decimal128(precision, scale);
        match (u32::try_from(scale), 10_i128.checked_pow(u32::from(precision))) {
            (Ok(digits), Some(limit)) if !binary => Self::primitive::<Decimal128Type>(
                data_type,
                move |bytes| fast::decimal(bytes, digits, limit),
                reader,
            ),
            _ => Self::primitive::<Decimal128Type>(data_type, |_| None, reader),
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        data_type: DataType,
        fast: impl Fn(&[u8]) -> Option<T::Native> + Send + 'static,
        reader: Reader<T::Native>,
    ) -> Self {
        let builder = PrimitiveBuilder::<T>::new().with_data_type(data_type.clone());
        Self { grow: Box::new(Primitive { builder, fast, reader }), data_type }
    }

    /// `boolean`.
    #[must_use]
    pub fn boolean(binary: bool, reader: Reader<bool>) -> Self {
        let fast = if binary { fast::wire::boolean } else { fast::boolean };
        let builder = BooleanBuilder::new();
        Self { grow: Box::new(Boolean { builder, fast, reader }), data_type: DataType::Boolean }
    }

    /// Any text without zero bytes; longer than `bytes_max` bytes, the reader decides.
    #[must_use]
    pub fn text(binary: bool, bytes_max: usize, reader: TextReader) -> Self {
        Self::texts(binary, move |text| text.len() <= bytes_max, reader)
    }

    /// The same without blanks at its end, which the reader cuts off.
    #[must_use]
    pub fn padded_text(binary: bool, bytes_max: usize, reader: TextReader) -> Self {
        Self::texts(binary, move |text| text.len() <= bytes_max && !text.ends_with(' '), reader)
    }

    /// `uuid`, in the form that it is printed in.
    #[must_use]
    pub fn uuid(binary: bool, reader: TextReader) -> Self {
        Self::texts(binary, fast::is_canonical_uuid, reader)
    }

    /// Text of which the reader checks every value: `json`, `name`.
    #[must_use]
    pub fn checked_text(binary: bool, reader: TextReader) -> Self {
        Self::texts(binary, |_| false, reader)
    }

    fn texts(binary: bool, fast: impl Fn(&str) -> bool + Send + 'static, reader: TextReader) -> Self {
        let builder = StringViewBuilder::new();
        Self { grow: Box::new(Text { builder, binary, fast, reader }), data_type: DataType::Utf8View }
    }

    /// `bytea`.
    #[must_use]
    pub fn bytea(binary: bool, reader: Reader<Vec<u8>>) -> Self {
        let builder = BinaryViewBuilder::new();
        let grow = Bytes { builder, binary, reader, scratch: Vec::new() };
        Self { grow: Box::new(grow), data_type: DataType::BinaryView }
    }

    /// Arrays of one dimension as text, `{1,2,NULL}`; the reader gives the elements of those with quotes and the like.
    #[must_use]
    pub fn list(element: Column, reader: Reader<Vec<Option<String>>>) -> Self {
        let list = ListColumn::new(element, reader);
        let data_type = list.data_type();
        Self { grow: Box::new(list), data_type }
    }

    /// Values of any type, each of which the reader gives as an array of one row.
    #[must_use]
    pub fn other(data_type: DataType, reader: Reader<ArrayRef>) -> Self {
        let grow = Other { null: new_null_array(&data_type, 1), values: Vec::new(), reader };
        Self { grow: Box::new(grow), data_type }
    }

    /// The type of the arrays.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    pub(crate) fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        self.grow.append(fields, rows)
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.grow.finish()
    }
}

fn missing(row: usize) -> BadField {
    BadField { row, refusal: None }
}

fn refused(row: usize) -> impl FnOnce(Refusal) -> BadField {
    move |refusal| BadField { row, refusal: Some(refusal) }
}

/// Hands each value on, read by `fast` where it is in the usual form: how many are NULL.
#[inline]
fn each<T>(
    fields: Fields<'_>,
    rows: usize,
    fast: impl Fn(&[u8]) -> Option<T>,
    reader: &Reader<T>,
    mut append: impl FnMut(Option<T>),
) -> Result<usize, BadField> {
    let mut nulls = 0;
    for (row, cell) in fields.bytes(rows).enumerate() {
        match cell {
            Cell::Value(bytes) => append(Some(match fast(bytes) {
                Some(value) => value,
                None => reader(bytes).map_err(refused(row))?,
            })),
            Cell::Null => {
                nulls += 1;
                append(None);
            }
            Cell::Missing => return Err(missing(row)),
        }
    }
    Ok(nulls)
}

struct Primitive<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    fast: F,
    reader: Reader<T::Native>,
}

impl<T: ArrowPrimitiveType, F: Fn(&[u8]) -> Option<T::Native> + Send> Grow for Primitive<T, F> {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let builder = &mut self.builder;
        each(fields, rows, &self.fast, &self.reader, |value| builder.append_option(value))
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Boolean {
    builder: BooleanBuilder,
    fast: fn(&[u8]) -> Option<bool>,
    reader: Reader<bool>,
}

impl Grow for Boolean {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let builder = &mut self.builder;
        each(fields, rows, &self.fast, &self.reader, |value| builder.append_option(value))
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Text<F> {
    builder: StringViewBuilder,
    binary: bool,
    fast: F,
    reader: TextReader,
}

impl<F: Fn(&str) -> bool> Text<F> {
    #[inline]
    fn push(&mut self, row: usize, cell: Cell<&str>) -> Result<usize, BadField> {
        match cell {
            Cell::Value(text) if (self.fast)(text) => self.builder.append_value(text),
            Cell::Value(text) => {
                self.builder.append_value((self.reader)(text).map_err(refused(row))?);
            }
            Cell::Null => {
                self.builder.append_null();
                return Ok(1);
            }
            Cell::Missing => return Err(missing(row)),
        }
        Ok(0)
    }
}

impl<F: Fn(&str) -> bool + Send> Grow for Text<F> {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let mut nulls = 0;
        if !self.binary {
            for (row, cell) in fields.texts(rows).enumerate() {
                nulls += self.push(row, cell)?;
            }
            return Ok(nulls);
        }
        for (row, cell) in fields.bytes(rows).enumerate() {
            let cell = match cell {
                Cell::Value(bytes) => {
                    let text = crate::unescape::checked(bytes);
                    Cell::Value(text.map_err(|fault| refused(row)(Box::new(fault)))?)
                }
                Cell::Null => Cell::Null,
                Cell::Missing => Cell::Missing,
            };
            nulls += self.push(row, cell)?;
        }
        Ok(nulls)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Bytes {
    builder: BinaryViewBuilder,
    binary: bool,
    reader: Reader<Vec<u8>>,
    scratch: Vec<u8>,
}

impl Grow for Bytes {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let mut nulls = 0;
        for (row, cell) in fields.bytes(rows).enumerate() {
            match cell {
                Cell::Value(bytes) if self.binary => self.builder.append_value(bytes),
                Cell::Value(bytes) => {
                    self.scratch.clear();
                    match fast::bytea(bytes, &mut self.scratch) {
                        Some(()) => self.builder.append_value(&self.scratch),
                        None => self.builder.append_value((self.reader)(bytes).map_err(refused(row))?),
                    }
                }
                Cell::Null => {
                    nulls += 1;
                    self.builder.append_null();
                }
                Cell::Missing => return Err(missing(row)),
            }
        }
        Ok(nulls)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(self.builder.finish()))
    }
}

struct Other {
    null: ArrayRef,
    values: Vec<ArrayRef>,
    reader: Reader<ArrayRef>,
}

impl Grow for Other {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let mut nulls = 0;
        for (row, cell) in fields.bytes(rows).enumerate() {
            let value = match cell {
                Cell::Value(bytes) => (self.reader)(bytes).map_err(refused(row))?,
                Cell::Null => {
                    nulls += 1;
                    Arc::clone(&self.null)
                }
                Cell::Missing => return Err(missing(row)),
            };
            self.values.push(value);
        }
        Ok(nulls)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let values = std::mem::take(&mut self.values);
        if values.is_empty() {
            return Ok(self.null.slice(0, 0));
        }
        let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        arrow::compute::concat(&parts)
    }
}
