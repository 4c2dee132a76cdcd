//! The selected rows of one chunk, and what was computed of them.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{FilterBuilder, FilterPredicate};
use datafusion::common::internal_err;
use datafusion::error::Result;
use std::sync::Arc;

use crate::predicate::NarrowExpr;
use crate::row_group::RowGroup;
use crate::selection::Selection;

/// Selected rows of a chunk. Columns of the selected rows alone, and expressions that several others contain, are
/// made when they are first asked for and kept while the chunk is worked on.
pub(super) struct ChunkRows<'a> {
    pub(super) row_group: &'a RowGroup,
    /// The chunk's first row in its row group.
    pub(super) start: usize,
    /// Which rows of the chunk.
    pub(super) selection: Selection,
    shared: &'a [NarrowExpr],
    packing: OnceCell<FilterPredicate>,
    packed: RefCell<HashMap<usize, ArrayRef>>,
}

impl<'a> ChunkRows<'a> {
    /// `shared` are expressions whose values stand behind the columns of the table, in order.
    pub(super) fn new(
        row_group: &'a RowGroup,
        start: usize,
        selection: Selection,
        shared: &'a [NarrowExpr],
    ) -> Self {
        Self { row_group, start, selection, shared, packing: OnceCell::new(), packed: RefCell::default() }
    }

    /// A column of all rows of the chunk.
    pub(super) fn whole(&self, column: usize) -> Result<ArrayRef> {
        self.row_group.slice(column, self.start, self.selection.rows())
    }

    /// An array over all rows of the chunk, of the selected rows only.
    pub(super) fn pack(&self, whole: &ArrayRef) -> Result<ArrayRef> {
        if self.selection.is_all() {
            return Ok(Arc::clone(whole));
        }
        let packing =
            self.packing.get_or_init(|| FilterBuilder::new(&self.selection.to_mask()).optimize().build());
        Ok(packing.filter(whole.as_ref())?)
    }

    /// A column of the table or a shared expression, of the selected rows only.
    pub(super) fn packed(&self, column: usize) -> Result<ArrayRef> {
        if let Some(known) = self.packed.borrow().get(&column) {
            return Ok(Arc::clone(known));
        }
        let array = match column.checked_sub(self.row_group.column_count()) {
            None => self.pack(&self.whole(column)?)?,
            Some(number) => match self.shared.get(number) {
                Some(expr) => self.evaluate(expr)?,
                None => return internal_err!("there is no shared expression {number}"),
            },
        };
        self.packed.borrow_mut().insert(column, Arc::clone(&array));
        Ok(array)
    }

    /// The values of an expression for the selected rows.
    pub(super) fn evaluate(&self, expr: &NarrowExpr) -> Result<ArrayRef> {
        let columns = expr.columns.iter().map(|&column| self.packed(column)).collect::<Result<Vec<_>>>()?;
        let rows = self.selection.kept();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&expr.schema), columns, &options)?;
        expr.expr.evaluate(&batch)?.into_array(rows)
    }
}
