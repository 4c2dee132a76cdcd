//! Partial states as the batches that DataFusion's final aggregate merges.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int16Array, Int64Array,
    PrimitiveArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Time64MicrosecondType, TimestampMicrosecondType};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::EmitTo;

use super::accumulators::{Accumulator, overflow};
use super::dictionary::GlobalDictionary;
use super::program::Program;
use super::table::Finished;
use crate::selection::CHUNK_ROWS;

/// The accumulators that count the rows of an aggregate: all, and those that are NULL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) rows: usize,
    pub(super) nulls: Option<usize>,
}

/// How the states of one aggregate come from accumulators. A group whose count is 0 has a NULL value.
#[derive(Debug)]
pub(super) enum State {
    /// One column: the count.
    Count { count: Counted },
    /// Two columns: count and sum.
    Average { count: Counted, sum: usize },
    /// One column: a sum, to which `shift` is added for every value, or an extreme; of ids where there is a dictionary.
    Value { count: Counted, slot: usize, shift: i64, dictionary: Option<Arc<GlobalDictionary>> },
    /// One column: lists of the counts of bins.
    Bins { slot: usize },
    /// The columns that DataFusion's accumulator gives.
    Foreign { slot: usize },
}

/// A finished table as a batch: keys, then the states of every aggregate.
pub(super) fn batch(program: &Program, mut finished: Finished) -> Result<(RecordBatch, MemoryReservation)> {
    let mut columns = std::mem::take(&mut finished.keys);
    if finished.groups > 0 {
        for state in &program.states {
            let from = columns.len();
            let types =
                program.schema.fields().get(from..).unwrap_or_default().iter().map(|field| field.data_type());
            columns.extend(state_columns(state, types, &mut finished)?);
        }
    } else {
        columns = program.schema.fields().iter().map(|field| new_null_array(field.data_type(), 0)).collect();
    }
    for (column, field) in columns.iter_mut().zip(program.schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = cast(column, field.data_type())?;
        }
    }
    let rows = finished.groups;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&program.schema), columns, &options)?;
    Ok((batch, finished.reservation))
}

/// A batch in pieces of the size that the operators above like.
pub(super) fn cut(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(CHUNK_ROWS).map(|start| batch.slice(start, CHUNK_ROWS.min(rows - start))).collect()
}

fn state_columns<'a>(
    state: &State,
    mut types: impl Iterator<Item = &'a DataType>,
    finished: &mut Finished,
) -> Result<Vec<ArrayRef>> {
    let chosen = finished.chosen.as_deref();
    let accumulators = &mut finished.accumulators;
    Ok(match state {
        State::Count { count } => vec![Arc::new(Int64Array::from(counts(accumulators, *count, chosen)?))],
        State::Average { count, sum } => {
            let counts = counts(accumulators, *count, chosen)?;
            let valid = validity(&counts);
            let Some(sum_type) = types.nth(1) else { return internal_err!("average without a sum") };
            let sums = values(accumulators.get(*sum), sum_type, chosen, valid.clone())?;
            // The final average takes a count that is not NULL, be it 0, for a group that has met a value.
            let counts: Vec<u64> = counts.into_iter().map(i64::cast_unsigned).collect();
            vec![Arc::new(UInt64Array::new(counts.into(), valid)), sums]
        }
        State::Value { count, slot, shift, dictionary } => {
            let counts = counts(accumulators, *count, chosen)?;
            let valid = validity(&counts);
            if *shift != 0 {
                let Some(value_type) = types.next() else { return internal_err!("aggregate without state") };
                return Ok(vec![shifted(
                    accumulators.get(*slot),
                    value_type,
                    chosen,
                    &counts,
                    *shift,
                    valid,
                )?]);
            }
            match dictionary {
                Some(dictionary) => {
                    let ids = values(accumulators.get(*slot), &DataType::UInt32, chosen, valid)?;
                    if dictionary.len() == 0 {
                        vec![new_null_array(&DataType::Utf8View, ids.len())]
                    } else {
                        vec![take(dictionary.values().as_ref(), ids.as_ref(), None)?]
                    }
                }
                None => {
                    let Some(value_type) = types.next() else {
                        return internal_err!("aggregate without state");
                    };
                    vec![values(accumulators.get(*slot), value_type, chosen, valid)?]
                }
            }
        }
        State::Bins { slot } => match accumulators.get(*slot) {
            Some(Accumulator::Bins(table)) => vec![Arc::new(table.states(chosen)?)],
            _ => return internal_err!("histogram without its counts"),
        },
        State::Foreign { slot } => match accumulators.get_mut(*slot) {
            Some(Accumulator::Foreign(accumulator, _)) => accumulator.state(EmitTo::All)?,
            _ => return internal_err!("foreign aggregate without its accumulator"),
        },
    })
}

