//! Options of COPY in both directions: PostgreSQL's defaults and checks, from both spellings that the parser knows.

use datafusion::sql::sqlparser::ast::{CopyLegacyCsvOption, CopyLegacyOption, CopyOption, Ident};
use quickdb_copy::Header;

use crate::sql::MATCHING_HEADER;

/// How rows are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// Tab-separated text with backslash escapes.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary file form.
    Binary,
}

/// Which columns CSV quotes whatever they hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ForceQuote {
    /// Only where a value needs it.
    #[default]
    None,
    /// Every column.
    All,
    /// The columns of these names.
    Columns(Vec<String>),
}

/// The encoding of the text that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyEncoding {
    /// UTF-8, as everything inside is; also for `SQL_ASCII`.
    #[default]
    Utf8,
    /// ISO 8859-1.
    Latin1,
}

/// Options of `COPY ... TO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// FORMAT.
    pub format: CopyFormat,
    /// DELIMITER: one byte.
    pub delimiter: u8,
    /// NULL.
    pub null: String,
    /// HEADER.
    pub header: bool,
    /// QUOTE: one byte, CSV only.
    pub quote: u8,
    /// ESCAPE: one byte, CSV only.
    pub escape: u8,
    /// FORCE_QUOTE, CSV only.
    pub force_quote: ForceQuote,
    /// ENCODING.
    pub encoding: CopyEncoding,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            format: CopyFormat::Text,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: false,
            quote: b'"',
            escape: b'"',
            force_quote: ForceQuote::None,
            encoding: CopyEncoding::Utf8,
        }
    }
}

/// How the rows of `COPY ... FROM` are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFromFormat {
    /// Tab-separated text with backslash escapes.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's binary file form.
    Binary,
    /// An Arrow IPC stream, which PostgreSQL does not know.
    Arrow,
}

/// Options of `COPY ... FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFromOptions {
    /// FORMAT.
    pub format: CopyFromFormat,
    /// DELIMITER: one byte.
    pub delimiter: u8,
    /// NULL.
    pub null: String,
    /// HEADER.
    pub header: Header,
    /// QUOTE: one byte, CSV only.
    pub quote: u8,
    /// ESCAPE: one byte, CSV only.
    pub escape: u8,
    /// FORCE_NOT_NULL, CSV only.
    pub force_not_null: Vec<String>,
    /// FORCE_NULL, CSV only.
    pub force_null: Vec<String>,
    /// ENCODING.
    pub encoding: CopyEncoding,
}

impl CopyFromOptions {
    /// Options of a COPY statement: those in parentheses and those of the older syntax.
    ///
    /// # Errors
    /// 42601, 22023 or 0A000 with PostgreSQL's message.
    pub fn parse(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, CopyError> {
        Given::of(options, legacy)?.check_from()
    }
}

/// Refused options, or text that the encoding lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CopyError {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// PostgreSQL's message.
    pub message: String,
}

impl CopyError {
    pub(super) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }
}

const SYNTAX_ERROR: &str = "42601";
const INVALID_PARAMETER: &str = "22023";
const NOT_SUPPORTED: &str = "0A000";

/// What was written, before defaults and checks.
#[derive(Default)]
struct Given {
    format: Option<CopyFromFormat>,
    delimiter: Option<char>,
    null: Option<String>,
    header: Option<bool>,
    matching_header: bool,
    quote: Option<char>,
    escape: Option<char>,
    force_quote: Option<ForceQuote>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    encoding: Option<CopyEncoding>,
    freeze: Option<bool>,
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), CopyError> {
    if slot.replace(value).is_some() {
        return Err(CopyError::new(SYNTAX_ERROR, "conflicting or redundant options"));
    }
    Ok(())
}

