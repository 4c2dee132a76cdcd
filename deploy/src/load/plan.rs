//! What a load does to the database: the table, its columns, and where each file has them.

use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use quickdb_server::catalogue::PgType;

use super::LoadError;
use super::file::LoadFile;
use super::sniff::wider;

/// The table, as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl TableName {
    /// Reads `name`, `schema.name`, with double quotes where the case matters.
    ///
    /// # Errors
    /// What is no name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let (part, after) = quoted.split_once('"').ok_or("a quote is not closed")?;
                    (part.to_owned(), after)
                }
                None => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    let (part, after) = rest.split_at(end);
                    (part.to_lowercase(), after)
                }
            };
            if part.is_empty() {
                return Err("a table's name is NAME or SCHEMA.NAME".to_owned());
            }
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => break,
                None => return Err("a table's name is NAME or SCHEMA.NAME".to_owned()),
            }
        }
        match <[String; 1]>::try_from(parts) {
            Ok([name]) => Ok(Self { schema: None, name }),
            Err(parts) => match <[String; 2]>::try_from(parts) {
                Ok([schema, name]) => Ok(Self { schema: Some(schema), name }),
                Err(_) => Err("a table's name is NAME or SCHEMA.NAME".to_owned()),
            },
        }
    }

    /// Another table in the same schema.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self { schema: self.schema.clone(), name: name.to_owned() }
    }

    fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.name)),
            None => identifier(&self.name),
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql())
    }
}

/// What the user wants of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableOptions {
    /// Add to a table that is there.
    pub(crate) append: bool,
    /// Go on with a load into a table that may be there.
    pub(crate) resume: bool,
    /// `distribute_by` of a new table.
    pub(crate) distribute_by: Option<String>,
    /// `sort_by` of a new table.
    pub(crate) sort_by: Option<String>,
    /// `replicas` of a new table.
    pub(crate) replicas: Option<u32>,
    /// Names and types that win over those of the files.
    pub(crate) schema: Vec<(String, PgType)>,
}

/// A column of the table that is filled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlanColumn {
    pub(crate) name: String,
    pub(crate) pg_type: PgType,
    pub(crate) comment: Option<String>,
}

/// What is done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: TableName,
    pub(crate) columns: Vec<PlanColumn>,
    /// For each file, where it has the columns.
    pub(crate) places: Vec<Vec<usize>>,
    /// The table is new.
    pub(crate) creates: bool,
    options: TableOptions,
}

