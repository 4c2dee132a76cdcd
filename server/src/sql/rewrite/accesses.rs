//! Subscripts and fields: `a[i]`, `t.a[i:j]`, `(record).field[i]`.

use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Subscript};

use super::expressions::text;
use super::folded;
use super::subqueries::call;

/// The value that a chain of subscripts and fields finds, from the left.
///
/// `t.a[1]` is a subscript of the column `t.a`: only what stands in parentheses has fields.
pub(super) fn accessed(root: Expr, chain: Vec<AccessExpr>) -> Expr {
    let mut chain = chain.into_iter().peekable();
    let mut value = match root {
        Expr::Identifier(first) => {
            let mut parts = vec![first];
            while let Some(AccessExpr::Dot(Expr::Identifier(_))) = chain.peek() {
                if let Some(AccessExpr::Dot(Expr::Identifier(part))) = chain.next() {
                    parts.push(part);
                }
            }
            match parts.as_slice() {
                [only] => Expr::Identifier(only.clone()),
                _ => Expr::CompoundIdentifier(parts),
            }
        }
        root => root,
    };
    while let Some(access) = chain.next() {
        value = match access {
            AccessExpr::Dot(Expr::Identifier(field)) => {
                call("get_field", vec![value, text(&folded(&field))], Vec::new())
            }
            AccessExpr::Subscript(_) => {
                let mut together = vec![access];
                while let Some(AccessExpr::Subscript(_)) = chain.peek() {
                    together.extend(chain.next());
                }
                subscripted(value, together)
            }
            // The planner says what is wrong with it.
            AccessExpr::Dot(_) => {
                let access_chain = std::iter::once(access).chain(chain).collect();
                return Expr::CompoundFieldAccess { root: Box::new(value), access_chain };
            }
        };
    }
    value
}

/// `a[i]..` and `a[i:j]..`: all subscripts of one value together.
fn subscripted(array: Expr, accesses: Vec<AccessExpr>) -> Expr {
    let sliced =
        accesses.iter().any(|access| matches!(access, AccessExpr::Subscript(Subscript::Slice { .. })));
    let mut kinds = String::new();
    let mut subscripts = Vec::new();
    for access in accesses {
        match access {
            AccessExpr::Subscript(Subscript::Index { index }) => {
                kinds.push('i');
                subscripts.push(index);
            }
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) => {
                kinds.push(match (&lower_bound, &upper_bound) {
                    (Some(_), Some(_)) => 'b',
                    (Some(_), None) => 'l',
                    (None, Some(_)) => 'u',
                    (None, None) => 'n',
                });
                subscripts.extend(lower_bound.into_iter().chain(upper_bound));
            }
            AccessExpr::Dot(_) => {}
        }
    }
    let mut args = vec![array];
    if sliced {
        args.push(text(&kinds));
    }
    args.extend(subscripts);
    call(if sliced { "array_slice" } else { "array_subscript" }, args, Vec::new())
}
