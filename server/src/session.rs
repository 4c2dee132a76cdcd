//! One client's session: settings, transaction, prepared statements, and the tables it sees.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::sql::sqlparser::ast::Statement as Ast;
use pgwire::api::Type;
use pgwire::messages::response::TransactionStatus;

use crate::catalogue::CatalogueSnapshot;
use crate::cursor::{Cursor, Description};
use crate::engine::Engine;
use crate::error::{PgError, SqlState};
use crate::explain::{self, Explain};
use crate::namespace;
use crate::pg_catalog::{PgCatalog, SessionFacts};
use crate::portal::Portal;
use crate::settings::Settings;
use crate::sql::{self, ParsedStatement, PlannedQuery};
use crate::utility;
use crate::wire::copy_options::CopyOptions;

/// Where a session stands in its transaction. There is one version of the data for each statement; what a
/// transaction holds together is its settings.
#[derive(Debug, Default)]
pub(crate) enum Transaction {
    /// Each statement is its own.
    #[default]
    Idle,
    /// Between BEGIN and its end.
    Open(Block),
    /// A statement has failed; only the block's end is heard.
    Failed(Block),
}

/// What BEGIN has to remember.
#[derive(Debug)]
pub(crate) struct Block {
    /// Settings that ROLLBACK goes back to.
    pub(crate) before: Settings,
    /// Values that SET LOCAL hides until the end.
    pub(crate) local: Vec<(String, String)>,
    /// Savepoints in order, each with its settings.
    pub(crate) savepoints: Vec<(String, Settings)>,
}

/// A statement that is ready to be run with parameters.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: ParsedStatement,
    pub(crate) action: Action,
    /// Types of `$1`, `$2` and so on.
    pub(crate) parameters: Vec<Type>,
    /// Columns of the result, if the statement has one.
    pub(crate) description: Option<Description>,
    /// For `pg_prepared_statements`.
    pub(crate) from_sql: bool,
}

impl Prepared {
    /// The statement of a query string that has none.
    pub(crate) fn empty() -> Self {
        let statement =
            ParsedStatement { ast: Ast::UnlockTables, source: Arc::from(""), text: String::new(), offset: 0 };
        Self { statement, action: Action::Empty, parameters: Vec::new(), description: None, from_sql: false }
    }
}

/// The columns of a query as its client sees them.
fn description_of(planned: &PlannedQuery) -> Description {
    Description::of(Arc::new(Schema::new(planned.output.clone())))
}

/// What a statement does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Gives rows.
    Query(PlannedQuery),
    /// Shows or measures the plan of a query.
    Explain(Explain),
    /// Sends the rows of a query as COPY data.
    CopyOut(PlannedQuery, CopyOptions),
    /// Runs a statement that was prepared by PREPARE.
    Execute(Arc<Prepared>, Vec<ScalarValue>),
    /// Does something to the session.
    Utility,
    /// Nothing: a query string without a statement.
    Empty,
}

/// What a statement leaves to be sent.
pub(crate) enum Outcome {
    /// Rows, and the command tag that follows them; `counted` tags end with the number of rows.
    Rows { description: Description, cursor: Cursor, tag: &'static str, counted: bool },
    /// COPY data.
    Copy { description: Description, cursor: Cursor, options: CopyOptions },
    /// Nothing but the tag, after the notices.
    Done { tag: String, notices: Vec<PgError> },
}

impl Outcome {
    pub(crate) fn done(tag: impl Into<String>) -> Self {
        Self::Done { tag: tag.into(), notices: Vec::new() }
    }
}

/// What a plan is made against, kept while the catalogue and the settings that planning depends on stay.
#[derive(Clone)]
pub(crate) struct PlanContext {
    pub(crate) snapshot: Arc<CatalogueSnapshot>,
    pub(crate) state: Arc<SessionState>,
    pub(crate) facts: Arc<sql::SessionFacts>,
}

/// One client's session.
pub(crate) struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) pid: i32,
    pub(crate) address: SocketAddr,
    /// The session's `pg_catalog` and `information_schema`.
    system: PgCatalog,
    pub(crate) transaction: Transaction,
    pub(crate) statements: HashMap<String, Arc<Prepared>>,
    pub(crate) portals: HashMap<String, Portal>,
    settings: Settings,
    /// Settings whose new values the client has not been told of yet.
    changed: Vec<String>,
    context: Option<PlanContext>,
}

