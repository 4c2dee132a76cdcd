//! Group keys as numbers.
//!
//! A key whose values are known to lie in a range (a dictionary's ids, integers between the bounds of the zone maps,
//! Booleans) has a code from zero up. The codes of all keys of a row make one number in a mixed radix. When there are
//! few such numbers, they are the group ids themselves; when they fit 64 bits, a hash table of integers finds the
//! ids; otherwise DataFusion's group values do, with text still as ids where it has a dictionary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, PrimitiveArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
    SchemaRef, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use quickdb_kernels::{arithmetic, bitmap, gather};
use quickdb_storage::Bound;

use super::arguments::{Argument, ids, plain_column};
use super::chunk::ChunkRows;
use super::dictionary::GlobalDictionary;
use crate::column_test::ColumnTest;
use crate::computation::{Computation, Limit, Span};
use crate::predicate::NarrowExpr;
use crate::store::ShardStore;
use crate::view::ShardView;

/// Tables of up to this many slots are indexed by the key without a thought: 64k counts are half a megabyte, which
/// every second-level cache holds.
const SLOTS_CHEAP: u64 = 65_536;

/// Larger tables are indexed by the key while they have no more slots than this; direct indexing beats hashing by
/// 2.4 at 100 thousand groups and still does at a million, and the table is cleared once for each range of rows.
pub(super) const SLOTS_MAX: u64 = 1 << 20;

/// Rows per slot that a table beyond [`SLOTS_CHEAP`] must have to be worth its clearing.
const ROWS_PER_SLOT: u64 = 8;

/// How the rows of a query find their groups.
#[derive(Debug)]
pub(super) enum KeySpace {
    /// There is one group.
    One,
    /// All keys have codes.
    Coded(Coded),
    /// Some key has none.
    General(General),
}

/// Keys that are numbers in a mixed radix.
#[derive(Debug)]
pub(super) struct Coded {
    dimensions: Vec<Dimension>,
    /// How many different keys there can be.
    pub(super) keys_max: u64,
    /// Whether a table has a slot for every key.
    pub(super) direct: bool,
}

/// One key column with codes. Code 0 is NULL where NULL occurs.
#[derive(Debug)]
struct Dimension {
    source: Source,
    data_type: DataType,
    nullable: bool,
    /// Codes, that of NULL included.
    radix: u64,
}

#[derive(Debug)]
enum Source {
    Ids {
        column: usize,
        dictionary: Arc<GlobalDictionary>,
    },
    Integer {
        column: usize,
        least: i64,
    },
    /// A computation whose results are whole numbers, from this one on; NaN has the code after the greatest.
    Whole {
        argument: Argument,
        least: f64,
        nan: u32,
    },
    Flag {
        argument: Argument,
    },
    Test {
        test: ColumnTest,
    },
}

/// Keys that DataFusion's group values tell apart.
#[derive(Debug)]
pub(super) struct General {
    columns: Vec<Argument>,
    /// The keys without codes, for people.
    pub(super) uncoded: Vec<String>,
    /// The columns as group values see them: ids instead of text where there is a dictionary.
    pub(super) schema: SchemaRef,
}

/// What is known about the rows of a query when its keys are planned.
pub(super) struct KeyContext<'a> {
    pub(super) store: &'a ShardStore,
    /// The table's columns, then those of shared expressions.
    pub(super) schema: &'a Schema,
    /// How many columns the table has.
    pub(super) column_count: usize,
    pub(super) row_groups: &'a [(Arc<ShardView>, usize)],
    pub(super) rows: u64,
    /// What the query's filter says of the rows that it keeps.
    pub(super) limits: &'a [Limit],
}

/// A key while it is put together; those of tables with a slot for each fit 32 bits.
trait Key: Copy {
    /// `self * radix + code`
    fn followed_by(self, radix: u64, code: u64) -> Self;
}

impl Key for u64 {
    #[inline(always)]
    fn followed_by(self, radix: u64, code: u64) -> Self {
        self.wrapping_mul(radix).wrapping_add(code)
    }
}

