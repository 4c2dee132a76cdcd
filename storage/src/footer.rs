//! The footer of a shard: everything that is known about it but the data.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use crate::decoder::{Decoder, malformed, put_text};
use crate::format::{SHARD_ROWS_MAX, Version};
use crate::layout::{ChunkMeta, StringSegments};
use crate::physical::PhysicalColumns;
use crate::schema::{decode_schema, encode_schema};
use crate::segment::SegmentLocation;
use crate::{ColumnSummary, ROW_GROUP_ROWS, Result, ShardId, ShardIdentity, TableId};

/// The footer. What [`parse`](Self::parse) returns is consistent: segments lie inside the file, do not overlap and have
/// lengths that their rows may have; encodings and bounds fit the types; there is one chunk per column of the file and
/// row group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardFooter {
    pub(crate) identity: ShardIdentity,
    pub(crate) schema: SchemaRef,
    pub(crate) physical: PhysicalColumns,
    pub(crate) row_count: u64,
    /// One per column of the file.
    pub(crate) dictionaries: Vec<Option<DictionaryMeta>>,
    /// Row group by row group, and column of the file by column inside each.
    pub(crate) chunks: Vec<ChunkMeta>,
}

/// The different values of a text column in the shard, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DictionaryMeta {
    /// Number of values, at least one.
    pub(crate) entries: u32,
    pub(crate) strings: StringSegments,
}

impl ChunkMeta {}

impl ShardFooter {
    /// Row groups of the shard.
    pub(crate) fn row_group_count(&self) -> usize {
        row_group_count(self.row_count)
    }

    /// Rows of a row group, 0 beyond the last.
    pub(crate) fn row_group_rows(&self, row_group: usize) -> usize {
        row_group_rows(self.row_count, row_group)
    }

    /// What is known about each column of the schema.
    pub(crate) fn summaries(&self) -> Vec<ColumnSummary> {
        let summary = |root: &usize| {
            let chunks = self.chunks.iter().skip(*root).step_by(self.physical.len());
            let dictionary = self.dictionaries.get(*root).and_then(Option::as_ref);
            let entries = dictionary.map(|dictionary| u64::from(dictionary.entries));
            ColumnSummary::merge(chunks.map(|chunk| &chunk.zone_map), entries)
        };
        self.physical.roots().iter().map(summary).collect()
    }

    /// All segments of the shard in the order of the file.
    pub(crate) fn segments(&self) -> Vec<SegmentLocation> {
        let dictionaries = self.dictionaries.iter().flatten();
        let mut segments: Vec<_> = dictionaries.flat_map(|meta| meta.strings.segments()).collect();
        for chunk in &self.chunks {
            chunk.segments(&mut segments);
        }
        segments.sort_unstable_by_key(|segment| (segment.offset, segment.bytes));
        segments
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.identity.shard.0.to_le_bytes());
        out.extend_from_slice(&self.identity.table.0.to_le_bytes());
        put_text(&mut out, &self.identity.table_name)?;
        out.extend_from_slice(&self.row_count.to_le_bytes());
        encode_schema(&self.schema, &mut out)?;
        for dictionary in &self.dictionaries {
            out.push(u8::from(dictionary.is_some()));
            if let Some(dictionary) = dictionary {
                out.extend_from_slice(&dictionary.entries.to_le_bytes());
                dictionary.strings.encode(&mut out);
            }
        }
        for chunk in &self.chunks {
            chunk.encode(&mut out);
        }
        Ok(out)
    }

    /// Reads a footer whose segments end at `data_end`.
    ///
    /// # Errors
    /// [`StorageError::Malformed`](crate::StorageError::Malformed) when the bytes are no footer.
    pub(crate) fn parse(bytes: &[u8], data_end: u64, version: Version) -> Result<Self> {
        let mut decoder = Decoder::new(bytes);
        let identity = ShardIdentity {
            shard: ShardId(decoder.u64()?),
            table: TableId(decoder.u64()?),
            table_name: decoder.text()?.to_owned(),
        };
        let row_count = decoder.u64()?;
        if row_count > SHARD_ROWS_MAX {
            return Err(malformed(format!("{row_count} rows are too many")));
        }
        let schema = Arc::new(decode_schema(&mut decoder, version)?);
        let physical = PhysicalColumns::new(&schema);
        let mut dictionaries = Vec::with_capacity(physical.len());
        for column in physical.columns() {
            let dictionary = if decoder.flag()? {
                Some(DictionaryMeta::decode(&mut decoder, data_end, version)?)
            } else {
                None
            };
            let data_type = column.field.data_type();
            if dictionary.is_some() && *data_type != DataType::Utf8View {
                return Err(malformed(format!("{data_type} has a dictionary")));
            }
            dictionaries.push(dictionary);
        }
        let mut chunks = Vec::new();
        if physical.len() > 0 {
            for row_group in 0..row_group_count(row_count) {
                let rows = row_group_rows(row_count, row_group) as u64;
                for (column, dictionary) in physical.columns().iter().zip(&dictionaries) {
                    let field = &column.field;
                    let chunk = ChunkMeta::decode(&mut decoder, data_end, rows, field, version)?;
                    chunk.check(dictionary.is_some(), field.is_nullable())?;
                    chunks.push(chunk);
                }
            }
        }
        decoder.end()?;
        let footer = Self { identity, schema, physical, row_count, dictionaries, chunks };
        footer.check_overlap()?;
        Ok(footer)
    }

    fn check_overlap(&self) -> Result<()> {
        let mut end = 0;
        for segment in self.segments() {
            if segment.offset < end {
                return Err(malformed(format!("segments overlap at {}", segment.offset)));
            }
            end = segment.end();
        }
        Ok(())
    }
}

