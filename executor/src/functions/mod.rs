//! Functions of ours, the same on master and workers: what DataFusion lacks, and what it answers differently from
//! PostgreSQL.
//!
//! ```text
//! SQL ─▶ server: planner and rewrites choose functions by type ─▶ plan ─▶ worker: finds them by name
//! ```
//!
//! [`register`] makes them known. Functions with the name of one of DataFusion's replace it, and both sides must agree
//! on that.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub mod apart;
pub mod arithmetic;
pub mod arrays;
pub mod average;
mod bits;
mod by_row;
mod bytes;
pub mod cast;
mod concatenation;
mod date_fields;
mod date_format;
mod date_parse;
mod date_trunc;
pub mod decimal;
mod decimal_text;
pub mod excluding;
pub mod finite;
mod format;
mod function;
pub(crate) mod histograms;
pub mod input;
pub mod intervals;
mod introspection;
pub mod json;
mod letters;
mod like_escape;
mod moments;
pub mod nan;
mod number_format;
pub mod numeric_display;
mod ordered_set;
pub mod output;
mod pictures;
mod powers;
pub mod quoting;
mod regular_expressions;
mod rounding;
mod series;
pub mod similar_to;
pub mod single_value;
mod spans;
mod string_agg;
mod subscripts;
mod temporal;
pub mod text_of;
mod texts;
pub mod type_names;
pub mod variance;
mod whole_numbers;
mod zones;

pub use function::{undefined_function, undefined_operator};

/// Every scalar function of ours.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = arithmetic::functions();
    functions.extend(cast::functions());
    functions.extend(concatenation::functions());
    functions.extend(finite::functions());
    functions.extend(date_fields::functions());
    functions.extend(date_format::functions());
    functions.extend(introspection::functions());
    functions.extend(arrays::functions());
    functions.extend(bits::functions());
    functions.extend(bytes::functions());
    functions.extend(intervals::functions());
    functions.extend(letters::functions());
    functions.extend(moments::functions());
    functions.extend(date_parse::functions());
    functions.extend(date_trunc::functions());
    functions.extend(spans::functions());
    functions.extend(zones::functions());
    functions.extend(texts::functions());
    functions.extend(powers::functions());
    functions.extend(regular_expressions::functions());
    functions.extend(rounding::functions());
    functions.extend(whole_numbers::functions());
    functions.push(Arc::new(ScalarUDF::from(format::Format::new())));
    functions.extend(json::functions());
    functions.extend(like_escape::functions());
    functions.extend(quoting::functions());
    functions.push(Arc::new(ScalarUDF::from(series::Series::new())));
    functions.extend(similar_to::functions());
    functions.extend(subscripts::functions());
    functions.extend([
        average::average_udf(),
        variance::exact_variance_udf(),
        apart::named_apart_udf(),
        excluding::frame_excludes_udf(),
        nan::positive_nan_udf(),
        single_value::single_row_udf(),
        single_value::array_or_empty_udf(),
    ]);
    functions
}

/// Every aggregate of ours.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut functions = vec![
        single_value::single_value_udaf(),
        ordered_set::percentile_cont_udaf(),
        ordered_set::percentile_disc_udaf(),
        ordered_set::mode_udaf(),
        string_agg::string_agg_udaf(),
    ];
    functions.extend(crate::float_extremes::functions());
    functions.extend(histograms::functions());
    functions
}

/// Registers everything with a session or a worker.
///
/// # Errors
/// Whatever the registry says; a session never refuses.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in scalar_functions() {
        registry.register_udf(function)?;
    }
    for function in aggregate_functions() {
        registry.register_udaf(function)?;
    }
    Ok(())
}

/// Adds everything to a session that is being built, after what it has already.
#[must_use]
pub fn add_to(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.scalar_functions().get_or_insert_default().extend(scalar_functions());
    builder.aggregate_functions().get_or_insert_default().extend(aggregate_functions());
    builder
}

#[cfg(test)]
pub(crate) mod testing {
    //! Calls a function as the engine does: coerce, type, evaluate.

    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
    use datafusion::common::config::ConfigOptions;
    use datafusion::common::{Result, ScalarValue};
    use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

    pub(crate) fn call(function: &ScalarUDF, args: &[ScalarValue]) -> Result<ScalarValue> {
        let types: Vec<DataType> = args.iter().map(ScalarValue::data_type).collect();
        let coerced = function.inner().coerce_types(&types)?;
        let args: Vec<ScalarValue> =
            args.iter().zip(&coerced).map(|(arg, to)| arg.cast_to(to)).collect::<Result<_>>()?;
        let arg_fields: Vec<FieldRef> =
            coerced.iter().map(|data_type| Arc::new(Field::new("arg", data_type.clone(), true))).collect();
        let literals: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
        let return_field = function.return_field_from_args(ReturnFieldArgs {
            arg_fields: &arg_fields,
            scalar_arguments: &literals,
        })?;
        let result = function.invoke_with_args(ScalarFunctionArgs {
            args: args.iter().cloned().map(ColumnarValue::Scalar).collect(),
            arg_fields,
            number_rows: 1,
            return_field: Arc::clone(&return_field),
            config_options: Arc::new(ConfigOptions::default()),
        })?;
        assert_eq!(&result.data_type(), return_field.data_type(), "{} gave another type", function.name());
        match result {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
        }
    }

    pub(crate) fn call_named(name: &str, args: &[ScalarValue]) -> Result<ScalarValue> {
        let function = super::scalar_functions().into_iter().find(|f| f.name() == name).unwrap();
        call(&function, args)
    }
}
