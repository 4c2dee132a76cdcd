//! Column chunks as the footer describes them: encoding, segments, zone map.

use arrow::datatypes::{DataType, Field};

use crate::decoder::{Decoder, malformed};
use crate::format::Version;
use crate::schema::{TYPE_DEPTH_MAX, is_packable, scaled_exponents, value_bytes};
use crate::segment::SegmentLocation;
use crate::{Encoding, ROW_GROUP_ROWS, Result, ZoneMap};

/// Rows of a chunk at most that stores less than a byte for each: what a reader allocates stays in proportion to the
/// bytes that it was given.
pub(crate) const UNSTORED_ROWS_MAX: usize = ROW_GROUP_ROWS;

/// Elements of all lists of a chunk at most: Arrow's offsets are 32 bits, signed.
pub(crate) const LIST_ELEMENTS_MAX: u64 = i32::MAX as u64;

/// Bytes that come out of one compressed byte at most, for the same reason as [`UNSTORED_ROWS_MAX`].
pub(crate) const COMPRESSION_RATIO_MAX: u64 = 1024;

/// A column chunk, or the elements of a chunk's lists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChunkMeta {
    pub(crate) layout: Layout,
    /// A bit per row that is 1 where the value is not NULL; there when some rows are NULL, but not all.
    pub(crate) validity: Option<SegmentLocation>,
    pub(crate) zone_map: ZoneMap,
}

/// Encoding of a chunk with its segments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layout {
    AllNull,
    Plain {
        values: SegmentLocation,
    },
    Bits {
        values: SegmentLocation,
    },
    /// Of version 1: a u32 per row.
    Dictionary {
        codes: SegmentLocation,
    },
    Strings(StringSegments),
    Constant {
        value: SegmentLocation,
    },
    TwoValues {
        values: SegmentLocation,
        bits: SegmentLocation,
    },
    Packed {
        scale: u64,
        values: SegmentLocation,
    },
    Scaled {
        exponent: u8,
        scale: u64,
        values: SegmentLocation,
        /// Positions, then values.
        exceptions: Option<SegmentLocation>,
    },
    PackedDictionary {
        codes: SegmentLocation,
    },
    List {
        /// How many there are in all lists.
        elements: u64,
        lengths: SegmentLocation,
        child: Box<ChunkMeta>,
    },
    /// One chunk per field of a structure in a list. The fields of a column that is a structure are columns of their
    /// own, and it has none itself.
    Struct {
        children: Vec<ChunkMeta>,
    },
}

/// Strings one after the other, and where each ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StringSegments {
    /// Of version 1: one offset more than there are strings, of 4 or of 8 bytes each.
    Offsets { offsets: SegmentLocation, bytes: SegmentLocation },
    /// A packed length each.
    Lengths {
        lengths: SegmentLocation,
        bytes: SegmentLocation,
        /// How long the bytes are when they are no longer compressed.
        raw_bytes: Option<u64>,
    },
}

impl StringSegments {
    pub(crate) fn segments(&self) -> [SegmentLocation; 2] {
        match self {
            Self::Offsets { offsets, bytes } => [*offsets, *bytes],
            Self::Lengths { lengths, bytes, .. } => [*lengths, *bytes],
        }
    }

    #[cfg(test)]
    pub(crate) fn segments_mut(&mut self) -> [&mut SegmentLocation; 2] {
        match self {
            Self::Offsets { offsets, bytes } => [offsets, bytes],
            Self::Lengths { lengths, bytes, .. } => [lengths, bytes],
        }
    }

