//! A filter compiled for row groups: comparisons of a column with a constant run as kernels, predicates on one text
//! column are evaluated once for each value of its dictionary, and DataFusion evaluates the rest on the rows that are
//! left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, Literal};
use datafusion::physical_expr::utils::{collect_columns, split_conjunction};
use quickdb_kernels::{Comparison, bitmap, compare};
use quickdb_storage::{ColumnChunk, ShardId};

use crate::column_test::{ColumnTest, comparison_of, mirrored};
use crate::computation::Computation;
use crate::row_group::RowGroup;
use crate::selection::{Selection, words_of};

/// A dictionary is worth evaluating as a whole when it has at most this many values, or at most half as many as its
/// shard has rows: otherwise the rows themselves are fewer.
const DICTIONARY_VALUES_CHEAP: usize = 65_536;

/// A conjunction of predicates over the columns of one table.
#[derive(Debug)]
pub(crate) struct Predicate {
    conjuncts: Vec<Conjunct>,
    /// Verdicts for the values of dictionaries, by shard and conjunct.
    verdicts: Mutex<HashMap<(ShardId, usize), Arc<Verdicts>>>,
}

#[derive(Debug)]
enum Conjunct {
    /// A column compared with a constant.
    Compare(ColumnTest),
    /// A Boolean column.
    Flag { column: usize },
    /// A column that shall not be NULL.
    IsNotNull { column: usize },
    /// What kernels compute of several columns, compared with a constant.
    Computed { computation: Computation, comparison: Comparison, constant: f64, expr: NarrowExpr },
    /// Any predicate on one text column.
    Text { column: usize, expr: NarrowExpr },
    /// Anything else.
    General { expr: NarrowExpr },
}

/// An expression over a table, rewritten to the few columns that it reads.
#[derive(Debug, Clone)]
pub(crate) struct NarrowExpr {
    /// The expression over `schema`.
    pub(crate) expr: Arc<dyn PhysicalExpr>,
    /// The table's columns that it reads, ascending: column `i` of `schema` is `columns[i]` of the table.
    pub(crate) columns: Vec<usize>,
    /// These columns.
    pub(crate) schema: SchemaRef,
}

/// What a predicate says of each value of a dictionary, and of NULL.
#[derive(Debug)]
struct Verdicts {
    by_code: Vec<u8>,
    null: bool,
}

impl NarrowExpr {
    /// Rewrites `expr` over the table's `schema`.
    pub(crate) fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let expr = Arc::clone(expr)
            .transform_down(|node| {
                let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
                let Ok(position) = columns.binary_search(&column.index()) else {
                    return Ok(Transformed::no(node));
                };
                Ok(Transformed::yes(Arc::new(Column::new(column.name(), position)) as _))
            })
            .data()?;
        let schema = Arc::new(schema.project(&columns)?);
        Ok(Self { expr, columns, schema })
    }

    /// Evaluates the expression on rows of `row_group` from `start` on, as many as `selection` is about, of which it
    /// sees only those that are kept: an array with as many rows as are kept.
    pub(crate) fn evaluate(
        &self,
        row_group: &RowGroup,
        start: usize,
        selection: &Selection,
    ) -> Result<ArrayRef> {
        let mut batch = row_group.batch(&self.schema, &self.columns, start, selection.rows())?;
        if !selection.is_all() {
            batch = if batch.num_columns() == 0 {
                row_group.batch(&self.schema, &self.columns, start, selection.kept())?
            } else {
                filter_record_batch(&batch, &selection.to_mask())?
            };
        }
        self.expr.evaluate(&batch)?.into_array(batch.num_rows())
    }
}

impl Predicate {
    /// Compiles `filter` over the table's `schema`; no filter keeps everything.
    pub(crate) fn new(filter: Option<&Arc<dyn PhysicalExpr>>, schema: &Schema) -> Result<Self> {
        let mut conjuncts = filter
            .map(|filter| {
                split_conjunction(filter)
                    .into_iter()
                    .map(|expr| Conjunct::new(expr, schema))
                    .collect::<Result<Vec<_>>>()
            })
            .transpose()?
            .unwrap_or_default();
        // The cheap ones first: the dear ones then see fewer rows.
        conjuncts.sort_by_key(Conjunct::cost);
        Ok(Self { conjuncts, verdicts: Mutex::default() })
    }

