//! The memory map of a shard, and what of its bytes is trusted. All unsafe code of the crate is here.
//!
//! **Invariant:** a shard file never changes between its rename into the directory and its removal (removing it leaves
//! the map intact). Whoever shortens or rewrites the files of a running worker breaks this program, as with the files
//! of any database.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::GenericByteViewArray;
use arrow::array::builder::make_view;
use arrow::array::types::ByteViewType;
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use memmap2::Mmap;

/// Bytes of a data buffer of a view array at most: Arrow's offsets are 32 bits, signed.
const VIEW_BUFFER_BYTES_MAX: usize = i32::MAX as usize;

/// Bytes of one string at most, for the same reason.
pub(crate) const STRING_BYTES_MAX: usize = VIEW_BUFFER_BYTES_MAX;

/// Maps a whole file. The buffer and its slices keep the map.
pub(crate) fn map_file(file: &File) -> io::Result<Buffer> {
    // SAFETY: the file does not change while it is mapped, see the invariant of this module.
    let map = unsafe { Mmap::map(file)? };
    let bytes = map.len();
    let Some(start) = NonNull::new(map.as_ptr().cast_mut()) else {
        return Ok(Buffer::from(Vec::<u8>::new()));
    };
    // SAFETY: `start` points to `bytes` readable bytes for as long as the map lives, which the buffer owns; moving the
    // `Mmap` into the `Arc` does not move the mapped pages. Nothing writes through a `Buffer`.
    Ok(unsafe { Buffer::from_custom_allocation(start, bytes, Arc::new(map)) })
}

/// Strings (`T` is text or binary) that lie one after the other in a buffer. The type is the proof that they were
/// checked: the offsets ascend and stay inside the bytes; texts are UTF-8.
pub(crate) struct MappedStrings<T> {
    offsets: Offsets,
    bytes: Buffer,
    blocks: Vec<Block>,
    kind: PhantomData<T>,
}

/// Offsets of the strings and their end, in the narrowest width that held them when they were written.
enum Offsets {
    Narrow(ScalarBuffer<u32>),
    Wide(ScalarBuffer<u64>),
}

/// A part of the bytes that is small enough for the offsets of views. No string crosses its ends.
struct Block {
    start: usize,
    end: usize,
}

impl<T: ByteViewType> MappedStrings<T> {
    /// Checks `count` strings. `offsets` is aligned for its values.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub(crate) fn check(offsets: Buffer, bytes: Buffer, count: usize) -> Result<Self, String> {
        Self::check_in_blocks(offsets, bytes, count, VIEW_BUFFER_BYTES_MAX)
    }

    fn check_in_blocks(
        offsets: Buffer,
        bytes: Buffer,
        count: usize,
        block_bytes_max: usize,
    ) -> Result<Self, String> {
        let text = if T::IS_UTF8 {
            Some(str::from_utf8(&bytes).map_err(|error| format!("text is not UTF-8: {error}"))?)
        } else {
            None
        };
        let (offsets, blocks) = if offsets.len() == (count + 1) * size_of::<u32>() {
            let offsets = ScalarBuffer::<u32>::new(offsets, 0, count + 1);
            let blocks = check_offsets(&offsets, bytes.len(), text, block_bytes_max)?;
            (Offsets::Narrow(offsets), blocks)
        } else if offsets.len() == (count + 1) * size_of::<u64>() {
            let offsets = ScalarBuffer::<u64>::new(offsets, 0, count + 1);
            let blocks = check_offsets(&offsets, bytes.len(), text, block_bytes_max)?;
            (Offsets::Wide(offsets), blocks)
        } else {
            return Err(format!("{count} strings have {} bytes of offsets", offsets.len()));
        };
        Ok(Self { offsets, bytes, blocks, kind: PhantomData })
    }

    /// Number of strings.
    pub(crate) fn len(&self) -> usize {
        match &self.offsets {
            Offsets::Narrow(offsets) => offsets.len() - 1,
            Offsets::Wide(offsets) => offsets.len() - 1,
        }
    }

    /// An array of the strings that shares their bytes.
    ///
    /// # Panics
    /// When there are not as many `nulls` as strings.
    pub(crate) fn array(&self, nulls: Option<NullBuffer>) -> GenericByteViewArray<T> {
        assert!(nulls.as_ref().is_none_or(|nulls| nulls.len() == self.len()), "one validity bit per string");
        let views = match &self.offsets {
            Offsets::Narrow(offsets) => self.views(offsets),
            Offsets::Wide(offsets) => self.views(offsets),
        };
        let buffers: Vec<Buffer> = self
            .blocks
            .iter()
            .map(|block| self.bytes.slice_with_length(block.start, block.end - block.start))
            .collect();
        // SAFETY: `views` makes one view per string, each inside its block, and every block is a buffer of the same
        // index. Texts are UTF-8 and begin and end at characters: `check` saw to it and is the only constructor, and
        // the bytes do not change (invariant of this module). The safe constructor would check again on every read: 82 ms
        // on top of 60 ms for four million rows (`benches/chunks.rs`).
        unsafe { GenericByteViewArray::new_unchecked(ScalarBuffer::from(views), buffers, nulls) }
    }

    fn views<O: Copy + Into<u64>>(&self, offsets: &[O]) -> Vec<u128> {
        let bytes = self.bytes.as_slice();
        let mut blocks = (0_u32..).zip(&self.blocks);
        let mut block = blocks.next();
        let view = |[start, end]: &[O; 2]| {
            let (start, end) = (to_usize(*start), to_usize(*end));
            while block.is_some_and(|(_, block)| end > block.end) {
                block = blocks.next();
            }
            // Neither default is reached, but both make a view that is valid.
            let value = bytes.get(start..end).unwrap_or_default();
            block.map_or(0, |(index, block)| {
                make_view(value, index, u32::try_from(start - block.start).unwrap_or_default())
            })
        };
        offsets.array_windows().map(view).collect()
    }
}

