//! Arrays of any number of dimensions in Arrow.
//!
//! PostgreSQL has one type for arrays of every shape. Here there are two of each element type, which look alike to
//! clients:
//!
//! | Arrow type | holds |
//! |---|---|
//! | `List<T>` | arrays of one dimension whose subscripts begin at 1, and the empty array |
//! | `Struct<elements[]: List<T>, bounds[]: List<Int32>>` | arrays of any shape, called *multi* here |
//!
//! The bounds are the number of dimensions, their lengths, then their lower bounds: two multi arrays compare as
//! PostgreSQL compares them, by their elements first and by their bounds then, field by field.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray, new_empty_array, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options, interleave};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type};
use datafusion::common::Result;

use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{error, internal};

/// PostgreSQL's `MAXDIM`.
pub const DIMENSIONS_MAX: usize = 6;

const ELEMENTS: &str = "elements[]";
const BOUNDS: &str = "bounds[]";

static BOUNDS_TYPE: LazyLock<DataType> = LazyLock::new(|| list_of(DataType::Int32));

/// The type of arrays of one dimension.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The type of arrays of any shape.
pub fn multi_of(item: DataType) -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new(ELEMENTS, list_of(item), true),
        Field::new(BOUNDS, BOUNDS_TYPE.clone(), true),
    ]))
}

/// The field of the elements of a type that [`multi_of`] made.
pub fn multi_item(data_type: &DataType) -> Option<&FieldRef> {
    let DataType::Struct(fields) = data_type else { return None };
    match fields.iter().as_slice() {
        [elements, bounds] if elements.name() == ELEMENTS && bounds.name() == BOUNDS => {
            match elements.data_type() {
                DataType::List(item) => Some(item),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The type of an array's elements, whichever of the two it is.
pub fn item_of(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) => Some(item.data_type()),
        other => multi_item(other).map(|item| item.data_type()),
    }
}

/// Whether the type is one of arrays.
pub fn is_array(data_type: &DataType) -> bool {
    item_of(data_type).is_some()
}

/// Whether the type is one of arrays of any shape.
pub fn is_multi(data_type: &DataType) -> bool {
    multi_item(data_type).is_some()
}

/// The lengths and lower bounds of an array's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dimensions {
    count: usize,
    lengths: [i32; DIMENSIONS_MAX],
    lower: [i32; DIMENSIONS_MAX],
}

impl Dimensions {
    /// One dimension from 1 on; none for no elements.
    pub fn flat(length: usize) -> Self {
        let mut flat = Self::default();
        if length > 0 {
            let _ = flat.push(length, 1);
        }
        flat
    }

    /// Adds a dimension inside the ones that are there.
    ///
    /// # Errors
    /// 54000 for one too many, or one too long.
    pub fn push(&mut self, length: usize, lower: i32) -> Result<()> {
        let too_many = || {
            let message = format!(
                "number of array dimensions ({}) exceeds the maximum allowed ({DIMENSIONS_MAX})",
                self.count + 1
            );
            error(ErrorKind::LimitExceeded, message)
        };
        match (self.lengths.get_mut(self.count), self.lower.get_mut(self.count), i32::try_from(length)) {
            (Some(place), Some(bound), Ok(length)) => {
                *place = length;
                *bound = lower;
                self.count += 1;
                Ok(())
            }
            (Some(_), Some(_), Err(_)) => {
                Err(error(ErrorKind::LimitExceeded, "array size exceeds the maximum allowed (134217727)"))
            }
            _ => Err(too_many()),
        }
    }

    /// Dimensions of these lengths and lower bounds.
    ///
    /// # Errors
    /// 54000 for too many.
    pub fn of(pairs: impl IntoIterator<Item = (usize, i32)>) -> Result<Self> {
        let mut dimensions = Self::default();
        for (length, lower) in pairs {
            dimensions.push(length, lower)?;
        }
        Ok(dimensions)
    }

    /// How many there are; the empty array has none.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The lengths, the outermost first.
    pub fn lengths(&self) -> &[i32] {
        self.lengths.get(..self.count).unwrap_or_default()
    }

    /// The subscripts of the first elements.
    pub fn lower(&self) -> &[i32] {
        self.lower.get(..self.count).unwrap_or_default()
    }

    /// Lengths with their lower bounds.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, i32)> + '_ {
        let lengths = self.lengths().iter().map(|length| usize::try_from(*length).unwrap_or(0));
        lengths.zip(self.lower().iter().copied())
    }

    /// How many elements an array of this shape has.
    pub fn elements(&self) -> usize {
        if self.count == 0 { 0 } else { self.pairs().map(|(length, _)| length).product() }
    }

    /// The dimensions with another outermost one.
    #[must_use]
    pub fn with_first(mut self, length: usize) -> Self {
        if let (Some(first), Ok(length)) = (self.lengths.first_mut(), i32::try_from(length)) {
            *first = length;
        }
        self
    }

    /// The dimensions inside the outermost one.
    #[must_use]
    pub fn inner(&self) -> Self {
        Self::of(self.pairs().skip(1)).unwrap_or_default()
    }

    /// Whether a `List` holds this shape.
    fn is_flat(&self) -> bool {
        self.count == 0 || self.count == 1 && self.lower() == [1]
    }
}