    /// The conjuncts that DataFusion evaluates row by row, for people.
    pub(crate) fn uncompiled(&self) -> Vec<String> {
        let general = self.conjuncts.iter().filter_map(|conjunct| match conjunct {
            Conjunct::General { expr } => Some(expr.expr.to_string()),
            _ => None,
        });
        general.collect()
    }

    /// Narrows `selection`, which is about rows of `row_group` from `start` on, to the rows that match.
    pub(crate) fn select(&self, row_group: &RowGroup, start: usize, selection: &mut Selection) -> Result<()> {
        let rows = selection.rows();
        let mut words = vec![0; bitmap::words_for(rows)];
        for (number, conjunct) in self.conjuncts.iter().enumerate() {
            if selection.kept() == 0 {
                return Ok(());
            }
            match conjunct {
                Conjunct::Compare(test) => {
                    test.select(row_group, start, rows, &mut words)?;
                    selection.and(&words);
                    and_valid(row_group.chunk(test.column())?, start, selection, &mut words);
                }
                Conjunct::Flag { column } => {
                    let array = row_group.slice(*column, start, rows)?;
                    words_of(array.as_boolean(), &mut words);
                    selection.and(&words);
                }
                Conjunct::IsNotNull { column } => {
                    and_valid(row_group.chunk(*column)?, start, selection, &mut words);
                }
                Conjunct::Text { column, expr } => {
                    let verdicts = match row_group.chunk(*column)? {
                        ColumnChunk::Dictionary { codes, dictionary } if is_cheap(dictionary, row_group) => {
                            Some((codes, self.verdicts(number, expr, dictionary, row_group)?))
                        }
                        _ => None,
                    };
                    match verdicts {
                        Some((codes, verdicts)) => {
                            match codes.common(start, rows) {
                                Some(code) => {
                                    let verdict = verdicts.by_code.get(code as usize).copied().unwrap_or(0);
                                    words.fill(if verdict == 0 { 0 } else { !0 });
                                    bitmap::clear_tail(&mut words, rows);
                                }
                                None => {
                                    let codes = codes.slice(start, rows);
                                    compare::lookup(codes.values(), &verdicts.by_code, &mut words);
                                }
                            }
                            if let Some(nulls) = codes.nulls() {
                                let mut valid = vec![0; words.len()];
                                let bits = nulls.inner().slice(start, rows);
                                bitmap::copy_from_bytes(&mut valid, bits.values(), bits.offset(), rows);
                                for (word, valid) in words.iter_mut().zip(&valid) {
                                    *word = (*word & valid) | if verdicts.null { !valid } else { 0 };
                                }
                                bitmap::clear_tail(&mut words, rows);
                            }
                            selection.and(&words);
                        }
                        None => narrow(expr, row_group, start, selection)?,
                    }
                }
                Conjunct::Computed { computation, comparison, constant, expr } => {
                    let computed = if selection.is_dense() {
                        computation.evaluate(row_group, start, rows)?
                    } else {
                        None
                    };
                    match computed {
                        Some(values) => {
                            compare_computed(&values, *comparison, *constant, &mut words);
                            selection.and(&words);
                            if let Some(nulls) = values.nulls() {
                                bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), rows);
                                selection.and(&words);
                            }
                        }
                        None => narrow(expr, row_group, start, selection)?,
                    }
                }
                Conjunct::General { expr } => narrow(expr, row_group, start, selection)?,
            }
        }
        Ok(())
    }

    /// The verdicts of conjunct `number` for the dictionary of this row group's shard, found once per shard.
    fn verdicts(
        &self,
        number: usize,
        expr: &NarrowExpr,
        dictionary: &Arc<StringViewArray>,
        row_group: &RowGroup,
    ) -> Result<Arc<Verdicts>> {
        let key = (row_group.shard().identity().shard, number);
        let known = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Arc::new(Verdicts::new(expr, dictionary)?);
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&found));
        Ok(found)
    }
}

impl Verdicts {
    fn new(expr: &NarrowExpr, dictionary: &Arc<StringViewArray>) -> Result<Self> {
        let values = evaluate_text(expr, Arc::clone(dictionary) as ArrayRef)?;
        let by_code =
            (0..values.len()).map(|row| u8::from(values.is_valid(row) && values.value(row))).collect();
        let null = evaluate_text(expr, Arc::new(StringViewArray::new_null(1)))?;
        Ok(Self { by_code, null: null.is_valid(0) && null.value(0) })
    }
}