    /// Appends them; which kind they are is known from the version.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Self::Lengths { raw_bytes, .. } = self {
            out.push(u8::from(raw_bytes.is_some()));
            if let Some(raw_bytes) = raw_bytes {
                out.extend_from_slice(&raw_bytes.to_le_bytes());
            }
        }
        for segment in self.segments() {
            segment.encode(out);
        }
    }

    /// Reads the segments of `strings` strings.
    pub(crate) fn decode(
        decoder: &mut Decoder<'_>,
        data_end: u64,
        strings: u64,
        version: Version,
    ) -> Result<Self> {
        if version == Version::One {
            let offsets = SegmentLocation::decode(decoder, data_end)?;
            if offsets.bytes != (strings + 1) * 4 && offsets.bytes != (strings + 1) * 8 {
                let what = format!("{strings} strings have {} bytes of offsets", offsets.bytes);
                return Err(malformed(what));
            }
            return Ok(Self::Offsets { offsets, bytes: SegmentLocation::decode(decoder, data_end)? });
        }
        let raw_bytes = if decoder.flag()? { Some(decoder.u64()?) } else { None };
        let lengths = packed(decoder, data_end, strings, 32)?;
        let bytes = SegmentLocation::decode(decoder, data_end)?;
        if let Some(raw_bytes) = raw_bytes
            && raw_bytes > bytes.bytes.saturating_mul(COMPRESSION_RATIO_MAX)
        {
            return Err(malformed(format!("{raw_bytes} bytes are compressed to {}", bytes.bytes)));
        }
        Ok(Self::Lengths { lengths, bytes, raw_bytes })
    }
}

impl Layout {
    pub(crate) const fn encoding(&self) -> Encoding {
        match self {
            Self::AllNull => Encoding::AllNull,
            Self::Plain { .. } => Encoding::Plain,
            Self::Bits { .. } => Encoding::Bits,
            Self::Dictionary { .. } | Self::PackedDictionary { .. } => Encoding::Dictionary,
            Self::Strings(_) => Encoding::Strings,
            Self::Constant { .. } => Encoding::Constant,
            Self::TwoValues { .. } => Encoding::TwoValues,
            Self::Packed { .. } => Encoding::Packed,
            Self::Scaled { .. } => Encoding::Scaled,
            Self::List { .. } => Encoding::List,
            Self::Struct { .. } => Encoding::Struct,
        }
    }

    /// Number of the encoding in the footer.
    const fn tag(&self) -> u8 {
        match self {
            Self::AllNull => 0,
            Self::Plain { .. } => 1,
            Self::Bits { .. } => 2,
            Self::Dictionary { .. } => 3,
            Self::Strings(StringSegments::Offsets { .. }) => 4,
            Self::Constant { .. } => 5,
            Self::TwoValues { .. } => 6,
            Self::Packed { .. } => 7,
            Self::Scaled { .. } => 8,
            Self::PackedDictionary { .. } => 9,
            Self::Strings(StringSegments::Lengths { .. }) => 10,
            Self::List { .. } => 11,
            Self::Struct { .. } => 12,
        }
    }
}

impl ChunkMeta {
    /// All segments of the chunk.
    pub(crate) fn segments(&self, out: &mut Vec<SegmentLocation>) {
        match &self.layout {
            Layout::AllNull => {}
            Layout::Plain { values } | Layout::Bits { values } | Layout::Packed { values, .. } => {
                out.push(*values);
            }
            Layout::Constant { value } => out.push(*value),
            Layout::Dictionary { codes } | Layout::PackedDictionary { codes } => out.push(*codes),
            Layout::Strings(strings) => out.extend(strings.segments()),
            Layout::TwoValues { values, bits } => out.extend([*values, *bits]),
            Layout::Scaled { values, exceptions, .. } => {
                out.push(*values);
                out.extend(exceptions);
            }
            Layout::List { lengths, child, .. } => {
                out.push(*lengths);
                child.segments(out);
            }
            Layout::Struct { children } => children.iter().for_each(|child| child.segments(out)),
        }
        out.extend(self.validity);
    }