impl Plan {
    /// Puts files and table together; `existing` has the columns of the table where there is one.
    ///
    /// # Errors
    /// [`LoadError::Plan`] when they do not go together, [`LoadError::File`] when one of the files does not.
    pub(crate) fn new(
        table: TableName,
        files: &[LoadFile],
        options: TableOptions,
        existing: Option<&[(String, PgType)]>,
    ) -> Result<Self, LoadError> {
        if existing.is_some() && !options.append && !options.resume {
            return Err(LoadError::Plan(format!(
                "the table {table} exists; say --append to add rows to it, or choose another name"
            )));
        }
        let placement =
            options.distribute_by.is_some() || options.sort_by.is_some() || options.replicas.is_some();
        if existing.is_some() && placement && !options.resume {
            return Err(LoadError::Plan(format!(
                "the table {table} exists: --distribute-by, --sort-by and --replicas are for new tables"
            )));
        }
        let Some(first) = files.first() else { return Err(LoadError::Plan("there are no files".into())) };
        let names: Vec<Vec<String>> =
            files.iter().map(|file| names(file, &options, existing)).collect::<Result<_, _>>()?;
        let of_first = names.first().cloned().unwrap_or_default();
        let columns = match existing {
            Some(existing) => of_first
                .iter()
                .map(|name| {
                    let found = existing.iter().find(|(column, _)| column == name);
                    let found = found
                        .or_else(|| existing.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)));
                    let (name, pg_type) = found.ok_or_else(|| {
                        LoadError::file(
                            &first.path,
                            format!("column {name}: the table {table} has no such column"),
                        )
                    })?;
                    Ok(PlanColumn { name: name.clone(), pg_type: *pg_type, comment: None })
                })
                .collect::<Result<Vec<_>, LoadError>>()?,
            None => new_columns(files, &names, &options)?,
        };
        let mut places = Vec::with_capacity(files.len());
        for (file, names) in files.iter().zip(&names) {
            let place = |column: &PlanColumn| {
                let found = names.iter().position(|name| name.eq_ignore_ascii_case(&column.name));
                found.ok_or_else(|| {
                    let message =
                        format!("has no column {}, which {} has", column.name, first.path.display());
                    LoadError::file(&file.path, message)
                })
            };
            places.push(columns.iter().map(place).collect::<Result<Vec<_>, _>>()?);
            if let Some(extra) =
                names.iter().find(|name| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
            {
                let message = format!("column {extra}: {} has no such column", first.path.display());
                return Err(LoadError::file(&file.path, message));
            }
        }
        Ok(Self { table, columns, places, creates: existing.is_none(), options })
    }

    /// The Arrow schema of what is sent.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| column.pg_type.field(&column.name, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// What makes the table, if it is new.
    pub(crate) fn statements(&self) -> Vec<String> {
        if !self.creates {
            return Vec::new();
        }
        let columns =
            self.columns.iter().map(|column| format!("{} {}", identifier(&column.name), column.pg_type));
        let mut create = format!("CREATE TABLE {} ({})", self.table, columns.collect::<Vec<_>>().join(", "));
        let mut with = Vec::new();
        for (option, value) in
            [("distribute_by", &self.options.distribute_by), ("sort_by", &self.options.sort_by)]
        {
            with.extend(value.iter().map(|value| format!("{option} = {}", literal(value))));
        }
        with.extend(self.options.replicas.map(|replicas| format!("replicas = {replicas}")));
        if !with.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(create, " WITH ({})", with.join(", "));
        }
        let comments = self.columns.iter().filter_map(|column| {
            let comment = literal(column.comment.as_deref()?);
            Some(format!("COMMENT ON COLUMN {}.{} IS {comment}", self.table, identifier(&column.name)))
        });
        std::iter::once(create).chain(comments).collect()
    }

    /// The statement that takes the rows.
    pub(crate) fn copy(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| identifier(&column.name)).collect();
        format!("COPY {} ({}) FROM STDIN (FORMAT arrow)", self.table, columns.join(", "))
    }

    /// Lines that show the columns.
    pub(crate) fn shown(&self) -> Vec<String> {
        let width = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
        let line = |column: &PlanColumn| {
            let comment =
                column.comment.as_ref().map(|comment| format!("  -- {comment}")).unwrap_or_default();
            format!("  {:width$}  {}{comment}", column.name, column.pg_type)
        };
        self.columns.iter().map(line).collect()
    }
}

/// The names of a file's columns in the table: those that `--schema` gives to a file without names, or the file's own
/// as names that need no quotes.
fn names(
    file: &LoadFile,
    options: &TableOptions,
    existing: Option<&[(String, PgType)]>,
) -> Result<Vec<String>, LoadError> {
    if file.is_nameless() {
        let given: Option<Vec<String>> = match existing {
            _ if !options.schema.is_empty() => {
                Some(options.schema.iter().map(|(name, _)| name.clone()).collect())
            }
            Some(existing) => Some(existing.iter().map(|(name, _)| name.clone()).collect()),
            None => None,
        };
        if let Some(given) = given {
            let (has, wanted) = (file.columns.len(), given.len());
            if has != wanted {
                let what = if options.schema.is_empty() { "the table" } else { "--schema" };
                return Err(LoadError::file(
                    &file.path,
                    format!("has {has} columns without names, and {what} {wanted}"),
                ));
            }
            return Ok(given);
        }
    }
    if let Some(existing) = existing {
        let known = |name: &String| existing.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
        if file.columns.iter().all(|column| known(&column.name)) {
            return Ok(file.columns.iter().map(|column| column.name.clone()).collect());
        }
    }
    let mut names: Vec<String> = Vec::with_capacity(file.columns.len());
    for column in &file.columns {
        let plain = plain_name(&column.name);
        let mut name = plain.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        names.push(name);
    }
    Ok(names)
}