impl Session {
    pub(crate) fn new(
        engine: Arc<Engine>,
        user: String,
        database: String,
        pid: i32,
        address: SocketAddr,
        settings: Settings,
    ) -> Self {
        let system = PgCatalog::new(engine.snapshot(), SessionFacts::of_user(&user, &database));
        system.set_functions(engine.function_list());
        Self {
            engine,
            user,
            database,
            pid,
            address,
            system,
            transaction: Transaction::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            settings,
            changed: Vec::new(),
            context: None,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes settings; what the client must be told is kept for [`Session::take_changed`].
    pub(crate) fn change_settings<T>(
        &mut self,
        change: impl FnOnce(&mut Settings) -> Result<T, PgError>,
    ) -> Result<T, PgError> {
        let mut settings = self.settings.clone();
        let result = change(&mut settings)?;
        self.replace_settings(settings);
        Ok(result)
    }

    /// Puts other settings in place of the present ones.
    pub(crate) fn replace_settings(&mut self, settings: Settings) {
        for (name, value) in settings.reported() {
            if self.settings.value(name) != value {
                self.changed.push(name.to_owned());
            }
        }
        self.settings = settings;
        self.context = None;
    }

    /// Names and values of reported settings that have changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, String)> {
        let names = std::mem::take(&mut self.changed);
        names.into_iter().map(|name| (name.clone(), self.settings.value(&name).to_owned())).collect()
    }

    pub(crate) fn status(&self) -> TransactionStatus {
        match self.transaction {
            Transaction::Idle => TransactionStatus::Idle,
            Transaction::Open(_) => TransactionStatus::Transaction,
            Transaction::Failed(_) => TransactionStatus::Error,
        }
    }

    /// A statement has failed: an open transaction fails with it.
    pub(crate) fn fail(&mut self) {
        if let Transaction::Open(block) = std::mem::take(&mut self.transaction) {
            self.transaction = Transaction::Failed(block);
        } else if !matches!(self.transaction, Transaction::Failed(_)) {
            self.transaction = Transaction::Idle;
        }
    }

    /// Whether a statement may run where the session stands.
    ///
    /// # Errors
    /// 25P02 in a failed transaction, for anything but its end.
    pub(crate) fn admit(&self, statement: &ParsedStatement) -> Result<(), PgError> {
        let ends = matches!(statement.ast, Ast::Commit { .. } | Ast::Rollback { .. } | Ast::UnlockTables);
        if matches!(self.transaction, Transaction::Failed(_)) && !ends {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::with_state(SqlState::IN_FAILED_SQL_TRANSACTION, message));
        }
        Ok(())
    }

    /// The tables, functions and settings that a statement is planned against now.
    pub(crate) fn context(&mut self) -> PlanContext {
        let snapshot = self.engine.snapshot();
        if let Some(context) = &self.context
            && context.snapshot.version == snapshot.version
        {
            return context.clone();
        }
        self.system.update(Arc::clone(&snapshot), self.facts());
        let schemas = crate::tables::schemas(&self.engine, &snapshot, &self.system);
        let catalog = namespace::catalog_list(schemas);
        let mut builder = SessionStateBuilder::new_from_existing(self.engine.base_state().clone())
            .with_catalog_list(catalog);
        // A state hands its functions on in no order, DataFusion's under their aliases too: ours come last again.
        builder = quickdb_executor::functions::add_to(builder);
        let functions = self.system.functions().into_iter().map(Arc::new);
        builder.scalar_functions().get_or_insert_default().extend(functions);
        let zone = self.settings.value("TimeZone").to_owned();
        let options = builder.config().get_or_insert_default().options_mut();
        quickdb_executor::session::set_time_zone(options, &zone);
        options.execution.time_zone = Some(zone);
        let state = builder.build();
        let facts = sql::SessionFacts {
            search_path: self.system.search_path(),
            ..sql::SessionFacts::new(self.user.clone(), self.database.clone())
        };
        let context = PlanContext { snapshot, state: Arc::new(state), facts: Arc::new(facts) };
        self.context = Some(context.clone());
        context
    }

