//! Writers of arrays, vectors and records.

use super::column::{BoxedWriter, EncodeError, ValueWriter, WriterContext, value_writer, write_with_length};
use super::types::{PgColumnType, column_type, oid};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};
use pgwire::api::results::FieldFormat;
use quickdb_executor::functions::arrays::shape::{ArrayValue, Arrays};
use quickdb_executor::functions::text_of::nested_text;
use std::sync::Arc;

/// Where each row's elements are among all elements.
enum Bounds {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
    Fixed(usize),
}

impl Bounds {
    fn of(&self, row_idx: usize) -> std::ops::Range<usize> {
        fn range<O: Copy + TryInto<usize>>(offsets: &[O], row_idx: usize) -> std::ops::Range<usize> {
            let at = |idx: usize| offsets.get(idx).and_then(|offset| (*offset).try_into().ok()).unwrap_or(0);
            at(row_idx)..at(row_idx + 1)
        }
        match self {
            Self::Small(offsets) => range(offsets, row_idx),
            Self::Large(offsets) => range(offsets, row_idx),
            Self::Fixed(len) => row_idx * len..(row_idx + 1) * len,
        }
    }
}

/// One dimension of an array column.
struct ListWriter {
    bounds: Bounds,
    nulls: Option<NullBuffer>,
    elements: Elements,
    element_oid: u32,
    /// Elements whose text never needs quotes.
    plain: bool,
    binary: bool,
}

enum Elements {
    Values(BoxedWriter),
    Lists(Box<ListWriter>),
}

/// Makes the writer of an array column.
pub(super) fn list_writer(
    column: &str,
    element_oid: u32,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    let writer = ListWriter::new(column, element_oid, array, format, context)?;
    if format == FieldFormat::Binary && matches!(writer.elements, Elements::Lists(_)) {
        for row_idx in (0..array.len()).filter(|row_idx| !array.is_null(*row_idx)) {
            let mut dimensions = Vec::new();
            writer.dimensions(row_idx, &mut dimensions);
            if !writer.has_dimensions(row_idx, &dimensions) {
                return Err(EncodeError::RaggedArray);
            }
        }
    }
    Ok(Box::new(writer))
}

impl ListWriter {
    fn new(
        column: &str,
        element_oid: u32,
        array: &ArrayRef,
        format: FieldFormat,
        context: &WriterContext,
    ) -> Result<Self, EncodeError> {
        let unsupported = || EncodeError::UnsupportedType {
            column: column.to_owned(),
            data_type: array.data_type().clone(),
        };
        let (bounds, values) = list_parts(array).ok_or_else(unsupported)?;
        let pg_type = PgColumnType::of_oid(element_oid).ok_or_else(unsupported)?;
        let is_list = matches!(
            values.data_type(),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
        );
        let elements = if is_list && !super::types::is_vector(element_oid) {
            Elements::Lists(Box::new(Self::new(column, element_oid, &values, format, context)?))
        } else {
            Elements::Values(value_writer(column, pg_type, &values, format, context)?)
        };
        Ok(Self {
            bounds,
            nulls: array.nulls().cloned(),
            elements,
            element_oid,
            plain: matches!(
                element_oid,
                oid::BOOL
                    | oid::INT2
                    | oid::INT4
                    | oid::INT8
                    | oid::OID
                    | oid::FLOAT4
                    | oid::FLOAT8
                    | oid::NUMERIC
            ),
            binary: format == FieldFormat::Binary,
        })
    }

    /// Elements of the innermost dimension.
    fn leaf_count(&self, row_idx: usize) -> usize {
        match &self.elements {
            Elements::Values(_) => self.bounds.of(row_idx).len(),
            Elements::Lists(lists) => self.bounds.of(row_idx).map(|idx| lists.leaf_count(idx)).sum(),
        }
    }

    /// The lengths of the dimensions along the first elements.
    fn dimensions(&self, row_idx: usize, dimensions: &mut Vec<usize>) {
        let range = self.bounds.of(row_idx);
        dimensions.push(range.len());
        if let (Elements::Lists(lists), false) = (&self.elements, range.is_empty()) {
            lists.dimensions(range.start, dimensions);
        }
    }

    fn has_dimensions(&self, row_idx: usize, dimensions: &[usize]) -> bool {
        let Some((len, inner)) = dimensions.split_first() else { return false };
        let range = self.bounds.of(row_idx);
        if range.len() != *len || self.is_null(row_idx) {
            return false;
        }
        match &self.elements {
            Elements::Values(_) => inner.is_empty(),
            Elements::Lists(lists) => range.into_iter().all(|idx| lists.has_dimensions(idx, inner)),
        }
    }

    fn write_text(&self, row_idx: usize, out: &mut BytesMut) {
        out.extend_from_slice(b"{");
        for (position, idx) in self.bounds.of(row_idx).enumerate() {
            if position > 0 {
                out.extend_from_slice(b",");
            }
            match &self.elements {
                Elements::Values(values) if values.is_null(idx) => out.extend_from_slice(b"NULL"),
                Elements::Values(values) => {
                    let start = out.len();
                    values.write(idx, out);
                    if !self.plain {
                        quote_element(start, out);
                    }
                }
                Elements::Lists(lists) if lists.is_null(idx) => out.extend_from_slice(b"NULL"),
                Elements::Lists(lists) => lists.write_text(idx, out),
            }
        }
        out.extend_from_slice(b"}");
    }

