//! The columns of a file: structures are cut into their fields, so that each can be read alone.
//!
//! A column of type `struct<i struct<flux, err>, n>` becomes five in the file, in this order: itself (which rows are
//! NULL, and no values), `i` (the same), `i.flux`, `i.err` and `n`. A field is NULL where a structure around it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;

/// The columns of a file and where those of the schema are among them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhysicalColumns {
    columns: Vec<PhysicalColumn>,
    /// For each column of the schema its own column of the file, which its fields follow.
    roots: Vec<usize>,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhysicalColumn {
    /// Its name with those of the structures around it, with dots between them.
    pub(crate) path: String,
    /// Its type, and whether it or a structure around it may be NULL.
    pub(crate) field: FieldRef,
    /// The column after its last field.
    pub(crate) end: usize,
}

impl PhysicalColumns {
    pub(crate) fn new(schema: &Schema) -> Self {
        let mut physical = Self { columns: Vec::new(), roots: Vec::new() };
        for field in &schema.fields {
            physical.roots.push(physical.columns.len());
            physical.push(field, "", false);
        }
        physical
    }

    fn push(&mut self, field: &Field, parent: &str, parent_nullable: bool) {
        let path =
            if parent.is_empty() { field.name().clone() } else { format!("{parent}.{}", field.name()) };
        let nullable = field.is_nullable() || parent_nullable;
        let number = self.columns.len();
        let stored = Arc::new(field.clone().with_nullable(nullable));
        self.columns.push(PhysicalColumn { path: path.clone(), field: stored, end: number + 1 });
        if let DataType::Struct(fields) = field.data_type() {
            for field in fields {
                self.push(field, &path, nullable);
            }
            let end = self.columns.len();
            if let Some(column) = self.columns.get_mut(number) {
                column.end = end;
            }
        }
    }

    /// All columns of the file.
    pub(crate) fn columns(&self) -> &[PhysicalColumn] {
        &self.columns
    }

    /// How many columns the file has.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The column of the file that stands for column `column` of the schema.
    ///
    /// # Panics
    /// When the column does not exist.
    pub(crate) fn root(&self, column: usize) -> usize {
        assert!(column < self.roots.len(), "column {column} of {}", self.roots.len());
        self.roots.get(column).copied().unwrap_or_default()
    }

    /// The roots of all columns of the schema.
    pub(crate) fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// The column of the file for the field of `column` that `path` leads to: at each step the position of a field in
    /// its structure.
    pub(crate) fn leaf(&self, column: usize, path: &[usize]) -> Option<usize> {
        let mut found = *self.roots.get(column)?;
        for &step in path {
            let parent = self.columns.get(found)?;
            if !matches!(parent.field.data_type(), DataType::Struct(_)) {
                return None;
            }
            let mut child = found + 1;
            for _ in 0..step {
                child = self.columns.get(child)?.end;
            }
            if child >= parent.end {
                return None;
            }
            found = child;
        }
        Some(found)
    }
}

/// Appends `values` and, where it is a structure, its fields, as [`PhysicalColumns`] orders them.
pub(crate) fn flatten(values: &ArrayRef, out: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
    out.push(Arc::clone(values));
    if let Some(structure) = values.as_struct_opt() {
        for child in structure.columns() {
            flatten(&nulled(child, structure.nulls())?, out)?;
        }
    }
    Ok(())
}

/// `values`, NULL also where `nulls` says so.
pub(crate) fn nulled(values: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
        return Ok(Arc::clone(values));
    };
    let both = NullBuffer::union(values.nulls(), Some(nulls));
    Ok(make_array(values.to_data().into_builder().nulls(both).build()?))
}

/// A structure of type `data_type` from its columns, which `next` returns in the order of the file: NULLs of the
/// structure, then its fields.
///
/// # Errors
/// Those of `next`, and Arrow's when the columns do not make a structure.
pub(crate) fn assemble<E: From<ArrowError>>(
    data_type: &DataType,
    next: &mut impl FnMut() -> Result<ArrayRef, E>,
) -> Result<ArrayRef, E> {
    let own = next()?;
    let DataType::Struct(fields) = data_type else {
        return Ok(own);
    };
    let mut children = Vec::with_capacity(fields.len());
    for field in fields {
        children.push(assemble(field.data_type(), next)?);
    }
    let nulls = own.nulls().cloned();
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), children, nulls, own.len())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let flux = Field::new("flux", DataType::Float32, false);
        let inner = Field::new_struct("i", vec![flux, Field::new("err", DataType::Float32, true)], true);
        let outer = Field::new_struct("forced", vec![inner, Field::new("n", DataType::Int32, false)], false);
        Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            outer,
            Field::new("z", DataType::Int64, true),
        ])
    }

    #[test]
    fn fields_are_columns_with_dotted_names() {
        let physical = PhysicalColumns::new(&schema());
        let columns: Vec<_> = physical
            .columns()
            .iter()
            .map(|column| (column.path.as_str(), column.field.is_nullable()))
            .collect();
        assert_eq!(
            columns,
            [
                ("id", false),
                ("forced", false),
                ("forced.i", true),
                ("forced.i.flux", true),
                ("forced.i.err", true),
                ("forced.n", false),
                ("z", true)
            ]
        );
        assert_eq!(physical.roots(), [0, 1, 6]);
        assert_eq!(physical.leaf(1, &[0, 1]), Some(4));
        assert_eq!(physical.leaf(1, &[1]), Some(5));
        assert_eq!(physical.leaf(1, &[2]), None);
        assert_eq!(physical.leaf(0, &[0]), None);
        assert_eq!(physical.leaf(2, &[]), Some(6));
    }
}