impl Key for u32 {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "there are at most a million slots")]
    fn followed_by(self, radix: u64, code: u64) -> Self {
        self.wrapping_mul(radix as u32).wrapping_add(code as u32)
    }
}

impl KeyContext<'_> {
    /// The computation over columns of the table that `expr` is.
    pub(super) fn computation(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Computation> {
        let own = collect_columns(expr).iter().all(|column| column.index() < self.column_count);
        if own { Computation::of(expr, self.schema) } else { None }
    }
}

impl KeySpace {
    /// Plans the keys `exprs`, which are over the table's schema. `dictionaries` finds the dictionary of a column.
    pub(super) fn new(
        exprs: &[Arc<dyn PhysicalExpr>],
        context: &KeyContext<'_>,
        mut dictionary: impl FnMut(usize) -> Result<Option<Arc<GlobalDictionary>>>,
    ) -> Result<Self> {
        if exprs.is_empty() {
            return Ok(Self::One);
        }
        let mut dimensions = vec![];
        for expr in exprs {
            dimensions.push(Dimension::new(expr, context, &mut dictionary)?);
        }
        let keys_max = dimensions.iter().try_fold(1u64, |product, dimension| {
            product.checked_mul(dimension.as_ref().map(|dimension| dimension.radix)?)
        });
        if let Some(keys_max) = keys_max {
            let dimensions = dimensions.into_iter().flatten().collect();
            let direct = keys_max <= SLOTS_CHEAP
                || (keys_max <= SLOTS_MAX && keys_max.saturating_mul(ROWS_PER_SLOT) <= context.rows);
            return Ok(Self::Coded(Coded { dimensions, keys_max, direct }));
        }
        let uncoded = exprs.iter().zip(&dimensions).filter(|(_, dimension)| dimension.is_none());
        let uncoded = uncoded.map(|(expr, _)| expr.to_string()).collect();
        let (mut columns, mut fields) = (vec![], vec![]);
        for (expr, dimension) in exprs.iter().zip(dimensions) {
            let mut data_type = expr.data_type(context.schema)?;
            let argument = match dimension.map(|dimension| dimension.source) {
                Some(Source::Ids { column, dictionary }) => {
                    data_type = DataType::UInt32;
                    Argument::Ids(column, dictionary)
                }
                _ => match plain_column(expr, context.schema) {
                    Some((column, _)) if column < context.column_count => Argument::Column(column),
                    _ => Argument::Expr(NarrowExpr::new(expr, context.schema)?),
                },
            };
            fields.push(Field::new(format!("key{}", fields.len()), data_type, true));
            columns.push(argument);
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self::General(General { columns, uncoded, schema }))
    }
}

