//! Arithmetic of float columns and constants, computed by kernels for whole chunks.
//!
//! Rows that a filter left out are computed with the others: that costs less than packing the others first. Where a
//! row wants an error (a division by zero, an overflow), nothing is given, and DataFusion evaluates the expression on
//! the selected rows alone, which finds out whether it was one of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowNativeType, DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use quickdb_kernels::arithmetic::{self, Float, Operand, Operator, Unary};
use quickdb_kernels::{Comparison, bitmap, packing};
use quickdb_storage::Bound;

use crate::column_test::{comparison_of, mirrored};
use crate::functions::arithmetic::Arithmetic;
use crate::row_group::RowGroup;
use crate::view::ShardView;

/// An expression that kernels compute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Computation {
    root: Node,
    single: bool,
    columns: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// A column of the type that is computed in.
    Column(usize),
    /// A column of another type, as a double.
    Widened(usize),
    /// A result in single precision, as a double.
    WidenedResult(Box<Node>),
    /// A constant.
    Constant(f64),
    Binary(Operator, Box<Node>, Box<Node>),
    Unary(Unary, Box<Node>),
}

/// Where the results of a computation lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    /// No result but NaN lies below.
    pub(crate) least: f64,
    /// No result but NaN lies above.
    pub(crate) greatest: f64,
    /// Whether NaN can be a result.
    pub(crate) nan: bool,
}

/// What a filter says of the rows that it keeps: results of a computation lie within these.
#[derive(Debug)]
pub(crate) struct Limit {
    node: Node,
    least: Option<f64>,
    greatest: Option<f64>,
}

/// The limits that the conjuncts of `filter`, over the table's `schema`, set.
pub(crate) fn limits(filter: Option<&Arc<dyn PhysicalExpr>>, schema: &Schema) -> Vec<Limit> {
    let conjuncts = filter.map(|filter| split_conjunction(filter)).unwrap_or_default();
    conjuncts.into_iter().filter_map(|conjunct| limit(conjunct, schema)).collect()
}

fn limit(conjunct: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Limit> {
    let binary = conjunct.downcast_ref::<BinaryExpr>()?;
    let comparison = comparison_of(*binary.op())?;
    let literal = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Float32(Some(value)) => Some(f64::from(*value)),
        ScalarValue::Float64(Some(value)) => Some(*value),
        _ => None,
    };
    let (side, comparison, constant) = match literal(binary.right()) {
        Some(constant) => (binary.left(), comparison, constant),
        None => (binary.right(), mirrored(comparison), literal(binary.left())?),
    };
    if constant.is_nan() {
        return None;
    }
    let single = side.data_type(schema).ok()? == DataType::Float32;
    let node = node(side, schema, single, &mut vec![])?;
    let (least, greatest) = match comparison {
        Comparison::Less | Comparison::LessOrEqual => (None, Some(constant)),
        Comparison::Greater | Comparison::GreaterOrEqual => (Some(constant), None),
        Comparison::Equal => (Some(constant), Some(constant)),
        Comparison::NotEqual => return None,
    };
    Some(Limit { node, least, greatest })
}

/// The float types, as arrow and as kernels know them.
trait Computed: Float + ArrowNativeType {
    type Arrow: ArrowPrimitiveType<Native = Self>;

    /// Replaces `into` by doubles, which only a computation in doubles widens to.
    fn take_doubles(doubles: Vec<f64>, into: &mut Vec<Self>);
}

impl Computed for f32 {
    type Arrow = Float32Type;

    fn take_doubles(doubles: Vec<f64>, into: &mut Vec<Self>) {
        into.clear();
        into.extend(doubles.into_iter().map(Self::of));
    }
}

impl Computed for f64 {
    type Arrow = Float64Type;

    fn take_doubles(doubles: Vec<f64>, into: &mut Vec<Self>) {
        *into = doubles;
    }
}

impl Computation {
    /// The computation that `expr`, over the table's `schema`, is; `None` where kernels do not know all of it, and for a
    /// bare column or constant.
    pub(crate) fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Self> {
        let single = match expr.data_type(schema).ok()? {
            DataType::Float32 => true,
            DataType::Float64 => false,
            _ => return None,
        };
        let mut columns = vec![];
        let root = node(expr, schema, single, &mut columns)?;
        let computes = matches!(root, Node::Binary(..) | Node::Unary(..) | Node::WidenedResult(_));
        columns.sort_unstable();
        columns.dedup();
        (computes && !columns.is_empty()).then_some(Self { root, single, columns })
    }

