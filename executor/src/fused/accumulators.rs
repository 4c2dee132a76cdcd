//! Accumulators of all groups of one partial table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt32Type,
};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;
use quickdb_kernels::{Number, extreme, gather, grouped, sum};

use super::lane::{Rows, Values};
use crate::error::{ErrorKind, ExecError};
use crate::functions::histograms::{BinTable, Bins};

/// Which of the two ends of an order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    Least,
    Greatest,
}

/// What is accumulated.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// The rows themselves.
    CountRows,
    /// The rows whose argument is NULL: few, as a rule, so that they are told from all rows faster than the others.
    CountNulls,
    /// The sum in `f64`.
    SumFloat,
    /// The sum of integers of 32 bits and less, in `i64`.
    SumInteger,
    /// The sum of `i64` or of decimals, in `i128`.
    SumWide,
    /// The least or greatest value, of this type.
    Extreme(End, DataType),
    /// The rows in each of several bins.
    Bins(Arc<Bins>),
    /// An aggregate of DataFusion.
    Foreign(Arc<AggregateFunctionExpr>),
}

impl PartialEq for Operation {
    /// Two foreign aggregates are never taken for the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::CountRows, Self::CountRows)
            | (Self::CountNulls, Self::CountNulls)
            | (Self::SumFloat, Self::SumFloat)
            | (Self::SumInteger, Self::SumInteger)
            | (Self::SumWide, Self::SumWide) => true,
            (Self::Extreme(end, data_type), Self::Extreme(other_end, other_type)) => {
                end == other_end && data_type == other_type
            }
            (Self::Bins(bins), Self::Bins(other)) => bins == other,
            _ => false,
        }
    }
}

/// One state per group, by group id.
pub(super) enum Accumulator {
    /// Counts.
    Count(Vec<i64>),
    /// Sums in `f64`.
    SumFloat(Vec<f64>),
    /// Sums that fit 64 bits.
    SumInteger(Vec<i64>),
    /// Sums in 128 bits.
    SumWide(Vec<i128>),
    /// Extremes of Booleans, as 0 and 1.
    ExtremeU8(End, Vec<u8>),
    /// Extremes of `i16`.
    ExtremeI16(End, Vec<i16>),
    /// Extremes of `i32` and of dates.
    ExtremeI32(End, Vec<i32>),
    /// Extremes of ids of text values.
    ExtremeU32(End, Vec<u32>),
    /// Extremes of `i64`, of times and of timestamps.
    ExtremeI64(End, Vec<i64>),
    /// Extremes of `f32`.
    ExtremeF32(End, Vec<f32>),
    /// Extremes of `f64`.
    ExtremeF64(End, Vec<f64>),
    /// Extremes of decimals.
    ExtremeI128(End, Vec<i128>),
    /// Counts of rows in bins.
    Bins(BinTable),
    /// An accumulator of DataFusion, and how many groups it knows.
    Foreign(Box<dyn GroupsAccumulator>, usize),
}

/// The type whose kernels keep extremes of `data_type`; `None` when there is none.
pub(super) fn has_extremes(data_type: &DataType) -> bool {
    use arrow::datatypes::TimeUnit::Microsecond;
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int16
            | DataType::Int32
            | DataType::Date32
            | DataType::UInt32
            | DataType::Int64
            | DataType::Time64(Microsecond)
            | DataType::Timestamp(Microsecond, _)
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(_, _)
    )
}

/// An accumulator of DataFusion for `aggregate`: row by row where it has none for groups, and where there is one
/// group, since the final aggregate then merges with the accumulator for rows, whose states may differ.
pub(super) fn foreign(
    aggregate: &Arc<AggregateFunctionExpr>,
    grouped: bool,
) -> Result<Box<dyn GroupsAccumulator>> {
    if grouped && aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator();
    }
    let aggregate = Arc::clone(aggregate);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
}

/// Runs `$run` on the vector of an extreme accumulator, whatever its type.
macro_rules! on_extremes {
    ($accumulator:expr, |$end:ident, $states:ident| $run:expr, else $other:pat => $otherwise:expr) => {
        match $accumulator {
            Accumulator::ExtremeU8($end, $states) => $run,
            Accumulator::ExtremeI16($end, $states) => $run,
            Accumulator::ExtremeI32($end, $states) => $run,
            Accumulator::ExtremeU32($end, $states) => $run,
            Accumulator::ExtremeI64($end, $states) => $run,
            Accumulator::ExtremeF32($end, $states) => $run,
            Accumulator::ExtremeF64($end, $states) => $run,
            Accumulator::ExtremeI128($end, $states) => $run,
            $other => $otherwise,
        }
    };
}

