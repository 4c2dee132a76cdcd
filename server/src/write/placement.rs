//! Which worker a row goes to: `distribute_by`.
//!
//! The functions here are part of what is on the disks: rows that are equal in the hashed columns lie together only as
//! long as they give the same numbers.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use crate::catalogue::TableDefinition;
use crate::error::PgError;
use crate::write::tables::placement_columns;

/// HEALPix pixels per side of a base pixel, in which the sky is given to workers: cells of about 3.7 degrees.
const NSIDE: u32 = 16;

/// Cells of the whole sky.
const CELLS: u64 = 12 * (NSIDE as u64) * (NSIDE as u64);

/// How the rows of a table find their lane.
#[derive(Debug, Clone)]
pub(crate) enum Placement {
    /// In turn.
    RoundRobin,
    /// On every worker.
    All,
    /// By a hash of these columns, by position.
    Hash(Vec<usize>),
    /// By the part of the sky: positions of right ascension and declination, in degrees.
    Sky(usize, usize),
}

impl Placement {
    /// The placement that a table asks for.
    pub(crate) fn of(table: &TableDefinition) -> Self {
        let Some(text) = table.options.distribute_by.as_deref() else { return Self::RoundRobin };
        if text == "all" {
            return Self::All;
        }
        let names = placement_columns(text).unwrap_or_default();
        let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
        // A column that was dropped since leaves the rows to their turns.
        match names.iter().map(position).collect::<Option<Vec<_>>>().as_deref() {
            Some([ra, dec]) if text.starts_with("sky") => Self::Sky(*ra, *dec),
            Some(columns) if !columns.is_empty() => Self::Hash(columns.to_vec()),
            _ => Self::RoundRobin,
        }
    }

    /// The rows of a batch for each of `lanes` lanes; `None` where any lane may take all of them.
    ///
    /// # Errors
    /// The rows cannot be taken apart.
    pub(crate) fn split(
        &self,
        batch: &RecordBatch,
        lanes: usize,
    ) -> Result<Option<Vec<RecordBatch>>, PgError> {
        if lanes < 2 {
            return Ok(None);
        }
        let lane_count = lanes as u64;
        let lane_of: Vec<u64> = match self {
            Self::RoundRobin | Self::All => return Ok(None),
            Self::Hash(columns) => {
                let mut hashes = vec![0; batch.num_rows()];
                for column in columns {
                    hash_into(batch.column(*column), &mut hashes)?;
                }
                hashes.into_iter().map(|hash| hash % lane_count).collect()
            }
            Self::Sky(ra, dec) => {
                let (ra, dec) = (degrees(batch.column(*ra))?, degrees(batch.column(*dec))?);
                let (ra, dec) = (ra.as_primitive::<Float64Type>(), dec.as_primitive::<Float64Type>());
                let cell = |row: usize| {
                    if ra.is_null(row) || dec.is_null(row) {
                        return 0;
                    }
                    u64::from(cell_of(ra.value(row), dec.value(row)))
                };
                // Neighbouring numbers are neighbouring cells, mostly: a lane gets a run of them.
                (0..batch.num_rows()).map(|row| cell(row) * lane_count / CELLS).collect()
            }
        };
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); lanes];
        for (row, lane) in (0_u32..).zip(lane_of) {
            if let Some(rows) = usize::try_from(lane).ok().and_then(|lane| rows.get_mut(lane)) {
                rows.push(row);
            }
        }
        let taken = rows.into_iter().map(|rows| take_record_batch(batch, &UInt32Array::from(rows)));
        let taken = taken.collect::<Result<Vec<_>, _>>();
        Ok(Some(taken.map_err(|error| PgError::from_datafusion(error.into(), None))?))
    }
}

fn degrees(values: &ArrayRef) -> Result<ArrayRef, PgError> {
    cast(values, &DataType::Float64).map_err(|error| PgError::from_datafusion(error.into(), None))
}

/// Mixes the values of a column into one hash per row. Equal values of integer types of any width hash alike, so that
/// tables whose keys differ in width lie alike.
fn hash_into(values: &ArrayRef, hashes: &mut [u64]) -> Result<(), PgError> {
    let wrong = |error: arrow::error::ArrowError| PgError::from_datafusion(error.into(), None);
    match values.data_type() {
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Boolean => {
            let numbers = cast(values, &DataType::Int64).map_err(wrong)?;
            for (hash, value) in hashes.iter_mut().zip(numbers.as_primitive::<Int64Type>()) {
                *hash = mixed(*hash, value.map_or(0, i64::cast_unsigned));
            }
        }
        _ => {
            let texts = cast(values, &DataType::Utf8View).map_err(wrong)?;
            for (hash, value) in hashes.iter_mut().zip(texts.as_string_view()) {
                *hash = mixed(*hash, value.map_or(0, fnv));
            }
        }
    }
    Ok(())
}

/// FNV-1a of a text.
fn fnv(text: &str) -> u64 {
    let prime = 0x0100_0000_01b3_u64;
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(prime))
}