    /// Whether every result is a whole number of double precision, or no number.
    pub(crate) fn is_whole(&self) -> bool {
        let whole = [Unary::Floor, Unary::Ceil, Unary::Trunc, Unary::Round];
        !self.single && matches!(&self.root, Node::Unary(function, _) if whole.contains(function))
    }

    /// The results for `rows` rows of `row_group` from `start` on, those that are NULL 0; `None` where one wants an error.
    pub(crate) fn evaluate(
        &self,
        row_group: &RowGroup,
        start: usize,
        rows: usize,
    ) -> Result<Option<ArrayRef>> {
        if self.single {
            self.run::<f32>(row_group, start, rows)
        } else {
            self.run::<f64>(row_group, start, rows)
        }
    }

    fn run<T: Computed>(&self, row_group: &RowGroup, start: usize, rows: usize) -> Result<Option<ArrayRef>> {
        let chunk = Chunk { row_group, start, rows };
        let mut values: Vec<T> = vec![];
        if chunk.compute(&self.root, &mut values)? {
            return Ok(None);
        }
        let mut nulls: Option<NullBuffer> = None;
        for &column in &self.columns {
            let own = row_group.chunk(column)?.nulls().map(|nulls| nulls.slice(start, rows));
            nulls = NullBuffer::union(nulls.as_ref(), own.as_ref());
        }
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = &nulls {
            let mut words = vec![0; bitmap::words_for(rows)];
            bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), rows);
            packing::zero_invalid(&mut values, &words);
        }
        Ok(Some(Arc::new(PrimitiveArray::<T::Arrow>::new(values.into(), nulls))))
    }

    /// Where the results over those rows of `row_groups` lie that keep within `limits`; `None` when that is not known or
    /// not finite.
    pub(crate) fn span(&self, row_groups: &[(Arc<ShardView>, usize)], limits: &[Limit]) -> Option<Span> {
        let span = self.root.span(row_groups, limits, self.single)?;
        (span.least.is_finite() && span.greatest.is_finite()).then_some(span)
    }
}

fn node(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    single: bool,
    columns: &mut Vec<usize>,
) -> Option<Node> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        let expected = if single { DataType::Float32 } else { DataType::Float64 };
        let column = column.index();
        columns.push(column);
        return (schema.fields().get(column)?.data_type() == &expected).then_some(Node::Column(column));
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return match (literal.value(), single) {
            (ScalarValue::Float32(Some(value)), true) => Some(Node::Constant(f64::from(*value))),
            (ScalarValue::Float64(Some(value)), false) => Some(Node::Constant(*value)),
            _ => None,
        };
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        if single || cast.cast_type() != &DataType::Float64 {
            return None;
        }
        let Some(column) = cast.expr().downcast_ref::<Column>().map(Column::index) else {
            if cast.expr().data_type(schema).ok()? != DataType::Float32 {
                return None;
            }
            return node(cast.expr(), schema, true, columns).map(|node| Node::WidenedResult(Box::new(node)));
        };
        columns.push(column);
        return match schema.fields().get(column)?.data_type() {
            DataType::Float64 => Some(Node::Column(column)),
            DataType::Float32 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Some(Node::Widened(column))
            }
            _ => None,
        };
    }
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    let mut argument = |number: usize| node(call.args().get(number)?, schema, single, columns).map(Box::new);
    let operator = [
        (Arithmetic::Add, Operator::Add),
        (Arithmetic::Subtract, Operator::Subtract),
        (Arithmetic::Multiply, Operator::Multiply),
        (Arithmetic::Divide, Operator::Divide),
    ];
    let named = operator.iter().find(|(function, _)| function.function_name() == call.name());
    if let Some((_, operator)) = named {
        return Some(Node::Binary(*operator, argument(0)?, argument(1)?));
    }
    let function = match (call.name(), call.args().len()) {
        ("checked_neg", 1) => Unary::Negate,
        ("abs", 1) => Unary::Abs,
        ("floor", 1) => Unary::Floor,
        ("ceil", 1) => Unary::Ceil,
        ("trunc", 1) => Unary::Trunc,
        ("round", 1) => Unary::Round,
        ("sqrt", 1) => Unary::Sqrt,
        _ => return None,
    };
    Some(Node::Unary(function, argument(0)?))
}