    /// Appends the chunk.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.layout.tag());
        self.zone_map.encode(out);
        match &self.layout {
            Layout::AllNull => {}
            Layout::Plain { values } | Layout::Bits { values } => values.encode(out),
            Layout::Constant { value } => value.encode(out),
            Layout::Dictionary { codes } | Layout::PackedDictionary { codes } => codes.encode(out),
            Layout::Strings(strings) => strings.encode(out),
            Layout::TwoValues { values, bits } => {
                values.encode(out);
                bits.encode(out);
            }
            Layout::Packed { scale, values } => {
                out.extend_from_slice(&scale.to_le_bytes());
                values.encode(out);
            }
            Layout::Scaled { exponent, scale, values, exceptions } => {
                out.push(*exponent);
                out.extend_from_slice(&scale.to_le_bytes());
                values.encode(out);
                out.push(u8::from(exceptions.is_some()));
                if let Some(exceptions) = exceptions {
                    exceptions.encode(out);
                }
            }
            Layout::List { elements, lengths, child } => {
                out.extend_from_slice(&elements.to_le_bytes());
                lengths.encode(out);
                child.encode(out);
            }
            Layout::Struct { children } => children.iter().for_each(|child| child.encode(out)),
        }
        if let Some(validity) = &self.validity {
            validity.encode(out);
        }
    }

    /// Reads the chunk of `rows` values of `field`.
    pub(crate) fn decode(
        decoder: &mut Decoder<'_>,
        data_end: u64,
        rows: u64,
        field: &Field,
        version: Version,
    ) -> Result<Self> {
        Self::decode_nested(decoder, data_end, rows, field, version, 0)
    }

    fn decode_nested(
        decoder: &mut Decoder<'_>,
        data_end: u64,
        rows: u64,
        field: &Field,
        version: Version,
        depth: usize,
    ) -> Result<Self> {
        if depth > TYPE_DEPTH_MAX {
            return Err(malformed("lists are nested too deeply"));
        }
        let data_type = field.data_type();
        let tag = decoder.u8()?;
        let zone_map = ZoneMap::decode(decoder, rows, data_type)?;
        let exact = |decoder: &mut Decoder<'_>, bytes: u64| {
            let segment = SegmentLocation::decode(decoder, data_end)?;
            if segment.bytes == bytes {
                Ok(segment)
            } else {
                Err(malformed(format!("{rows} rows have a segment of {} bytes, not {bytes}", segment.bytes)))
            }
        };
        let is_bytes = matches!(data_type, DataType::Utf8View | DataType::BinaryView);
        let width = value_bytes(data_type).map(|width| width as u64);
        let layout = match (tag, version, width) {
            (0, _, _) => Layout::AllNull,
            (1, _, Some(width)) => Layout::Plain { values: exact(decoder, rows * width)? },
            (2, _, _) if *data_type == DataType::Boolean => {
                Layout::Bits { values: exact(decoder, rows.div_ceil(8))? }
            }
            (3, Version::One, _) if *data_type == DataType::Utf8View => {
                Layout::Dictionary { codes: exact(decoder, rows * 4)? }
            }
            (4, Version::One, _) | (10, Version::Two, _) if is_bytes => {
                Layout::Strings(StringSegments::decode(decoder, data_end, rows, version)?)
            }
            (5, Version::Two, None) if *data_type == DataType::Boolean => {
                Layout::Constant { value: exact(decoder, 1)? }
            }
            (5, Version::Two, Some(width)) => Layout::Constant { value: exact(decoder, width)? },
            (6, Version::Two, Some(width)) => Layout::TwoValues {
                values: exact(decoder, 2 * width)?,
                bits: exact(decoder, rows.div_ceil(8))?,
            },
            (7, Version::Two, Some(width)) if is_packable(data_type) => {
                let scale = decode_scale(decoder, data_type, width)?;
                let values = packed(decoder, data_end, rows, 8 * width.min(8))?;
                Layout::Packed { scale, values }
            }
            (8, Version::Two, Some(width)) if data_type.is_floating() => {
                let exponent = decoder.u8()?;
                if usize::from(exponent) >= scaled_exponents(data_type) {
                    return Err(malformed(format!("{data_type} is divided by 10^{exponent}")));
                }
                let scale = decode_scale(decoder, data_type, width)?;
                let values = packed(decoder, data_end, rows, 8 * width)?;
                let exceptions = if decoder.flag()? {
                    let exceptions = SegmentLocation::decode(decoder, data_end)?;
                    let count = exceptions.bytes / (width + 4);
                    if exceptions.bytes % (width + 4) != 0 || count == 0 || count > rows {
                        return Err(malformed(format!("exceptions have {} bytes", exceptions.bytes)));
                    }
                    Some(exceptions)
                } else {
                    None
                };
                Layout::Scaled { exponent, scale, values, exceptions }
            }
            (9, Version::Two, _) if *data_type == DataType::Utf8View => {
                Layout::PackedDictionary { codes: packed(decoder, data_end, rows, 32)? }
            }
            (11, Version::Two, _) if let DataType::List(element) = data_type => {
                let elements = decoder.u64()?;
                if elements > LIST_ELEMENTS_MAX {
                    return Err(malformed(format!("{elements} elements are too many")));
                }
                let lengths = packed(decoder, data_end, rows, 32)?;
                let child = Self::decode_nested(decoder, data_end, elements, element, version, depth + 1)?;
                child.check(false, element.is_nullable())?;
                Layout::List { elements, lengths, child: Box::new(child) }
            }
            (12, Version::Two, _) if let DataType::Struct(fields) = data_type => {
                let mut children = Vec::new();
                // A column that is a structure has its fields beside it.
                for field in fields.iter().filter(|_| depth > 0) {
                    let child = Self::decode_nested(decoder, data_end, rows, field, version, depth + 1)?;
                    child.check(false, field.is_nullable() || zone_map.null_count > 0)?;
                    children.push(child);
                }
                Layout::Struct { children }
            }
            (tag, ..) => return Err(malformed(format!("{data_type} has the encoding {tag}"))),
        };
        let is_unstored = matches!(layout, Layout::AllNull | Layout::Constant { .. });
        if is_unstored && depth > 0 && rows > UNSTORED_ROWS_MAX as u64 {
            return Err(malformed(format!("{rows} elements have the encoding {tag}")));
        }
        let has_validity = zone_map.null_count > 0 && layout != Layout::AllNull;
        let validity = if has_validity { Some(exact(decoder, rows.div_ceil(8))?) } else { None };
        Ok(Self { layout, validity, zone_map })
    }

    /// Checks what does not follow from the chunk alone.
    pub(crate) fn check(&self, has_dictionary: bool, is_nullable: bool) -> Result<()> {
        let ZoneMap { row_count, null_count, .. } = self.zone_map;
        if null_count > 0 && !is_nullable {
            return Err(malformed("a column that is NOT NULL has NULLs"));
        }
        let is_all_null = null_count == row_count && row_count > 0;
        let may_store_nulls = row_count > UNSTORED_ROWS_MAX as u64;
        if (self.layout == Layout::AllNull && !is_all_null)
            || (is_all_null && self.layout != Layout::AllNull && !may_store_nulls)
        {
            return Err(malformed(format!(
                "{null_count} of {row_count} rows are NULL in a chunk of encoding {:?}",
                self.layout.encoding()
            )));
        }
        match self.layout {
            Layout::Dictionary { .. } | Layout::PackedDictionary { .. } if !has_dictionary => {
                Err(malformed("codes have no dictionary"))
            }
            Layout::Strings(_) if has_dictionary => Err(malformed("strings have a dictionary")),
            _ => Ok(()),
        }
    }
}

/// What packed differences are multiples of: at least 1, and no more where the values have fewer than 64 bits.
fn decode_scale(decoder: &mut Decoder<'_>, data_type: &DataType, width: u64) -> Result<u64> {
    let scale = decoder.u64()?;
    if scale == 0 || (scale > 1 && width < 8) {
        return Err(malformed(format!("values of {data_type} are scaled by {scale}")));
    }
    Ok(scale)
}

/// A packed segment of `values` values of `bits` bits, of a length that it may have.
fn packed(decoder: &mut Decoder<'_>, data_end: u64, values: u64, bits: u64) -> Result<SegmentLocation> {
    let segment = SegmentLocation::decode(decoder, data_end)?;
    let blocks = values.div_ceil(1024);
    let header = (blocks * 9).next_multiple_of(64);
    if segment.bytes < header || segment.bytes > header + blocks * bits * 128 {
        return Err(malformed(format!("{values} packed values have {} bytes", segment.bytes)));
    }
    Ok(segment)
}