fn evaluate_text(expr: &NarrowExpr, values: ArrayRef) -> Result<BooleanArray> {
    // A column may be declared NOT NULL, but the verdict on NULL is asked for all the same.
    let fields: Vec<_> =
        expr.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let rows = values.len();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![values])?;
    Ok(expr.expr.evaluate(&batch)?.into_array(rows)?.as_boolean().clone())
}

fn is_cheap(dictionary: &StringViewArray, row_group: &RowGroup) -> bool {
    dictionary.len() <= DICTIONARY_VALUES_CHEAP
        || dictionary.len() as u64 <= row_group.shard().row_count() / 2
}

/// Sets the bits of the rows that compare as asked; what is set for NULL means nothing.
fn compare_computed(values: &ArrayRef, comparison: Comparison, constant: f64, words: &mut [u64]) {
    match values.as_primitive_opt::<Float32Type>() {
        #[expect(clippy::cast_possible_truncation, reason = "the constant was of the type of the values")]
        Some(values) => compare::compare(values.values(), comparison, constant as f32, words),
        None => compare::compare(values.as_primitive::<Float64Type>().values(), comparison, constant, words),
    }
}

/// A computation compared with a constant of its type.
fn computed(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<(Computation, Comparison, f64)> {
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    let comparison = comparison_of(*binary.op())?;
    let sides = |a: &Arc<dyn PhysicalExpr>, b: &Arc<dyn PhysicalExpr>| {
        let constant = match b.downcast_ref::<Literal>()?.value() {
            ScalarValue::Float32(Some(value)) => f64::from(*value),
            ScalarValue::Float64(Some(value)) => *value,
            _ => return None,
        };
        Some((Computation::of(a, schema)?, constant))
    };
    if let Some((computation, constant)) = sides(binary.left(), binary.right()) {
        return Some((computation, comparison, constant));
    }
    let (computation, constant) = sides(binary.right(), binary.left())?;
    Some((computation, mirrored(comparison), constant))
}

fn narrow(expr: &NarrowExpr, row_group: &RowGroup, start: usize, selection: &mut Selection) -> Result<()> {
    let verdicts = expr.evaluate(row_group, start, selection)?;
    match verdicts.as_boolean_opt() {
        Some(verdicts) => selection.narrow(verdicts),
        // A bare NULL is never true.
        None => selection.narrow(&BooleanArray::new_null(verdicts.len())),
    }
    Ok(())
}

/// Keeps of the rows of `chunk` from `start` on, which `selection` is about, those that are not NULL.
fn and_valid(chunk: &ColumnChunk, start: usize, selection: &mut Selection, words: &mut [u64]) {
    if let Some(nulls) = chunk.nulls() {
        let bits = nulls.inner().slice(start, selection.rows());
        bitmap::copy_from_bytes(words, bits.values(), bits.offset(), bits.len());
        selection.and(words);
    }
}

impl Conjunct {
    fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Self> {
        if let Some(column) = expr.downcast_ref::<Column>()
            && schema.field(column.index()).data_type() == &DataType::Boolean
        {
            return Ok(Self::Flag { column: column.index() });
        }
        if let Some(column) =
            expr.downcast_ref::<IsNotNullExpr>().and_then(|test| test.arg().downcast_ref::<Column>())
        {
            return Ok(Self::IsNotNull { column: column.index() });
        }
        if let Some(test) = ColumnTest::of(expr, schema) {
            return Ok(Self::Compare(test));
        }
        if let Some((computation, comparison, constant)) = computed(expr, schema) {
            let expr = NarrowExpr::new(expr, schema)?;
            return Ok(Self::Computed { computation, comparison, constant, expr });
        }
        let expr = NarrowExpr::new(expr, schema)?;
        Ok(match expr.columns.as_slice() {
            [column] if schema.field(*column).data_type() == &DataType::Utf8View => {
                Self::Text { column: *column, expr }
            }
            _ => Self::General { expr },
        })
    }

    fn cost(&self) -> u8 {
        match self {
            Self::Flag { .. } | Self::IsNotNull { .. } => 0,
            Self::Compare(_) => 1,
            Self::Computed { .. } => 2,
            Self::Text { .. } => 3,
            Self::General { .. } => 4,
        }
    }
}
