//! The cells of a histogram that the rows of a chunk lie in.

use arrow::array::Array;
use datafusion::error::Result;
use quickdb_kernels::{bitmap, gather, histogram};

use super::arguments::Argument;
use super::lane::Lane;
use crate::functions::histograms::Bins;

/// The cell of every row of `lane`; without groups it may be that of every row of the chunk, where rows that the lane
/// leaves out are in none. `arguments` are the values along each axis.
pub(super) fn cells(
    bins: &Bins,
    arguments: &[&Argument],
    lane: &Lane<'_>,
    grouped: bool,
) -> Result<Vec<u32>> {
    let selection = &lane.rows.selection;
    let mut found = vec![];
    let mut whole = vec![];
    for (axis, argument) in arguments.iter().enumerate() {
        let (values, packed) = argument.resolve(&lane.rows)?;
        let mut along = vec![];
        bins.find(axis, &values, &mut along)?;
        debug_assert_eq!(along.len(), values.len());
        whole.push(!packed && !selection.is_all());
        found.push(along);
    }
    let masked = !grouped && whole.iter().all(|whole| *whole);
    if !masked && whole.contains(&true) {
        let mut own = vec![];
        let indices = if grouped {
            lane.indices.as_slice()
        } else {
            bitmap::indices(selection.words(), &mut own);
            own.as_slice()
        };
        for (along, _) in found.iter_mut().zip(&whole).filter(|(_, whole)| **whole) {
            let mut packed = vec![];
            gather::gather(along, indices, &mut packed);
            *along = packed;
        }
    }
    bins.combine(&mut found);
    let mut cells = found.into_iter().next().unwrap_or_default();
    if masked {
        histogram::leave_out(&mut cells, selection.words(), u32::try_from(bins.cells()).unwrap_or(u32::MAX));
    }
    Ok(cells)
}
