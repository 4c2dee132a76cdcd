//! What a call asks for, and the bins that it means.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use quickdb_kernels::{Axis, Number, bitmap, histogram};

use super::{has_single_edges, list, record_fields};
use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{error, internal};

/// Elements that an array has at most, as in PostgreSQL.
const CELLS_MAX: usize = 134_217_727;

/// The constants of a call.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// How many bins along each axis.
    bins: Vec<usize>,
    range: Option<Vec<(f64, f64)>>,
    /// Whether all values are `real`.
    single: bool,
    single_edges: bool,
}

/// Bins along one axis or two, and the type of their edges.
#[derive(Debug, PartialEq)]
pub(crate) struct Bins {
    axes: Vec<Axis>,
    single_edges: bool,
}

/// How edges are computed.
#[derive(Debug, Clone, Copy)]
enum Precision {
    Double,
    /// In double precision, and then rounded to single.
    Rounded,
    Single,
}

impl Request {
    /// The constants of a call with the arguments `exprs`, of these `types`.
    ///
    /// # Errors
    /// `InvalidParameter` and `NullNotAllowed` for what makes no bins, `Unsupported` for what is not constant.
    pub(super) fn of(dimensions: usize, exprs: &[Arc<dyn PhysicalExpr>], types: &[DataType]) -> Result<Self> {
        let mut constants = exprs.iter().skip(dimensions);
        let mut bins = vec![];
        for expr in constants.by_ref().take(dimensions) {
            let ScalarValue::Int64(count) = constant("bins", expr)? else {
                return Err(internal("bins are no integer"));
            };
            let Some(count) = count else {
                return Err(error(ErrorKind::NullNotAllowed, "bins must not be null"));
            };
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            bins.push(
                count.ok_or_else(|| error(ErrorKind::InvalidParameter, "bins must be greater than zero"))?,
            );
        }
        let cells = bins.iter().try_fold(1usize, |cells, bins| cells.checked_mul(*bins));
        if cells.is_none_or(|cells| cells > CELLS_MAX) {
            let message = format!("array size exceeds the maximum allowed ({CELLS_MAX})");
            return Err(error(ErrorKind::LimitExceeded, message));
        }
        let mut ends = vec![];
        for expr in constants {
            match constant("range", expr)? {
                ScalarValue::Float64(Some(end)) => ends.push(end),
                _ => return Err(error(ErrorKind::NullNotAllowed, "range must not be null")),
            }
        }
        let mut range = vec![];
        for pair in ends.chunks(2) {
            let [low, high] = pair else { return Err(internal("half a range")) };
            if !low.is_finite() || !high.is_finite() {
                return Err(error(
                    ErrorKind::InvalidParameter,
                    "lower and upper bounds of range must be finite",
                ));
            }
            if low >= high {
                return Err(error(
                    ErrorKind::InvalidParameter,
                    "lower bound of range must be less than upper bound",
                ));
            }
            range.push((*low, *high));
        }
        let single = types.iter().take(dimensions).all(|data_type| data_type == &DataType::Float32);
        let single_edges = has_single_edges(dimensions, types);
        Ok(Self { bins, range: (!range.is_empty()).then_some(range), single, single_edges })
    }

    /// How many axes there are.
    pub(super) fn dimensions(&self) -> usize {
        self.bins.len()
    }

    /// The bins; `None` when the range is that of the values.
    ///
    /// # Errors
    /// `InvalidParameter` when edges of so many bins would not differ.
    pub(super) fn bins(&self) -> Result<Option<Bins>> {
        let Some(range) = &self.range else { return Ok(None) };
        let precision = if self.single_edges { Precision::Rounded } else { Precision::Double };
        self.between(range, precision).map(Some)
    }

    /// The bins over values with these extremes; `None` for an axis without values.
    ///
    /// # Errors
    /// As for [`Request::bins`].
    pub(super) fn bins_over(&self, extremes: &[Option<(f64, f64)>]) -> Result<Bins> {
        /// Half the width of a range that would have none.
        const HALF: f64 = 0.5;
        let range: Vec<(f64, f64)> = extremes
            .iter()
            .map(|extremes| match extremes {
                None => (0.0, 1.0),
                #[expect(clippy::float_cmp, reason = "one value only")]
                Some((low, high)) if low == high => (low - HALF, high + HALF),
                Some(range) => *range,
            })
            .collect();
        let precision = match (self.single, self.single_edges) {
            (true, _) => Precision::Single,
            (false, _) => Precision::Double,
        };
        self.between(&range, precision)
    }

    fn between(&self, range: &[(f64, f64)], precision: Precision) -> Result<Bins> {
        let axes = self.bins.iter().zip(range).map(|(&bins, &(low, high))| {
            let epsilon = match precision {
                Precision::Double => f64::EPSILON,
                Precision::Rounded | Precision::Single => f64::from(f32::EPSILON),
            };
            Axis::new(edges(low, high, bins, precision), epsilon).ok_or_else(|| {
                let message = format!("too many bins for the range: {bins} between {low} and {high}");
                error(ErrorKind::InvalidParameter, message)
            })
        });
        Ok(Bins { axes: axes.collect::<Result<_>>()?, single_edges: self.single_edges })
    }
}

