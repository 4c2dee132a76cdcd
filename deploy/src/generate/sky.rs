//! A catalogue of sky objects, in the order of 1,000 tracts of 1.5 by 1.5 degrees with 80 patches each.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringViewBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::Rows;
use super::random::{Column, mix};
use super::words::sentence;

const TRACTS: u64 = 1_000;
const PATCHES: u64 = 80;
/// Patches of a tract stand in nine columns.
const PATCH_COLUMNS: u64 = 9;
const TRACT_DEGREES: f64 = 1.5;
const COMMENTS: u64 = 100_000;
/// The bands of the survey, from blue to red.
const BANDS: [&str; 5] = ["g", "r", "i", "z", "y"];
const MISSING: f64 = 0.02;
const FIRST_NIGHT_MICROS: u64 = 1_400_000_000_000_000;
const DAY_MICROS: u64 = 86_400_000_000;
const NIGHT_MICROS: u64 = 36_000_000_000;
const FIRST_PARENT: u64 = 40_000_000_000_000_000;

/// The table `sky`.
pub(super) struct Sky {
    rows: u64,
    schema: SchemaRef,
}

impl Sky {
    /// A catalogue of so many objects.
    pub(super) fn new(rows: u64) -> Self {
        let mut fields = vec![
            Field::new("object_id", DataType::Int64, false),
            Field::new("ra", DataType::Float64, false),
            Field::new("dec", DataType::Float64, false),
        ];
        for band in BANDS {
            fields.push(Field::new(format!("{band}_flux"), DataType::Float32, true));
            fields.push(Field::new(format!("{band}_mag"), DataType::Float32, true));
        }
        fields.extend([
            Field::new("extendedness", DataType::Float32, false),
            Field::new("isprimary", DataType::Boolean, false),
            Field::new("tract", DataType::Int32, false),
            Field::new("patch", DataType::Utf8View, false),
            Field::new("parent_id", DataType::Int64, false),
            Field::new("obs_time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
            Field::new("comment", DataType::Utf8View, false),
        ]);
        Self { rows, schema: Arc::new(Schema::new(fields)) }
    }
}

impl Rows for Sky {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tracts, patches and magnitudes are small numbers; identifiers stay below 2^63"
    )]
    fn batch(&self, rows: std::ops::Range<u64>) -> Result<RecordBatch, ArrowError> {
        let column = |name| Column::named("sky", name);
        let tract_rows = self.rows.div_ceil(TRACTS).max(1);
        let tract = |row: u64| row / tract_rows;
        let patch = |row: u64| row % tract_rows * PATCHES / tract_rows;
        let all = || rows.clone();
        let inside = |row: u64| row % tract_rows % (tract_rows / PATCHES + 1);
        let object = |row| (tract(row) << 40 | patch(row) << 32 | inside(row)).cast_signed();
        let side = TRACT_DEGREES / PATCH_COLUMNS as f64;
        let (ra, dec) = (column("ra"), column("dec"));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(all().map(object))),
            Arc::new(Float64Array::from_iter_values(all().map(|row| {
                (tract(row) / 20) as f64 * TRACT_DEGREES
                    + ((patch(row) / PATCH_COLUMNS) as f64 + ra.unit(row)) * side
            }))),
            Arc::new(Float64Array::from_iter_values(all().map(|row| {
                (tract(row) % 20) as f64 * TRACT_DEGREES - 5.0
                    + ((patch(row) % PATCH_COLUMNS) as f64 + dec.unit(row)) * side
            }))),
        ];
        let brightness = column("brightness");
        for (at, band) in BANDS.iter().enumerate() {
            let (noise, missing) = (column(band), Column::named("sky.missing", band));
            let flux = |row: u64| {
                let exponent =
                    brightness.normal(row, 0.5, 1.3) + 0.25 * at as f64 + noise.normal(row, 0.0, 0.35);
                (!missing.chance(row, MISSING)).then(|| exponent.exp())
            };
            let flux: Vec<Option<f64>> = all().map(flux).collect();
            let magnitude = |flux: &Option<f64>| flux.map(|flux| (27.0 - 2.5 * flux.log10() - 1.5) as f32);
            columns.push(Arc::new(
                flux.iter().map(|flux| flux.map(|flux| flux as f32)).collect::<Float32Array>(),
            ));
            columns.push(Arc::new(flux.iter().map(magnitude).collect::<Float32Array>()));
        }
        let (extended, primary, parent, time) =
            (column("extendedness"), column("isprimary"), column("parent_id"), column("obs_time"));
        let parents = (self.rows / 5).max(1);
        let (mut patches, mut comments) = (StringViewBuilder::new(), StringViewBuilder::new());
        let comment = column("comment");
        let mut text = String::new();
        for row in all() {
            patches.append_value(format!("{},{}", patch(row) / PATCH_COLUMNS, patch(row) % PATCH_COLUMNS));
            text.clear();
            sentence(mix(comment.below(row, COMMENTS)), 4, 5_000, &mut text);
            comments.append_value(&text);
        }
        columns.extend([
            Arc::new(Float32Array::from_iter_values(
                all().map(|row| if extended.chance(row, 0.6) { 1.0 } else { 0.0 }),
            )) as ArrayRef,
            Arc::new(all().map(|row| Some(primary.chance(row, 0.85))).collect::<BooleanArray>()),
            Arc::new(Int32Array::from_iter_values(all().map(|row| tract(row) as i32))),
            Arc::new(patches.finish()),
            Arc::new(Int64Array::from_iter_values(all().map(|row| {
                // Some parents have many children.
                let number = (parents as f64 * parent.unit(row).powf(1.3)) as u64;
                (number * 1_000_003 + FIRST_PARENT).cast_signed()
            }))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(all().map(|row| {
                (FIRST_NIGHT_MICROS + tract(row) * DAY_MICROS + time.below(row, NIGHT_MICROS)).cast_signed()
            }))),
            Arc::new(comments.finish()),
        ]);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn rows_do_not_depend_on_how_they_are_cut() {
        let sky = Sky::new(5_000);
        let whole = sky.batch(0..5_000).unwrap();
        let part = sky.batch(1_234..1_300).unwrap();
        assert_eq!(whole.slice(1_234, 66), part);
        let missing = whole.column_by_name("g_flux").unwrap().null_count();
        assert!((50..200).contains(&missing), "{missing}");
    }
}
