//! A function of the catalogue as DataFusion calls it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use quickdb_executor::functions::text_of::text_of;

use super::{CatalogueFunction, Kind};
use crate::pg_catalog::PgCatalog;
use crate::pg_catalog::rows::{self, Datum};
use crate::pg_catalog::{builtin, relation};

/// A [`CatalogueFunction`] bound to the catalogue of a session.
#[derive(Debug)]
pub(super) struct CatalogueUdf {
    function: &'static CatalogueFunction,
    catalog: PgCatalog,
    signature: Signature,
}

impl CatalogueUdf {
    pub(super) fn new(function: &'static CatalogueFunction, catalog: PgCatalog) -> Self {
        // Stable: the same within a statement, so that a call with constants is made once, when planning.
        let volatility = if function.volatile { Volatility::Volatile } else { Volatility::Stable };
        Self { function, catalog, signature: Signature::user_defined(volatility) }
    }

    fn return_field(&self) -> Field {
        if let Some(columns) = self.function.returns.strip_prefix('{') {
            return records(self.function.name, columns.trim_end_matches('}'));
        }
        match builtin::type_by_name(self.function.returns) {
            Some(of) => relation::field(self.function.name, of, true),
            None => Field::new(self.function.name, DataType::Utf8View, true),
        }
    }
}

/// An array of records with the columns `name:type,..`.
fn records(name: &str, columns: &str) -> Field {
    let columns = columns.split(',').filter_map(|column| {
        let (name, type_name) = column.split_once(':')?;
        Some(relation::field(name, builtin::type_by_name(type_name)?, true))
    });
    let record = DataType::Struct(columns.collect());
    Field::new(name, DataType::List(Arc::new(Field::new_list_field(record, true))), true)
}

/// Two of them are the same when they are one function of one session.
impl PartialEq for CatalogueUdf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.catalog.is(&other.catalog)
    }
}

impl Eq for CatalogueUdf {}

impl Hash for CatalogueUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogueUdf {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.return_field().data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.return_field()))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // Exact kinds first; a text literal may stand for anything, as PostgreSQL's unknown does.
        for as_unknown in [false, true] {
            let fitting = self.function.forms.iter().find_map(|form| coerce(form, types, as_unknown));
            if let Some(types) = fitting {
                return Ok(types);
            }
        }
        let types = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        plan_err!("function {}({types}) does not exist", self.function.name)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // One that does something does it for every row, whatever its arguments are.
        let is_scalar =
            !self.function.volatile && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let row_count = if is_scalar { 1 } else { args.number_rows };
        let kinds = self.function.forms.iter().find(|form| form.len() == args.args.len());
        let any = vec![Kind::Any; args.args.len()];
        let kinds = kinds.map_or(&any[..], |form| form);
        let columns = args.args.iter().zip(kinds);
        let columns = columns
            .map(|(arg, kind)| Ok(Values::of(&arg.to_array(row_count)?, *kind)))
            .collect::<Result<Vec<_>>>()?;
        let view = self.catalog.view();
        let mut results = Vec::with_capacity(row_count);
        let mut arguments = Vec::with_capacity(columns.len());
        for row in 0..row_count {
            arguments.clear();
            for column in &columns {
                arguments.push(column.get(row)?);
            }
            let is_null = self.function.strict && arguments.contains(&Datum::Null);
            results.push(if is_null { Datum::Null } else { (self.function.call)(&view, &arguments)? });
        }
        let array = rows::array(&args.return_field, &results)?;
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

/// The types that arguments of these types are cast to for a form, where it takes them.
fn coerce(form: &[Kind], types: &[DataType], as_unknown: bool) -> Option<Vec<DataType>> {
    if form.len() != types.len() {
        return None;
    }
    form.iter().zip(types).map(|(kind, data_type)| coerce_one(*kind, data_type, as_unknown)).collect()
}

fn coerce_one(kind: Kind, data_type: &DataType, as_unknown: bool) -> Option<DataType> {
    let is_text =
        data_type.is_string() || matches!(data_type, DataType::Dictionary(_, value) if value.is_string());
    let is_null = data_type.is_null();
    match kind {
        Kind::Any if is_text || is_null => Some(DataType::Utf8View),
        Kind::Any => Some(data_type.clone()),
        Kind::Text => (is_text || is_null).then_some(DataType::Utf8View),
        Kind::Int => {
            (data_type.is_integer() || is_null || (as_unknown && is_text)).then_some(DataType::Int64)
        }
        Kind::Bool => {
            let fits = *data_type == DataType::Boolean || is_null || (as_unknown && is_text);
            fits.then_some(DataType::Boolean)
        }
        Kind::Numeric => {
            (data_type.is_numeric() || is_null || (as_unknown && is_text)).then(|| data_type.clone())
        }
        Kind::List => {
            let is_list =
                matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
            (is_list || is_null).then(|| data_type.clone())
        }
    }
}

/// The values of one argument, ready to be taken out one by one.
enum Values {
    Typed(ArrayRef),
    List(ArrayRef, Box<Values>),
    Printed(ArrayRef),
}

impl Values {
    fn of(array: &ArrayRef, kind: Kind) -> Self {
        match (array.data_type(), kind) {
            (DataType::List(_), _) => {
                let values = Self::of(array.as_list::<i32>().values(), Kind::Any);
                Self::List(Arc::clone(array), Box::new(values))
            }
            (DataType::Utf8View | DataType::Int64 | DataType::Boolean | DataType::Null, _) => {
                Self::Typed(Arc::clone(array))
            }
            (data_type, _) if data_type.is_integer() => Self::Typed(
                cast(array, &DataType::Int64)
                    .unwrap_or_else(|_| new_null_array(&DataType::Int64, array.len())),
            ),
            (DataType::LargeList(item) | DataType::FixedSizeList(item, _), _) => {
                match cast(array, &DataType::List(Arc::clone(item))) {
                    Ok(list) => Self::of(&list, kind),
                    Err(_) => Self::Printed(Arc::clone(array)),
                }
            }
            _ => Self::Printed(Arc::clone(array)),
        }
    }

    fn get(&self, row: usize) -> Result<Datum> {
        let (Self::Typed(array) | Self::List(array, _) | Self::Printed(array)) = self;
        if array.is_null(row) || array.data_type().is_null() {
            return Ok(Datum::Null);
        }
        Ok(match self {
            Self::Typed(array) => match array.data_type() {
                DataType::Utf8View => Datum::text(array.as_string_view().value(row).to_owned()),
                DataType::Boolean => Datum::Bool(array.as_boolean().value(row)),
                _ => Datum::Int(array.as_primitive::<Int64Type>().value(row)),
            },
            Self::List(array, values) => {
                let offsets = array.as_list::<i32>().value_offsets();
                let bound =
                    |index: usize| offsets.get(index).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
                Datum::List(
                    (bound(row)..bound(row + 1)).map(|index| values.get(index)).collect::<Result<_>>()?,
                )
            }
            Self::Printed(array) => text_of(array, row)?.into(),
        })
    }
}
