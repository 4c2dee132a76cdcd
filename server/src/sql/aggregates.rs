//! `sum` and `avg` with PostgreSQL's result types.
//!
//! While a statement is planned, these stand in for DataFusion's: they only know types. The analyzer rule
//! [`LowerAggregates`](super::analyze::LowerAggregates) replaces each by DataFusion's own `sum` and `count` over casts,
//! so that they never reach a physical plan.
//!
//! | argument | `sum` | `avg` |
//! |---|---|---|
//! | smallint, integer | bigint | numeric |
//! | bigint | numeric | numeric |
//! | numeric(p, s) | numeric(p + 10, s) | numeric |
//! | real | real | double precision |
//! | double precision | double precision | double precision |
//! | interval | interval | interval |
//!
//! Variances and standard deviations are numeric of exact numbers, `double precision` of floats. `minmax` gives a record
//! of the least and the greatest finite value.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit};
use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::average::average_scale;
use quickdb_executor::functions::finite::extremes_fields;
use quickdb_executor::functions::numeric_display::{NUMERIC_DISPLAY_KEY, QUOTIENT};
use quickdb_executor::functions::undefined_function;
use quickdb_executor::functions::variance::{VARIANCE_SCALE, Variance};

/// An aggregate that is typed here and computed by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Typed {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `var_samp` and the like
    Variance(Variance),
    /// `minmax`
    Extremes,
}

static SUM: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| TypedAggregate::udaf(Typed::Sum));
static AVG: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| TypedAggregate::udaf(Typed::Avg));
static EXTREMES: LazyLock<Arc<AggregateUDF>> = LazyLock::new(|| TypedAggregate::udaf(Typed::Extremes));
static VARIANCES: LazyLock<Vec<(Variance, Arc<AggregateUDF>)>> = LazyLock::new(|| {
    [Variance::Sample, Variance::Population, Variance::SampleDeviation, Variance::PopulationDeviation]
        .into_iter()
        .map(|variance| (variance, TypedAggregate::udaf(Typed::Variance(variance))))
        .collect()
});

impl Typed {
    /// The aggregate of a name, if it is one of these.
    pub fn of(name: &str) -> Option<Typed> {
        match name {
            "sum" => Some(Typed::Sum),
            "avg" => Some(Typed::Avg),
            "minmax" => Some(Typed::Extremes),
            "var_samp" | "variance" => Some(Typed::Variance(Variance::Sample)),
            "var_pop" => Some(Typed::Variance(Variance::Population)),
            "stddev_samp" | "stddev" => Some(Typed::Variance(Variance::SampleDeviation)),
            "stddev_pop" => Some(Typed::Variance(Variance::PopulationDeviation)),
            _ => None,
        }
    }

    /// The aggregate of a function, if it is one of these.
    pub fn of_function(function: &AggregateUDF) -> Option<Typed> {
        function.inner().downcast_ref::<TypedAggregate>().map(|typed| typed.kind)
    }

    /// The stand-in.
    pub fn function(self) -> Arc<AggregateUDF> {
        match self {
            Typed::Sum => Arc::clone(&SUM),
            Typed::Avg => Arc::clone(&AVG),
            Typed::Extremes => Arc::clone(&EXTREMES),
            Typed::Variance(variance) => match VARIANCES.iter().find(|(known, _)| *known == variance) {
                Some((_, function)) => Arc::clone(function),
                None => TypedAggregate::udaf(self),
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Typed::Sum => "sum",
            Typed::Avg => "avg",
            Typed::Extremes => "minmax",
            Typed::Variance(Variance::Sample) => "var_samp",
            Typed::Variance(Variance::Population) => "var_pop",
            Typed::Variance(Variance::SampleDeviation) => "stddev_samp",
            Typed::Variance(Variance::PopulationDeviation) => "stddev_pop",
        }
    }
}

/// What DataFusion's `sum` is given for an argument: whole numbers so wide that no sum wraps.
pub fn summed_as(argument: &DataType, kind: Typed) -> DataType {
    match (argument, kind) {
        (DataType::Int16 | DataType::Int32, _) => DataType::Int64,
        (DataType::Int64, _) => DataType::Decimal128(20, 0),
        (DataType::Float32, _) => DataType::Float64,
        (other, _) => other.clone(),
    }
}

/// The result type of an aggregate over an argument that [`TypedAggregate::coerce_types`] chose.
pub fn result_type(argument: &DataType, kind: Typed) -> DataType {
    match (kind, argument) {
        (Typed::Sum, DataType::Int16 | DataType::Int32) => DataType::Int64,
        (Typed::Sum, DataType::Int64) => DataType::Decimal128(30, 0),
        (Typed::Sum, DataType::Decimal128(precision, scale)) => {
            DataType::Decimal128(precision.saturating_add(10).min(38), *scale)
        }
        (Typed::Avg, DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..)) => {
            DataType::Decimal128(38, average_scale(argument))
        }
        (Typed::Avg | Typed::Variance(_), DataType::Float32) => DataType::Float64,
        (
            Typed::Variance(_),
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..),
        ) => DataType::Decimal128(38, VARIANCE_SCALE),
        (Typed::Extremes, value) => DataType::Struct(extremes_fields(value)),
        (_, other) => other.clone(),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypedAggregate {
    kind: Typed,
    signature: Signature,
}

impl TypedAggregate {
    fn udaf(kind: Typed) -> Arc<AggregateUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(TypedAggregate { kind, signature }))
    }
}

impl AggregateUDFImpl for TypedAggregate {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(result_type(arg_types.first().unwrap_or(&DataType::Null), self.kind))
    }

    fn return_field(&self, arg_fields: &[Arc<Field>]) -> Result<Arc<Field>> {
        let types: Vec<DataType> = arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&types)?;
        let shown = match (self.kind, &data_type) {
            (Typed::Avg | Typed::Variance(_), DataType::Decimal128(..)) => Some(QUOTIENT.to_owned()),
            (Typed::Sum, DataType::Decimal128(..)) => {
                arg_fields.first().and_then(|field| field.metadata().get(NUMERIC_DISPLAY_KEY).cloned())
            }
            _ => None,
        };
        let field = Field::new(self.name(), data_type, true);
        Ok(Arc::new(match shown {
            Some(shown) => field.with_metadata([(NUMERIC_DISPLAY_KEY.to_owned(), shown)].into()),
            None => field,
        }))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arg_types else { return Err(undefined_function(self.kind.name(), arg_types)) };
        Ok(vec![match argument {
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => DataType::Int16,
            DataType::UInt16 | DataType::Int32 => DataType::Int32,
            DataType::UInt32 | DataType::Int64 => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Float16 | DataType::Float32 => DataType::Float32,
            DataType::Float64 | DataType::Null | DataType::Utf8 => DataType::Float64,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                DataType::Decimal128(*p, *s)
            }
            DataType::Interval(_) | DataType::Duration(_) if matches!(self.kind, Typed::Sum | Typed::Avg) => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            // Whatever has an order that `min` and `max` know.
            other
                if self.kind == Typed::Extremes && (other.is_temporal() || other == &DataType::Utf8View) =>
            {
                other.clone()
            }
            _ => return Err(undefined_function(self.kind.name(), arg_types)),
        }])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(ExecError::new(
            ErrorKind::Internal,
            format!("{} was not lowered before execution", self.kind.name()),
        )
        .into())
    }
}
