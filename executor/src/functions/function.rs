//! The one shape of all our scalar functions: typing, naming and evaluation as plain function pointers.

use std::any::type_name;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{ErrorKind, ExecError};
use crate::functions::type_names::{PG_TYPE_KEY, pg_type_name};

/// Chooses the types that the arguments are cast to, or `None` when no variant of the function takes them.
pub(crate) type Coerce = fn(&[DataType]) -> Option<Vec<DataType>>;
/// The result type for arguments of the coerced types; the second argument holds the literal arguments.
pub(crate) type Returns = fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>;
/// Metadata of the result: a key and a value.
pub(crate) type Describe = fn(&ReturnFieldArgs, &DataType) -> Option<(&'static str, String)>;
/// Evaluates one batch.
pub(crate) type Evaluate = fn(&ScalarFunctionArgs) -> Result<ColumnarValue>;

/// A scalar function of ours. The name alone identifies it on both sides of the wire.
pub(crate) struct Function {
    name: &'static str,
    aliases: Vec<String>,
    /// Written between two arguments, or before one, where expressions are shown to people.
    operator: Option<&'static str>,
    transparent: bool,
    /// The result is of the type that arrow does not know by itself, but the first argument's field names.
    same_type: bool,
    /// Gives NULL for arguments of which none is NULL.
    nullable: bool,
    /// The type that a cast gives, in words.
    cast_to: Option<&'static str>,
    /// Chooses metadata of the result's field from the arguments' fields and the result's type.
    describe: Option<Describe>,
    signature: Signature,
    coerce: Coerce,
    returns: Returns,
    evaluate: Evaluate,
}

impl Function {
    /// A function whose result depends on its arguments only.
    pub(crate) fn new(name: &'static str, coerce: Coerce, returns: Returns, evaluate: Evaluate) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            operator: None,
            transparent: false,
            same_type: false,
            nullable: false,
            cast_to: None,
            describe: None,
            signature: Signature::user_defined(Volatility::Immutable),
            coerce,
            returns,
            evaluate,
        }
    }

    /// Also known as these names.
    pub(crate) fn aliases(mut self, aliases: &[&str]) -> Self {
        self.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        self
    }

    /// Named `a <operator> b` in schemas and plans.
    pub(crate) fn operator(mut self, operator: &'static str) -> Self {
        self.operator = Some(operator);
        self
    }

    /// Named like its first argument; a refusal says that no cast to `type_name` exists.
    pub(crate) fn cast(mut self, type_name: &'static str) -> Self {
        self.transparent = true;
        self.cast_to = Some(type_name);
        self
    }

    /// The result's field carries the metadata that `describe` chooses.
    pub(crate) fn describe(mut self, describe: Describe) -> Self {
        self.describe = Some(describe);
        self
    }

    /// The result's PostgreSQL type is the first argument's.
    pub(crate) fn same_type(mut self) -> Self {
        self.same_type = true;
        self
    }

    /// May be NULL though no argument is.
    pub(crate) fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Not foldable at planning time beyond one query.
    pub(crate) fn volatility(mut self, volatility: Volatility) -> Self {
        self.signature = Signature::user_defined(volatility);
        self
    }

    /// The function as DataFusion registers it.
    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(type_name::<Self>()).field("name", &self.name).finish()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(match (names.as_slice(), self.operator) {
            ([first, ..], _) if self.transparent => first.clone(),
            ([left, right], Some(operator)) => format!("{left} {operator} {right}"),
            ([operand], Some(operator)) => format!("{operator} {operand}"),
            _ => format!("{}({})", self.name, names.join(",")),
        })
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        (self.returns)(arg_types, &[])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = (self.returns)(&types, args.scalar_arguments)?;
        let nullable = self.nullable || args.arg_fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name, data_type, nullable);
        if self.same_type
            && let Some(name) = args.arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY))
        {
            return Ok(Arc::new(field.with_metadata([(PG_TYPE_KEY.to_owned(), name.clone())].into())));
        }
        Ok(Arc::new(match self.describe.and_then(|describe| describe(&args, field.data_type())) {
            Some((key, value)) => field.with_metadata([(key.to_owned(), value)].into()),
            None => field,
        }))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(arg_types).ok_or_else(|| match (self.operator, arg_types) {
            (_, [from, ..]) if self.cast_to.is_some() => {
                let to = self.cast_to.unwrap_or_default();
                error(ErrorKind::CannotCoerce, format!("cannot cast type {} to {to}", pg_type_name(from)))
            }
            (Some(operator), [left, right]) => undefined_operator(operator, Some(left), right),
            (Some(operator), [operand]) => undefined_operator(operator, None, operand),
            _ => undefined_function(self.name, arg_types),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.evaluate)(&args)
    }
}

