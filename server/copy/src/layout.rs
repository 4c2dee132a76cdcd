//! How the text of COPY is laid out.

/// What the first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// Data.
    #[default]
    No,
    /// Names, which are skipped.
    Skip,
    /// Names, which have to be those of the columns.
    Match,
}

/// The layout of text or CSV; all four characters are ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// CSV; text with backslash escapes otherwise.
    pub csv: bool,
    /// Between two fields.
    pub delimiter: u8,
    /// Around CSV fields that need it.
    pub quote: u8,
    /// In front of a quote or an escape inside of quotes.
    pub escape: u8,
    /// What stands for NULL.
    pub null: String,
    /// What the first line is.
    pub header: Header,
    /// CSV columns that are never NULL: one flag per column.
    pub force_not_null: Vec<bool>,
    /// CSV columns that are NULL even where the NULL text is quoted: one flag per column.
    pub force_null: Vec<bool>,
}

impl Layout {
    /// PostgreSQL's text format with its default options.
    pub fn text() -> Self {
        Self {
            csv: false,
            delimiter: b'\t',
            quote: b'"',
            escape: b'"',
            null: "\\N".to_owned(),
            header: Header::No,
            force_not_null: Vec::new(),
            force_null: Vec::new(),
        }
    }

    /// PostgreSQL's CSV format with its default options.
    pub fn csv() -> Self {
        Self { csv: true, delimiter: b',', null: String::new(), ..Self::text() }
    }
}
