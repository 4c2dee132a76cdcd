//! The connection to the server.

use quickdb_server::catalogue::PgType;
use tokio::task::JoinHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::LoadError;
use super::dsn::Dsn;
use super::plan::TableName;
use super::tls::MakeTls;

/// A connection.
pub(crate) struct Connection {
    pub(super) client: Client,
    serving: JoinHandle<()>,
}

impl Connection {
    /// Connects; `password` is for a connection string without one.
    ///
    /// # Errors
    /// [`LoadError::Plan`] for what is no connection string, [`LoadError::Connect`] when nobody answers or lets us in.
    pub(crate) async fn open(dsn: &str, password: Option<&str>) -> Result<Self, LoadError> {
        let dsn =
            Dsn::parse(dsn, password).map_err(|message| LoadError::Plan(format!("--dsn: {message}")))?;
        let tls = MakeTls::new(&dsn.trust).map_err(LoadError::Plan)?;
        let server = dsn.server();
        let connected = dsn.config.connect(tls).await;
        let (client, connection) =
            connected.map_err(|error| LoadError::Connect { server, message: said(&error) })?;
        let serving = tokio::spawn(async move {
            // Its errors are those of the statements that wait for it.
            let _ = connection.await;
        });
        Ok(Self { client, serving })
    }

    /// Runs a statement that gives no rows.
    ///
    /// # Errors
    /// [`LoadError::Server`].
    pub(super) async fn run(&self, statement: &str) -> Result<(), LoadError> {
        let what = statement.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        self.client
            .batch_execute(statement)
            .await
            .map_err(|error| LoadError::Server { what, message: said(&error) })
    }

    /// The rows of a query as texts, NULL as `None`.
    ///
    /// # Errors
    /// [`LoadError::Server`].
    pub(super) async fn rows(&self, query: &str) -> Result<Vec<Vec<Option<String>>>, LoadError> {
        let what = query.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let answer = self.client.simple_query(query).await;
        let answer = answer.map_err(|error| LoadError::Server { what, message: said(&error) })?;
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Names and types of a table's columns; `None` where there is no such table.
    ///
    /// # Errors
    /// [`LoadError::Server`].
    pub(crate) async fn table_columns(
        &self,
        table: &TableName,
    ) -> Result<Option<Vec<(String, PgType)>>, LoadError> {
        let schema = match &table.schema {
            Some(schema) => text_literal(schema),
            None => "current_schema()".to_owned(),
        };
        let query = format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relname = {} AND n.nspname = {schema} AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY a.attnum",
            text_literal(&table.name)
        );
        let refused = |message| LoadError::Server { what: format!("to describe the table {table}"), message };
        let answer = self.client.simple_query(&query).await.map_err(|error| refused(said(&error)))?;
        let mut columns = Vec::new();
        for message in &answer {
            if let SimpleQueryMessage::Row(row) = message {
                let (Some(name), Some(of_column)) = (row.get(0), row.get(1)) else { continue };
                let pg_type = PgType::parse(of_column).map_err(|error| refused(error.to_string()))?;
                columns.push((name.to_owned(), pg_type));
            }
        }
        Ok((!columns.is_empty()).then_some(columns))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A text as SQL writes it.
pub(super) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An error on one line: the server's message with its detail, hint and place.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return refusal_line(refusal);
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

fn refusal_line(refusal: &DbError) -> String {
    let more = [refusal.detail(), refusal.where_(), refusal.hint()];
    let more: Vec<&str> = more.into_iter().flatten().collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    format!("{}{more}", refusal.message())
}
