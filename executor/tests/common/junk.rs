//! Rows that were deleted again.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use quickdb_storage::RoaringBitmap;

/// A mixing function with no pattern that a query could see (SplitMix64's finalizer).
pub fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The rows of `batch` in order with copies of others between them, about one for each `every` rows and a run at the
/// end, and the numbers of the copies: a query over a shard of these rows must not see the latter.
pub fn with_deleted_rows(batch: &RecordBatch, every: u64) -> (RecordBatch, RoaringBitmap) {
    let rows = u64::try_from(batch.num_rows()).unwrap();
    let (mut indices, mut deleted) = (vec![], RoaringBitmap::new());
    let junk = |indices: &mut Vec<u32>, deleted: &mut RoaringBitmap, row: u64| {
        deleted.insert(u32::try_from(indices.len()).unwrap());
        indices.push(u32::try_from(mix(row) % rows).unwrap());
    };
    for row in 0..rows {
        if mix(row ^ 0xdead).is_multiple_of(every) {
            junk(&mut indices, &mut deleted, row);
        }
        indices.push(u32::try_from(row).unwrap());
    }
    for row in 0..rows.min(70) {
        junk(&mut indices, &mut deleted, row);
    }
    (take_record_batch(batch, &UInt32Array::from(indices)).unwrap(), deleted)
}