impl DictionaryMeta {
    fn decode(decoder: &mut Decoder<'_>, data_end: u64, version: Version) -> Result<Self> {
        let entries = decoder.u32()?;
        if entries == 0 {
            return Err(malformed("a dictionary is empty"));
        }
        Ok(Self { entries, strings: StringSegments::decode(decoder, data_end, entries.into(), version)? })
    }
}

/// Row groups of `row_count` rows.
pub(crate) fn row_group_count(row_count: u64) -> usize {
    usize::try_from(row_count.div_ceil(ROW_GROUP_ROWS as u64)).unwrap_or(usize::MAX)
}

fn row_group_rows(row_count: u64, row_group: usize) -> usize {
    let before = (row_group as u64).saturating_mul(ROW_GROUP_ROWS as u64);
    usize::try_from(row_count.saturating_sub(before)).unwrap_or(ROW_GROUP_ROWS).min(ROW_GROUP_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::{Bound, ZoneMap};
    use arrow::datatypes::{Field, Schema};
    use proptest::prelude::*;

    const DATA_END: u64 = 1 << 20;

    fn segment(offset: u64, bytes: u64) -> SegmentLocation {
        SegmentLocation { offset, bytes, crc32: 5 }
    }

    fn chunk(layout: Layout, nulls: u64, bounds: Option<(Bound, Bound)>) -> ChunkMeta {
        ChunkMeta { layout, validity: None, zone_map: ZoneMap::new(10, nulls, 0, bounds) }
    }

    /// Ten rows of an integer, a text with and one without dictionary, a Boolean with NULLs and a column of NULLs.
    fn example() -> ShardFooter {
        let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
        let schema = Schema::new(vec![
            field("int", DataType::Int32, false),
            field("coded", DataType::Utf8View, true),
            field("plain", DataType::Utf8View, true),
            field("bool", DataType::Boolean, true),
            field("null", DataType::BinaryView, true),
            field("list", DataType::new_list(DataType::Int16, false), false),
            Field::new_struct(
                "pair",
                vec![field("a", DataType::Int64, false), field("b", DataType::Float64, false)],
                true,
            ),
        ]);
        let constant = |offset| Layout::Constant { value: segment(offset, 2) };
        let text = |text: &str| Bound::Text(text.to_owned());
        let lengths = |lengths, bytes| StringSegments::Lengths { lengths, bytes, raw_bytes: None };
        let coded = DictionaryMeta { entries: 2, strings: lengths(segment(64, 64), segment(128, 2)) };
        let ints = Layout::Plain { values: segment(192, 40) };
        let texts = Layout::PackedDictionary { codes: segment(256, 64) };
        let strings = Layout::Strings(lengths(segment(320, 64), segment(448, 0)));
        let mut bits = chunk(Layout::Bits { values: segment(512, 2) }, 3, None);
        bits.validity = Some(segment(576, 2));
        let child = ChunkMeta { zone_map: ZoneMap::new(3, 0, 0, None), ..chunk(constant(704), 0, None) };
        let list = Layout::List { elements: 3, lengths: segment(640, 64), child: Box::new(child) };
        let schema = Arc::new(schema);
        ShardFooter {
            physical: PhysicalColumns::new(&schema),
            identity: ShardIdentity {
                shard: ShardId(1),
                table: TableId(2),
                table_name: "public.example".to_owned(),
            },
            schema,
            row_count: 10,
            dictionaries: vec![None, Some(coded), None, None, None, None, None, None, None],
            chunks: vec![
                chunk(ints, 0, Some((Bound::Int(-1), Bound::Int(1)))),
                chunk(texts, 0, Some((text("a"), text("b")))),
                chunk(strings, 0, Some((text(""), text("")))),
                bits,
                chunk(Layout::AllNull, 10, None),
                chunk(list, 0, None),
                chunk(Layout::Struct { children: Vec::new() }, 0, None),
                chunk(Layout::Packed { scale: 5, values: segment(768, 192) }, 0, None),
                chunk(
                    Layout::Scaled {
                        exponent: 2,
                        scale: 1,
                        values: segment(960, 64),
                        exceptions: Some(segment(1024, 24)),
                    },
                    0,
                    None,
                ),
            ],
        }
    }

    fn parse(footer: &ShardFooter) -> Result<ShardFooter> {
        ShardFooter::parse(&footer.encode().unwrap(), DATA_END, Version::Two)
    }

    #[test]
    fn parsing_undoes_encoding() {
        assert_eq!(parse(&example()).unwrap(), example());
        let empty = ShardFooter {
            schema: Arc::new(Schema::empty()),
            physical: PhysicalColumns::new(&Schema::empty()),
            row_count: SHARD_ROWS_MAX,
            dictionaries: Vec::new(),
            chunks: Vec::new(),
            ..example()
        };
        assert_eq!(parse(&empty).unwrap(), empty);
        assert!(parse(&ShardFooter { row_count: SHARD_ROWS_MAX + 1, ..empty }).is_err());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        type Change = fn(&mut ShardFooter);
        let refused: [(&str, Change); 22] = [
            ("segments overlap", |f| f.chunks[0].layout = Layout::Plain { values: segment(64, 40) }),
            ("cannot lie at 1048576", |f| {
                f.chunks[0].layout = Layout::Plain { values: segment(DATA_END, 40) };
            }),
            ("not 40", |f| f.chunks[0].layout = Layout::Plain { values: segment(192, 36) }),
            ("has the encoding 2", |f| f.chunks[0].layout = Layout::Bits { values: segment(192, 2) }),
            ("has the encoding 1", |f| f.chunks[3].layout = Layout::Plain { values: segment(192, 40) }),
            ("NOT NULL has NULLs", |f| f.chunks[0] = chunk(Layout::AllNull, 10, None)),
            ("10 rows are NULL in a chunk", |f| f.chunks[4].zone_map.null_count = 0),
            ("more than 10 rows", |f| f.chunks[4].zone_map.null_count = u64::MAX),
            ("bounds, but no values", |f| {
                f.chunks[4].zone_map = ZoneMap::new(10, 10, 0, Some((Bound::Int(1), Bound::Int(1))));
            }),
            ("do not fit together", |f| f.chunks[0].zone_map.min = Some(Bound::Int(2))),
            ("do not fit together", |f| f.chunks[0].zone_map.min = Some(Bound::Bool(false))),
            ("a bound of Utf8View", |f| {
                f.chunks[1].zone_map.max = Some(Bound::Text("x".repeat(65)));
            }),
            ("Int32 has NaNs", |f| f.chunks[0].zone_map.nan_count = 1),
            ("Int32 has a dictionary", |f| f.dictionaries.swap(0, 1)),
            ("codes have no dictionary", |f| f.dictionaries[1] = None),
            ("30000 packed values have 64 bytes", |f| f.dictionaries[1].as_mut().unwrap().entries = 30_000),
            ("a dictionary is empty", |f| f.dictionaries[1].as_mut().unwrap().entries = 0),
            ("elements are too many", |f| {
                let Layout::List { elements, .. } = &mut f.chunks[5].layout else { panic!() };
                *elements = u64::MAX;
            }),
            ("65537 elements have the encoding 5", |f| {
                let Layout::List { elements, child, .. } = &mut f.chunks[5].layout else { panic!() };
                *elements = 65_537;
                child.zone_map.row_count = 65_537;
            }),
            ("scaled by 0", |f| f.chunks[7].layout = Layout::Packed { scale: 0, values: segment(768, 192) }),
            ("divided by 10^18", |f| {
                let Layout::Scaled { exponent, .. } = &mut f.chunks[8].layout else { panic!() };
                *exponent = 18;
            }),
            ("exceptions have 132 bytes", |f| {
                let Layout::Scaled { exceptions, .. } = &mut f.chunks[8].layout else { panic!() };
                *exceptions = Some(segment(1024, 132));
            }),
        ];
        for (expected, change) in refused {
            let mut footer = example();
            change(&mut footer);
            let error = parse(&footer).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error} does not contain {expected}");
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = example().encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(ShardFooter::parse(&bytes[..cut], DATA_END, Version::Two).is_err(), "{cut} bytes");
        }
        assert!(ShardFooter::parse(&[bytes.as_slice(), &[0]].concat(), DATA_END, Version::Two).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = ShardFooter::parse(&bytes, DATA_END, Version::Two);
        }

        #[test]
        fn changed_footers_never_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = example().encode().unwrap();
            for (position, byte) in &changes {
                let position = position.index(bytes.len());
                bytes[position] = *byte;
            }
            if let Ok(footer) = ShardFooter::parse(&bytes, DATA_END, Version::Two) {
                prop_assert_eq!(parse(&footer)?, footer);
            }
        }
    }
}