fn new_columns(
    files: &[LoadFile],
    names: &[Vec<String>],
    options: &TableOptions,
) -> Result<Vec<PlanColumn>, LoadError> {
    let (Some(first), Some(of_first)) = (files.first(), names.first()) else { return Ok(Vec::new()) };
    if let Some((unknown, _)) = options
        .schema
        .iter()
        .find(|(name, _)| !of_first.iter().any(|column| column.eq_ignore_ascii_case(name)))
    {
        let message = format!("has no column {unknown}, which --schema names");
        return Err(LoadError::file(&first.path, message));
    }
    let mut columns = Vec::with_capacity(of_first.len());
    for (at, name) in of_first.iter().enumerate() {
        let given = options.schema.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        if let Some((_, pg_type)) = given {
            let comment = first.columns.get(at).and_then(|column| column.comment.clone());
            columns.push(PlanColumn { name: name.clone(), pg_type: *pg_type, comment });
            continue;
        }
        let mut pg_type: Option<PgType> = None;
        let mut comment = None;
        for (file, names) in files.iter().zip(names) {
            let column = names.iter().position(|other| other.eq_ignore_ascii_case(name));
            let Some(column) = column.and_then(|at| file.columns.get(at)) else { continue };
            comment = comment.or_else(|| column.comment.clone());
            pg_type = match pg_type {
                None => Some(column.pg_type),
                Some(before) if before == column.pg_type => Some(before),
                Some(before) => {
                    let wide = common(before, column.pg_type).ok_or_else(|| {
                        let message = format!(
                            "column {name} has values of type {}, and those of files before are of type {before}; say \
                             which with --schema '{name} TYPE'",
                            column.pg_type
                        );
                        LoadError::file(&file.path, message)
                    })?;
                    Some(wide)
                }
            };
        }
        columns.push(PlanColumn { name: name.clone(), pg_type: pg_type.unwrap_or(PgType::new(25)), comment });
    }
    Ok(columns)
}

/// The type that holds the values of both.
fn common(one: PgType, other: PgType) -> Option<PgType> {
    const INTEGERS: [u32; 3] = [21, 23, 20];
    const FLOATS: [u32; 2] = [700, 701];
    let rank = |ranks: &[u32], of: PgType| ranks.iter().position(|oid| *oid == of.oid);
    for ranks in [&INTEGERS[..], &FLOATS[..]] {
        if let (Some(a), Some(b)) = (rank(ranks, one), rank(ranks, other)) {
            return Some(if a >= b { one } else { other });
        }
    }
    let names = ["boolean", "bigint", "double precision", "date", "timestamp", "timestamptz", "uuid", "text"];
    let known =
        |of: PgType| names.into_iter().find(|name| PgType::parse(name).is_ok_and(|named| named == of));
    let wide = wider(known(one)?, known(other)?);
    PgType::parse(wide).ok()
}

