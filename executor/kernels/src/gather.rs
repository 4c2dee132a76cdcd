//! Selected rows, packed.

/// Replaces `into` by `values` at `indices`, in order.
///
/// # Panics
/// When an index is not below `values.len()`.
pub fn gather<T: Copy>(values: &[T], indices: &[u32], into: &mut Vec<T>) {
    into.clear();
    into.extend(indices.iter().map(|&index| values[index as usize]));
}

/// Replaces `into` by the positions in `indices` of the rows whose bit in `words` is set: of the selected rows,
/// those that a second bitmap over all rows keeps.
///
/// # Panics
/// When an index lies beyond `words`.
pub fn positions_kept(indices: &[u32], words: &[u64], into: &mut Vec<u32>) {
    into.clear();
    for (position, &index) in (0u32..).zip(indices) {
        if (words[index as usize / 64] >> (index % 64)) & 1 == 1 {
            into.push(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_takes_rows_in_the_order_of_the_indices() {
        let mut into = vec![9];
        gather(&[10, 20, 30], &[2, 0, 2], &mut into);
        assert_eq!(into, [30, 10, 30]);
    }

    #[test]
    fn positions_are_of_the_selected_rows() {
        let mut into = vec![];
        positions_kept(&[1, 3, 5], &[0b10_1000], &mut into);
        assert_eq!(into, [1, 2]);
    }
}