/// The finalizer of SplitMix64 over a hash and a value.
fn mixed(hash: u64, value: u64) -> u64 {
    let mut mixed = hash.wrapping_mul(31).wrapping_add(value).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The HEALPix cell of a direction in the nested scheme (Górski et al. 2005), both angles in degrees. Directions that
/// are none, of NaN or beyond a pole, lie in cell 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are small and not negative by then"
)]
fn cell_of(ra: f64, dec: f64) -> u32 {
    if !ra.is_finite() || !(-90.0..=90.0).contains(&dec) {
        return 0;
    }
    let z = dec.to_radians().sin();
    // Right ascension in units of 90 degrees, 0 to 4.
    let tt = ra.rem_euclid(360.0) / 90.0;
    let side = f64::from(NSIDE);
    let last = NSIDE - 1;
    let (face, x, y) = if z.abs() <= 2.0 / 3.0 {
        // The equatorial belt: lines of constant x and y are straight in (tt, z).
        let along = side * (0.5 + tt);
        let across = side * z * 0.75;
        let (rising, falling) = ((along - across) as u32, (along + across) as u32);
        let (high, low) = (rising / NSIDE, falling / NSIDE);
        let face = match high.cmp(&low) {
            std::cmp::Ordering::Equal => (high & 3) + 4,
            std::cmp::Ordering::Less => high & 3,
            std::cmp::Ordering::Greater => (low & 3) + 8,
        };
        (face, falling & last, last - (rising & last))
    } else {
        let quarter = (tt as u32).min(3);
        let within = tt - f64::from(quarter);
        let from_pole = side * (3.0 * (1.0 - z.abs())).sqrt();
        let first = ((within * from_pole) as u32).min(last);
        let second = (((1.0 - within) * from_pole) as u32).min(last);
        if z >= 0.0 { (quarter, last - second, last - first) } else { (quarter + 8, first, second) }
    };
    face * NSIDE * NSIDE + spread(x) + 2 * spread(y)
}

/// The bits of a number with a zero after each.
fn spread(number: u32) -> u32 {
    (0..16).map(|bit| ((number >> bit) & 1) << (2 * bit)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn equal_keys_go_together_whatever_their_width() {
        let hashes = |values: ArrayRef| {
            let mut hashes = vec![0; values.len()];
            hash_into(&values, &mut hashes).unwrap();
            hashes
        };
        let narrow = hashes(Arc::new(Int32Array::from(vec![Some(1), None, Some(-7)])));
        let wide = hashes(Arc::new(Int64Array::from(vec![Some(1), None, Some(-7)])));
        assert_eq!(narrow, wide);
        // They are on disks: they never change.
        assert_eq!(wide[0], mixed(0, 1));
        assert_eq!(mixed(0, 1), 0x910A_2DEC_8902_5CC1);
        assert_eq!(fnv("quickdb"), 0x7446_0A9A_07B0_E4FE);
    }

    #[test]
    fn the_sky_is_cut_into_cells_of_equal_area() {
        let mut counts = vec![0_u32; usize::try_from(CELLS).unwrap()];
        // Points spread evenly: a spiral of equal steps in z.
        let points = 400_000;
        for point in 0..points {
            let z = 1.0 - (2.0 * f64::from(point) + 1.0) / f64::from(points);
            let ra = (f64::from(point) * 137.507_764).rem_euclid(360.0);
            counts[cell_of(ra, z.asin().to_degrees()) as usize] += 1;
        }
        let expected = points / i32::try_from(CELLS).unwrap();
        for (cell, count) in counts.iter().enumerate() {
            let near = i32::try_from(*count).unwrap() - expected;
            assert!(near.abs() < expected / 3, "cell {cell} has {count} points of {expected}");
        }
        assert_eq!([cell_of(f64::NAN, 0.0), cell_of(0.0, 91.0)], [0, 0]);
        for pole in [90.0, -90.0] {
            for ra in [0.0, 89.999, 180.0, 359.999, -0.001, 720.0] {
                assert!(u64::from(cell_of(ra, pole)) < CELLS);
            }
        }
    }

    #[test]
    fn splitting_keeps_every_row() {
        let batch = RecordBatch::try_from_iter([
            (
                "ra",
                Arc::new(Float64Array::from_iter_values((0..1000).map(|i| f64::from(i) * 0.36))) as ArrayRef,
            ),
            (
                "dec",
                Arc::new(Float64Array::from_iter_values((0..1000).map(|i| f64::from(i % 180) - 90.0)))
                    as ArrayRef,
            ),
            (
                "name",
                Arc::new(StringViewArray::from_iter_values((0..1000).map(|i| format!("n{}", i % 50))))
                    as ArrayRef,
            ),
        ])
        .unwrap();
        for placement in [Placement::Sky(0, 1), Placement::Hash(vec![2]), Placement::Hash(vec![2, 0])] {
            let parts = placement.split(&batch, 3).unwrap().unwrap();
            assert_eq!(parts.iter().map(RecordBatch::num_rows).sum::<usize>(), 1000);
            assert!(parts.iter().all(|part| part.num_rows() > 150), "{placement:?}");
        }
        assert!(Placement::RoundRobin.split(&batch, 3).unwrap().is_none());
    }
}
