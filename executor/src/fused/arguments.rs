//! What accumulators read: plain columns as they are stored, or expressions that DataFusion evaluates.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use quickdb_storage::{ColumnChunk, ShardId};

use super::chunk::ChunkRows;
use super::dictionary::GlobalDictionary;
use crate::computation::Computation;
use crate::predicate::NarrowExpr;

/// One argument of one or several aggregates.
#[derive(Debug, Clone)]
pub(super) enum Argument {
    /// A column, in its stored type.
    Column(usize),
    /// The ids of a text column in a dictionary of the whole query.
    Ids(usize, Arc<GlobalDictionary>),
    /// A column of which only the NULLs are of interest: text stays in codes.
    Presence(usize),
    /// An expression that kernels compute, and the same for DataFusion.
    Computed(Computation, NarrowExpr),
    /// Any expression.
    Expr(NarrowExpr),
}

impl Argument {
    /// The values for a chunk; true when they are of the selected rows only.
    pub(super) fn resolve(&self, rows: &ChunkRows<'_>) -> Result<(ArrayRef, bool)> {
        match self {
            Self::Column(column) => Ok((rows.whole(*column)?, false)),
            Self::Ids(column, dictionary) => Ok((Arc::new(ids(rows, *column, dictionary)?), false)),
            Self::Presence(column) => {
                let count = rows.selection.rows();
                let nulls = rows.row_group.chunk(*column)?.nulls();
                let nulls = nulls.map(|nulls| nulls.slice(rows.start, count));
                let array = Arc::new(BooleanArray::new(BooleanBuffer::new_unset(count), nulls));
                Ok((array, false))
            }
            Self::Computed(computation, expr) => {
                if rows.selection.is_dense()
                    && let Some(values) =
                        computation.evaluate(rows.row_group, rows.start, rows.selection.rows())?
                {
                    return Ok((values, false));
                }
                Ok((rows.evaluate(expr)?, true))
            }
            Self::Expr(expr) => Ok((rows.evaluate(expr)?, true)),
        }
    }

    /// Whether NULL reads as 0 in its values, so that sums need not leave it out.
    pub(super) fn zeroed(&self, packed: bool) -> bool {
        match self {
            Self::Column(_) => true,
            Self::Computed(..) => !packed,
            _ => false,
        }
    }

    /// The values of the selected rows only.
    pub(super) fn packed(&self, rows: &ChunkRows<'_>) -> Result<ArrayRef> {
        if let Self::Column(column) = self {
            return rows.packed(*column);
        }
        match self.resolve(rows)? {
            (array, true) => Ok(array),
            (array, false) => rows.pack(&array),
        }
    }

    /// Whether both are the same column or the same expression.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Column(a), Self::Column(b))
            | (Self::Presence(a), Self::Presence(b))
            | (Self::Ids(a, _), Self::Ids(b, _)) => a == b,
            (Self::Expr(a) | Self::Computed(_, a), Self::Expr(b) | Self::Computed(_, b)) => {
                a.columns == b.columns && a.expr.eq(&b.expr)
            }
            _ => false,
        }
    }
}

/// The ids of the values of a text column for all rows of a chunk, NULL where they are.
pub(super) fn ids(rows: &ChunkRows<'_>, column: usize, dictionary: &GlobalDictionary) -> Result<UInt32Array> {
    let ColumnChunk::Dictionary { codes, .. } = rows.row_group.chunk(column)? else {
        // Only a chunk that is all NULL has no codes: the dictionary would not have been built otherwise.
        return Ok(UInt32Array::new_null(rows.selection.rows()));
    };
    let codes = codes.slice(rows.start, rows.selection.rows());
    let shard: ShardId = rows.row_group.shard().identity().shard;
    let Some(ids) = dictionary.ids(shard) else { return Ok(codes) };
    let translated: Vec<u32> =
        codes.values().iter().map(|&code| ids.get(code as usize).copied().unwrap_or(0)).collect();
    Ok(UInt32Array::new(translated.into(), codes.nulls().cloned()))
}

/// The column that `expr` is, and its type.
pub(super) fn plain_column(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<(usize, DataType)> {
    let column = expr.downcast_ref::<Column>()?.index();
    Some((column, schema.fields().get(column)?.data_type().clone()))
}

/// The column under a cast that loses nothing a sum would show, with its type: the kernels widen as they read.
pub(super) fn widened_column(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<(usize, DataType)> {
    let cast = expr.downcast_ref::<CastExpr>()?;
    let (column, from) = plain_column(cast.expr(), schema)?;
    let widens = match (cast.cast_type(), &from) {
        (DataType::Float64, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32)
        | (DataType::Int64, DataType::Int16 | DataType::Int32) => true,
        // Whole numbers with room for every value of the source.
        (DataType::Decimal128(precision, 0), DataType::Int16) => *precision >= 5,
        (DataType::Decimal128(precision, 0), DataType::Int32) => *precision >= 10,
        (DataType::Decimal128(precision, 0), DataType::Int64) => *precision >= 19,
        _ => false,
    };
    widens.then_some((column, from))
}

/// No values of a type.
pub(super) fn no_values(data_type: &DataType) -> ArrayRef {
    new_null_array(data_type, 0)
}