/// A name in lower case of letters, digits and underscores.
fn plain_name(name: &str) -> String {
    let plain: String =
        name.trim().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let plain = plain.trim_end_matches('_');
    match plain.chars().next() {
        None => "column".to_owned(),
        Some(first) if first.is_numeric() => format!("_{plain}"),
        Some(_) => plain.to_owned(),
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    if text.contains('\\') {
        return format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Reads `name type, name type`.
///
/// # Errors
/// What is no column.
pub(crate) fn parse_schema(text: &str) -> Result<Vec<(String, PgType)>, String> {
    let mut columns = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    let mut pieces = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    for piece in pieces {
        let piece = piece.trim();
        let (name, of_column) = match piece.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').map(|(name, rest)| (name.to_owned(), rest)),
            None => piece.split_once(char::is_whitespace).map(|(name, rest)| (name.to_lowercase(), rest)),
        }
        .ok_or_else(|| format!("{piece:?} is no column; write NAME TYPE, NAME TYPE"))?;
        let pg_type = PgType::parse(of_column).map_err(|error| error.to_string())?;
        columns.push((name, pg_type));
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::file::FileOptions;
    use std::io::Write as _;

    fn csv(content: &str) -> (tempfile::NamedTempFile, LoadFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let inspected = LoadFile::inspect(file.path(), &FileOptions::default()).unwrap();
        (file, inspected)
    }

    fn table(name: &str) -> TableName {
        TableName::parse(name).unwrap()
    }

    fn plan(
        files: &[&str],
        options: TableOptions,
        existing: Option<&[(String, PgType)]>,
    ) -> Result<Plan, LoadError> {
        let (_kept, files): (Vec<_>, Vec<_>) = files.iter().map(|content| csv(content)).unzip();
        Plan::new(table("t"), &files, options, existing)
    }

    fn existing() -> Vec<(String, PgType)> {
        vec![
            ("a".into(), PgType::parse("numeric(4,1)").unwrap()),
            ("B".into(), PgType::parse("text").unwrap()),
        ]
    }

    #[test]
    fn a_new_table_has_the_columns_of_the_files() {
        let options = TableOptions {
            distribute_by: Some("hash(a)".into()),
            replicas: Some(2),
            schema: parse_schema("a numeric(4, 1)").unwrap(),
            ..TableOptions::default()
        };
        let plan = plan(&["A,It's Bright!\n1,x\n", "it_s_bright,a\n2,1\n"], options, None).unwrap();
        assert_eq!(
            plan.statements(),
            [
                "CREATE TABLE \"t\" (\"a\" numeric(4,1), \"it_s_bright\" text) WITH (distribute_by = 'hash(a)', replicas = 2)"
            ]
        );
        assert_eq!(plan.places, [[0, 1], [1, 0]]);
        assert_eq!(plan.copy(), "COPY \"t\" (\"a\", \"it_s_bright\") FROM STDIN (FORMAT arrow)");
    }

    #[test]
    fn files_and_tables_that_do_not_go_together_are_refused() {
        let refused = |files: &[&str], append, existing: Option<&[(String, PgType)]>| {
            let options = TableOptions { append, ..TableOptions::default() };
            plan(files, options, existing).unwrap_err().to_string()
        };
        let existing = existing();
        assert!(refused(&["a,b\n1,x\n"], false, Some(&existing)).contains("say --append"));
        assert!(
            refused(&["a,c\n1,x\n"], true, Some(&existing))
                .contains("column c: the table \"t\" has no such column")
        );
        assert!(refused(&["a,b\n1,x\n", "a\n1\n"], false, None).contains("has no column b"));
        assert!(refused(&["a\n1\n", "a,b\n1,x\n"], false, None).contains("column b"));
    }

    #[test]
    fn an_existing_table_gives_names_and_types() {
        let options = TableOptions { append: true, ..TableOptions::default() };
        let found = plan(&["b,A\nx,1.5\n"], options.clone(), Some(&existing())).unwrap();
        let columns: Vec<String> =
            found.columns.iter().map(|column| format!("{} {}", column.name, column.pg_type)).collect();
        assert_eq!(columns, ["B text", "a numeric(4,1)"]);
        assert!(found.statements().is_empty());
        let nameless = plan(&["1.5,2\n2.5,3\n"], options, Some(&existing())).unwrap();
        assert_eq!(nameless.columns[0].name, "a");
    }

    #[test]
    fn names_and_schemas_are_read() {
        assert_eq!(table("S.\"T\""), TableName { schema: Some("s".into()), name: "T".into() });
        assert!(TableName::parse("a.b.c").is_err());
        assert!(TableName::parse("").is_err());
        assert!(parse_schema("a").is_err());
        assert!(parse_schema("a nonsense").is_err());
        assert_eq!(plain_name("Flux (mJy)"), "flux__mjy");
        assert_eq!(plain_name("2MASS"), "_2mass");
        assert_eq!(literal("it's \\ so"), "E'it''s \\\\ so'");
    }

    #[test]
    fn guessed_types_of_files_are_joined() {
        let plan = plan(&["a,b\n1,2013-01-01\n", "a,b\n1.5,x\n"], TableOptions::default(), None).unwrap();
        let types: Vec<String> = plan.columns.iter().map(|column| column.pg_type.to_string()).collect();
        assert_eq!(types, ["double precision", "text"]);
    }
}
