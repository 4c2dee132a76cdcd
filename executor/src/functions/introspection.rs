//! Functions about values rather than over them: `pg_typeof`.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use crate::functions::function::{Function, internal};
use crate::functions::type_names::{PG_TYPE_KEY, pg_field_type_name};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "pg_typeof",
            |types| if types.len() == 1 { Some(types.to_vec()) } else { None },
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let field = args.arg_fields.first().ok_or_else(|| internal("pg_typeof of nothing"))?;
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(pg_field_type_name(field)))))
            },
        )
        .describe(|_, _| Some((PG_TYPE_KEY, "regtype".to_owned())))
        .udf(),
    ]
}