    fn write_binary(&self, row_idx: usize, out: &mut BytesMut) {
        let mut dimensions = Vec::new();
        if self.leaf_count(row_idx) > 0 {
            self.dimensions(row_idx, &mut dimensions);
        }
        put_count(dimensions.len(), out);
        out.put_i32(i32::from(self.has_null(row_idx)));
        out.put_u32(self.element_oid);
        for len in &dimensions {
            put_count(*len, out);
            // Lower bound.
            out.put_i32(1);
        }
        self.write_fields(row_idx, out);
    }

    fn has_null(&self, row_idx: usize) -> bool {
        self.bounds.of(row_idx).any(|idx| match &self.elements {
            Elements::Values(values) => values.is_null(idx),
            Elements::Lists(lists) => lists.has_null(idx),
        })
    }

    fn write_fields(&self, row_idx: usize, out: &mut BytesMut) {
        for idx in self.bounds.of(row_idx) {
            match &self.elements {
                Elements::Values(values) => values.write_field(idx, out),
                Elements::Lists(lists) => lists.write_fields(idx, out),
            }
        }
    }
}

impl ValueWriter for ListWriter {
    fn is_null(&self, row_idx: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row_idx))
    }

    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        if self.binary {
            self.write_binary(row_idx, out);
        } else if matches!(self.elements, Elements::Lists(_)) && self.leaf_count(row_idx) == 0 {
            // PostgreSQL has one empty array, of no dimensions.
            out.extend_from_slice(b"{}");
        } else {
            self.write_text(row_idx, out);
        }
    }
}

/// Arrays of any shape.
struct MultiWriter {
    arrays: Arrays,
    elements: BoxedWriter,
    element_oid: u32,
    binary: bool,
}

/// Makes the writer of a column of arrays of any shape.
pub(super) fn multi_writer(
    column: &str,
    element_oid: u32,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    let unsupported =
        || EncodeError::UnsupportedType { column: column.to_owned(), data_type: array.data_type().clone() };
    let arrays = Arrays::of(array).map_err(|_| unsupported())?;
    let pg_type = PgColumnType::of_oid(element_oid).ok_or_else(unsupported)?;
    let elements = value_writer(column, pg_type, arrays.elements(), format, context)?;
    Ok(Box::new(MultiWriter { arrays, elements, element_oid, binary: format == FieldFormat::Binary }))
}

impl MultiWriter {
    fn write_binary(&self, value: ArrayValue, out: &mut BytesMut) {
        put_count(value.dimensions.count(), out);
        out.put_i32(i32::from(value.range.clone().any(|place| self.elements.is_null(place))));
        out.put_u32(self.element_oid);
        for (length, lower) in value.dimensions.pairs() {
            put_count(length, out);
            out.put_i32(lower);
        }
        value.range.for_each(|place| self.elements.write_field(place, out));
    }

