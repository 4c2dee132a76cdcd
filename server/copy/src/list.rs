//! Columns of arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use crate::column::{BadField, Column, Grow, Reader};
use crate::rows::{Cell, Fields, Span};

/// Arrays of one dimension; the elements are fields of a column of their own.
pub(crate) struct ListColumn {
    element: Column,
    field: FieldRef,
    reader: Reader<Vec<Option<String>>>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    spans: Vec<Span>,
    texts: String,
}

impl ListColumn {
    pub(crate) fn new(element: Column, reader: Reader<Vec<Option<String>>>) -> Self {
        let field = Arc::new(Field::new_list_field(element.data_type().clone(), true));
        Self {
            element,
            field,
            reader,
            lengths: Vec::new(),
            valid: Vec::new(),
            spans: Vec::new(),
            texts: String::new(),
        }
    }

    pub(crate) fn data_type(&self) -> DataType {
        DataType::List(Arc::clone(&self.field))
    }

    fn push(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                let start = self.texts.len();
                self.texts.push_str(text);
                self.spans.push(Span::side(start, self.texts.len()));
            }
            None => self.spans.push(Span::NULL),
        }
    }

    /// Elements without quotes, escapes, blanks and further dimensions; whether the text is of that form.
    fn push_simple(&mut self, text: &str) -> bool {
        let Some(inside) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return false;
        };
        let special = |byte: u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r');
        if inside.is_empty() {
            return true;
        }
        if inside.bytes().any(special) || inside.split(',').any(str::is_empty) {
            return false;
        }
        for element in inside.split(',') {
            self.push((!element.eq_ignore_ascii_case("null")).then_some(element));
        }
        true
    }

    /// Appends the elements of `rows` arrays that have been pushed.
    fn append_elements(&mut self, lengths: &[usize]) -> Result<(), BadField> {
        let fields = Fields { text: "", bytes: &[], side: &self.texts, spans: &self.spans, stride: 1 };
        let result = self.element.append(fields, self.spans.len());
        result.map(|_| ()).map_err(|bad| {
            // The element's place says which array it is in.
            let mut before = 0;
            let row = lengths.iter().position(|length| {
                before += length;
                bad.row < before
            });
            BadField { row: row.unwrap_or(0), refusal: bad.refusal }
        })
    }
}

impl Grow for ListColumn {
    fn append(&mut self, fields: Fields<'_>, rows: usize) -> Result<usize, BadField> {
        let mut nulls = 0;
        let mut lengths = Vec::with_capacity(rows);
        self.spans.clear();
        self.texts.clear();
        let mut stopped = None;
        for (row, cell) in fields.texts(rows).enumerate() {
            let first = self.spans.len();
            let valid = match cell {
                Cell::Value(text) => {
                    if !self.push_simple(text) {
                        match (self.reader)(text.as_bytes()) {
                            Ok(elements) => {
                                elements.iter().for_each(|element| self.push(element.as_deref()));
                            }
                            Err(refusal) => {
                                stopped = Some(BadField { row, refusal: Some(refusal) });
                                break;
                            }
                        }
                    }
                    true
                }
                Cell::Null => {
                    nulls += 1;
                    false
                }
                Cell::Missing => {
                    stopped = Some(BadField { row, refusal: None });
                    break;
                }
            };
            lengths.push(self.spans.len() - first);
            self.valid.push(valid);
        }
        // A bad element of an array before comes first.
        self.append_elements(&lengths)?;
        self.lengths.append(&mut lengths);
        stopped.map_or(Ok(nulls), Err)
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let elements = self.element.finish()?;
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let nulls = NullBuffer::from(std::mem::take(&mut self.valid));
        Ok(Arc::new(ListArray::try_new(Arc::clone(&self.field), offsets, elements, Some(nulls))?))
    }
}