impl Dimension {
    /// The codes of `expr`; `None` when it has none.
    fn new(
        expr: &Arc<dyn PhysicalExpr>,
        context: &KeyContext<'_>,
        dictionary: &mut impl FnMut(usize) -> Result<Option<Arc<GlobalDictionary>>>,
    ) -> Result<Option<Self>> {
        let data_type = expr.data_type(context.schema)?;
        let stored = plain_column(expr, context.schema).filter(|(column, _)| *column < context.column_count);
        let Some((column, _)) = stored else {
            if data_type == DataType::Float64 {
                return Self::whole(expr, context);
            }
            if data_type != DataType::Boolean {
                return Ok(None);
            }
            let test =
                ColumnTest::of(expr, context.schema).filter(|test| test.column() < context.column_count);
            let source = match test {
                Some(test) => Source::Test { test },
                None => Source::Flag { argument: Argument::Expr(NarrowExpr::new(expr, context.schema)?) },
            };
            return Ok(Some(Self { source, data_type, nullable: true, radix: 3 }));
        };
        let nullable =
            context.row_groups.iter().any(|(shard, index)| shard.zone_map(*index, column).null_count > 0);
        let codes = |values: u64| values.checked_add(u64::from(nullable)).map(|radix| radix.max(1));
        let (source, radix) = match data_type {
            DataType::Boolean => (Source::Flag { argument: Argument::Column(column) }, codes(2)),
            DataType::Utf8View => {
                let Some(dictionary) = dictionary(column)? else { return Ok(None) };
                let radix = codes(dictionary.len() as u64);
                (Source::Ids { column, dictionary }, radix)
            }
            DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let (least, values) = match integer_bounds(context.row_groups, column) {
                    Some((least, greatest)) => (least, greatest.abs_diff(least).checked_add(1)),
                    None => (0, Some(0)),
                };
                (Source::Integer { column, least }, values.and_then(codes))
            }
            _ => return Ok(None),
        };
        Ok(radix.map(|radix| Self { source, data_type, nullable, radix }))
    }

    /// The codes of a computation of few whole numbers; `None` when `expr` is none.
    fn whole(expr: &Arc<dyn PhysicalExpr>, context: &KeyContext<'_>) -> Result<Option<Self>> {
        let Some(computation) = context.computation(expr).filter(Computation::is_whole) else {
            return Ok(None);
        };
        let Some(Span { least, greatest, nan }) = computation.span(context.row_groups, context.limits) else {
            return Ok(None);
        };
        let values = greatest - least + 1.0;
        #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
        if values > SLOTS_MAX as f64 {
            return Ok(None);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of at most SLOTS_MAX"
        )]
        let after = values as u32;
        let argument = Argument::Computed(computation, NarrowExpr::new(expr, context.schema)?);
        let source = Source::Whole { argument, least, nan: after };
        let radix = u64::from(after) + u64::from(nan) + 1;
        Ok(Some(Self { source, data_type: DataType::Float64, nullable: true, radix }))
    }

    /// Turns each key `k` into `k * radix + code` of the same selected row.
    ///
    /// With `whole`, the keys are those of all rows, selected or not; false when the codes of some are not to be had.
    fn push<K: Key>(
        &self,
        rows: &ChunkRows<'_>,
        indices: Option<&[u32]>,
        whole: bool,
        keys: &mut [K],
    ) -> Result<bool> {
        match &self.source {
            Source::Whole { argument, least, nan } => {
                let (array, packed) = argument.resolve(rows)?;
                if whole && packed && !rows.selection.is_all() {
                    return Ok(false);
                }
                let values = array.as_primitive::<Float64Type>();
                let mut codes = vec![];
                arithmetic::whole_codes(values.values(), *least, *nan, &mut codes);
                self.push_codes(&codes, values.nulls(), if packed { None } else { indices }, keys, u64::from);
            }
            Source::Ids { column, dictionary } => {
                let ids = ids(rows, *column, dictionary)?;
                self.push_codes(ids.values(), ids.nulls(), indices, keys, u64::from);
            }
            Source::Integer { column, least } => {
                let array = rows.whole(*column)?;
                match &self.data_type {
                    DataType::Int16 => self.push_integers::<Int16Type, K>(&array, *least, indices, keys),
                    DataType::Int32 => self.push_integers::<Int32Type, K>(&array, *least, indices, keys),
                    DataType::Date32 => self.push_integers::<Date32Type, K>(&array, *least, indices, keys),
                    DataType::Int64 => self.push_integers::<Int64Type, K>(&array, *least, indices, keys),
                    DataType::Time64(_) => {
                        self.push_integers::<Time64MicrosecondType, K>(&array, *least, indices, keys);
                    }
                    DataType::Timestamp(_, _) => {
                        self.push_integers::<TimestampMicrosecondType, K>(&array, *least, indices, keys);
                    }
                    other => return internal_err!("{other} is no integer key"),
                }
            }
            Source::Test { test } => {
                let count = rows.selection.rows();
                let mut words = vec![0; bitmap::words_for(count)];
                test.select(rows.row_group, rows.start, count, &mut words)?;
                let mut bytes = vec![0; count];
                bitmap::to_bytes(&words, &mut bytes);
                let nulls = rows.row_group.chunk(test.column())?.nulls();
                let nulls = nulls.map(|nulls| nulls.slice(rows.start, count));
                self.push_codes(&bytes, nulls.as_ref(), indices, keys, u64::from);
            }
            Source::Flag { argument } => {
                let (array, packed) = argument.resolve(rows)?;
                if whole && packed && !rows.selection.is_all() {
                    return Ok(false);
                }
                let Some(flags) = array.as_boolean_opt() else {
                    return internal_err!("a flag key is no Boolean");
                };
                let bytes: Vec<u8> = flags.values().iter().map(u8::from).collect();
                let indices = if packed { None } else { indices };
                self.push_codes(&bytes, flags.nulls(), indices, keys, u64::from);
            }
        }
        Ok(true)
    }

    fn push_integers<T, K: Key>(&self, array: &ArrayRef, least: i64, indices: Option<&[u32]>, keys: &mut [K])
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i64>,
    {
        let array = array.as_primitive::<T>();
        let code = |value: T::Native| value.into().wrapping_sub(least).cast_unsigned();
        self.push_codes(array.values(), array.nulls(), indices, keys, code);
    }

    fn push_codes<T: Copy, K: Key>(
        &self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        indices: Option<&[u32]>,
        keys: &mut [K],
        code: impl Fn(T) -> u64,
    ) {
        let (radix, shift) = (self.radix, u64::from(self.nullable));
        let valid = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| {
            let mut words = vec![0; bitmap::words_for(nulls.len())];
            bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), nulls.len());
            let mut bytes = vec![0; nulls.len()];
            bitmap::to_bytes(&words, &mut bytes);
            bytes
        });
        // What stands under a NULL may be far from the other codes: it is computed and then multiplied by 0.
        let push = |key: &mut K, value: T, valid: u8| {
            *key = key.followed_by(radix, shift.wrapping_add(code(value)).wrapping_mul(u64::from(valid)));
        };
        match (indices, valid) {
            (None, None) => keys.iter_mut().zip(values).for_each(|(key, &value)| push(key, value, 1)),
            (None, Some(valid)) => {
                keys.iter_mut()
                    .zip(values)
                    .zip(&valid)
                    .for_each(|((key, &value), &valid)| push(key, value, valid));
            }
            (Some(indices), valid) => {
                let mut packed = vec![];
                gather::gather(values, indices, &mut packed);
                let mut packed_valid = vec![1; if valid.is_none() { packed.len() } else { 0 }];
                if let Some(valid) = valid {
                    gather::gather(&valid, indices, &mut packed_valid);
                }
                let rows = packed.iter().zip(&packed_valid);
                keys.iter_mut().zip(rows).for_each(|(key, (&value, &valid))| push(key, value, valid));
            }
        }
    }

    /// The values of codes, as an array of the key's type.
    fn decode(&self, codes: &[u64]) -> Result<ArrayRef> {
        let shift = u64::from(self.nullable);
        let valid = self.nullable.then(|| NullBuffer::from_iter(codes.iter().map(|&code| code != 0)));
        let offsets = codes.iter().map(|&code| code.saturating_sub(shift));
        Ok(match &self.source {
            Source::Ids { dictionary, .. } => {
                let ids = offsets.map(|id| u32::try_from(id).unwrap_or(0)).collect::<Vec<_>>();
                text_of(dictionary, &UInt32Array::new(ids.into(), valid))?
            }
            Source::Whole { least, nan, .. } => {
                #[expect(clippy::cast_precision_loss, reason = "codes are small")]
                let values =
                    offsets.map(|code| if code == u64::from(*nan) { f64::NAN } else { code as f64 + least });
                Arc::new(Float64Array::new(values.collect(), valid))
            }
            Source::Flag { .. } | Source::Test { .. } => {
                Arc::new(BooleanArray::new(offsets.map(|flag| flag == 1).collect(), valid))
            }
            Source::Integer { least, .. } => {
                let integers = offsets.map(|offset| least.wrapping_add_unsigned(offset));
                integer_array(&self.data_type, integers, valid)?
            }
        })
    }
}