/// How many rows of each group that is written out are not NULL.
fn counts(accumulators: &[Accumulator], count: Counted, chosen: Option<&[u32]>) -> Result<Vec<i64>> {
    let of = |slot: usize| match accumulators.get(slot) {
        Some(Accumulator::Count(counts)) => Ok(pick(counts, chosen)),
        _ => internal_err!("aggregate without its count"),
    };
    let mut counts = of(count.rows)?;
    if let Some(nulls) = count.nulls {
        counts.iter_mut().zip(of(nulls)?).for_each(|(count, nulls)| *count -= nulls);
    }
    Ok(counts)
}

/// The states of the groups that are written out.
fn pick<T: Copy>(states: &[T], chosen: Option<&[u32]>) -> Vec<T> {
    match chosen {
        Some(chosen) => {
            let mut picked = vec![];
            quickdb_kernels::gather::gather(states, chosen, &mut picked);
            picked
        }
        None => states.to_vec(),
    }
}

/// Which groups have met a value.
fn validity(counts: &[i64]) -> Option<NullBuffer> {
    counts.contains(&0).then(|| NullBuffer::from_iter(counts.iter().map(|&count| count > 0)))
}

/// The states of an accumulator of ours as an array of `data_type`.
///
/// # Errors
/// `NumericOutOfRange` when a sum does not fit that type.
fn values(
    accumulator: Option<&Accumulator>,
    data_type: &DataType,
    chosen: Option<&[u32]>,
    valid: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(match (accumulator, data_type) {
        (Some(Accumulator::SumFloat(sums)), _) => {
            Arc::new(Float64Array::new(pick(sums, chosen).into(), valid))
        }
        (Some(Accumulator::SumInteger(sums)), _) => {
            Arc::new(Int64Array::new(pick(sums, chosen).into(), valid))
        }
        (Some(Accumulator::SumWide(sums)), DataType::Decimal128(precision, scale)) => {
            decimals(pick(sums, chosen), valid, *precision, *scale)?
        }
        (Some(Accumulator::SumWide(sums)), _) => {
            let sums = pick(sums, chosen).into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>();
            Arc::new(Int64Array::new(sums.map_err(|_| overflow("bigint"))?.into(), valid))
        }
        (Some(Accumulator::ExtremeU8(_, states)), _) => {
            let flags = pick(states, chosen).into_iter().map(|flag| flag == 1).collect();
            Arc::new(BooleanArray::new(flags, valid))
        }
        (Some(Accumulator::ExtremeI16(_, states)), _) => {
            Arc::new(Int16Array::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeI32(_, states)), DataType::Date32) => {
            Arc::new(PrimitiveArray::<Date32Type>::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeI32(_, states)), _) => {
            Arc::new(PrimitiveArray::<Int32Type>::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeU32(_, states)), _) => {
            Arc::new(UInt32Array::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeI64(_, states)), DataType::Time64(_)) => {
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeI64(_, states)), DataType::Timestamp(_, zone)) => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::new(pick(states, chosen).into(), valid)
                .with_timezone_opt(zone.clone()),
        ),
        (Some(Accumulator::ExtremeI64(_, states)), _) => {
            Arc::new(Int64Array::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeF32(_, states)), _) => {
            Arc::new(Float32Array::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeF64(_, states)), _) => {
            Arc::new(Float64Array::new(pick(states, chosen).into(), valid))
        }
        (Some(Accumulator::ExtremeI128(_, states)), DataType::Decimal128(precision, scale)) => Arc::new(
            Decimal128Array::new(pick(states, chosen).into(), valid)
                .with_precision_and_scale(*precision, *scale)?,
        ),
        _ => return internal_err!("no state of type {data_type} in this accumulator"),
    })
}

/// Sums of integers with `shift` added for every value.
fn shifted(
    accumulator: Option<&Accumulator>,
    data_type: &DataType,
    chosen: Option<&[u32]>,
    counts: &[i64],
    shift: i64,
    valid: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let mut sums: Vec<i128> = match accumulator {
        Some(Accumulator::SumInteger(sums)) => pick(sums, chosen).into_iter().map(i128::from).collect(),
        Some(Accumulator::SumWide(sums)) => pick(sums, chosen),
        _ => return internal_err!("a shifted sum without its accumulator"),
    };
    for (sum, &count) in sums.iter_mut().zip(counts) {
        let more = i128::from(count) * i128::from(shift);
        *sum = sum.checked_add(more).ok_or_else(|| overflow("numeric"))?;
    }
    values(Some(&Accumulator::SumWide(sums)), data_type, None, valid)
}

fn decimals(sums: Vec<i128>, valid: Option<NullBuffer>, precision: u8, scale: i8) -> Result<ArrayRef> {
    let bound = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    if sums.iter().any(|sum| sum.unsigned_abs() >= bound.unsigned_abs()) {
        return Err(overflow("numeric"));
    }
    Ok(Arc::new(Decimal128Array::new(sums.into(), valid).with_precision_and_scale(precision, scale)?))
}