/// One array of a column: where its elements are among all elements, and its shape.
#[derive(Debug, Clone)]
pub struct ArrayValue {
    /// Places in [`Arrays::elements`].
    pub range: Range<usize>,
    /// The shape.
    pub dimensions: Dimensions,
}

/// A column of arrays, read alike whichever of the two types it has.
#[derive(Debug)]
pub struct Arrays {
    nulls: Option<NullBuffer>,
    elements: ArrayRef,
    offsets: OffsetBuffer<i32>,
    bounds: Option<ListArray>,
    rows: usize,
    first: i32,
}

impl Arrays {
    /// Reads a column.
    ///
    /// # Errors
    /// A column of another type is a defect of the caller.
    pub fn of(array: &ArrayRef) -> Result<Self> {
        let no_array = || internal(format!("an array is expected, not {}", array.data_type()));
        if is_multi(array.data_type()) {
            let parts = array.as_struct();
            let (Some(elements), Some(bounds)) = (
                parts.columns().first().and_then(|list| list.as_list_opt::<i32>()),
                parts.columns().get(1).and_then(|list| list.as_list_opt::<i32>()),
            ) else {
                return Err(no_array());
            };
            return Ok(Self {
                nulls: NullBuffer::union(parts.nulls(), elements.nulls()),
                elements: Arc::clone(elements.values()),
                offsets: elements.offsets().clone(),
                bounds: Some(bounds.clone()),
                rows: array.len(),
                first: 1,
            });
        }
        let list = array.as_list_opt::<i32>().ok_or_else(no_array)?;
        Ok(Self {
            nulls: list.nulls().cloned(),
            elements: Arc::clone(list.values()),
            offsets: list.offsets().clone(),
            bounds: None,
            rows: array.len(),
            first: 1,
        })
    }

    /// The same with another subscript of the first elements: `int2vector` and `oidvector` count from 0.
    #[must_use]
    pub fn counted_from(mut self, first: i32) -> Self {
        self.first = first;
        self
    }

    /// How many arrays there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// All elements of all arrays.
    pub fn elements(&self) -> &ArrayRef {
        &self.elements
    }

    /// The array at a row; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<ArrayValue> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let at = |place: usize| self.offsets.get(place).and_then(|offset| usize::try_from(*offset).ok());
        let range = at(row)?..at(row + 1)?;
        let dimensions = match &self.bounds {
            None => {
                let mut flat = Dimensions::flat(range.len());
                if let Some(lower) = flat.lower.first_mut() {
                    *lower = self.first;
                }
                flat
            }
            Some(bounds) => {
                let values = bounds.value(row);
                let values = values.as_primitive_opt::<Int32Type>()?.values();
                let (count, rest) = values.split_first()?;
                let count = usize::try_from(*count).ok()?;
                let lengths = rest.get(..count)?.iter().map(|length| usize::try_from(*length).unwrap_or(0));
                Dimensions::of(lengths.zip(rest.get(count..)?.iter().copied())).ok()?
            }
        };
        Some(ArrayValue { range, dimensions })
    }

    /// The same arrays over other elements in the same places.
    ///
    /// # Errors
    /// 0A000 for a shape that a `List` does not hold.
    pub fn over(&self, elements: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
        let mut builder = ArraysBuilder::default();
        for row in 0..self.len() {
            match self.get(row) {
                None => builder.null(),
                Some(value) => {
                    builder.pick_all(1, value.range);
                    builder.close(value.dimensions);
                }
            }
        }
        builder.finish(&[elements], to)
    }

    /// Whether the element at a place is NULL.
    pub fn is_null_at(&self, place: usize) -> bool {
        self.elements.is_null(place) || self.elements.data_type().is_null()
    }
}

/// Arrays that are put together from elements of others.
#[derive(Debug, Default)]
pub struct ArraysBuilder {
    picks: Vec<(usize, usize)>,
    rows: Vec<Option<(usize, Dimensions)>>,
    begun: usize,
}

impl ArraysBuilder {
    /// Takes the element at `place` of source `source`; source 0 is a NULL.
    pub fn pick(&mut self, source: usize, place: usize) {
        self.picks.push((source, place));
    }

    /// Takes several.
    pub fn pick_all(&mut self, source: usize, places: Range<usize>) {
        self.picks.extend(places.map(|place| (source, place)));
    }

    /// Takes a NULL element.
    pub fn pick_null(&mut self) {
        self.picks.push((0, 0));
    }

    /// How many elements the array has that is being made.
    pub fn picked(&self) -> usize {
        self.picks.len() - self.begun
    }

    /// Ends an array of one dimension.
    pub fn close_flat(&mut self) {
        self.close(Dimensions::flat(self.picked()));
    }

