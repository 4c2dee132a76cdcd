//! Window functions over frames with `EXCLUDE CURRENT ROW`, `GROUP` or `TIES`.
//!
//! ```text
//! frame of a row:     a b c [d e f] g h        f is the row, d to f are its peers
//! EXCLUDE TIES:       a b c   .   f g h        an aggregate of the two or three runs that are left
//! ```
//!
//! The engine has no such frames, so the analyzer replaces the function of the window by [`Excluding`], whose arguments
//! are the function's own, then its filter, then the keys of the window's order, by which peers are known.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{filter, partition};
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::logical_expr::function::{AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    AggregateUDF, PartitionEvaluator, ScalarUDF, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;

use crate::functions::aggregate_functions;
use crate::functions::function::{Function, arg, internal};

/// What a frame leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// The row itself.
    CurrentRow,
    /// The row and its peers.
    Group,
    /// The peers of the row.
    Ties,
}

impl Exclusion {
    const ALL: [(&'static str, Self); 3] =
        [("current row", Self::CurrentRow), ("group", Self::Group), ("ties", Self::Ties)];

    /// The exclusion of its words in lower case.
    pub fn named(words: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == words).map(|(_, exclusion)| *exclusion)
    }

    fn words(self) -> &'static str {
        Self::ALL.iter().find(|(_, exclusion)| *exclusion == self).map_or("", |(words, _)| words)
    }
}

/// `frame_excludes('ties')`, which marks a window among the keys of its partition until the analyzer takes it out.
pub fn frame_excludes_udf() -> Arc<ScalarUDF> {
    Function::new(
        MARK,
        |types| (types.len() == 1).then(|| vec![DataType::Utf8View]),
        |_, _| Ok(DataType::Boolean),
        |_| Err(internal("the exclusion of a frame was left in a plan")),
    )
    .udf()
}

/// The name of [`frame_excludes_udf`].
pub const MARK: &str = "frame_excludes";

/// What is computed over the rows that are left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Over {
    Aggregate(Arc<AggregateUDF>),
    First,
    Last,
    Nth,
}

/// A function over what an exclusion leaves of its frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Excluding {
    exclusion: Exclusion,
    function: Over,
    /// How many of the arguments are the function's own.
    args: usize,
    has_filter: bool,
    signature: Signature,
}

/// The name under which such functions travel.
const NAME: &str = "excluding";

impl Excluding {
    /// An aggregate with `args` arguments of its own.
    pub fn of_aggregate(
        function: Arc<AggregateUDF>,
        exclusion: Exclusion,
        args: usize,
        has_filter: bool,
    ) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { exclusion, function: Over::Aggregate(function), args, has_filter, signature }
    }

    /// The function of a name with `args` arguments of its own; `None` for one that has no frame.
    pub fn of(name: &str, exclusion: Exclusion, args: usize, has_filter: bool) -> Option<Self> {
        let function = match name {
            "first_value" => Over::First,
            "last_value" => Over::Last,
            "nth_value" => Over::Nth,
            name => {
                let ours = aggregate_functions().into_iter();
                let mut all = ours.chain(all_default_aggregate_functions());
                Over::Aggregate(all.find(|function| function.name() == name)?)
            }
        };
        let signature = Signature::variadic_any(Volatility::Immutable);
        Some(Self { exclusion, function, args, has_filter, signature })
    }

    fn function_name(&self) -> &str {
        match &self.function {
            Over::Aggregate(function) => function.name(),
            Over::First => "first_value",
            Over::Last => "last_value",
            Over::Nth => "nth_value",
        }
    }

    /// As bytes, for the way to a worker.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let filter = u8::from(self.has_filter);
        format!("{}|{}|{filter}|{}", self.exclusion.words(), self.args, self.function_name()).into_bytes()
    }

    /// The function of its bytes.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Option<Arc<WindowUDF>> {
        let text = std::str::from_utf8(bytes).ok().filter(|_| name == NAME)?;
        let mut parts = text.splitn(4, '|');
        let exclusion = Exclusion::named(parts.next()?)?;
        let args = parts.next()?.parse().ok()?;
        let has_filter = parts.next()? == "1";
        Self::of(parts.next()?, exclusion, args, has_filter).map(|of| Arc::new(WindowUDF::from(of)))
    }
}

impl WindowUDFImpl for Excluding {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator {
            of: self.clone(),
            exprs: args.input_exprs().iter().take(self.args).cloned().collect(),
            fields: args.input_fields().iter().take(self.args).cloned().collect(),
            ignore_nulls: args.ignore_nulls(),
            row: 0,
            peers: None,
        }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let fields = args.input_fields();
        let own =
            fields.get(..self.args).ok_or_else(|| internal("a window function without its arguments"))?;
        let field = match &self.function {
            Over::Aggregate(function) => function.return_field(own)?,
            _ => Arc::clone(own.first().ok_or_else(|| internal("the value of nothing"))?),
        };
        Ok(Arc::new(field.as_ref().clone().with_name(args.name()).with_nullable(true)))
    }
}