    fn element_text(&self, place: usize) -> String {
        let mut out = BytesMut::new();
        if self.elements.is_null(place) {
            out.extend_from_slice(b"NULL");
        } else {
            self.elements.write(place, &mut out);
            quote_element(0, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

impl ValueWriter for MultiWriter {
    fn is_null(&self, row_idx: usize) -> bool {
        self.arrays.get(row_idx).is_none()
    }

    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        let Some(value) = self.arrays.get(row_idx) else { return };
        if self.binary {
            return self.write_binary(value, out);
        }
        let elements: Vec<String> = value.range.map(|place| self.element_text(place)).collect();
        out.extend_from_slice(nested_text(&value.dimensions, &elements).as_bytes());
    }
}

fn list_parts(array: &ArrayRef) -> Option<(Bounds, ArrayRef)> {
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            Some((Bounds::Small(list.offsets().clone()), Arc::clone(list.values())))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            Some((Bounds::Large(list.offsets().clone()), Arc::clone(list.values())))
        }
        DataType::FixedSizeList(_, len) => {
            let list: &FixedSizeListArray = array.as_fixed_size_list();
            Some((Bounds::Fixed(usize::try_from(*len).ok()?), Arc::clone(list.values())))
        }
        _ => None,
    }
}

fn put_count(count: usize, out: &mut BytesMut) {
    out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

/// Quotes what was appended from `start` on, if `array_out` would.
fn quote_element(start: usize, out: &mut BytesMut) {
    let text = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_blank(*byte);
    if text.is_empty() || text.eq_ignore_ascii_case(b"null") || text.iter().any(special) {
        quote(start, out, |byte| matches!(byte, b'"' | b'\\').then_some(b'\\'));
    }
}

/// Quotes what was appended from `start` on, if `record_out` would.
fn quote_field(start: usize, out: &mut BytesMut) {
    let text = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | b'(' | b')' | b',') || is_blank(*byte);
    if text.is_empty() || text.iter().any(special) {
        quote(start, out, |byte| matches!(byte, b'"' | b'\\').then_some(byte));
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Puts double quotes around the bytes from `start` on, and in front of each the byte that `escape` gives.
pub(super) fn quote(start: usize, out: &mut BytesMut, escape: impl Fn(u8) -> Option<u8>) {
    let end = out.len();
    let has_escapes = out.get(start..).unwrap_or_default().iter().any(|byte| escape(*byte).is_some());
    if has_escapes {
        let plain = out.get(start..).unwrap_or_default().to_vec();
        out.truncate(start);
        out.put_u8(b'"');
        for byte in plain {
            if let Some(escape) = escape(byte) {
                out.put_u8(escape);
            }
            out.put_u8(byte);
        }
    } else {
        out.put_u8(b'"');
        out.copy_within(start..end, start + 1);
        if let Some(first) = out.get_mut(start) {
            *first = b'"';
        }
    }
    out.put_u8(b'"');
}

/// `int2vector` and `oidvector`: blanks between the elements in text, an array from 0 on in binary.
struct VectorWriter {
    bounds: Bounds,
    nulls: Option<NullBuffer>,
    elements: BoxedWriter,
    element_oid: u32,
    binary: bool,
}

fn vector_element(vector_oid: u32) -> u32 {
    if vector_oid == oid::INT2VECTOR { oid::INT2 } else { oid::OID }
}

/// Makes the writer of a vector column that is held as lists.
pub(super) fn vector_writer(
    column: &str,
    vector_oid: u32,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    let unsupported =
        || EncodeError::UnsupportedType { column: column.to_owned(), data_type: array.data_type().clone() };
    let (bounds, values) = list_parts(array).ok_or_else(unsupported)?;
    let element_oid = vector_element(vector_oid);
    let pg_type = PgColumnType::of_oid(element_oid).ok_or_else(unsupported)?;
    let elements = value_writer(column, pg_type, &values, format, context)?;
    let binary = format == FieldFormat::Binary;
    Ok(Box::new(VectorWriter { bounds, nulls: array.nulls().cloned(), elements, element_oid, binary }))
}

fn put_vector_header(len: usize, element_oid: u32, out: &mut BytesMut) {
    // Vectors have one dimension even when they are empty.
    out.put_i32(1);
    out.put_i32(0);
    out.put_u32(element_oid);
    put_count(len, out);
    out.put_i32(0);
}

impl ValueWriter for VectorWriter {
    fn is_null(&self, row_idx: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row_idx))
    }

    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        let range = self.bounds.of(row_idx);
        if self.binary {
            put_vector_header(range.len(), self.element_oid, out);
            for idx in range {
                self.elements.write_field(idx, out);
            }
            return;
        }
        for (position, idx) in range.enumerate() {
            if position > 0 {
                out.put_u8(b' ');
            }
            self.elements.write(idx, out);
        }
    }
}

/// Appends the binary form of a vector that is held as text: `1 2 3`.
pub(super) fn write_vector_text_binary(vector_oid: u32, text: &str, out: &mut BytesMut) {
    let numbers = || text.split_ascii_whitespace();
    put_vector_header(numbers().count(), vector_element(vector_oid), out);
    for number in numbers() {
        write_with_length(out, |out| match vector_oid {
            oid::INT2VECTOR => out.put_i16(number.parse().unwrap_or(0)),
            _ => out.put_u32(number.parse().unwrap_or(0)),
        });
    }
}

/// A record: `(a,b)` in text.
struct StructWriter {
    nulls: Option<NullBuffer>,
    fields: Vec<(u32, BoxedWriter)>,
    binary: bool,
}

/// Makes the writer of a record column.
pub(super) fn struct_writer(
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    let array: &StructArray = array.as_struct();
    let field_writer = |(field, values): (&Arc<Field>, &ArrayRef)| {
        let pg_type = column_type(field).ok_or_else(|| EncodeError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().clone(),
        })?;
        Ok((pg_type.oid, value_writer(field.name(), pg_type, values, format, context)?))
    };
    let fields = array.fields().iter().zip(array.columns()).map(field_writer).collect::<Result<_, _>>()?;
    let binary = format == FieldFormat::Binary;
    Ok(Box::new(StructWriter { nulls: array.nulls().cloned(), fields, binary }))
}

impl ValueWriter for StructWriter {
    fn is_null(&self, row_idx: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row_idx))
    }

    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        if self.binary {
            put_count(self.fields.len(), out);
            for (field_oid, values) in &self.fields {
                out.put_u32(*field_oid);
                values.write_field(row_idx, out);
            }
            return;
        }
        out.put_u8(b'(');
        for (position, (_, values)) in self.fields.iter().enumerate() {
            if position > 0 {
                out.put_u8(b',');
            }
            if !values.is_null(row_idx) {
                let start = out.len();
                values.write(row_idx, out);
                quote_field(start, out);
            }
        }
        out.put_u8(b')');
    }
}
