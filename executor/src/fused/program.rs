//! A fused aggregate compiled for the row groups that it will read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::count::Count;
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::AggregateUDFImpl;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::{Count as Counter, Time};

use super::accumulators::{End, Operation, has_extremes};
use super::arguments::{Argument, plain_column, widened_column};
use super::dictionary::GlobalDictionary;
use super::group_keys::{KeyContext, KeySpace, SLOTS_MAX};
use super::shared::SharedExprs;
use super::shifted::Shifted;
use super::states::{Counted, State};
use crate::computation::{Computation, limits};
use crate::float_extremes::{FloatMax, FloatMin};
use crate::functions::histograms::bins_of;
use crate::live_filter::{LiveFilter, fixed_part};
use crate::predicate::{NarrowExpr, Predicate};
use crate::store::ShardStore;
use crate::view::ShardView;

/// Everything that the ranges of one fused aggregate share.
pub(super) struct Program {
    /// The query's filter.
    pub(super) filter: LiveFilter,
    /// The filters of single aggregates; lane `i + 1` holds the rows that pass filter `i`.
    pub(super) filters: Vec<Predicate>,
    /// How rows find their groups.
    pub(super) keys: KeySpace,
    /// Expressions that several keys and arguments contain.
    pub(super) shared: Vec<NarrowExpr>,
    /// What accumulators read; each is resolved once per chunk and lane.
    arguments: Vec<Argument>,
    /// The types of the arguments as an aggregate sees them.
    pub(super) argument_types: Vec<DataType>,
    /// The accumulators; several aggregates may share one.
    pub(super) slots: Vec<Slot>,
    /// How the states of each aggregate come from the accumulators.
    pub(super) states: Vec<State>,
    /// Whether states may stand in slots that no row has: not those of DataFusion's accumulators, nor large ones.
    pub(super) sparse_states: bool,
    /// Counters of the largest state of a group.
    pub(super) group_width: u64,
    /// Keys, then states.
    pub(super) schema: SchemaRef,
    /// What is counted while it runs.
    pub(super) metrics: ProgramMetrics,
    /// What DataFusion does, and why.
    pub(super) fallbacks: Vec<String>,
}

/// What the plan node shows of its work.
#[derive(Debug, Clone)]
pub(super) struct ProgramMetrics {
    pub(super) row_groups_read: Counter,
    pub(super) row_groups_pruned: Counter,
    pub(super) bytes_read: Counter,
    pub(super) elapsed: Time,
}

/// One accumulator: what it does with which arguments of the rows of which lane.
#[derive(Debug, PartialEq)]
pub(super) struct Slot {
    pub(super) operation: Operation,
    pub(super) arguments: Vec<usize>,
    pub(super) lane: usize,
}

/// A program while it is put together.
struct Compiler<'a> {
    context: KeyContext<'a>,
    dictionaries: HashMap<usize, Option<Arc<GlobalDictionary>>>,
    filter_exprs: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Argument>,
    argument_types: Vec<DataType>,
    slots: Vec<Slot>,
}