/// The values of ids.
fn text_of(dictionary: &GlobalDictionary, ids: &UInt32Array) -> Result<ArrayRef> {
    if dictionary.len() == 0 {
        return Ok(arrow::array::new_null_array(&DataType::Utf8View, ids.len()));
    }
    Ok(take(dictionary.values().as_ref(), ids, None)?)
}

/// Values of an integer-like type from 64-bit integers that fit it.
#[expect(clippy::cast_possible_truncation, reason = "the values came from an array of this type")]
fn integer_array(
    data_type: &DataType,
    values: impl Iterator<Item = i64>,
    valid: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(match data_type {
        DataType::Int16 => {
            Arc::new(PrimitiveArray::<Int16Type>::new(values.map(|value| value as i16).collect(), valid))
        }
        DataType::Int32 => {
            Arc::new(PrimitiveArray::<Int32Type>::new(values.map(|value| value as i32).collect(), valid))
        }
        DataType::Date32 => {
            Arc::new(PrimitiveArray::<Date32Type>::new(values.map(|value| value as i32).collect(), valid))
        }
        DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::new(values.collect(), valid)),
        DataType::Time64(_) => {
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::new(values.collect(), valid))
        }
        DataType::Timestamp(_, zone) => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::new(values.collect(), valid)
                .with_timezone_opt(zone.clone()),
        ),
        other => return internal_err!("{other} is no integer key"),
    })
}

