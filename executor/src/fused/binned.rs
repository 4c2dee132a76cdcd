//! The cells of a histogram that the rows of a chunk lie in.

use datafusion::error::Result;
use quickdb_kernels::{bitmap, gather, histogram};

use super::arguments::Argument;
use super::lane::Lane;
use crate::functions::histograms::Bins;

/// The cells of rows.
pub(super) struct Cells {
    /// The number of each row's cell.
    pub(super) numbers: Vec<u32>,
    /// Whether they are those of the selected rows only.
    pub(super) packed: bool,
}

/// The cell of every row of `lane`. Of all rows of the chunk where that is cheaper: without groups, those that the lane
/// leaves out are in none then. `arguments` are the values along each axis.
pub(super) fn cells(bins: &Bins, arguments: &[&Argument], lane: &Lane<'_>, grouped: bool) -> Result<Cells> {
    let selection = &lane.rows.selection;
    let mut found = vec![];
    let mut whole = vec![];
    for (axis, argument) in arguments.iter().enumerate() {
        let (values, packed) = argument.resolve(&lane.rows)?;
        let mut along = vec![];
        bins.find(axis, &values, &mut along)?;
        whole.push(!packed && !selection.is_all());
        found.push(along);
    }
    let stays_whole = (!grouped || lane.spare.is_some()) && whole.iter().all(|whole| *whole);
    if !stays_whole && whole.contains(&true) {
        let mut own = vec![];
        let indices = if grouped {
            lane.packed_indices().as_slice()
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
    let mut numbers = found.into_iter().next().unwrap_or_default();
    if stays_whole && !grouped {
        let none = u32::try_from(bins.cells()).unwrap_or(u32::MAX);
        histogram::leave_out(&mut numbers, selection.words(), none);
    }
    Ok(Cells { numbers, packed: !stays_whole })
}