/// The value of an argument that must be the same for all rows.
fn constant(name: &str, expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    if !collect_columns(expr).is_empty() {
        let unsupported = ExecError::new(ErrorKind::Unsupported, format!("{name} must be constant"));
        return Err(unsupported.with_hint("Write a number, or an expression of numbers.").into());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    ScalarValue::try_from_array(&expr.evaluate(&row)?.into_array(1)?, 0)
}

/// The edges of `bins` bins of equal width, as numpy's `linspace` computes them: the step first, then its multiples,
/// and the last as given.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "precision is the point")]
fn edges(low: f64, high: f64, bins: usize, precision: Precision) -> Vec<f64> {
    let mut edges: Vec<f64> = if let Precision::Single = precision {
        let (low, high) = (low as f32, high as f32);
        let step = (high - low) / bins as f32;
        (0..=bins).map(|edge| f64::from(edge as f32 * step + low)).collect()
    } else {
        let step = (high - low) / bins as f64;
        (0..=bins).map(|edge| edge as f64 * step + low).collect()
    };
    if let Some(last) = edges.last_mut() {
        *last = high;
    }
    if !matches!(precision, Precision::Double) {
        edges.iter_mut().for_each(|edge| *edge = f64::from(*edge as f32));
    }
    edges
}

impl Bins {
    /// How many counts there are.
    pub(crate) fn cells(&self) -> usize {
        self.axes.iter().map(Axis::bins).product()
    }

    /// How many axes there are.
    pub(crate) fn dimensions(&self) -> usize {
        self.axes.len()
    }

    /// Replaces `bins` by the bin along axis `axis` of every value that is not NULL; others have the number of bins.
    pub(crate) fn find(&self, axis: usize, values: &ArrayRef, bins: &mut Vec<u32>) -> Result<()> {
        let axis = self.axes.get(axis).ok_or_else(|| internal("there is no such axis"))?;
        fn run<T: Number>(axis: &Axis, values: &[T], bins: &mut Vec<u32>) {
            histogram::find(axis, values, bins);
        }
        match values.data_type() {
            DataType::Int16 => run(axis, values.as_primitive::<Int16Type>().values(), bins),
            DataType::Int32 => run(axis, values.as_primitive::<Int32Type>().values(), bins),
            DataType::Int64 => run(axis, values.as_primitive::<Int64Type>().values(), bins),
            DataType::Float32 => run(axis, values.as_primitive::<Float32Type>().values(), bins),
            DataType::Float64 => run(axis, values.as_primitive::<Float64Type>().values(), bins),
            DataType::Null => {
                bins.clear();
                bins.resize(values.len(), number(axis.bins()));
            }
            other => return Err(internal(format!("no bins for values of type {other}"))),
        }
        if let Some(nulls) = values.nulls().filter(|nulls| nulls.null_count() > 0) {
            let mut words = vec![0; bitmap::words_for(values.len())];
            bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), values.len());
            histogram::leave_out(bins, &words, number(axis.bins()));
        }
        Ok(())
    }

    /// Turns bins along the axes into one number of each row's cell, in the first of them.
    pub(crate) fn combine(&self, found: &mut [Vec<u32>]) {
        if let (Some((rows, [columns])), [first, second]) = (found.split_first_mut(), self.axes.as_slice()) {
            histogram::cells(rows, first.bins(), columns, second.bins());
        }
    }

    /// The cell of every row of `values`, one array for each axis.
    pub(crate) fn of_rows(&self, values: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut found = vec![];
        for axis in 0..self.dimensions() {
            let values = values.get(axis).ok_or_else(|| internal("a histogram without its values"))?;
            let mut bins = vec![];
            self.find(axis, values, &mut bins)?;
            found.push(bins);
        }
        self.combine(&mut found);
        found.into_iter().next().ok_or_else(|| internal("a histogram without axes"))
    }

    /// The records of groups from their counts, one after the other.
    ///
    /// # Errors
    /// `LimitExceeded` when there are more counts than one array holds.
    pub(super) fn records(&self, counts: Vec<i64>, groups: usize) -> Result<StructArray> {
        let counts: ArrayRef = Arc::new(Int64Array::from(counts));
        let mut columns: Vec<ArrayRef> = vec![match self.axes.as_slice() {
            [rows, columns] => {
                let inner = lists(counts, columns.bins(), groups * rows.bins())?;
                Arc::new(lists(Arc::new(inner), rows.bins(), groups)?)
            }
            _ => Arc::new(lists(counts, self.cells(), groups)?),
        }];
        for axis in &self.axes {
            let all = axis.edges().iter().cycle().take(axis.edges().len() * groups).copied();
            #[expect(clippy::cast_possible_truncation, reason = "they were rounded to single precision")]
            let edges: ArrayRef = if self.single_edges {
                Arc::new(Float32Array::from_iter_values(all.map(|edge| edge as f32)))
            } else {
                Arc::new(Float64Array::from_iter_values(all))
            };
            columns.push(Arc::new(lists(edges, axis.edges().len(), groups)?));
        }
        Ok(StructArray::try_new(record_fields(self.dimensions(), self.single_edges), columns, None)?)
    }
}

/// A count of bins as the number that stands for no bin.
pub(super) fn number(bins: usize) -> u32 {
    u32::try_from(bins).unwrap_or(u32::MAX)
}

/// `count` lists of `length` values each.
pub(super) fn lists(values: ArrayRef, length: usize, count: usize) -> Result<ListArray> {
    if i32::try_from(values.len()).is_err() {
        return Err(error(ErrorKind::LimitExceeded, "too many values for one array"));
    }
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, count));
    let DataType::List(item) = list(values.data_type().clone()) else {
        return Err(internal("a list of no list type"));
    };
    let item: Arc<Field> = item;
    Ok(ListArray::try_new(item, offsets, values, None)?)
}