/// Checks offsets of strings in `bytes` bytes and cuts these into blocks.
fn check_offsets<O: Copy + Into<u64>>(
    offsets: &[O],
    bytes: usize,
    text: Option<&str>,
    block_bytes_max: usize,
) -> Result<Vec<Block>, String> {
    let first = offsets.first().map_or(0, |first| (*first).into());
    let last = offsets.last().map_or(0, |last| (*last).into());
    if first != 0 || last != bytes as u64 {
        return Err(format!("offsets go from {first} to {last}, not from 0 to {bytes}"));
    }
    let mut blocks = Vec::new();
    let mut block_start = 0;
    for [start, end] in offsets.array_windows() {
        let (start, end) = (to_usize(*start), to_usize(*end));
        if start > end || end > bytes {
            return Err(format!("offset {start} is followed by {end}"));
        }
        if end - start > block_bytes_max {
            return Err(format!("a string has {} bytes", end - start));
        }
        if text.is_some_and(|text| !text.is_char_boundary(end)) {
            return Err(format!("offset {end} is inside a character"));
        }
        if end - block_start > block_bytes_max {
            blocks.push(Block { start: block_start, end: start });
            block_start = start;
        }
    }
    blocks.push(Block { start: block_start, end: bytes });
    Ok(blocks)
}

fn to_usize(offset: impl Into<u64>) -> usize {
    usize::try_from(offset.into()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::types::{BinaryViewType, StringViewType};
    use arrow::array::{Array, BinaryViewArray, StringViewArray};

    fn offsets_of(values: &[&[u8]]) -> Vec<u32> {
        let ends = values.iter().scan(0, |end, value| {
            *end += u32::try_from(value.len()).unwrap();
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    fn check_narrow<T: ByteViewType>(offsets: &[u32], bytes: &[u8]) -> Result<MappedStrings<T>, String> {
        let count = offsets.len() - 1;
        MappedStrings::check(Buffer::from(offsets.to_vec()), Buffer::from(bytes.to_vec()), count)
    }

    #[test]
    fn strings_of_any_length_come_back_in_blocks_of_any_size() {
        let values: Vec<&[u8]> =
            vec![b"", b"short", b"exactly 12 b", b"a string of more than 12 bytes", b"", b"\xc3\xa4", b""];
        let bytes = values.concat();
        let narrow = offsets_of(&values);
        let wide: Vec<u64> = narrow.iter().copied().map(u64::from).collect();
        for block_bytes_max in [30, 31, 42, 47, 1000] {
            for offsets in [Buffer::from(narrow.clone()), Buffer::from(wide.clone())] {
                let bytes = Buffer::from(bytes.clone());
                let strings = MappedStrings::<BinaryViewType>::check_in_blocks(
                    offsets.clone(),
                    bytes.clone(),
                    values.len(),
                    block_bytes_max,
                );
                let array = strings.unwrap().array(None);
                array.to_data().validate_full().unwrap();
                assert_eq!(array, BinaryViewArray::from_iter_values(&values));
                let strings = MappedStrings::<StringViewType>::check_in_blocks(
                    offsets,
                    bytes,
                    values.len(),
                    block_bytes_max,
                );
                let texts = values.iter().map(|value| str::from_utf8(value).unwrap());
                let array = strings.unwrap().array(None);
                array.to_data().validate_full().unwrap();
                assert_eq!(array, StringViewArray::from_iter_values(texts));
            }
        }
    }

    #[test]
    fn nothing_unchecked_becomes_an_array() {
        assert!(check_narrow::<StringViewType>(&[0], b"").is_ok());
        assert!(check_narrow::<StringViewType>(&[0, 2], "\u{e4}".as_bytes()).is_ok());
        assert!(check_narrow::<StringViewType>(&[0, 1, 2], "\u{e4}".as_bytes()).is_err());
        assert!(check_narrow::<BinaryViewType>(&[0, 1, 2], "\u{e4}".as_bytes()).is_ok());
        assert!(check_narrow::<StringViewType>(&[0, 1], b"\xff").is_err());
        assert!(check_narrow::<BinaryViewType>(&[0, 1], b"\xff").is_ok());
        assert!(check_narrow::<BinaryViewType>(&[1, 1], b"a").is_err());
        assert!(check_narrow::<BinaryViewType>(&[0, 2, 1, 3], b"abc").is_err());
        assert!(check_narrow::<BinaryViewType>(&[0, 9, 3], b"abc").is_err());
        assert!(check_narrow::<BinaryViewType>(&[0, 2], b"abc").is_err());
        let odd = MappedStrings::<BinaryViewType>::check(Buffer::from(vec![0_u8; 6]), Buffer::default(), 1);
        assert!(odd.is_err());
    }
}