struct Evaluator {
    of: Excluding,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    ignore_nulls: bool,
    /// The row that is evaluated next: the engine asks for one after the other.
    row: usize,
    /// The runs of peers, and which of them the row is in.
    peers: Option<(Vec<Range<usize>>, usize)>,
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Evaluator {
    /// The rows that are peers of the one that is evaluated.
    fn peers_of(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Range<usize>> {
        let row = self.row;
        if self.peers.is_none() {
            let runs = if keys.is_empty() { vec![0..rows] } else { partition(keys)?.ranges() };
            self.peers = Some((runs, 0));
        }
        let Some((runs, at)) = &mut self.peers else { return Ok(row..row + 1) };
        while runs.get(*at).is_some_and(|run| run.end <= row) {
            *at += 1;
        }
        Ok(runs.get(*at).cloned().unwrap_or(row..row + 1))
    }

    /// What is left of a frame, in order.
    fn left(&self, frame: &Range<usize>, peers: &Range<usize>) -> Vec<Range<usize>> {
        let row = self.row;
        let kept = match self.of.exclusion {
            Exclusion::CurrentRow => vec![0..row, row + 1..usize::MAX],
            Exclusion::Group => vec![0..peers.start, peers.end..usize::MAX],
            Exclusion::Ties => vec![0..peers.start, row..row + 1, peers.end..usize::MAX],
        };
        kept.into_iter()
            .map(|kept| kept.start.max(frame.start)..kept.end.min(frame.end))
            .filter(|kept| kept.start < kept.end)
            .collect()
    }

    fn aggregate(
        &self,
        function: &AggregateUDF,
        values: &[ArrayRef],
        filtered: Option<&ArrayRef>,
        left: &[Range<usize>],
    ) -> Result<ScalarValue> {
        let return_field = function.return_field(&self.fields)?;
        let schema = Schema::new(self.fields.clone());
        let mut accumulator = function.accumulator(AccumulatorArgs {
            return_field,
            schema: &schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &[],
            is_reversed: false,
            name: function.name(),
            is_distinct: false,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        })?;
        for run in left {
            let mut run_values: Vec<ArrayRef> =
                values.iter().map(|array| array.slice(run.start, run.len())).collect();
            if let Some(filtered) = filtered {
                let keep = filtered.slice(run.start, run.len());
                let keep = keep.as_boolean();
                run_values = run_values
                    .iter()
                    .map(|array| filter(array.as_ref(), keep))
                    .collect::<std::result::Result<_, _>>()?;
            }
            accumulator.update_batch(&run_values)?;
        }
        accumulator.evaluate()
    }
}

impl PartitionEvaluator for Evaluator {
    fn uses_window_frame(&self) -> bool {
        true
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let own =
            values.get(..self.of.args).ok_or_else(|| internal("a window function without arguments"))?;
        let filtered = if self.of.has_filter { Some(arg(values, self.of.args)?) } else { None };
        let keys = values.get(self.of.args + usize::from(self.of.has_filter)..).unwrap_or_default();
        let rows = values.first().map_or(0, |array| array.len());
        let peers = self.peers_of(keys, rows)?;
        let left = self.left(range, &peers);
        let function = self.of.function.clone();
        let value = match &function {
            Over::Aggregate(function) => self.aggregate(function, own, filtered, &left)?,
            position => {
                let place = match position {
                    Over::First => left.first().map(|run| run.start),
                    Over::Last => left.last().map(|run| run.end - 1),
                    _ => nth(arg(own, 1)?, self.row, &left)?,
                };
                let array = arg(own, 0)?;
                match place {
                    Some(place) => ScalarValue::try_from_array(array, place)?,
                    None => ScalarValue::try_from(array.data_type())?,
                }
            }
        };
        self.row += 1;
        Ok(value)
    }
}

/// The row that stands at the place, counted from 1, that the argument says at `row`.
fn nth(places: &ArrayRef, row: usize, left: &[Range<usize>]) -> Result<Option<usize>> {
    let places = datafusion::arrow::compute::cast(places, &DataType::Int64)?;
    let places = places.as_primitive::<Int64Type>();
    if places.is_null(row) {
        return Ok(None);
    }
    let mut ahead = usize::try_from(places.value(row) - 1).unwrap_or(usize::MAX);
    for run in left {
        if ahead < run.len() {
            return Ok(Some(run.start + ahead));
        }
        ahead -= run.len();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lose_what_is_excluded() {
        let check = |exclusion, expected: &[Range<usize>]| {
            let of = Excluding::of("count", exclusion, 1, false).unwrap();
            let evaluator =
                Evaluator { of, exprs: vec![], fields: vec![], ignore_nulls: false, row: 5, peers: None };
            assert_eq!(evaluator.left(&(1..8), &(3..6)), expected, "{exclusion:?}");
        };
        check(Exclusion::CurrentRow, &[1..5, 6..8]);
        check(Exclusion::Group, &[1..3, 6..8]);
        check(Exclusion::Ties, &[1..3, 5..6, 6..8]);
    }

    #[test]
    fn functions_survive_the_way_to_a_worker() {
        let of = Excluding::of("sum", Exclusion::Ties, 1, true).unwrap();
        let read = Excluding::decode(NAME, &of.encode()).unwrap();
        assert_eq!(read.inner().downcast_ref::<Excluding>(), Some(&of));
        assert!(Excluding::of("rank", Exclusion::Ties, 0, false).is_none());
    }
}