/// Some rows of a row group.
struct Chunk<'a> {
    row_group: &'a RowGroup,
    start: usize,
    rows: usize,
}

impl Chunk<'_> {
    fn column<T: Computed>(&self, column: usize) -> Result<PrimitiveArray<T::Arrow>> {
        let array = self.row_group.slice(column, self.start, self.rows)?;
        match array.as_primitive_opt::<T::Arrow>() {
            Some(values) => Ok(values.clone()),
            None => internal_err!("a column of type {} is computed with as another", array.data_type()),
        }
    }

    /// Replaces `values` by those of `node`; true when one wants a second look.
    fn compute<T: Computed>(&self, node: &Node, values: &mut Vec<T>) -> Result<bool> {
        match node {
            Node::Column(column) => {
                values.clear();
                values.extend_from_slice(self.column::<T>(*column)?.values());
                Ok(false)
            }
            Node::Widened(column) => {
                let array = self.row_group.slice(*column, self.start, self.rows)?;
                let mut doubles = vec![];
                match array.data_type() {
                    DataType::Int16 => {
                        arithmetic::widen(array.as_primitive::<Int16Type>().values(), &mut doubles)
                    }
                    DataType::Int32 => {
                        arithmetic::widen(array.as_primitive::<Int32Type>().values(), &mut doubles)
                    }
                    DataType::Int64 => {
                        arithmetic::widen(array.as_primitive::<Int64Type>().values(), &mut doubles)
                    }
                    DataType::Float32 => {
                        arithmetic::widen(array.as_primitive::<Float32Type>().values(), &mut doubles);
                    }
                    other => return internal_err!("{other} is not widened"),
                }
                T::take_doubles(doubles, values);
                Ok(false)
            }
            Node::WidenedResult(result) => {
                let (mut singles, mut doubles) = (vec![], vec![]);
                let doubt = self.compute::<f32>(result, &mut singles)?;
                arithmetic::widen(&singles, &mut doubles);
                T::take_doubles(doubles, values);
                Ok(doubt)
            }
            Node::Constant(constant) => {
                values.clear();
                values.resize(self.rows, T::of(*constant));
                Ok(false)
            }
            Node::Unary(function, argument) => {
                Ok(self.compute(argument, values)? | arithmetic::apply_unary(*function, values))
            }
            Node::Binary(operator, left, right) => match (left.as_ref(), right.as_ref()) {
                (left, Node::Constant(right)) => {
                    let doubt = self.compute(left, values)?;
                    Ok(doubt | arithmetic::apply(*operator, values, Operand::Right(T::of(*right))))
                }
                (Node::Constant(left), right) => {
                    let doubt = self.compute(right, values)?;
                    Ok(doubt | arithmetic::apply(*operator, values, Operand::Left(T::of(*left))))
                }
                (left, Node::Column(right)) => {
                    let doubt = self.compute(left, values)?;
                    let right = self.column::<T>(*right)?;
                    Ok(doubt | arithmetic::apply(*operator, values, Operand::Values(right.values())))
                }
                (left, right) => {
                    let mut others = vec![];
                    let doubt = self.compute(left, values)? | self.compute(right, &mut others)?;
                    Ok(doubt | arithmetic::apply(*operator, values, Operand::Values(&others)))
                }
            },
        }
    }
}

impl Node {
    /// Where the results lie. Rounding is monotone, so that the ends computed are the ends of what is computed.
    fn span(&self, row_groups: &[(Arc<ShardView>, usize)], limits: &[Limit], single: bool) -> Option<Span> {
        let own = limits.iter().filter(|limit| limit.node == *self);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for limit in own {
            low = limit.least.map_or(low, |least| low.max(least));
            high = limit.greatest.map_or(high, |greatest| high.min(greatest));
        }
        // NaN is greater than every limit.
        let limited = |span: Span| Span {
            least: span.least.max(low),
            greatest: span.greatest.min(high),
            nan: span.nan && high == f64::INFINITY,
        };
        match self.free_span(row_groups, limits, single).map(limited) {
            Some(span) if span.least > span.greatest => Some(Span { greatest: span.least, ..span }),
            span => span,
        }
    }

