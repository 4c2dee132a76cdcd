//! The result of a query while it is being read, by whichever protocol reads it.

use std::collections::VecDeque;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use crate::execution::RowStream;
use crate::wire::row::ColumnOrigin;

/// Columns of a result: types from the schema, names as PostgreSQL gives them (they may repeat).
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) schema: SchemaRef,
    pub(crate) names: Vec<String>,
    /// The relation's column that each shows; empty where none does.
    pub(crate) origins: Vec<Option<ColumnOrigin>>,
}

impl Description {
    /// The description of a result whose columns are called as in the schema.
    pub(crate) fn of(schema: SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { schema, names, origins: Vec::new() }
    }
}

enum Source {
    Plan(RowStream),
    Batches(VecDeque<RecordBatch>),
}

/// Rows that are still to be read. Dropping it stops the query.
pub(crate) struct Cursor {
    source: Source,
    rest: Option<RecordBatch>,
}

impl Cursor {
    /// The rows of a running plan.
    pub(crate) fn of_plan(rows: RowStream) -> Self {
        Self { source: Source::Plan(rows), rest: None }
    }

    /// Rows that are there already.
    pub(crate) fn of_batches(batches: impl IntoIterator<Item = RecordBatch>) -> Self {
        Self { source: Source::Batches(batches.into_iter().collect()), rest: None }
    }

    /// The next rows, `limit` at most; `None` at the end.
    pub(crate) async fn take(&mut self, limit: usize) -> Result<Option<RecordBatch>> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.receive().await? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        if batch.num_rows() <= limit {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(limit, batch.num_rows() - limit));
        Ok(Some(batch.slice(0, limit)))
    }

    /// Whether all rows have been read; waits for the next batch to know.
    pub(crate) async fn is_done(&mut self) -> Result<bool> {
        if self.rest.is_none() {
            self.rest = self.receive().await?;
        }
        Ok(self.rest.is_none())
    }

    async fn receive(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let batch = match &mut self.source {
                Source::Plan(rows) => rows.next().await.transpose()?,
                Source::Batches(batches) => batches.pop_front(),
            };
            match batch {
                Some(batch) if batch.num_rows() == 0 => {}
                batch => return Ok(batch),
            }
        }
    }
}