impl Accumulator {
    /// An accumulator without groups; `grouped` says that there can be more than one.
    pub(super) fn new(operation: &Operation, grouped: bool) -> Result<Self> {
        Ok(match operation {
            Operation::CountRows | Operation::CountNulls => Self::Count(vec![]),
            Operation::SumFloat => Self::SumFloat(vec![]),
            Operation::SumInteger => Self::SumInteger(vec![]),
            Operation::SumWide => Self::SumWide(vec![]),
            Operation::Extreme(end, data_type) => match data_type {
                DataType::Boolean => Self::ExtremeU8(*end, vec![]),
                DataType::Int16 => Self::ExtremeI16(*end, vec![]),
                DataType::Int32 | DataType::Date32 => Self::ExtremeI32(*end, vec![]),
                DataType::UInt32 => Self::ExtremeU32(*end, vec![]),
                DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(_, _) => {
                    Self::ExtremeI64(*end, vec![])
                }
                DataType::Float32 => Self::ExtremeF32(*end, vec![]),
                DataType::Float64 => Self::ExtremeF64(*end, vec![]),
                DataType::Decimal128(_, _) => Self::ExtremeI128(*end, vec![]),
                other => return internal_err!("no extremes of {other}"),
            },
            Operation::Bins(bins) => Self::Bins(BinTable::new(Arc::clone(bins))),
            Operation::Foreign(aggregate) => Self::Foreign(foreign(aggregate, grouped)?, 0),
        })
    }

    /// Makes room for `groups` groups; new ones start empty.
    pub(super) fn resize(&mut self, groups: usize) {
        fn start<T: Number>(end: End, states: &mut Vec<T>, groups: usize) {
            states.resize(groups, if end == End::Least { T::GREATEST } else { T::LEAST });
        }
        on_extremes!(self, |end, states| start(*end, states, groups), else rest => match rest {
            Self::Count(counts) => counts.resize(groups, 0),
            Self::SumFloat(sums) => sums.resize(groups, 0.0),
            Self::SumInteger(sums) => sums.resize(groups, 0),
            Self::SumWide(sums) => sums.resize(groups, 0),
            Self::Bins(table) => table.resize(groups),
            Self::Foreign(_, known) => *known = groups,
            _ => {}
        });
    }

    /// Counts the rows of a lane.
    pub(super) fn count_rows(&mut self, kept: usize, groups: &[u32], grouped: bool) {
        let Self::Count(counts) = self else { return };
        if grouped {
            grouped::count(groups, counts);
        } else if let Some(count) = counts.first_mut() {
            *count += signed(kept);
        }
    }

    /// Counts one more row of a group.
    pub(super) fn count_one(&mut self, group: u32) {
        if let Self::Count(counts) = self
            && let Some(count) = counts.get_mut(group as usize)
        {
            *count += 1;
        }
    }

    /// Takes in values of one argument.
    ///
    /// # Errors
    /// `NumericOutOfRange` when a sum does not fit 128 bits.
    pub(super) fn update(&mut self, values: &Values) -> Result<()> {
        match self {
            Self::SumFloat(sums) => sum_float(sums, values)?,
            Self::SumInteger(sums) => sum_integer(sums, values)?,
            Self::SumWide(sums) => sum_wide(sums, values)?,
            Self::ExtremeU8(end, states) => {
                let flags = values.array.as_boolean();
                let bytes: Vec<u8> = flags.values().iter().map(u8::from).collect();
                extremes(*end, states, &bytes, &values.rows);
            }
            Self::ExtremeI16(end, states) => extremes_of::<Int16Type>(*end, states, values),
            Self::ExtremeI32(end, states) => match values.array.data_type() {
                DataType::Date32 => extremes_of::<Date32Type>(*end, states, values),
                _ => extremes_of::<Int32Type>(*end, states, values),
            },
            Self::ExtremeU32(end, states) => extremes_of::<UInt32Type>(*end, states, values),
            Self::ExtremeI64(end, states) => match values.array.data_type() {
                DataType::Time64(_) => extremes_of::<Time64MicrosecondType>(*end, states, values),
                DataType::Timestamp(_, _) => extremes_of::<TimestampMicrosecondType>(*end, states, values),
                _ => extremes_of::<Int64Type>(*end, states, values),
            },
            Self::ExtremeF32(end, states) => extremes_of::<Float32Type>(*end, states, values),
            Self::ExtremeF64(end, states) => extremes_of::<Float64Type>(*end, states, values),
            Self::ExtremeI128(end, states) => extremes_of::<Decimal128Type>(*end, states, values),
            Self::Count(_) | Self::Bins(_) | Self::Foreign(..) => {
                return internal_err!("this accumulator takes no values of one argument");
            }
        }
        Ok(())
    }

