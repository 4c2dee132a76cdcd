//! Aggregates that differ in casts only, told apart by name: `sum(x), sum(x::bigint)`.
//!
//! Casts do not show in the planner's names, and it takes one name for one column. The argument of the second becomes
//! `named_apart(x::bigint, '2')`; the analyzer takes the call off again.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select, SetExpr, VisitMut,
    VisitorMut,
};

use super::expressions::text;
use super::subqueries::{call, is_aggregate_name};

/// Names aggregates apart, each query by itself.
#[derive(Debug)]
pub(super) struct Aggregates;

impl VisitorMut for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Query { body, order_by, .. } = query;
        if let SetExpr::Select(select) = body.as_mut() {
            let mut apart = Apart::default();
            apart.select(select);
            if let Some(order_by) = order_by {
                let _ = VisitMut::visit(order_by, &mut apart);
            }
        } else {
            set_expr(body);
        }
        ControlFlow::Continue(())
    }
}

fn set_expr(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => Apart::default().select(select),
        SetExpr::SetOperation { left, right, .. } => {
            set_expr(left);
            set_expr(right);
        }
        _ => {}
    }
}

/// The aggregates of one query: for each without its casts, the forms that it has.
#[derive(Default)]
struct Apart {
    forms: Vec<(String, Vec<String>)>,
    depth: usize,
}

impl Apart {
    fn select(&mut self, select: &mut Select) {
        let _ = VisitMut::visit(&mut select.projection, self);
        let _ = VisitMut::visit(&mut select.having, self);
    }
}

impl VisitorMut for Apart {
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
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let named = function.name.0.last().and_then(|part| part.as_ident());
        if !named.is_some_and(|name| is_aggregate_name(&name.value)) || first_argument(function).is_none() {
            return ControlFlow::Continue(());
        }
        let form = function.to_string();
        let bare = without_casts(function);
        let index = match self.forms.iter().position(|(known, _)| *known == bare) {
            Some(index) => index,
            None => {
                self.forms.push((bare, Vec::new()));
                self.forms.len() - 1
            }
        };
        let Some((_, forms)) = self.forms.get_mut(index) else { return ControlFlow::Continue(()) };
        let number = match forms.iter().position(|known| *known == form) {
            Some(number) => number,
            None => {
                forms.push(form);
                forms.len() - 1
            }
        };
        if number > 0
            && let Some(argument) = first_argument(function)
        {
            let inner = argument.clone();
            *argument = call("named_apart", vec![inner, text(&(number + 1).to_string())], Vec::new());
        }
        ControlFlow::Continue(())
    }
}

fn first_argument(function: &mut Function) -> Option<&mut Expr> {
    match &mut function.args {
        FunctionArguments::List(list) => match list.args.first_mut() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

/// The call as the planner names it.
fn without_casts(function: &Function) -> String {
    struct Casts;
    impl VisitorMut for Casts {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
                *expr = inner.as_ref().clone();
            }
            ControlFlow::Continue(())
        }
    }
    let mut bare = function.clone();
    let _ = VisitMut::visit(&mut bare, &mut Casts);
    bare.to_string().to_lowercase()
}