impl CopyOptions {
    /// Options of a COPY statement: those in parentheses and those of the older syntax.
    ///
    /// # Errors
    /// 42601, 22023 or 0A000 with PostgreSQL's message.
    pub fn parse(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, CopyError> {
        Given::of(options, legacy)?.check_to()
    }

    /// Which columns of the result are quoted in any case, one flag per column.
    ///
    /// # Errors
    /// 42703 for a FORCE_QUOTE column that the result does not have.
    pub fn forced_columns(&self, names: &[String]) -> Result<Vec<bool>, CopyError> {
        match &self.force_quote {
            ForceQuote::None => Ok(vec![false; names.len()]),
            ForceQuote::All => Ok(vec![true; names.len()]),
            ForceQuote::Columns(forced) => {
                if let Some(missing) = forced.iter().find(|column| !names.contains(column)) {
                    return Err(CopyError::new("42703", format!("column \"{missing}\" does not exist")));
                }
                Ok(names.iter().map(|name| forced.contains(name)).collect())
            }
        }
    }
}

impl Given {
    fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, CopyError> {
        let mut given = Self::default();
        for option in options {
            given.add(option)?;
        }
        for option in legacy {
            given.add_legacy(option)?;
        }
        Ok(given)
    }

    fn add(&mut self, option: &CopyOption) -> Result<(), CopyError> {
        match option {
            CopyOption::Format(name) => set(&mut self.format, parse_format(&folded(name))?),
            CopyOption::Freeze(on) => set(&mut self.freeze, *on),
            CopyOption::Delimiter(delimiter) => set(&mut self.delimiter, *delimiter),
            CopyOption::Null(null) => set(&mut self.null, null.clone()),
            CopyOption::Header(on) => set(&mut self.header, *on),
            CopyOption::Quote(quote) => set(&mut self.quote, *quote),
            CopyOption::Escape(escape) => set(&mut self.escape, *escape),
            CopyOption::ForceQuote(columns) => set(&mut self.force_quote, forced(columns)),
            CopyOption::ForceNotNull(columns) => set(&mut self.force_not_null, names(columns)),
            CopyOption::ForceNull(columns) => set(&mut self.force_null, names(columns)),
            CopyOption::Encoding(name) => set(&mut self.encoding, parse_encoding(name)?),
        }
    }

    fn add_legacy(&mut self, option: &CopyLegacyOption) -> Result<(), CopyError> {
        match option {
            CopyLegacyOption::Binary => set(&mut self.format, CopyFromFormat::Binary),
            CopyLegacyOption::Delimiter(delimiter) => set(&mut self.delimiter, *delimiter),
            CopyLegacyOption::Null(null) => set(&mut self.null, null.clone()),
            CopyLegacyOption::Header => set(&mut self.header, true),
            CopyLegacyOption::Csv(options) => {
                set(&mut self.format, CopyFromFormat::Csv)?;
                options.iter().try_for_each(|option| match option {
                    CopyLegacyCsvOption::Header => set(&mut self.header, true),
                    CopyLegacyCsvOption::Quote(quote) => set(&mut self.quote, *quote),
                    CopyLegacyCsvOption::Escape(escape) => set(&mut self.escape, *escape),
                    CopyLegacyCsvOption::ForceQuote(columns) => set(&mut self.force_quote, forced(columns)),
                    CopyLegacyCsvOption::ForceNotNull(columns) => {
                        set(&mut self.force_not_null, names(columns))
                    }
                })
            }
            marker if *marker == MATCHING_HEADER => {
                self.matching_header = true;
                Ok(())
            }
            other => {
                let name = other.to_string();
                let name = name.split([' ', '=']).next().unwrap_or_default().to_ascii_lowercase();
                Err(CopyError::new(SYNTAX_ERROR, format!("option \"{name}\" not recognized")))
            }
        }
    }

    fn check_to(self) -> Result<CopyOptions, CopyError> {
        let format = match self.format.unwrap_or_default() {
            CopyFromFormat::Text => CopyFormat::Text,
            CopyFromFormat::Csv => CopyFormat::Csv,
            CopyFromFormat::Binary => CopyFormat::Binary,
            CopyFromFormat::Arrow => {
                return Err(CopyError::new(
                    NOT_SUPPORTED,
                    "COPY format \"arrow\" only available using COPY FROM",
                ));
            }
        };
        if self.matching_header {
            return Err(CopyError::new(NOT_SUPPORTED, "cannot use \"match\" with HEADER in COPY TO"));
        }
        let force_quote = self.force_quote.clone().unwrap_or_default();
        let options = self.check(false)?;
        Ok(CopyOptions {
            format,
            delimiter: options.delimiter,
            null: options.null,
            header: options.header != Header::No,
            quote: options.quote,
            escape: options.escape,
            force_quote,
            encoding: options.encoding,
        })
    }