/// The bounds of a column over all row groups; `None` when it is NULL everywhere.
pub(super) fn integer_bounds(row_groups: &[(Arc<ShardView>, usize)], column: usize) -> Option<(i64, i64)> {
    row_groups.iter().fold(None, |bounds, (shard, index)| {
        let zone_map = shard.zone_map(*index, column);
        match (&zone_map.min, &zone_map.max, bounds) {
            (Some(Bound::Int(min)), Some(Bound::Int(max)), None) => Some((*min, *max)),
            (Some(Bound::Int(min)), Some(Bound::Int(max)), Some((least, greatest))) => {
                Some((least.min(*min), greatest.max(*max)))
            }
            _ => bounds,
        }
    })
}

impl Coded {
    /// Replaces `keys` by the keys of the selected rows.
    /// `indices` are their positions, where not all are selected.
    pub(super) fn keys(
        &self,
        rows: &ChunkRows<'_>,
        indices: Option<&[u32]>,
        keys: &mut Vec<u64>,
    ) -> Result<()> {
        keys.clear();
        keys.resize(rows.selection.kept(), 0);
        for dimension in &self.dimensions {
            dimension.push(rows, indices, false, keys)?;
        }
        Ok(())
    }

    /// Replaces `slots` by the keys of all rows of the chunk, which are slots of a table, whether they are selected or
    /// not; false when they are not to be had.
    pub(super) fn slots(&self, rows: &ChunkRows<'_>, slots: &mut Vec<u32>) -> Result<bool> {
        slots.clear();
        slots.resize(rows.selection.rows(), 0);
        for dimension in &self.dimensions {
            if !dimension.push(rows, None, true, slots)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The key columns of `keys`.
    pub(super) fn decode(&self, mut keys: Vec<u64>) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![];
        for dimension in self.dimensions.iter().rev() {
            let mut codes = Vec::with_capacity(keys.len());
            for key in &mut keys {
                codes.push(*key % dimension.radix);
                *key /= dimension.radix;
            }
            columns.push(dimension.decode(&codes)?);
        }
        columns.reverse();
        Ok(columns)
    }
}

impl General {
    /// The key columns of the selected rows, as group values see them.
    pub(super) fn columns(&self, rows: &ChunkRows<'_>) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|argument| argument.packed(rows)).collect()
    }

    /// The key columns as the query sees them.
    pub(super) fn decode(&self, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        self.columns
            .iter()
            .zip(columns)
            .map(|(argument, column)| match (argument, column.as_primitive_opt()) {
                (Argument::Ids(_, dictionary), Some(ids)) => text_of(dictionary, ids),
                _ => Ok(column),
            })
            .collect()
    }
}
