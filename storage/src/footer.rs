//! The footer of a shard: everything that is known about it but the data.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use crate::decoder::{Decoder, malformed, put_text};
use crate::format::SHARD_ROWS_MAX;
use crate::schema::{decode_schema, encode_schema, value_bytes};
use crate::segment::SegmentLocation;
use crate::{ColumnSummary, Encoding, ROW_GROUP_ROWS, Result, ShardId, ShardIdentity, TableId, ZoneMap};

/// The footer. What [`parse`](Self::parse) returns is consistent: segments lie inside the file, do not overlap and have
/// the length that their rows need; encodings and bounds fit the types; there is one chunk per column and row group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardFooter {
    pub(crate) identity: ShardIdentity,
    pub(crate) schema: SchemaRef,
    pub(crate) row_count: u64,
    /// One per column.
    pub(crate) dictionaries: Vec<Option<DictionaryMeta>>,
    /// Row group by row group, and column by column inside each.
    pub(crate) chunks: Vec<ChunkMeta>,
}

/// The different values of a text column in the shard, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DictionaryMeta {
    /// Number of values, at least one.
    pub(crate) entries: u32,
    pub(crate) offsets: SegmentLocation,
    pub(crate) bytes: SegmentLocation,
}

/// A column chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkMeta {
    pub(crate) layout: Layout,
    /// A bit per row that is 1 where the value is not NULL; there when some rows are NULL, but not all.
    pub(crate) validity: Option<SegmentLocation>,
    pub(crate) zone_map: ZoneMap,
}

/// Encoding of a chunk with its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    AllNull,
    Plain { values: SegmentLocation },
    Bits { values: SegmentLocation },
    Dictionary { codes: SegmentLocation },
    Strings { offsets: SegmentLocation, bytes: SegmentLocation },
}

impl Layout {
    pub(crate) const fn encoding(&self) -> Encoding {
        match self {
            Self::AllNull => Encoding::AllNull,
            Self::Plain { .. } => Encoding::Plain,
            Self::Bits { .. } => Encoding::Bits,
            Self::Dictionary { .. } => Encoding::Dictionary,
            Self::Strings { .. } => Encoding::Strings,
        }
    }

    /// The segments in the order of the footer.
    fn segments(&self) -> [Option<SegmentLocation>; 2] {
        match self {
            Self::AllNull => [None, None],
            Self::Plain { values } | Self::Bits { values } => [Some(*values), None],
            Self::Dictionary { codes } => [Some(*codes), None],
            Self::Strings { offsets, bytes } => [Some(*offsets), Some(*bytes)],
        }
    }
}

/// Number of an encoding in the footer.
const fn encoding_tag(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::AllNull => 0,
        Encoding::Plain => 1,
        Encoding::Bits => 2,
        Encoding::Dictionary => 3,
        Encoding::Strings => 4,
    }
}

impl ChunkMeta {
    /// Bytes of its segments.
    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.layout.segments();
        segments.iter().chain([&self.validity]).flatten().map(|segment| segment.bytes).sum()
    }
}

impl ShardFooter {
    /// Row groups of the shard.
    pub(crate) fn row_group_count(&self) -> usize {
        row_group_count(self.row_count)
    }

    /// Rows of a row group, 0 beyond the last.
    pub(crate) fn row_group_rows(&self, row_group: usize) -> usize {
        row_group_rows(self.row_count, row_group)
    }

    /// What is known about each column.
    pub(crate) fn summaries(&self) -> Vec<ColumnSummary> {
        let columns = self.dictionaries.len();
        self.dictionaries
            .iter()
            .enumerate()
            .map(|(column, dictionary)| {
                let chunks = self.chunks.iter().skip(column).step_by(columns);
                let entries = dictionary.as_ref().map(|dictionary| u64::from(dictionary.entries));
                ColumnSummary::merge(chunks.map(|chunk| &chunk.zone_map), entries)
            })
            .collect()
    }