    /// What the session's catalogue relations show of the session itself.
    fn facts(&self) -> SessionFacts {
        let all = self.settings.all().into_iter();
        let changed = all.filter(|(setting, _)| self.settings.value(setting.name) != setting.default);
        SessionFacts {
            backend_pid: self.pid,
            settings: Arc::new(changed.map(|(setting, shown)| (setting.name.to_owned(), shown)).collect()),
            server_started_us: self.engine.started_at_us,
            client_address: Some((self.address.ip().to_string(), self.address.port())),
            ..SessionFacts::of_user(&self.user, &self.database)
        }
    }

    /// Plans a statement. `declared` are parameter types that the client has given.
    ///
    /// # Errors
    /// What PostgreSQL raises when it analyses the statement.
    pub(crate) async fn prepare(
        &mut self,
        statement: ParsedStatement,
        declared: &[Option<Type>],
    ) -> Result<Prepared, PgError> {
        self.admit(&statement)?;
        let mut parameters = Vec::new();
        let (action, description) = match &statement.ast {
            Ast::Query(_) => {
                let planned = self.plan(&statement, declared).await?;
                parameters = planned.parameter_types(declared);
                let description = description_of(&planned);
                (Action::Query(planned), Some(description))
            }
            Ast::Explain { .. } => {
                let explain = explain::prepare(self, &statement, declared).await?;
                parameters = explain.query.parameter_types(declared);
                (Action::Explain(explain), Some(explain::description()))
            }
            Ast::Copy { .. } => {
                let (query, options) = utility::copy_query(&statement)?;
                let planned = self.plan(&query, declared).await?;
                parameters = planned.parameter_types(declared);
                (Action::CopyOut(planned, options), None)
            }
            Ast::Execute { .. } => {
                let (prepared, values) = utility::execute_target(self, &statement).await?;
                let description = prepared.description.clone();
                (Action::Execute(prepared, values), description)
            }
            _ => (Action::Utility, utility::description(self, &statement)?),
        };
        Ok(Prepared { statement, action, parameters, description, from_sql: false })
    }

    /// Plans a query against the session's present tables.
    pub(crate) async fn plan(
        &mut self,
        statement: &ParsedStatement,
        declared: &[Option<Type>],
    ) -> Result<PlannedQuery, PgError> {
        let context = self.context();
        let types: Vec<_> = declared.iter().map(sql::declared_type).collect();
        sql::plan_query(&context.state, &context.facts, statement, &types).await
    }

    /// Runs a prepared statement up to its first rows.
    ///
    /// # Errors
    /// The statement's.
    pub(crate) async fn run(
        &mut self,
        prepared: &Prepared,
        values: &[ScalarValue],
    ) -> Result<Outcome, PgError> {
        self.admit(&prepared.statement)?;
        let text = Some(prepared.statement.source.as_ref());
        match &prepared.action {
            Action::Query(planned) => {
                let (description, cursor) = self.open(planned, values, text).await?;
                Ok(Outcome::Rows { description, cursor, tag: "SELECT", counted: true })
            }
            Action::CopyOut(planned, options) => {
                let (description, cursor) = self.open(planned, values, text).await?;
                Ok(Outcome::Copy { description, cursor, options: options.clone() })
            }
            Action::Explain(explain) => {
                let cursor = explain::run(self, explain, values).await?;
                Ok(Outcome::Rows {
                    description: explain::description(),
                    cursor,
                    tag: "EXPLAIN",
                    counted: false,
                })
            }
            Action::Execute(target, values) => {
                let (target, values) = (Arc::clone(target), values.clone());
                Box::pin(self.run(&target, &values)).await
            }
            Action::Utility => utility::run(self, &prepared.statement).await,
            Action::Empty => Ok(Outcome::done("")),
        }
    }

    async fn open(
        &mut self,
        planned: &PlannedQuery,
        values: &[ScalarValue],
        text: Option<&str>,
    ) -> Result<(Description, Cursor), PgError> {
        let context = self.context();
        let plan = planned.bind(values)?;
        let rows = self.engine.run(&context.state, &context.snapshot, &plan).await;
        let rows = rows.map_err(|error| PgError::from_datafusion(error, text))?;
        Ok((description_of(planned), Cursor::of_plan(rows)))
    }
}
