//! Histograms whose range is that of the values: the state is the values, since the bins are known when all of them
//! are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::binning::{Request, lists};
use super::counted::BinTable;
use crate::functions::function::{arg, internal};

/// The values of one group that can be in a bin: not NULL, and finite along every axis.
#[derive(Debug)]
pub(super) struct Gathered {
    request: Request,
    /// One vector for each axis, of one length.
    values: Vec<Vec<f64>>,
}

impl Gathered {
    /// An accumulator without values.
    pub(super) fn new(request: Request) -> Self {
        let values = vec![vec![]; request.dimensions()];
        Self { request, values }
    }

    fn keep(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let mut columns = vec![];
        for axis in 0..self.values.len() {
            columns.push(cast(arg(arrays, axis)?, &DataType::Float64)?);
        }
        let columns: Vec<&Float64Array> = columns.iter().map(|column| column.as_primitive()).collect();
        match (columns.as_slice(), self.values.as_mut_slice()) {
            ([x], [kept]) => kept.extend(x.iter().flatten().filter(|x| x.is_finite())),
            ([x, y], [kept_x, kept_y]) => {
                for (x, y) in x.iter().zip(y.iter()) {
                    if let (Some(x), Some(y)) = (x, y)
                        && x.is_finite()
                        && y.is_finite()
                    {
                        kept_x.push(x);
                        kept_y.push(y);
                    }
                }
            }
            _ => return Err(internal("a histogram has one axis or two")),
        }
        Ok(())
    }
}

/// The least and the greatest of finite values.
fn extremes(values: &[f64]) -> Option<(f64, f64)> {
    values.iter().fold(None, |found, &value| {
        let (low, high) = found.unwrap_or((value, value));
        Some((if value < low { value } else { low }, if value > high { value } else { high }))
    })
}

impl Accumulator for Gathered {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.keep(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let extremes: Vec<_> = self.values.iter().map(|values| extremes(values)).collect();
        let bins = Arc::new(self.request.bins_over(&extremes)?);
        let mut table = BinTable::new(Arc::clone(&bins));
        table.resize(1);
        let values = self.values.iter_mut().map(std::mem::take);
        let arrays: Vec<ArrayRef> =
            values.map(|values| Arc::new(Float64Array::from(values)) as ArrayRef).collect();
        table.count(bins.of_rows(&arrays)?, None)?;
        let counts = table.states(None)?;
        let counts: &Int64Array = counts.values().as_primitive();
        Ok(ScalarValue::Struct(Arc::new(bins.records(counts.values().to_vec(), 1)?)))
    }

    fn size(&self) -> usize {
        let values: usize = self.values.iter().map(|values| values.capacity() * size_of::<f64>()).sum();
        size_of_val(self) + values
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let lists = self.values.iter_mut().map(|values| {
            let values = Float64Array::from(std::mem::take(values));
            let length = values.len();
            Ok(ScalarValue::List(Arc::new(lists(Arc::new(values), length, 1)?)))
        });
        lists.collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (axis, kept) in self.values.iter_mut().enumerate() {
            let states = arg(states, axis)?.as_list::<i32>();
            for state in states.iter().flatten() {
                kept.extend_from_slice(state.as_primitive::<Float64Type>().values());
            }
        }
        Ok(())
    }
}
