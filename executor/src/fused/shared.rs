//! Expressions that occur several times in keys and arguments, so that they are computed once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::predicate::NarrowExpr;

/// The common parts of a query's expressions, taken out of them.
pub(super) struct SharedExprs {
    counts: HashMap<Arc<dyn PhysicalExpr>, usize>,
    known: HashMap<Arc<dyn PhysicalExpr>, usize>,
    /// The common parts; number `i` may contain those before it.
    pub(super) exprs: Vec<NarrowExpr>,
    /// The table's columns, then one for each common part.
    pub(super) schema: SchemaRef,
}

impl SharedExprs {
    /// Finds the common parts of `roots`, which are over the table's `schema`.
    pub(super) fn new(roots: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Self {
        let mut counts = HashMap::new();
        for root in roots {
            count(root, &mut counts);
        }
        Self { counts, known: HashMap::new(), exprs: vec![], schema: Arc::clone(schema) }
    }

    /// `root` with columns in place of the parts that it has in common with others or has twice.
    pub(super) fn rewrite(&mut self, root: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        if is_leaf(root) {
            return Ok(Arc::clone(root));
        }
        if let Some(&column) = self.known.get(root) {
            return Ok(self.column(column));
        }
        let rewritten = if is_conditional(root) {
            Arc::clone(root)
        } else {
            let children =
                root.children().into_iter().map(|child| self.rewrite(child)).collect::<Result<Vec<_>>>()?;
            Arc::clone(root).with_new_children(children)?
        };
        if self.counts.get(root).is_none_or(|&count| count < 2) {
            return Ok(rewritten);
        }
        let column = self.schema.fields().len();
        let field = Field::new(
            format!("common{column}"),
            rewritten.data_type(&self.schema)?,
            rewritten.nullable(&self.schema)?,
        );
        self.exprs.push(NarrowExpr::new(&rewritten, &self.schema)?);
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(field));
        self.schema = Arc::new(Schema::new(fields));
        self.known.insert(Arc::clone(root), column);
        Ok(self.column(column))
    }

    fn column(&self, column: usize) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(&format!("common{column}"), column))
    }
}

/// Counts how often each part is computed; parts of a part that was met before are not counted again.
fn count(expr: &Arc<dyn PhysicalExpr>, counts: &mut HashMap<Arc<dyn PhysicalExpr>, usize>) {
    if is_leaf(expr) {
        return;
    }
    let met = counts.entry(Arc::clone(expr)).or_insert(0);
    *met += 1;
    if *met == 1 && !is_conditional(expr) {
        expr.children().into_iter().for_each(|child| count(child, counts));
    }
}

fn is_leaf(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Column>().is_some() || expr.downcast_ref::<Literal>().is_some()
}

/// Whether some parts are only computed for some rows: computing them for all might fail where the whole does not.
fn is_conditional(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<CaseExpr>().is_some()
        || expr
            .downcast_ref::<BinaryExpr>()
            .is_some_and(|binary| matches!(binary.op(), Operator::And | Operator::Or))
        || expr.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| call.fun().short_circuits())
}
