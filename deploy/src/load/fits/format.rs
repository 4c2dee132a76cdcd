//! What the columns of a binary table hold: TFORM and its relatives.

use arrow::datatypes::{DataType, Field};

use super::FitsError;
use super::header::Header;

/// The kind of one element, with its size in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Logical,
    Bit,
    Byte,
    Int16,
    Int32,
    Int64,
    Character,
    Float32,
    Float64,
    Complex64,
    Complex128,
}

impl Element {
    fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'L' => Self::Logical,
            'X' => Self::Bit,
            'B' => Self::Byte,
            'I' => Self::Int16,
            'J' => Self::Int32,
            'K' => Self::Int64,
            'A' => Self::Character,
            'E' => Self::Float32,
            'D' => Self::Float64,
            'C' => Self::Complex64,
            'M' => Self::Complex128,
            _ => return None,
        })
    }

    /// Bytes that `count` elements take.
    pub(super) fn bytes(self, count: usize) -> usize {
        match self {
            Self::Bit => count.div_ceil(8),
            Self::Logical | Self::Byte | Self::Character => count,
            Self::Int16 => count * 2,
            Self::Int32 | Self::Float32 => count * 4,
            Self::Int64 | Self::Float64 | Self::Complex64 => count * 8,
            Self::Complex128 => count * 16,
        }
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::Byte | Self::Int16 | Self::Int32 | Self::Int64)
    }
}

/// How a row refers to a variable number of elements in the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// Two numbers of 32 bits.
    P,
    /// Two numbers of 64 bits.
    Q,
}

/// What the numbers in the file stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scaling {
    /// Themselves.
    None,
    /// `number + offset`, without loss: the conventions for unsigned integers and signed bytes.
    Offset(i128),
    /// `number * scale + zero`, as a double.
    Linear { scale: f64, zero: f64 },
}

/// A column of a binary table.
#[derive(Debug, Clone)]
pub(super) struct FitsColumn {
    pub(super) name: String,
    /// What is known of it besides: unit, dimensions.
    pub(super) comment: Option<String>,
    pub(super) element: Element,
    /// Elements of a row; of strings, characters of each string.
    pub(super) repeat: usize,
    /// Strings of a row, where the row is cut into several.
    pub(super) strings: Option<usize>,
    pub(super) heap: Option<Descriptor>,
    pub(super) scaling: Scaling,
    pub(super) null: Option<i64>,
    /// Where it begins in a row.
    pub(super) offset: usize,
    /// Bytes of a row.
    pub(super) width: usize,
}

impl FitsColumn {
    /// The columns of a table; those without elements are left out.
    ///
    /// # Errors
    /// A format that is unknown, or columns that take more than the row has.
    pub(super) fn all(header: &Header, row_bytes: usize) -> Result<Vec<Self>, FitsError> {
        let count = header.size("TFIELDS")?;
        let mut columns = Vec::new();
        let mut offset = 0;
        for number in 1..=count.min(999) {
            let column = Self::of(header, number, offset)?;
            offset += column.width;
            if column.repeat > 0 || column.heap.is_some() {
                columns.push(column);
            }
        }
        if offset > row_bytes {
            return Err(FitsError::Damaged(format!(
                "the columns take {offset} bytes of a row of {row_bytes}"
            )));
        }
        Ok(columns)
    }

    fn of(header: &Header, number: u64, offset: usize) -> Result<Self, FitsError> {
        let key = |keyword: &str| format!("{keyword}{number}");
        let form = header.text(&key("TFORM"));
        let form = form.ok_or_else(|| FitsError::Damaged(format!("TFORM{number} is missing")))?;
        let name = header.text(&key("TTYPE")).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("column_{number}"));
        let unknown =
            || FitsError::Column { column: name.clone(), message: format!("format {form:?} is unknown") };
        let digits = form.len() - form.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (repeat, kind) = form.split_at_checked(digits).unwrap_or_default();
        let repeat: usize = if repeat.is_empty() { 1 } else { repeat.parse().map_err(|_| unknown())? };
        let mut letters = kind.chars();
        let letter = letters.next().ok_or_else(unknown)?;
        let (heap, element) = match letter {
            'P' => (Some(Descriptor::P), letters.next().and_then(Element::of_letter)),
            'Q' => (Some(Descriptor::Q), letters.next().and_then(Element::of_letter)),
            other => (None, Element::of_letter(other)),
        };
        let element = element.ok_or_else(unknown)?;
        if repeat > (1 << 31) {
            return Err(unknown());
        }
        let width = match heap {
            Some(descriptor) => repeat.min(1) * if descriptor == Descriptor::P { 8 } else { 16 },
            None => element.bytes(repeat),
        };
        let dimensions = header.text(&key("TDIM")).and_then(|text| dimensions(&text)).filter(|dimensions| {
            heap.is_none()
                && dimensions.iter().try_fold(1_usize, |all, len| all.checked_mul(*len)) == Some(repeat)
        });
        // `60A12` is a convention for five strings of twelve characters, as TDIM = '(12,5)'.
        let string_length = letters.as_str().parse().ok().filter(|length| *length > 0 && heap.is_none());
        let (repeat, strings) = match (element, &dimensions, string_length) {
            (Element::Character, Some(dimensions), _) if dimensions.len() > 1 => {
                let length = dimensions.first().copied().unwrap_or(1).max(1);
                (length, Some(repeat / length))
            }
            (Element::Character, None, Some(length)) if length < repeat => (length, Some(repeat / length)),
            _ => (repeat, None),
        };
        let mut comment = header.text(&key("TUNIT")).filter(|unit| !unit.is_empty());
        if let Some(dimensions) = dimensions.filter(|dimensions| dimensions.len() > 1 && strings.is_none()) {
            let shown: Vec<String> = dimensions.iter().rev().map(ToString::to_string).collect();
            let shown = format!("array of {}, row by row", shown.join(" x "));
            comment = Some(comment.map_or_else(|| shown.clone(), |unit| format!("{unit}; {shown}")));
        }
        let scaling = scaling(element, header.float(&key("TSCAL")), header.float(&key("TZERO")));
        let null = header.integer(&key("TNULL")).filter(|_| element.is_integer());
        Ok(Self { name, comment, element, repeat, strings, heap, scaling, null, offset, width })
    }

    /// Whether a row holds an array.
    pub(super) fn is_array(&self) -> bool {
        match self.element {
            Element::Character => self.strings.is_some(),
            Element::Complex64 | Element::Complex128 => true,
            _ => self.repeat != 1 || self.heap.is_some(),
        }
    }

    /// The Arrow field of the column.
    pub(super) fn field(&self) -> Field {
        let element = self.element_type();
        let data_type = if self.is_array() { DataType::new_list(element, true) } else { element };
        Field::new(&self.name, data_type, true)
    }

    /// The Arrow type of one element.
    pub(super) fn element_type(&self) -> DataType {
        if let Scaling::Linear { .. } = self.scaling {
            return DataType::Float64;
        }
        let offset = self.scaling != Scaling::None;
        match self.element {
            Element::Logical | Element::Bit => DataType::Boolean,
            // Signed with the offset, and unsigned without it: both fit 16 bits.
            Element::Byte => DataType::Int16,
            Element::Int16 if offset => DataType::Int32,
            Element::Int16 => DataType::Int16,
            Element::Int32 if offset => DataType::Int64,
            Element::Int32 => DataType::Int32,
            Element::Int64 if offset => DataType::Decimal128(20, 0),
            Element::Int64 => DataType::Int64,
            Element::Character => DataType::Utf8View,
            Element::Float32 | Element::Complex64 => DataType::Float32,
            Element::Float64 | Element::Complex128 => DataType::Float64,
        }
    }
}

