//! CHECK constraints: conditions that a row which is written must not fail.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;

use super::returning::quoted;
use super::rows::failing_row;
use crate::catalogue::{ConstraintKind, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::session::Session;

/// The conditions of a table, ready to be computed over batches of its columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    conditions: Arc<Vec<(String, Arc<dyn PhysicalExpr>)>>,
}

impl Checks {
    /// The conditions of a table; most have none, and then nothing is planned.
    ///
    /// # Errors
    /// A stored condition cannot be planned, or is no simple expression.
    pub(crate) async fn of(session: &mut Session, table: &TableDefinition) -> Result<Self, PgError> {
        let checks = table.constraints.iter().filter(|constraint| constraint.kind == ConstraintKind::Check);
        let mut conditions = Vec::new();
        for check in checks {
            let (schema, name) = (quoted(&table.schema), quoted(&table.name));
            let text = format!("SELECT ({}) AS holds FROM {schema}.{name}", check.definition);
            let planned = session.plan_text(&text).await?;
            let LogicalPlan::Projection(projection) = &planned.plan else {
                return Err(PgError::unsupported("a CHECK constraint with a subquery"));
            };
            let state = session.context().state;
            for expr in &projection.expr {
                let condition = state.create_physical_expr(expr.clone().unalias(), projection.input.schema());
                let condition = condition.map_err(|error| PgError::from_datafusion(error, None))?;
                conditions.push((check.name.clone(), condition));
            }
        }
        Ok(Self { conditions: Arc::new(conditions) })
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