/// 42883 for a call that no variant of a function takes.
pub fn undefined_function(name: &str, arg_types: &[DataType]) -> datafusion::error::DataFusionError {
    // The digits of `round(x, 2)` reach the planner as a bare literal, which is a bigint there.
    let bare_digits = matches!(name, "round" | "trunc");
    let types: Vec<String> = arg_types
        .iter()
        .enumerate()
        .map(|(index, data_type)| {
            let literal = bare_digits && index == 1 && *data_type == DataType::Int64;
            pg_type_name(if literal { &DataType::Int32 } else { data_type })
        })
        .collect();
    ExecError::new(
        ErrorKind::UndefinedFunction,
        format!("function {name}({}) does not exist", types.join(", ")),
    )
    .with_hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    )
    .into()
}

/// 42883 for an operator that does not take these operands; a prefix operator has no left one.
pub fn undefined_operator(
    operator: &str,
    left: Option<&DataType>,
    right: &DataType,
) -> datafusion::error::DataFusionError {
    let right = pg_type_name(right);
    let (shape, hint) = match left {
        Some(left) => (
            format!("{} {operator} {right}", pg_type_name(left)),
            "No operator matches the given name and argument types. You might need to add explicit type casts.",
        ),
        None => (
            format!("{operator} {right}"),
            "No operator matches the given name and argument type. You might need to add an explicit type cast.",
        ),
    };
    ExecError::new(ErrorKind::UndefinedFunction, format!("operator does not exist: {shape}"))
        .with_hint(hint)
        .into()
}

/// Evaluates over arrays of one length; constants alone are evaluated once and stay a constant.
pub(crate) fn over_arrays(
    args: &ScalarFunctionArgs,
    evaluate: impl Fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    if constant {
        let arrays =
            args.args.iter().map(|arg| arg.clone().into_array(1)).collect::<Result<Vec<ArrayRef>>>()?;
        let result = evaluate(&arrays)?;
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
    }
    let arrays = args
        .args
        .iter()
        .map(|arg| arg.clone().into_array(args.number_rows))
        .collect::<Result<Vec<ArrayRef>>>()?;
    Ok(ColumnarValue::Array(evaluate(&arrays)?))
}

/// The array at `index`; the signature made sure that it is there.
pub(crate) fn arg(arrays: &[ArrayRef], index: usize) -> Result<&ArrayRef> {
    arrays.get(index).ok_or_else(|| internal(format!("argument {index} of {} is missing", arrays.len())))
}

/// A defect of ours as an error.
pub(crate) fn internal(message: impl Into<String>) -> datafusion::error::DataFusionError {
    ExecError::new(ErrorKind::Internal, message).into()
}

/// An error of `kind`, ready to return.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> datafusion::error::DataFusionError {
    ExecError::new(kind, message).into()
}

/// Whether the type holds text.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether the type holds whole numbers.
pub(crate) fn is_int(data_type: &DataType) -> bool {
    data_type.is_integer()
}

/// Whether the type is a PostgreSQL `numeric`.
pub(crate) fn is_numeric(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal128(..)
            | DataType::Decimal256(..)
            | DataType::Decimal64(..)
            | DataType::Decimal32(..)
    )
}

/// Whether the type is a floating-point number.
pub(crate) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}