    /// Counts rows that lie in `cells`, each for its group where there are groups.
    ///
    /// # Errors
    /// `OutOfMemory` when there are too many groups for the bins.
    pub(super) fn count_cells(&mut self, cells: Vec<u32>, groups: Option<&[u32]>) -> Result<()> {
        match self {
            Self::Bins(table) => table.count(cells, groups),
            _ => internal_err!("bins for an accumulator without"),
        }
    }

    /// Bytes that so many groups will take beyond what every accumulator takes; they are asked for beforehand.
    pub(super) fn bytes_for(&self, groups: usize) -> usize {
        match self {
            Self::Bins(table) => table.bytes_for(groups),
            _ => 0,
        }
    }

    /// Takes in the arguments of a foreign aggregate: row `i` of every array is for group `groups[i]`.
    pub(super) fn update_foreign(&mut self, arguments: &[ArrayRef], groups: &[usize]) -> Result<()> {
        let Self::Foreign(accumulator, known) = self else {
            return internal_err!("accumulator of ours given the arguments of a foreign one");
        };
        accumulator.update_batch(arguments, groups, None, *known)
    }

    /// Adds the states of `other`: its group `g` is our group `map[g]`, or `g` where there is no map.
    ///
    /// # Errors
    /// `NumericOutOfRange` when a sum does not fit its accumulator.
    pub(super) fn merge(&mut self, other: Self, map: &[u32]) -> Result<()> {
        fn keep<T: Number>(end: End, states: &mut [T], others: &[T], map: &[u32]) {
            match end {
                End::Least => grouped::minimum(map, others, states),
                End::Greatest => grouped::maximum(map, others, states),
            }
        }
        match (self, other) {
            (Self::Count(counts), Self::Count(others)) => grouped::sum_integer(map, &others, counts),
            (Self::SumFloat(sums), Self::SumFloat(others)) => add_float(map, &others, sums),
            (Self::SumInteger(sums), Self::SumInteger(others)) => add_integer(map, &others, sums)?,
            (Self::SumWide(sums), Self::SumWide(others)) => {
                if !grouped::sum_wide(map, &others, sums) {
                    return Err(overflow("numeric"));
                }
            }
            (Self::ExtremeU8(end, states), Self::ExtremeU8(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeI16(end, states), Self::ExtremeI16(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeI32(end, states), Self::ExtremeI32(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeU32(end, states), Self::ExtremeU32(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeI64(end, states), Self::ExtremeI64(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeF32(end, states), Self::ExtremeF32(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeF64(end, states), Self::ExtremeF64(_, others)) => keep(*end, states, &others, map),
            (Self::ExtremeI128(end, states), Self::ExtremeI128(_, others)) => {
                keep(*end, states, &others, map)
            }
            (Self::Bins(table), Self::Bins(other)) => table.merge(&other, map),
            (Self::Foreign(accumulator, known), Self::Foreign(mut other, _)) => {
                let groups: Vec<usize> = map.iter().map(|&group| group as usize).collect();
                if !groups.is_empty() {
                    accumulator.merge_batch(&other.state(EmitTo::All)?, &groups, *known)?;
                }
            }
            _ => return internal_err!("accumulators of different kinds cannot be merged"),
        }
        Ok(())
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        fn bytes<T>(states: &Vec<T>) -> usize {
            states.capacity() * size_of::<T>()
        }
        on_extremes!(self, |_end, states| bytes(states), else rest => match rest {
            Self::Count(counts) => bytes(counts),
            Self::SumFloat(sums) => bytes(sums),
            Self::SumInteger(sums) => bytes(sums),
            Self::SumWide(sums) => bytes(sums),
            Self::Bins(table) => table.heap_bytes(),
            Self::Foreign(accumulator, _) => accumulator.size(),
            _ => 0,
        })
    }
}

/// The values with something in the place of each NULL that no extreme at `end` is; `None` where there is no NULL, or
/// no such value is known. Rows of one group that follow one another are then not torn apart by those that are NULL.
pub(super) fn without_nulls(array: &ArrayRef, end: End) -> Option<ArrayRef> {
    fn run<T: ArrowPrimitiveType>(array: &ArrayRef, end: End) -> Option<ArrayRef>
    where
        T::Native: Number,
    {
        let array = array.as_primitive_opt::<T>()?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
        let nothing = if end == End::Least { T::Native::GREATEST } else { T::Native::LEAST };
        let mut values = array.values().to_vec();
        for (value, _) in values.iter_mut().zip(nulls).filter(|(_, valid)| !valid) {
            *value = nothing;
        }
        let values = PrimitiveArray::<T>::new(values.into(), None);
        Some(Arc::new(values.with_data_type(array.data_type().clone())))
    }
    match array.data_type() {
        DataType::Int16 => run::<Int16Type>(array, end),
        DataType::Int32 => run::<Int32Type>(array, end),
        DataType::Date32 => run::<Date32Type>(array, end),
        DataType::Int64 => run::<Int64Type>(array, end),
        DataType::Time64(_) => run::<Time64MicrosecondType>(array, end),
        DataType::Timestamp(_, _) => run::<TimestampMicrosecondType>(array, end),
        DataType::Float32 => run::<Float32Type>(array, end),
        DataType::Float64 => run::<Float64Type>(array, end),
        _ => None,
    }
}

/// The error of a sum that does not fit `type_name`.
pub(super) fn overflow(type_name: &str) -> datafusion::error::DataFusionError {
    ExecError::new(ErrorKind::NumericOutOfRange, format!("{type_name} out of range")).into_datafusion()
}

#[expect(clippy::cast_possible_wrap, reason = "a chunk has fewer rows than 2^63")]
fn signed(count: usize) -> i64 {
    count as i64
}

/// Adds in order, without the spreading that [`grouped::sum_float`] does for few groups: the states are few.
fn add_float(map: &[u32], others: &[f64], sums: &mut [f64]) {
    for (&group, other) in map.iter().zip(others) {
        if let Some(sum) = sums.get_mut(group as usize) {
            *sum += other;
        }
    }
}

fn add_integer(map: &[u32], others: &[i64], sums: &mut [i64]) -> Result<()> {
    for (&group, &other) in map.iter().zip(others) {
        if let Some(sum) = sums.get_mut(group as usize) {
            *sum = sum.checked_add(other).ok_or_else(|| overflow("bigint"))?;
        }
    }
    Ok(())
}

/// Runs `$run` with `$values` as the native slice of an array of one of the types listed.
macro_rules! on_slice {
    ($array:expr, [$($data_type:pat => $arrow:ty),* $(,)?], |$values:ident| $run:expr) => {
        match $array.data_type() {
            $($data_type => {
                let $values: &[<$arrow as ArrowPrimitiveType>::Native] = $array.as_primitive::<$arrow>().values();
                $run
            })*
            other => return internal_err!("no kernel for values of type {other}"),
        }
    };
}

/// The values in the order of the groups: `values` itself, or those at the indices.
fn at_indices<'a, T: Number>(
    values: &'a [T],
    indices: Option<&Arc<Vec<u32>>>,
    packed: &'a mut Vec<T>,
) -> &'a [T] {
    match indices {
        Some(indices) => {
            gather::gather(values, indices, packed);
            packed
        }
        None => values,
    }
}

fn sum_float(sums: &mut [f64], values: &Values) -> Result<()> {
    fn run<T: Number>(sums: &mut [f64], values: &[T], rows: &Rows) {
        match rows {
            Rows::All => add_first(sums, sum::float(values)),
            Rows::Masked(words) => add_first(sums, sum::float_selected(values, words)),
            Rows::Grouped { indices, groups } => {
                let mut packed = vec![];
                grouped::sum_float(groups, at_indices(values, indices.as_ref(), &mut packed), sums);
            }
        }
    }
    fn add_first(sums: &mut [f64], more: f64) {
        if let Some(sum) = sums.first_mut() {
            *sum += more;
        }
    }
    on_slice!(values.array, [
        DataType::Int16 => Int16Type,
        DataType::Int32 => Int32Type,
        DataType::Int64 => Int64Type,
        DataType::Float32 => Float32Type,
        DataType::Float64 => Float64Type,
    ], |slice| run(sums, slice, &values.rows));
    Ok(())
}

fn sum_integer(sums: &mut [i64], values: &Values) -> Result<()> {
    fn run<T: Number>(sums: &mut [i64], values: &[T], rows: &Rows) -> Result<()> {
        let more = match rows {
            Rows::All => sum::integer(values),
            Rows::Masked(words) => sum::integer_selected(values, words),
            Rows::Grouped { indices, groups } => {
                let mut packed = vec![];
                grouped::sum_integer(groups, at_indices(values, indices.as_ref(), &mut packed), sums);
                return Ok(());
            }
        };
        if let Some(sum) = sums.first_mut() {
            *sum = sum.checked_add(more).ok_or_else(|| overflow("bigint"))?;
        }
        Ok(())
    }
    on_slice!(values.array, [
        DataType::Int16 => Int16Type,
        DataType::Int32 => Int32Type,
    ], |slice| run(sums, slice, &values.rows))
}

fn sum_wide(sums: &mut [i128], values: &Values) -> Result<()> {
    fn run<T: Number>(sums: &mut [i128], values: &[T], rows: &Rows) -> Result<()> {
        let fits = match rows {
            Rows::Grouped { indices, groups } => {
                let mut packed = vec![];
                grouped::sum_wide(groups, at_indices(values, indices.as_ref(), &mut packed), sums)
            }
            // Decimals of one chunk may overflow 128 bits in themselves, so they are added one by one.
            Rows::Masked(words) if size_of::<T>() < size_of::<i128>() => {
                add_first(sums, sum::wide_selected(values, words))
            }
            Rows::All if size_of::<T>() < size_of::<i128>() => add_first(sums, sum::wide(values)),
            Rows::Masked(words) => {
                let mut indices = vec![];
                quickdb_kernels::bitmap::indices(words, &mut indices);
                let mut packed = vec![];
                gather::gather(values, &indices, &mut packed);
                packed.into_iter().all(|value| add_first(sums, value.to_i128()))
            }
            Rows::All => values.iter().all(|value| add_first(sums, value.to_i128())),
        };
        if fits { Ok(()) } else { Err(overflow("numeric")) }
    }
    fn add_first(sums: &mut [i128], more: i128) -> bool {
        let Some(sum) = sums.first_mut() else { return true };
        let (next, overflow) = sum.overflowing_add(more);
        *sum = next;
        !overflow
    }
    on_slice!(values.array, [
        DataType::Int16 => Int16Type,
        DataType::Int32 => Int32Type,
        DataType::Int64 => Int64Type,
        DataType::Decimal128(_, _) => Decimal128Type,
    ], |slice| run(sums, slice, &values.rows))
}

fn extremes_of<T>(end: End, states: &mut [T::Native], values: &Values)
where
    T: ArrowPrimitiveType,
    T::Native: Number,
{
    extremes(end, states, values.array.as_primitive::<T>().values(), &values.rows);
}

fn extremes<T: Number>(end: End, states: &mut [T], values: &[T], rows: &Rows) {
    let found = match (rows, end) {
        (Rows::All, End::Least) => extreme::minimum(values),
        (Rows::All, End::Greatest) => extreme::maximum(values),
        (Rows::Masked(words), End::Least) => extreme::minimum_selected(values, words),
        (Rows::Masked(words), End::Greatest) => extreme::maximum_selected(values, words),
        (Rows::Grouped { indices, groups }, end) => {
            let mut packed = vec![];
            let values = at_indices(values, indices.as_ref(), &mut packed);
            match end {
                End::Least => grouped::minimum(groups, values, states),
                End::Greatest => grouped::maximum(groups, values, states),
            }
            return;
        }
    };
    if let Some(state) = states.first_mut() {
        *state = match end {
            End::Least => extreme::lesser(*state, found),
            End::Greatest => extreme::greater(*state, found),
        };
    }
}