    fn free_span(
        &self,
        row_groups: &[(Arc<ShardView>, usize)],
        limits: &[Limit],
        single: bool,
    ) -> Option<Span> {
        #[expect(clippy::cast_possible_truncation, reason = "as the kernels round")]
        let rounded = |value: f64| if single { f64::from(value as f32) } else { value };
        let between = |least: f64, greatest: f64, nan: bool| {
            let nan = nan || least.is_nan() || greatest.is_nan();
            Some(Span { least: rounded(least), greatest: rounded(greatest), nan })
        };
        match self {
            Self::Column(column) | Self::Widened(column) => column_span(row_groups, *column),
            Self::WidenedResult(result) => result.span(row_groups, limits, true),
            Self::Constant(value) => between(*value, *value, false),
            Self::Unary(function, argument) => {
                let Span { least, greatest, nan } = argument.span(row_groups, limits, single)?;
                let monotone = |function: fn(f64) -> f64| between(function(least), function(greatest), nan);
                match function {
                    Unary::Floor => monotone(f64::floor),
                    Unary::Ceil => monotone(f64::ceil),
                    Unary::Trunc => monotone(f64::trunc),
                    Unary::Round => monotone(f64::round_ties_even),
                    Unary::Negate => between(-greatest, -least, nan),
                    Unary::Abs => {
                        let low = if least <= 0.0 && greatest >= 0.0 {
                            0.0
                        } else {
                            least.abs().min(greatest.abs())
                        };
                        between(low, least.abs().max(greatest.abs()), nan)
                    }
                    Unary::Sqrt => between(least.max(0.0).sqrt(), greatest.max(0.0).sqrt(), nan),
                }
            }
            Self::Binary(operator, left, right) => {
                let (a, b) =
                    (left.span(row_groups, limits, single)?, right.span(row_groups, limits, single)?);
                let finite = [a.least, a.greatest, b.least, b.greatest].iter().all(|end| end.is_finite());
                if !finite || *operator == Operator::Divide && b.least <= 0.0 && b.greatest >= 0.0 {
                    return None;
                }
                let compute = |x: f64, y: f64| match operator {
                    Operator::Add => x + y,
                    Operator::Subtract => x - y,
                    Operator::Multiply => x * y,
                    Operator::Divide => x / y,
                };
                let ends = [
                    compute(a.least, b.least),
                    compute(a.least, b.greatest),
                    compute(a.greatest, b.least),
                    compute(a.greatest, b.greatest),
                ];
                let least = ends.iter().copied().fold(f64::INFINITY, f64::min);
                let greatest = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                between(least, greatest, a.nan || b.nan)
            }
        }
    }
}

/// Where the values of a column lie; NULL counts as 0, as it is computed with.
fn column_span(row_groups: &[(Arc<ShardView>, usize)], column: usize) -> Option<Span> {
    let mut span: Option<Span> = None;
    for (shard, index) in row_groups {
        let zone_map = shard.zone_map(*index, column);
        let known = match (&zone_map.min, &zone_map.max) {
            (Some(Bound::Float(least)), Some(Bound::Float(greatest))) => Some((*least, *greatest)),
            #[expect(clippy::cast_precision_loss, reason = "as the values are widened")]
            (Some(Bound::Int(least)), Some(Bound::Int(greatest))) => Some((*least as f64, *greatest as f64)),
            _ if zone_map.null_count + zone_map.nan_count == zone_map.row_count => None,
            _ => return None,
        };
        let nan = zone_map.nan_count > 0;
        span = match (span, known) {
            (None, None) => Some(Span { least: 0.0, greatest: 0.0, nan }),
            (None, Some((least, greatest))) => Some(Span { least, greatest, nan }),
            (Some(span), None) => Some(Span { nan: span.nan || nan, ..span }),
            (Some(span), Some((least, greatest))) => Some(Span {
                least: span.least.min(least),
                greatest: span.greatest.max(greatest),
                nan: span.nan || nan,
            }),
        };
    }
    span
}