impl Program {
    /// Compiles `aggregate`, whose expressions are over `table_schema`, for rows of `row_groups` that pass `filter`.
    pub(super) fn new(
        aggregate: &AggregateExec,
        schema: SchemaRef,
        table_schema: &SchemaRef,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        (store, row_groups): (&ShardStore, &[(Arc<ShardView>, usize)]),
        metrics: ProgramMetrics,
    ) -> Result<Self> {
        let rows = row_groups.iter().map(|(shard, index)| shard.row_group_rows(*index) as u64).sum();
        let key_exprs = aggregate.group_expr().input_exprs();
        let arguments = aggregate.aggr_expr().iter().flat_map(|aggregate| aggregate.expressions());
        let roots: Vec<_> = key_exprs.iter().cloned().chain(arguments).collect();
        // What a kernel casts while it reads or computes for whole chunks is no work to be shared.
        let is_kernels = |expr: &Arc<dyn PhysicalExpr>| {
            widened_column(expr, table_schema).is_some()
                || Computation::of(expr, table_schema).is_some()
                || Shifted::of(expr, table_schema, row_groups).is_some()
        };
        let roots: Vec<_> = roots.into_iter().filter(|root| !is_kernels(root)).collect();
        let mut shared = SharedExprs::new(&roots, table_schema);
        let mut rewrite = |expr: &Arc<dyn PhysicalExpr>| {
            if is_kernels(expr) { Ok(Arc::clone(expr)) } else { shared.rewrite(expr) }
        };
        let key_exprs = key_exprs.iter().map(&mut rewrite).collect::<Result<Vec<_>>>()?;
        let mut arguments = vec![];
        for aggregate in aggregate.aggr_expr() {
            let rewritten = aggregate.expressions().iter().map(&mut rewrite).collect::<Result<Vec<_>>>();
            arguments.push(rewritten?);
        }
        let SharedExprs { exprs: shared, schema: extended, .. } = shared;
        let column_count = table_schema.fields().len();
        let limits = limits(fixed_part(filter).as_ref(), table_schema);
        let context =
            KeyContext { store, schema: &extended, column_count, row_groups, rows, limits: &limits };
        let mut compiler = Compiler {
            context,
            dictionaries: HashMap::new(),
            filter_exprs: vec![],
            arguments: vec![],
            argument_types: vec![],
            slots: vec![],
        };
        let keys = compiler.keys(&key_exprs)?;
        let direct = matches!(&keys, KeySpace::Coded(coded) if coded.direct);
        if direct {
            compiler.slot(Operation::CountRows, vec![], 0);
        }
        let mut states = vec![];
        let aggregates = aggregate.aggr_expr().iter().zip(aggregate.filter_expr());
        for ((aggregate, filter), arguments) in aggregates.zip(&arguments) {
            let lane = filter.as_ref().map_or(0, |filter| compiler.lane(filter));
            states.push(compiler.aggregate(aggregate, arguments, lane)?);
        }
        let Compiler { filter_exprs, arguments, argument_types, slots, .. } = compiler;
        let mut fallbacks = vec![];
        if let KeySpace::General(general) = &keys {
            fallbacks.extend(general.uncoded.iter().map(|key| format!("group by {key}: no codes")));
        }
        for argument in &arguments {
            if let Argument::Expr(expr) = argument {
                fallbacks.push(format!("{}: no kernel", expr.expr));
            }
        }
        for slot in &slots {
            if let Operation::Foreign(aggregate) = &slot.operation {
                fallbacks
                    .push(format!("{}: no kernel", aggregate.human_display().unwrap_or(aggregate.name())));
            }
        }
        let foreign = slots.iter().any(|slot| matches!(slot.operation, Operation::Foreign(_)));
        let widths = slots.iter().map(|slot| match &slot.operation {
            Operation::Bins(bins) => bins.cells() as u64,
            _ => 1,
        });
        let group_width = widths.max().unwrap_or(1);
        let counters = match &keys {
            KeySpace::Coded(coded) => coded.keys_max.saturating_mul(group_width),
            _ => group_width,
        };
        Ok(Self {
            filter: LiveFilter::new(filter, table_schema)?,
            filters: filter_exprs
                .iter()
                .map(|filter| Predicate::new(Some(filter), table_schema))
                .collect::<Result<_>>()?,
            sparse_states: direct && !foreign && (group_width == 1 || counters <= SLOTS_MAX),
            group_width,
            keys,
            shared,
            arguments,
            argument_types,
            slots,
            states,
            schema,
            metrics,
            fallbacks,
        })
    }

    /// How groups are found and what DataFusion does, for people.
    pub(super) fn describe(&self) -> String {
        let mut filters = self.filter.fixed.uncompiled();
        self.filters.iter().for_each(|filter| filters.extend(filter.uncompiled()));
        let groups = match &self.keys {
            KeySpace::One => "one group".to_owned(),
            KeySpace::Coded(coded) if coded.direct => format!("slots={}", coded.keys_max),
            KeySpace::Coded(_) => "hashed codes".to_owned(),
            KeySpace::General(_) => "DataFusion's groups".to_owned(),
        };
        let filters = filters.into_iter().map(|filter| format!("filter {filter}: no kernel"));
        let fallbacks: Vec<String> = self.fallbacks.iter().cloned().chain(filters).collect();
        format!("{groups}, fallbacks=[{}]", fallbacks.join(", "))
    }

    /// Argument `number`.
    pub(super) fn argument(&self, number: usize) -> Result<&Argument> {
        match self.arguments.get(number) {
            Some(argument) => Ok(argument),
            None => internal_err!("aggregate without argument {number}"),
        }
    }
}