    /// Ends an array of that shape.
    pub fn close(&mut self, dimensions: Dimensions) {
        let length = self.picked();
        self.rows.push(Some((length, if length == 0 { Dimensions::default() } else { dimensions })));
        self.begun = self.picks.len();
    }

    /// A NULL in the place of an array.
    pub fn null(&mut self) {
        self.picks.truncate(self.begun);
        self.rows.push(None);
    }

    /// The arrays as a column of `data_type`, their elements taken from `sources`, which are counted from 1.
    ///
    /// # Errors
    /// 0A000 for a shape that a `List` does not hold.
    pub fn finish(self, sources: &[&ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
        let item = item_of(data_type).ok_or_else(|| internal("arrays of no array type"))?;
        let multi = is_multi(data_type);
        if !multi && !self.rows.iter().flatten().all(|(_, dimensions)| dimensions.is_flat()) {
            return Err(one_dimension_only());
        }
        let null = new_null_array(item, 1);
        let mut from: Vec<&dyn Array> = vec![null.as_ref()];
        from.extend(sources.iter().map(|source| source.as_ref()));
        let elements =
            if self.picks.is_empty() { new_empty_array(item) } else { interleave(&from, &self.picks)? };
        let lengths = self.rows.iter().map(|row| row.map_or(0, |(length, _)| length));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls: NullBuffer = self.rows.iter().map(Option::is_some).collect();
        if !multi {
            let DataType::List(field) = data_type else { return Err(internal("arrays of no array type")) };
            return Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, Some(nulls))?));
        }
        let DataType::Struct(fields) = data_type else { return Err(internal("arrays of no array type")) };
        let Some(DataType::List(field)) = fields.first().map(|field| field.data_type()) else {
            return Err(internal("arrays of no array type"));
        };
        let elements = ListArray::try_new(Arc::clone(field), offsets, elements, Some(nulls.clone()))?;
        let mut bounds: Vec<i32> = Vec::new();
        let mut lengths = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let before = bounds.len();
            if let Some((_, dimensions)) = row {
                bounds.push(i32::try_from(dimensions.count()).unwrap_or(0));
                bounds.extend(dimensions.lengths());
                bounds.extend(dimensions.lower());
            }
            lengths.push(bounds.len() - before);
        }
        let DataType::List(field) = &*BOUNDS_TYPE else { return Err(internal("bounds of no array type")) };
        let bounds = ListArray::try_new(
            Arc::clone(field),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(Int32Array::from(bounds)),
            Some(nulls.clone()),
        )?;
        let columns: Vec<ArrayRef> = vec![Arc::new(elements), Arc::new(bounds)];
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, Some(nulls))?))
    }
}

/// Arrays in the other of the two forms, or over another type of elements that Arrow casts them to.
///
/// # Errors
/// 0A000 for a shape that a `List` does not hold, 22003 and the like for elements that do not fit.
pub fn reshaped(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let arrays = Arrays::of(array)?;
    let item = item_of(to).ok_or_else(|| internal("arrays of no array type"))?;
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let elements = cast_with_options(arrays.elements(), item, &options)?;
    arrays.over(&elements, to)
}

/// What a value of one dimension is asked to be and is not.
pub fn one_dimension_only() -> datafusion::error::DataFusionError {
    ExecError::new(
        ErrorKind::Unsupported,
        "an array of several dimensions, or one that does not begin at 1, is not supported here",
    )
    .with_hint(
        "Declare the column or cast with two pairs of brackets, as in integer[][]: that takes every shape.",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_reads_back() {
        let source: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
        let mut builder = ArraysBuilder::default();
        builder.pick_all(1, 0..4);
        let square = Dimensions::of([(2, 1), (2, 0)]).unwrap();
        builder.close(square);
        builder.null();
        builder.pick_null();
        builder.close_flat();
        builder.close_flat();
        let built = builder.finish(&[&source], &multi_of(DataType::Int32)).unwrap();
        let arrays = Arrays::of(&built).unwrap();
        assert_eq!(arrays.get(0).unwrap().dimensions, square);
        assert!(arrays.get(1).is_none());
        assert_eq!(arrays.get(2).unwrap().range, 4..5);
        assert!(arrays.is_null_at(4));
        assert_eq!(arrays.get(3).unwrap().dimensions, Dimensions::default());
        assert_eq!(arrays.elements().len(), 5);
    }

    #[test]
    fn a_list_takes_one_dimension_from_one_on() {
        let source: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        for (dimensions, taken) in [
            (Dimensions::flat(2), true),
            (Dimensions::of([(2, 0)]).unwrap(), false),
            (Dimensions::of([(1, 1), (2, 1)]).unwrap(), false),
        ] {
            let mut builder = ArraysBuilder::default();
            builder.pick_all(1, 0..2);
            builder.close(dimensions);
            assert_eq!(builder.finish(&[&source], &list_of(DataType::Int32)).is_ok(), taken);
        }
    }
}