/// TDIM: `(3,4)`, the fastest axis first.
fn dimensions(text: &str) -> Option<Vec<usize>> {
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    inside.split(',').map(|length| length.trim().parse().ok()).collect()
}

fn scaling(element: Element, scale: Option<f64>, zero: Option<f64>) -> Scaling {
    let (scale, zero) = (scale.unwrap_or(1.0), zero.unwrap_or(0.0));
    #[expect(clippy::float_cmp, reason = "the conventions are exact")]
    let plain = scale == 1.0;
    let convention = match element {
        Element::Byte => Some(-128_i128),
        Element::Int16 => Some(1 << 15),
        Element::Int32 => Some(1 << 31),
        Element::Int64 => Some(1 << 63),
        _ => None,
    };
    #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "powers of two are exact in a double")]
    match convention {
        _ if plain && zero == 0.0 => Scaling::None,
        Some(offset) if plain && zero == offset as f64 => Scaling::Offset(offset),
        None if !matches!(element, Element::Float32 | Element::Float64) => Scaling::None,
        _ => Scaling::Linear { scale, zero },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fits::header::tests::header;

    fn column(cards: &[&str]) -> Result<FitsColumn, FitsError> {
        let header = Header::read(&mut header(cards).as_slice())?.unwrap();
        FitsColumn::of(&header, 1, 0)
    }

    #[test]
    fn formats_give_types() {
        use DataType::{Boolean, Decimal128, Float32, Float64, Int16, Int32, Int64, Utf8View};
        let list = |element| DataType::new_list(element, true);
        for (cards, data_type, width) in [
            (&["TFORM1 = 'L'"][..], Boolean, 1),
            (&["TFORM1 = '1X'"], Boolean, 1),
            (&["TFORM1 = '11X'"], list(Boolean), 2),
            (&["TFORM1 = 'B'"], Int16, 1),
            (&["TFORM1 = 'B'", "TZERO1 = -128"], Int16, 1),
            (&["TFORM1 = 'I'"], Int16, 2),
            (&["TFORM1 = 'I'", "TZERO1 = 32768."], Int32, 2),
            (&["TFORM1 = 'J'", "TZERO1 = 2147483648"], Int64, 4),
            (&["TFORM1 = 'K'", "TZERO1 = 9223372036854775808"], Decimal128(20, 0), 8),
            (&["TFORM1 = 'I'", "TSCAL1 = 0.1"], Float64, 2),
            (&["TFORM1 = '3E'"], list(Float32), 12),
            (&["TFORM1 = 'M'"], list(Float64), 16),
            (&["TFORM1 = '20A'"], Utf8View, 20),
            (&["TFORM1 = '20A5'"], list(Utf8View), 20),
            (&["TFORM1 = '20A'", "TDIM1 = '(4,5)'"], list(Utf8View), 20),
            (&["TFORM1 = '1PE(40)'"], list(Float32), 8),
            (&["TFORM1 = 'QA(40)'"], Utf8View, 16),
        ] {
            let column = column(cards).unwrap();
            assert_eq!((column.field().data_type(), column.width), (&data_type, width), "{cards:?}");
        }
        assert!(column(&["TFORM1 = 'Z'"]).is_err());
        assert!(column(&["TFORM1 = ''"]).is_err());
        let matrix = column(&["TFORM1 = '6D'", "TDIM1 = '(3,2)'", "TUNIT1 = 'deg'"]).unwrap();
        assert_eq!(matrix.comment.as_deref(), Some("deg; array of 2 x 3, row by row"));
    }
}