    fn check_from(self) -> Result<CopyFromOptions, CopyError> {
        self.check(true)
    }

    /// The checks of PostgreSQL, in its order.
    fn check(self, from: bool) -> Result<CopyFromOptions, CopyError> {
        let format = self.format.unwrap_or_default();
        let csv = format == CopyFromFormat::Csv;
        let binary = matches!(format, CopyFromFormat::Binary | CopyFromFormat::Arrow);
        let mode = if format == CopyFromFormat::Arrow { "ARROW" } else { "BINARY" };
        if binary && self.delimiter.is_some() {
            return Err(CopyError::new(SYNTAX_ERROR, format!("cannot specify DELIMITER in {mode} mode")));
        }
        if binary && self.null.is_some() {
            return Err(CopyError::new(SYNTAX_ERROR, format!("cannot specify NULL in {mode} mode")));
        }
        let delimiter = one_byte(self.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?;
        let null = self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() });
        let header = match self.header {
            Some(true) if self.matching_header => Header::Match,
            Some(true) => Header::Skip,
            _ => Header::No,
        };
        if matches!(delimiter, b'\r' | b'\n') {
            return Err(CopyError::new(
                INVALID_PARAMETER,
                "COPY delimiter cannot be newline or carriage return",
            ));
        }
        if null.contains(['\r', '\n']) {
            return Err(CopyError::new(
                INVALID_PARAMETER,
                "COPY null representation cannot use newline or carriage return",
            ));
        }
        // The text form needs these characters for its escapes.
        if !csv && matches!(delimiter, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9') {
            let message = format!("COPY delimiter cannot be \"{}\"", char::from(delimiter));
            return Err(CopyError::new(INVALID_PARAMETER, message));
        }
        if binary && header != Header::No {
            return Err(CopyError::new(NOT_SUPPORTED, format!("cannot specify HEADER in {mode} mode")));
        }
        if !csv && self.quote.is_some() {
            return Err(CopyError::new(NOT_SUPPORTED, "COPY quote available only in CSV mode"));
        }
        let quote = one_byte(self.quote, b'"', "quote")?;
        if csv && delimiter == quote {
            return Err(CopyError::new(INVALID_PARAMETER, "COPY delimiter and quote must be different"));
        }
        if !csv && self.escape.is_some() {
            return Err(CopyError::new(NOT_SUPPORTED, "COPY escape available only in CSV mode"));
        }
        let escape = one_byte(self.escape, quote, "escape")?;
        if !csv && self.force_quote.is_some() {
            return Err(CopyError::new(NOT_SUPPORTED, "COPY force quote available only in CSV mode"));
        }
        if from && self.force_quote.is_some() {
            return Err(CopyError::new(NOT_SUPPORTED, "COPY force quote only available using COPY TO"));
        }
        for (option, given) in [("not null", &self.force_not_null), ("null", &self.force_null)] {
            let only = match given {
                Some(_) if !csv => "available only in CSV mode",
                Some(_) if !from => "only available using COPY FROM",
                _ => continue,
            };
            return Err(CopyError::new(NOT_SUPPORTED, format!("COPY force {option} {only}")));
        }
        if null.as_bytes().contains(&delimiter) {
            return Err(CopyError::new(
                NOT_SUPPORTED,
                "COPY delimiter must not appear in the NULL specification",
            ));
        }
        if csv && null.as_bytes().contains(&quote) {
            return Err(CopyError::new(
                NOT_SUPPORTED,
                "CSV quote character must not appear in the NULL specification",
            ));
        }
        Ok(CopyFromOptions {
            format,
            delimiter,
            null,
            header,
            quote,
            escape,
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
            encoding: self.encoding.unwrap_or_default(),
        })
    }
}

