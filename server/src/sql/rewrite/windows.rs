//! Windows that refine named ones: `OVER (w ORDER BY x)`, `WINDOW w2 AS (w ORDER BY x)`.
//!
//! The planner would take such a window without what it refines.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, VisitMut, VisitorMut, WindowSpec,
    WindowType,
};
use quickdb_executor::error::ErrorKind;

use super::folded;
use crate::error::PgError;

/// Writes out what the windows of a select refine.
///
/// # Errors
/// 42704 for a window that is not defined, 42P20 for one that is defined twice or refined where it may not.
pub(super) fn expand(select: &mut Select) -> Result<(), PgError> {
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        let mut spec = match window {
            NamedWindowExpr::WindowSpec(spec) => spec.clone(),
            NamedWindowExpr::NamedWindow(other) => find(&known, other)?.clone(),
        };
        refine(&mut spec, &known)?;
        *window = NamedWindowExpr::WindowSpec(spec.clone());
        let name = folded(name);
        if known.iter().any(|(other, _)| *other == name) {
            let message = format!("window \"{name}\" is already defined");
            return Err(PgError::new(ErrorKind::Windowing, message));
        }
        known.push((name, spec));
    }
    let mut calls = Calls { known, depth: 0, error: None };
    let _ = VisitMut::visit(&mut select.projection, &mut calls);
    calls.error.map_or(Ok(()), Err)
}

fn find<'a>(known: &'a [(String, WindowSpec)], name: &Ident) -> Result<&'a WindowSpec, PgError> {
    let name = folded(name);
    known
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, spec)| spec)
        .ok_or_else(|| PgError::new(ErrorKind::UndefinedObject, format!("window \"{name}\" does not exist")))
}

fn refine(spec: &mut WindowSpec, known: &[(String, WindowSpec)]) -> Result<(), PgError> {
    let Some(name) = spec.window_name.take() else { return Ok(()) };
    let base = find(known, &name)?;
    let refuse = |what: &str| {
        let message = format!("cannot {what} of window \"{}\"", folded(&name));
        Err(PgError::new(ErrorKind::Windowing, message))
    };
    if !spec.partition_by.is_empty() {
        return refuse("override PARTITION BY clause");
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return refuse("override ORDER BY clause");
    }
    if base.window_frame.is_some() {
        let message = format!("cannot copy window \"{}\" because it has a frame clause", folded(&name));
        return Err(PgError::new(ErrorKind::Windowing, message));
    }
    spec.partition_by.clone_from(&base.partition_by);
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    Ok(())
}

struct Calls {
    known: Vec<(String, WindowSpec)>,
    depth: usize,
    error: Option<PgError>,
}

impl VisitorMut for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let checked = match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => refine(spec, &self.known),
            Some(WindowType::NamedWindow(name)) => find(&self.known, name).map(|_| ()),
            None => Ok(()),
        };
        if let Err(error) = checked {
            self.error.get_or_insert(error);
        }
        ControlFlow::Continue(())
    }
}