impl Compiler<'_> {
    fn keys(&mut self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<KeySpace> {
        let Self { context, dictionaries, .. } = self;
        KeySpace::new(exprs, context, |column| dictionary(dictionaries, context, column))
    }

    /// The lane of the rows that pass `filter`.
    fn lane(&mut self, filter: &Arc<dyn PhysicalExpr>) -> usize {
        let known = self.filter_exprs.iter().position(|known| known == filter);
        1 + known.unwrap_or_else(|| {
            self.filter_exprs.push(Arc::clone(filter));
            self.filter_exprs.len() - 1
        })
    }

    fn slot(&mut self, operation: Operation, arguments: Vec<usize>, lane: usize) -> usize {
        let slot = Slot { operation, arguments, lane };
        self.slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        })
    }

    fn argument(&mut self, argument: Argument, data_type: DataType) -> usize {
        self.arguments.iter().position(|known| known.same(&argument)).unwrap_or_else(|| {
            self.arguments.push(argument);
            self.argument_types.push(data_type);
            self.arguments.len() - 1
        })
    }

    /// The column of the table that `expr` is.
    fn stored(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, DataType)> {
        plain_column(expr, self.context.schema).filter(|(column, _)| *column < self.context.column_count)
    }

    /// The same under a cast that kernels do while they read.
    fn widened(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, DataType)> {
        widened_column(expr, self.context.schema).filter(|(column, _)| *column < self.context.column_count)
    }

    /// The computation over columns of the table that `expr` is.
    fn computation(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Computation> {
        self.context.computation(expr)
    }

    /// An expression as an argument, in the type that it has.
    fn plain(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<(usize, DataType)> {
        let data_type = expr.data_type(self.context.schema)?;
        let argument = match self.stored(expr) {
            Some((column, _)) => Argument::Column(column),
            None => {
                let narrow = NarrowExpr::new(expr, self.context.schema)?;
                match self.computation(expr) {
                    Some(computation) => Argument::Computed(computation, narrow),
                    None => Argument::Expr(narrow),
                }
            }
        };
        Ok((self.argument(argument, data_type.clone()), data_type))
    }

    /// An expression as the argument of a sum, without the casts that the kernels do while they read.
    fn summand(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<(usize, DataType)> {
        match self.widened(expr) {
            Some((column, data_type)) => {
                Ok((self.argument(Argument::Column(column), data_type.clone()), data_type))
            }
            None => self.plain(expr),
        }
    }

    /// The accumulators that count the rows of `lane` for which `expr` is not NULL.
    fn count(&mut self, expr: &Arc<dyn PhysicalExpr>, lane: usize) -> Result<Counted> {
        let rows = self.slot(Operation::CountRows, vec![], lane);
        if expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null()) {
            return Ok(Counted { rows, nulls: None });
        }
        let column = self.stored(expr).or_else(|| self.widened(expr));
        let argument = match column {
            Some((column, data_type)) => {
                let row_groups = self.context.row_groups;
                if row_groups.iter().all(|(shard, index)| shard.zone_map(*index, column).null_count == 0) {
                    return Ok(Counted { rows, nulls: None });
                }
                if data_type == DataType::Utf8View {
                    self.argument(Argument::Presence(column), data_type)
                } else {
                    self.argument(Argument::Column(column), data_type)
                }
            }
            None => self.plain(expr)?.0,
        };
        let nulls = Some(self.slot(Operation::CountNulls, vec![argument], lane));
        Ok(Counted { rows, nulls })
    }

    /// The accumulators of one aggregate, and how its states come from them.
    fn aggregate(
        &mut self,
        aggregate: &Arc<AggregateFunctionExpr>,
        exprs: &[Arc<dyn PhysicalExpr>],
        lane: usize,
    ) -> Result<State> {
        let kernel = match exprs {
            [argument] if !aggregate.is_distinct() => self.kernel(aggregate, argument, lane)?,
            _ => None,
        };
        if let Some(state) = kernel {
            return Ok(state);
        }
        if let Some(state) = self.histogram(aggregate, exprs, lane)? {
            return Ok(state);
        }
        let mut arguments = vec![];
        for expr in exprs {
            arguments.push(self.plain(expr)?.0);
        }
        Ok(State::Foreign { slot: self.slot(Operation::Foreign(Arc::clone(aggregate)), arguments, lane) })
    }

    /// The same for a histogram whose range is known.
    fn histogram(
        &mut self,
        aggregate: &AggregateFunctionExpr,
        exprs: &[Arc<dyn PhysicalExpr>],
        lane: usize,
    ) -> Result<Option<State>> {
        if aggregate.is_distinct() {
            return Ok(None);
        }
        let types =
            exprs.iter().map(|expr| expr.data_type(self.context.schema)).collect::<Result<Vec<_>>>()?;
        let Some((bins, dimensions)) = bins_of(aggregate, exprs, &types)? else { return Ok(None) };
        let mut arguments = vec![];
        for expr in exprs.iter().take(dimensions) {
            arguments.push(self.summand(expr)?.0);
        }
        Ok(Some(State::Bins { slot: self.slot(Operation::Bins(bins), arguments, lane) }))
    }

    /// The same where there are kernels for it.
    fn kernel(
        &mut self,
        aggregate: &AggregateFunctionExpr,
        argument: &Arc<dyn PhysicalExpr>,
        lane: usize,
    ) -> Result<Option<State>> {
        // A NULL has no type that a kernel could read.
        if argument.downcast_ref::<Literal>().is_some_and(|literal| literal.value().is_null()) {
            return Ok(None);
        }
        let function: &dyn AggregateUDFImpl = aggregate.fun().inner().as_ref();
        let state_fields = aggregate.state_fields()?;
        let state_types: Vec<&DataType> = state_fields.iter().map(|field| field.data_type()).collect();
        if function.is::<Count>() && state_types == [&DataType::Int64] {
            return Ok(Some(State::Count { count: self.count(argument, lane)? }));
        }
        if function.is::<Sum>()
            && let [state_type] = state_types.as_slice()
        {
            let integer = matches!(state_type, DataType::Int64 | DataType::Decimal128(_, 0));
            if integer
                && let Some(Shifted { column, shift }) =
                    Shifted::of(argument, self.context.schema, self.context.row_groups)
                && let Some(slot) = self.sum(&column, state_type, lane)?
            {
                let count = self.count(&column, lane)?;
                return Ok(Some(State::Value { count, slot, shift, dictionary: None }));
            }
            let Some(slot) = self.sum(argument, state_type, lane)? else { return Ok(None) };
            let count = self.count(argument, lane)?;
            return Ok(Some(State::Value { count, slot, shift: 0, dictionary: None }));
        }
        if function.is::<Avg>()
            && let [DataType::UInt64, state_type @ (DataType::Float64 | DataType::Decimal128(_, _))] =
                state_types.as_slice()
        {
            let Some(sum) = self.sum(argument, state_type, lane)? else { return Ok(None) };
            let count = self.count(argument, lane)?;
            return Ok(Some(State::Average { count, sum }));
        }
        let is_min = function.is::<Min>() || function.is::<FloatMin>();
        let is_max = function.is::<Max>() || function.is::<FloatMax>();
        let end = match (is_min, is_max) {
            (true, _) => End::Least,
            (_, true) => End::Greatest,
            _ => return Ok(None),
        };
        self.extreme(argument, end, lane, &state_types)
    }

    fn sum(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        state_type: &DataType,
        lane: usize,
    ) -> Result<Option<usize>> {
        let (argument, data_type) = self.summand(expr)?;
        use DataType::{Decimal128, Float32, Float64, Int16, Int32, Int64};
        let operation = match (state_type, &data_type) {
            (Float64, Int16 | Int32 | Int64 | Float32 | Float64) => Operation::SumFloat,
            (Int64, Int16 | Int32) => Operation::SumInteger,
            (Int64, Int64) | (Decimal128(_, 0), Int16 | Int32 | Int64) => Operation::SumWide,
            (Decimal128(_, scale), Decimal128(_, argument_scale)) if scale == argument_scale => {
                Operation::SumWide
            }
            _ => return Ok(None),
        };
        Ok(Some(self.slot(operation, vec![argument], lane)))
    }

    fn extreme(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        end: End,
        lane: usize,
        state_types: &[&DataType],
    ) -> Result<Option<State>> {
        let data_type = expr.data_type(self.context.schema)?;
        if state_types != [&data_type] {
            return Ok(None);
        }
        if let Some((column, DataType::Utf8View)) = self.stored(expr) {
            let Some(dictionary) = dictionary(&mut self.dictionaries, &self.context, column)? else {
                return Ok(None);
            };
            let argument = self.argument(Argument::Ids(column, Arc::clone(&dictionary)), DataType::UInt32);
            let slot = self.slot(Operation::Extreme(end, DataType::UInt32), vec![argument], lane);
            let count = self.count(expr, lane)?;
            return Ok(Some(State::Value { count, slot, shift: 0, dictionary: Some(dictionary) }));
        }
        if !has_extremes(&data_type) {
            return Ok(None);
        }
        let (argument, data_type) = self.plain(expr)?;
        let slot = self.slot(Operation::Extreme(end, data_type), vec![argument], lane);
        let count = self.count(expr, lane)?;
        Ok(Some(State::Value { count, slot, shift: 0, dictionary: None }))
    }
}

/// The dictionary of a column, built once per query.
fn dictionary(
    known: &mut HashMap<usize, Option<Arc<GlobalDictionary>>>,
    context: &KeyContext<'_>,
    column: usize,
) -> Result<Option<Arc<GlobalDictionary>>> {
    if let Some(known) = known.get(&column) {
        return Ok(known.clone());
    }
    let built = GlobalDictionary::build(context.store, context.row_groups, column)?.map(Arc::new);
    known.insert(column, built.clone());
    Ok(built)
}