/// An unquoted identifier in lower case.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn names(columns: &[Ident]) -> Vec<String> {
    columns.iter().map(folded).collect()
}

fn forced(columns: &[Ident]) -> ForceQuote {
    match columns {
        [star] if star.value == "*" && star.quote_style.is_none() => ForceQuote::All,
        columns => ForceQuote::Columns(columns.iter().map(folded).collect()),
    }
}

fn one_byte(given: Option<char>, default: u8, what: &str) -> Result<u8, CopyError> {
    let Some(given) = given else { return Ok(default) };
    u8::try_from(given).ok().filter(u8::is_ascii).ok_or_else(|| {
        CopyError::new(NOT_SUPPORTED, format!("COPY {what} must be a single one-byte character"))
    })
}

fn parse_format(name: &str) -> Result<CopyFromFormat, CopyError> {
    match name {
        "text" => Ok(CopyFromFormat::Text),
        "csv" => Ok(CopyFromFormat::Csv),
        "binary" => Ok(CopyFromFormat::Binary),
        "arrow" => Ok(CopyFromFormat::Arrow),
        _ => Err(CopyError::new(INVALID_PARAMETER, format!("COPY format \"{name}\" not recognized"))),
    }
}

/// An encoding by PostgreSQL's names for it, which ignore case, `-` and `_`.
fn parse_encoding(name: &str) -> Result<CopyEncoding, CopyError> {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match plain.as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(CopyEncoding::Utf8),
        "latin1" | "iso88591" => Ok(CopyEncoding::Latin1),
        known
            if [
                "latin", "iso8859", "win", "windows", "koi8", "euc", "mule", "johab", "sjis", "shiftjis",
                "big5",
            ]
            .iter()
            .chain(&["gbk", "gb18030", "uhc", "abc", "tcvn", "vscii", "alt", "mskanji"])
            .any(|prefix| known.starts_with(prefix)) =>
        {
            Err(CopyError::new(NOT_SUPPORTED, format!("encoding \"{name}\" is not supported")))
        }
        _ => Err(CopyError::new(
            INVALID_PARAMETER,
            "argument to option \"encoding\" must be a valid encoding name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    fn parse(tail: &str) -> Result<CopyOptions, CopyError> {
        let sql = format!("COPY (SELECT 1) TO STDOUT {tail}");
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap();
        match statements.first().unwrap() {
            Statement::Copy { options, legacy_options, .. } => CopyOptions::parse(options, legacy_options),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn defaults_follow_the_format() {
        assert_eq!(parse("").unwrap(), CopyOptions::default());
        let csv = parse("(FORMAT csv)").unwrap();
        assert_eq!((csv.delimiter, csv.null.as_str(), csv.quote, csv.escape), (b',', "", b'"', b'"'));
        let quoted = parse("WITH (FORMAT csv, QUOTE '''', HEADER)").unwrap();
        assert_eq!((quoted.quote, quoted.escape, quoted.header), (b'\'', b'\'', true));
        assert_eq!(parse("BINARY").unwrap().format, CopyFormat::Binary);
        let legacy = parse("CSV HEADER FORCE QUOTE A, \"B\"").unwrap();
        assert!(legacy.header);
        assert_eq!(legacy.force_quote, ForceQuote::Columns(vec!["a".into(), "B".into()]));
    }

    #[test]
    fn refusals_recorded_from_postgresql() {
        let cases = [
            ("(FORMAT foo)", "22023", "COPY format \"foo\" not recognized"),
            (
                "(FORMAT csv, FORCE_NOT_NULL (a))",
                "0A000",
                "COPY force not null only available using COPY FROM",
            ),
            ("(FORMAT csv, FORCE_NULL (a))", "0A000", "COPY force null only available using COPY FROM"),
            ("(FORCE_QUOTE (a))", "0A000", "COPY force quote available only in CSV mode"),
            ("(ENCODING 'foo')", "22023", "argument to option \"encoding\" must be a valid encoding name"),
            ("(FORMAT csv, FORMAT csv)", "42601", "conflicting or redundant options"),
            ("(FORMAT binary, HEADER)", "0A000", "cannot specify HEADER in BINARY mode"),
            ("(FORMAT binary, DELIMITER ',')", "42601", "cannot specify DELIMITER in BINARY mode"),
            ("(FORMAT binary, NULL ',')", "42601", "cannot specify NULL in BINARY mode"),
            (
                "(FORMAT csv, NULL 'a\"b')",
                "0A000",
                "CSV quote character must not appear in the NULL specification",
            ),
            ("(FORMAT csv, NULL 'a,b')", "0A000", "COPY delimiter must not appear in the NULL specification"),
            ("(DELIMITER '1')", "22023", "COPY delimiter cannot be \"1\""),
            ("(QUOTE '1')", "0A000", "COPY quote available only in CSV mode"),
            ("(ESCAPE '1')", "0A000", "COPY escape available only in CSV mode"),
            ("(NULL E'a\\n')", "22023", "COPY null representation cannot use newline or carriage return"),
            ("(FORMAT csv, QUOTE ',')", "22023", "COPY delimiter and quote must be different"),
        ];
        for (tail, sqlstate, message) in cases {
            assert_eq!(parse(tail), Err(CopyError::new(sqlstate, message)), "{tail}");
        }
    }

    fn parse_from(tail: &str) -> Result<CopyFromOptions, CopyError> {
        let statements = crate::sql::parse(&format!("COPY t FROM STDIN {tail}")).unwrap();
        match &statements.first().unwrap().ast {
            Statement::Copy { options, legacy_options, .. } => {
                CopyFromOptions::parse(options, legacy_options)
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn options_of_copy_from() {
        let header = |tail| parse_from(tail).unwrap().header;
        assert_eq!(header(""), Header::No);
        assert_eq!(header("(HEADER)"), Header::Skip);
        assert_eq!(header("(FORMAT 'csv', HEADER on)"), Header::Skip);
        assert_eq!(header("(HEADER 0)"), Header::No);
        assert_eq!(header("(FORMAT csv, HEADER MATCH, DELIMITER ';')"), Header::Match);
        let options = parse_from("(FORMAT csv, FORCE_NULL (a, \"B\"), FORCE_NOT_NULL (c))").unwrap();
        assert_eq!(
            (options.force_null, options.force_not_null),
            (vec!["a".into(), "B".into()], vec!["c".into()])
        );
        assert_eq!(parse_from("(FORMAT arrow)").unwrap().format, CopyFromFormat::Arrow);
        assert_eq!(parse_from("WITH CSV HEADER").unwrap().header, Header::Skip);
        let cases = [
            ("(FORMAT csv, FORCE_QUOTE (a))", "0A000", "COPY force quote only available using COPY TO"),
            ("(FORMAT csv, FORCE_QUOTE *)", "0A000", "COPY force quote only available using COPY TO"),
            ("(FORCE_QUOTE (a))", "0A000", "COPY force quote available only in CSV mode"),
            ("(FORCE_NULL (b))", "0A000", "COPY force null available only in CSV mode"),
            ("(FORMAT binary, HEADER match)", "0A000", "cannot specify HEADER in BINARY mode"),
            ("(FORMAT arrow, NULL 'x')", "42601", "cannot specify NULL in ARROW mode"),
            ("(HEADER, HEADER)", "42601", "conflicting or redundant options"),
        ];
        for (tail, sqlstate, message) in cases {
            assert_eq!(parse_from(tail), Err(CopyError::new(sqlstate, message)), "{tail}");
        }
    }

    #[test]
    fn forced_columns_have_to_exist() {
        let options = parse("(FORMAT csv, FORCE_QUOTE (b, zz))").unwrap();
        let error = options.forced_columns(&["a".into(), "b".into()]).unwrap_err();
        assert_eq!((error.sqlstate, error.message.as_str()), ("42703", "column \"zz\" does not exist"));
        let options = parse("(FORMAT csv, FORCE_QUOTE (b))").unwrap();
        assert_eq!(options.forced_columns(&["a".into(), "b".into()]), Ok(vec![false, true]));
    }
}
