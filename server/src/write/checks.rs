//! What rows become and must be when they are written: generated columns, and the conditions of CHECK constraints.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Schema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;

use super::insert::assignment_type;
use super::returning::quoted;
use super::rows::{failing_row, typed};
use crate::catalogue::{ConstraintKind, Generation, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::session::Session;

/// The generated columns and the conditions of a table, ready to be computed over batches of its columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    /// By position.
    generated: Arc<Vec<(usize, Arc<dyn PhysicalExpr>)>>,
    conditions: Arc<Vec<(String, Arc<dyn PhysicalExpr>)>>,
}

impl Checks {
    /// Those of a table; most have none, and then nothing is planned.
    ///
    /// # Errors
    /// A stored expression cannot be planned, or is no simple one.
    pub(crate) async fn of(session: &mut Session, table: &TableDefinition) -> Result<Self, PgError> {
        let mut generated = Vec::new();
        for (position, column) in table.columns.iter().enumerate() {
            if let (Generation::Stored, Some(expression)) = (column.generation, &column.default) {
                let text = format!("CAST(({expression}) AS {})", assignment_type(column.pg_type));
                generated.extend(compiled(session, table, &text).await?.map(|expr| (position, expr)));
            }
        }
        let checks = table.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Check);
        let mut conditions = Vec::new();
        for check in checks {
            let condition = compiled(session, table, &check.definition).await?;
            conditions.extend(condition.map(|condition| (check.name.clone(), condition)));
        }
        Ok(Self { generated: Arc::new(generated), conditions: Arc::new(conditions) })
    }

    /// Rows with their generated columns, whatever stood there.
    ///
    /// # Errors
    /// Those of the expressions.
    pub(crate) fn complete(
        &self,
        table: &TableDefinition,
        batch: RecordBatch,
    ) -> Result<RecordBatch, PgError> {
        if self.generated.is_empty() {
            return Ok(batch);
        }
        let typed = typed(&batch, table)?;
        let mut columns = typed.columns().to_vec();
        for (position, expression) in self.generated.iter() {
            let values = expression.evaluate(&typed).and_then(|value| value.into_array(typed.num_rows()));
            let values = values.map_err(|error| PgError::from_datafusion(error, None))?;
            if let Some(slot) = columns.get_mut(*position) {
                *slot = values;
            }
        }
        let fields = typed
            .schema()
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, values)| field.as_ref().clone().with_data_type(values.data_type().clone()))
            .collect::<Vec<_>>();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|error| PgError::from_datafusion(error.into(), None))
    }

    /// Checks rows in the table's columns.
    ///
    /// # Errors
    /// 23514 for the first row that a condition refuses.
    pub(crate) fn verify(&self, table: &TableDefinition, batch: &RecordBatch) -> Result<(), PgError> {
        for (name, condition) in self.conditions.iter() {
            let holds = condition.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
            let holds = holds.map_err(|error| PgError::from_datafusion(error, None))?;
            let Some(holds) = holds.as_boolean_opt() else {
                let message =
                    format!("argument of CHECK must be type boolean, not type {}", holds.data_type());
                return Err(PgError::with_state(SqlState("42804"), message));
            };
            // What is unknown is no failure.
            let fails = (0..holds.len()).find(|row| holds.is_valid(*row) && !holds.value(*row));
            if let Some(row) = fails {
                let message =
                    format!("new row for relation \"{}\" violates check constraint \"{name}\"", table.name);
                let mut error =
                    PgError::with_state(SqlState("23514"), message).detail(failing_row(batch, row));
                error.schema = Some(table.schema.clone());
                error.table = Some(table.name.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// An expression over the columns of a table, ready to be computed.
async fn compiled(
    session: &mut Session,
    table: &TableDefinition,
    expression: &str,
) -> Result<Option<Arc<dyn PhysicalExpr>>, PgError> {
    let (schema, name) = (quoted(&table.schema), quoted(&table.name));
    let planned = session.plan_text(&format!("SELECT ({expression}) AS value FROM {schema}.{name}")).await?;
    let LogicalPlan::Projection(projection) = &planned.plan else {
        return Err(PgError::unsupported("a constraint with a subquery"));
    };
    let state = session.context().state;
    let expr = projection
        .expr
        .first()
        .map(|expr| state.create_physical_expr(expr.clone().unalias(), projection.input.schema()));
    expr.transpose().map_err(|error| PgError::from_datafusion(error, None))
}