    /// All segments of the shard in the order of the file.
    pub(crate) fn segments(&self) -> Vec<SegmentLocation> {
        let dictionaries = self.dictionaries.iter().flatten();
        let mut segments: Vec<_> = dictionaries.flat_map(|meta| [meta.offsets, meta.bytes]).collect();
        for chunk in &self.chunks {
            segments.extend(chunk.layout.segments().into_iter().flatten());
            segments.extend(chunk.validity);
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
                dictionary.offsets.encode(&mut out);
                dictionary.bytes.encode(&mut out);
            }
        }
        for chunk in &self.chunks {
            out.push(encoding_tag(chunk.layout.encoding()));
            chunk.zone_map.encode(&mut out);
            for segment in chunk.layout.segments().iter().chain([&chunk.validity]).flatten() {
                segment.encode(&mut out);
            }
        }
        Ok(out)
    }

    /// Reads a footer whose segments end at `data_end`.
    ///
    /// # Errors
    /// [`StorageError::Malformed`](crate::StorageError::Malformed) when the bytes are no footer.
    pub(crate) fn parse(bytes: &[u8], data_end: u64) -> Result<Self> {
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
        let schema = Arc::new(decode_schema(&mut decoder)?);
        let mut dictionaries = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            let dictionary =
                if decoder.flag()? { Some(DictionaryMeta::decode(&mut decoder, data_end)?) } else { None };
            if dictionary.is_some() && field.data_type() != &DataType::Utf8View {
                return Err(malformed(format!("{} has a dictionary", field.data_type())));
            }
            dictionaries.push(dictionary);
        }
        let mut chunks = Vec::new();
        if !schema.fields.is_empty() {
            for row_group in 0..row_group_count(row_count) {
                let rows = row_group_rows(row_count, row_group);
                for (field, dictionary) in schema.fields.iter().zip(&dictionaries) {
                    let chunk = ChunkMeta::decode(&mut decoder, data_end, rows, field.data_type())?;
                    chunk.check(dictionary.is_some(), field.is_nullable())?;
                    chunks.push(chunk);
                }
            }
        }
        decoder.end()?;
        let footer = Self { identity, schema, row_count, dictionaries, chunks };
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
    fn decode(decoder: &mut Decoder<'_>, data_end: u64) -> Result<Self> {
        let entries = decoder.u32()?;
        if entries == 0 {
            return Err(malformed("a dictionary is empty"));
        }
        let offsets = SegmentLocation::decode(decoder, data_end)?;
        check_offsets(offsets, u64::from(entries))?;
        let bytes = SegmentLocation::decode(decoder, data_end)?;
        Ok(Self { entries, offsets, bytes })
    }
}

impl ChunkMeta {
    fn decode(decoder: &mut Decoder<'_>, data_end: u64, rows: usize, data_type: &DataType) -> Result<Self> {
        let encoding = decoder.u8()?;
        let rows = rows as u64;
        let zone_map = ZoneMap::decode(decoder, rows, data_type)?;
        let mut exact = |bytes: u64| {
            let segment = SegmentLocation::decode(decoder, data_end)?;
            if segment.bytes == bytes {
                Ok(segment)
            } else {
                Err(malformed(format!("{rows} rows have a segment of {} bytes, not {bytes}", segment.bytes)))
            }
        };
        let is_bytes = matches!(data_type, DataType::Utf8View | DataType::BinaryView);
        let layout = match (encoding, value_bytes(data_type)) {
            (0, _) => Layout::AllNull,
            (1, Some(width)) => Layout::Plain { values: exact(rows * width as u64)? },
            (2, None) if *data_type == DataType::Boolean => Layout::Bits { values: exact(rows.div_ceil(8))? },
            (3, None) if *data_type == DataType::Utf8View => {
                Layout::Dictionary { codes: exact(rows * size_of::<u32>() as u64)? }
            }
            (4, None) if is_bytes => {
                let offsets = SegmentLocation::decode(decoder, data_end)?;
                check_offsets(offsets, rows)?;
                Layout::Strings { offsets, bytes: SegmentLocation::decode(decoder, data_end)? }
            }
            (tag, _) => return Err(malformed(format!("{data_type} has the encoding {tag}"))),
        };
        let has_validity = zone_map.null_count > 0 && zone_map.null_count < rows;
        let validity = if has_validity {
            let segment = SegmentLocation::decode(decoder, data_end)?;
            if segment.bytes != rows.div_ceil(8) {
                return Err(malformed(format!("{rows} rows have a bitmap of {} bytes", segment.bytes)));
            }
            Some(segment)
        } else {
            None
        };
        Ok(Self { layout, validity, zone_map })
    }

    /// Checks what does not follow from the chunk alone.
    fn check(&self, has_dictionary: bool, is_nullable: bool) -> Result<()> {
        let ZoneMap { row_count, null_count, .. } = self.zone_map;
        if null_count > 0 && !is_nullable {
            return Err(malformed("a column that is NOT NULL has NULLs"));
        }
        if (self.layout == Layout::AllNull) != (null_count == row_count) {
            return Err(malformed(format!(
                "{null_count} of {row_count} rows are NULL in a chunk of encoding {:?}",
                self.layout.encoding()
            )));
        }
        match self.layout {
            Layout::Dictionary { .. } if !has_dictionary => Err(malformed("codes have no dictionary")),
            Layout::Strings { .. } if has_dictionary => Err(malformed("strings have a dictionary")),
            _ => Ok(()),
        }
    }
}

/// Offsets are one more than there are strings, all of 4 or all of 8 bytes.
fn check_offsets(segment: SegmentLocation, strings: u64) -> Result<()> {
    let offsets = strings + 1;
    if segment.bytes == offsets * 4 || segment.bytes == offsets * 8 {
        Ok(())
    } else {
        Err(malformed(format!("{strings} strings have {} bytes of offsets", segment.bytes)))
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
    use crate::Bound;
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
        ]);
        let text = |text: &str| Bound::Text(text.to_owned());
        let coded = DictionaryMeta { entries: 2, offsets: segment(64, 12), bytes: segment(128, 2) };
        let ints = Layout::Plain { values: segment(192, 40) };
        let texts = Layout::Dictionary { codes: segment(256, 40) };
        let strings = Layout::Strings { offsets: segment(320, 88), bytes: segment(448, 0) };
        let mut bits = chunk(Layout::Bits { values: segment(512, 2) }, 3, None);
        bits.validity = Some(segment(576, 2));
        ShardFooter {
            identity: ShardIdentity {
                shard: ShardId(1),
                table: TableId(2),
                table_name: "public.example".to_owned(),
            },
            schema: Arc::new(schema),
            row_count: 10,
            dictionaries: vec![None, Some(coded), None, None, None],
            chunks: vec![
                chunk(ints, 0, Some((Bound::Int(-1), Bound::Int(1)))),
                chunk(texts, 0, Some((text("a"), text("b")))),
                chunk(strings, 0, Some((text(""), text("")))),
                bits,
                chunk(Layout::AllNull, 10, None),
            ],
        }
    }

    fn parse(footer: &ShardFooter) -> Result<ShardFooter> {
        ShardFooter::parse(&footer.encode().unwrap(), DATA_END)
    }

    #[test]
    fn parsing_undoes_encoding() {
        assert_eq!(parse(&example()).unwrap(), example());
        let empty = ShardFooter {
            schema: Arc::new(Schema::empty()),
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
        let refused: [(&str, Change); 16] = [
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
            ("bytes of offsets", |f| f.dictionaries[1].as_mut().unwrap().entries = 3),
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
            assert!(ShardFooter::parse(&bytes[..cut], DATA_END).is_err(), "{cut} bytes");
        }
        assert!(ShardFooter::parse(&[bytes.as_slice(), &[0]].concat(), DATA_END).is_err());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = ShardFooter::parse(&bytes, DATA_END);
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
            if let Ok(footer) = ShardFooter::parse(&bytes, DATA_END) {
                prop_assert_eq!(parse(&footer)?, footer);
            }
        }
    }
}
