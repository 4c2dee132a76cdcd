//! One client's session: settings, transaction, prepared statements, and the tables it sees.

pub(crate) mod again;
mod changes;
mod shown;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as Ast};
use pgwire::api::Type;
use pgwire::messages::response::TransactionStatus;
use quickdb_executor::datetime::TimeZone;

use crate::activity::{Activity, Configured, Live};
use crate::catalogue::CatalogueSnapshot;
use crate::cursor::{Cursor, Description};
use crate::engine::Engine;
use crate::error::{PgError, SqlState};
use crate::execution::RowStream;
use crate::explain::{self, Explain};
use crate::namespace;
use crate::pg_catalog::{LiveFacts, PgCatalog, SessionFacts};
use crate::portal::Portal;
use crate::settings::Settings;
use crate::sql::origin::Origin;
use crate::sql::{self, ParsedStatement, PlannedQuery};
use crate::utility;
use crate::wire::RegNames;
use crate::wire::copy_options::CopyOptions;
use crate::wire::params::InputContext;
use crate::wire::settings::OutputSettings;
use crate::write::copy_from::{self, CopyFrom, CopyIn};
use crate::write::create_as::{self, CreateAs};
use crate::write::insert::{self, InsertPlan, parse_query};
use crate::write::merge::{self, MergePlan};
use crate::write::modify::{self, ModifyPlan};
use crate::write::overlay::Overlay;
use crate::write::work::Work;

/// Where a session stands in its transaction block. What it has changed in tables is in its [`Work`].
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
    /// Savepoints in order.
    pub(crate) savepoints: Vec<Savepoint>,
}

/// What ROLLBACK TO goes back to.
#[derive(Debug)]
pub(crate) struct Savepoint {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    /// Changes made before it.
    pub(crate) changes: usize,
}

/// A statement that is ready to be run with parameters.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: ParsedStatement,
    pub(crate) action: Action,
    /// The version of the catalogue's definitions that it was analysed against.
    pub(crate) definitions: u64,
    /// The parameter types that the client declared.
    pub(crate) declared: Vec<Option<Type>>,
    /// Types of `$1`, `$2` and so on.
    pub(crate) parameters: Vec<Type>,
    /// Columns of the result, if the statement has one.
    pub(crate) description: Option<Description>,
    /// For `pg_prepared_statements`.
    pub(crate) from_sql: bool,
    /// When: microseconds since 1970.
    pub(crate) prepared_us: i64,
}

impl Prepared {
    /// The statement of a query string that has none.
    pub(crate) fn empty() -> Self {
        let statement =
            ParsedStatement { ast: Ast::UnlockTables, source: Arc::from(""), text: String::new(), offset: 0 };
        Self {
            statement,
            action: Action::Empty,
            definitions: 0,
            declared: Vec::new(),
            parameters: Vec::new(),
            description: None,
            from_sql: false,
            prepared_us: 0,
        }
    }
}

/// Whether a WITH stands before a statement that writes.
fn is_write(query: &Query) -> bool {
    matches!(
        query.body.as_ref(),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
    )
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
    /// Adds rows to a table.
    Insert(InsertPlan),
    /// Changes or removes rows of a table.
    Modify(ModifyPlan),
    /// Does one or the other with the rows of a source.
    Merge(MergePlan),
    /// Takes rows that the client sends as COPY data.
    CopyFrom(CopyFrom),
    /// Makes a table of the rows of a query.
    CreateAs(Box<CreateAs>),
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
    /// COPY data is to be taken from the client; what it makes is for [`Session::take_copied`].
    CopyIn(CopyIn),
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
    /// Its temporary relations.
    overlay: Arc<Overlay>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) pid: i32,
    pub(crate) address: SocketAddr,
    /// The session's `pg_catalog` and `information_schema`.
    system: PgCatalog,
    /// What it and the other sessions are doing.
    live: Arc<Live>,
    pub(crate) transaction: Transaction,
    pub(crate) statements: HashMap<String, Arc<Prepared>>,
    pub(crate) portals: HashMap<String, Portal>,
    settings: Settings,
    /// Settings whose new values the client has not been told of yet.
    changed: Vec<String>,
    context: Option<PlanContext>,
    /// What it has changed in tables and not committed; without a block it is committed with the statement.
    work: Option<Work>,
}

impl Session {
    pub(crate) fn new(
        engine: Arc<Engine>,
        user: String,
        database: String,
        pid: i32,
        address: SocketAddr,
        settings: Settings,
        live: Arc<Live>,
    ) -> Self {
        let system = PgCatalog::new(engine.snapshot(), SessionFacts::of_user(&user, &database));
        system.set_functions(engine.function_list());
        Self {
            overlay: Arc::new(Overlay::new(&engine)),
            engine,
            user,
            database,
            pid,
            address,
            system,
            live,
            transaction: Transaction::Idle,
            statements: HashMap::new(),
            portals: HashMap::new(),
            settings,
            changed: Vec::new(),
            context: None,
            work: None,
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
        if matches!(self.transaction, Transaction::Idle) {
            // Each transaction starts at the session's defaults, the statement of its own too.
            for name in ["isolation", "read_only"] {
                let default = settings.value(&format!("default_transaction_{name}")).to_owned();
                settings.set(&format!("transaction_{name}"), &default)?;
            }
        }
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
        self.live.activity().name_application(settings.value("application_name"));
        self.settings = settings;
        self.context = None;
    }

    /// Takes over what the statement has made of the settings by `set_config`.
    fn adopt_configured(&mut self) {
        for Configured { name, value, local } in self.live.take_configured() {
            // The function has made the same change to the same settings.
            let _ = utility::configure(self, &name, value.as_deref(), local);
        }
    }

    /// Names and values of reported settings that have changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, String)> {
        self.adopt_configured();
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

    /// A statement has failed: an open transaction fails with it, and what was changed without one is undone.
    pub(crate) fn fail(&mut self) {
        self.live.take_configured();
        self.transaction = match std::mem::take(&mut self.transaction) {
            Transaction::Open(block) | Transaction::Failed(block) => Transaction::Failed(block),
            Transaction::Idle => {
                self.work = None;
                Transaction::Idle
            }
        };
    }

    /// Whether a statement may run where the session stands.
    ///
    /// # Errors
    /// 25P02 in a failed transaction, for anything but its end.
    pub(crate) fn admit(&mut self, statement: &ParsedStatement) -> Result<(), PgError> {
        self.adopt_configured();
        let ends = matches!(statement.ast, Ast::Commit { .. } | Ast::Rollback { .. } | Ast::UnlockTables);
        if matches!(self.transaction, Transaction::Failed(_)) && !ends {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(PgError::with_state(SqlState::IN_FAILED_SQL_TRANSACTION, message));
        }
        if ends { Ok(()) } else { self.refresh() }
    }

    /// The tables, functions and settings that a statement is planned against now.
    pub(crate) fn context(&mut self) -> PlanContext {
        let snapshot = self.snapshot();
        if let Some(context) = &self.context
            && context.snapshot.version == snapshot.version
        {
            return context.clone();
        }
        self.system.update(Arc::clone(&snapshot), self.facts());
        if let Some(context) = &mut self.context
            && context.snapshot.definitions == snapshot.definitions
        {
            // Plans get the present rows of their tables when they start.
            context.snapshot = snapshot;
            return context.clone();
        }
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
        let [date_style, interval_style] =
            ["DateStyle", "IntervalStyle"].map(|name| self.settings.value(name).to_owned());
        quickdb_executor::session::set_styles(options, &zone, &date_style, &interval_style);
        options.execution.time_zone = TimeZone::parse(&zone).map(|zone| zone.arrow_name());
        let state = builder.build();
        let facts = sql::SessionFacts {
            search_path: self.system.search_path(),
            temporary_schema: snapshot.temporary_schema().map(|schema| schema.name.clone()),
            catalogue: Some(Arc::clone(&snapshot)),
            ..sql::SessionFacts::new(self.user.clone(), self.database.clone())
        };
        let context = PlanContext { snapshot, state: Arc::new(state), facts: Arc::new(facts) };
        self.context = Some(context.clone());
        context
    }

    /// Lets go of what it has seen of the catalogue before the last commit: the files of tables that are gone stay as
    /// long as somebody might read them.
    pub(crate) fn catch_up(&mut self) {
        let idle = matches!(self.transaction, Transaction::Idle) && self.work.is_none();
        let snapshot = self.snapshot();
        if idle && self.system.version() != snapshot.version {
            let seen = self.context.as_ref().map(|context| context.snapshot.definitions);
            self.context();
            if seen != Some(snapshot.definitions) {
                self.engine.claims.collect_soon();
            }
        }
    }

    /// What OIDs are called when they leave as `regclass` and its like.
    pub(crate) fn reg_names(&self) -> Arc<dyn RegNames> {
        Arc::new(self.system.clone())
    }

    /// Forgets what the session got of sequences.
    pub(crate) fn forget_values(&self) {
        self.live.forget_values();
    }

    /// The next value of a sequence, which the session remembers.
    ///
    /// # Errors
    /// 2200H at its end.
    pub(crate) fn next_value(&self, sequence: u32) -> Result<i64, PgError> {
        let snapshot = self.snapshot();
        let sequence = snapshot.sequence_by_oid(sequence).ok_or_else(|| {
            let message = format!("could not open relation with OID {sequence}");
            PgError::with_state(SqlState("42P01"), message)
        })?;
        self.live
            .next_value(sequence)
            .map_err(|error| PgError::with_state(SqlState(error.mistake.sqlstate()), error.message))
    }

    pub(crate) fn activity(&self) -> &Activity {
        self.live.activity()
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
        let definitions = self.snapshot().definitions;
        let (action, description) = match &statement.ast {
            Ast::Insert(insert) => {
                let prepared = Box::pin(insert::prepare(self, &statement, insert, None, declared)).await?;
                parameters = prepared.parameters;
                (Action::Insert(prepared.plan), prepared.returning)
            }
            Ast::Merge(merge) => {
                let prepared = Box::pin(merge::prepare(self, &statement, merge, None, declared)).await?;
                parameters = prepared.parameters;
                (Action::Merge(prepared.plan), None)
            }
            Ast::Update(update) => {
                let prepared =
                    Box::pin(modify::prepare_update(self, &statement, update, None, declared)).await?;
                parameters = prepared.parameters;
                (Action::Modify(prepared.plan), prepared.returning)
            }
            Ast::Delete(delete) => {
                let prepared =
                    Box::pin(modify::prepare_delete(self, &statement, delete, None, declared)).await?;
                parameters = prepared.parameters;
                (Action::Modify(prepared.plan), prepared.returning)
            }
            ast if let Some(create) = create_as::of(ast) => {
                let plan = Box::pin(create_as::prepare(self, &statement, create, declared)).await?;
                parameters = plan.parameters(declared);
                (Action::CreateAs(Box::new(plan)), None)
            }
            // WITH ... INSERT and its kin.
            Ast::Query(query) if is_write(query) => {
                let with = query.with.as_ref();
                match query.body.as_ref() {
                    SetExpr::Insert(Ast::Insert(insert)) => {
                        let prepared =
                            Box::pin(insert::prepare(self, &statement, insert, with, declared)).await?;
                        parameters = prepared.parameters;
                        (Action::Insert(prepared.plan), prepared.returning)
                    }
                    SetExpr::Update(Ast::Update(update)) => {
                        let prepared =
                            Box::pin(modify::prepare_update(self, &statement, update, with, declared))
                                .await?;
                        parameters = prepared.parameters;
                        (Action::Modify(prepared.plan), prepared.returning)
                    }
                    SetExpr::Delete(Ast::Delete(delete)) => {
                        let prepared =
                            Box::pin(modify::prepare_delete(self, &statement, delete, with, declared))
                                .await?;
                        parameters = prepared.parameters;
                        (Action::Modify(prepared.plan), prepared.returning)
                    }
                    SetExpr::Merge(Ast::Merge(merge)) => {
                        let prepared =
                            Box::pin(merge::prepare(self, &statement, merge, with, declared)).await?;
                        parameters = prepared.parameters;
                        (Action::Merge(prepared.plan), None)
                    }
                    _ => return Err(PgError::unsupported("this statement after WITH")),
                }
            }
            Ast::Query(_) => {
                let planned = self.plan(&statement, declared).await?;
                parameters = planned.parameter_types(declared);
                let description = self.describe(&planned);
                (Action::Query(planned), Some(description))
            }
            Ast::Explain { .. } => {
                let explain = explain::prepare(self, &statement, declared).await?;
                parameters = explain.query.parameter_types(declared);
                (Action::Explain(explain), Some(explain::description()))
            }
            Ast::Copy { to: false, .. } => (Action::CopyFrom(copy_from::prepare(self, &statement)?), None),
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
        let declared = declared.to_vec();
        let prepared_us = chrono::Utc::now().timestamp_micros();
        Ok(Prepared {
            statement,
            action,
            definitions,
            declared,
            parameters,
            description,
            from_sql: false,
            prepared_us,
        })
    }

    /// The columns of a query as its client sees them.
    pub(crate) fn describe(&self, planned: &PlannedQuery) -> Description {
        let schema = Arc::new(Schema::new(planned.output.clone()));
        let origin = |origin: &Option<Origin>| {
            let Origin { relation, column } = origin.as_ref()?;
            self.system.column_of(relation.schema(), relation.table(), column)
        };
        Description { origins: planned.origins.iter().map(origin).collect(), ..Description::of(schema) }
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
        self.live.lend(&self.settings);
        self.show_own();
        let replanned;
        let prepared = if prepared.definitions == self.snapshot().definitions {
            prepared
        } else {
            replanned = self.prepare_again(prepared).await?;
            &replanned
        };
        let text = Some(prepared.statement.source.as_ref());
        match &prepared.action {
            Action::Insert(plan) => Box::pin(insert::run(self, plan, values, text)).await,
            Action::Modify(plan) => Box::pin(modify::run(self, plan, values, text)).await,
            Action::Merge(plan) => Box::pin(merge::run(self, plan, values, text)).await,
            Action::CopyFrom(plan) => Ok(Outcome::CopyIn(plan.start(self, &prepared.statement).await?)),
            Action::CreateAs(plan) => Box::pin(create_as::run(self, plan, values, text)).await,
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

    /// Analyses a statement anew whose tables have changed since.
    ///
    /// # Errors
    /// 0A000 when its result would have other columns than the client was told.
    async fn prepare_again(&mut self, prepared: &Prepared) -> Result<Prepared, PgError> {
        let again = Box::pin(self.prepare(prepared.statement.clone(), &prepared.declared)).await?;
        let types = |prepared: &Prepared| {
            let description = prepared.description.as_ref()?;
            let fields = description.schema.fields().iter();
            Some((
                description.names.clone(),
                fields.map(|field| field.data_type().clone()).collect::<Vec<_>>(),
            ))
        };
        if types(&again) != types(prepared) {
            let message = "cached plan must not change result type";
            return Err(PgError::with_state(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        Ok(again)
    }

    /// What the reading of values depends on in this session.
    pub(crate) fn input_context(&self) -> InputContext {
        InputContext { settings: self.output_settings(), now_micros: chrono::Utc::now().timestamp_micros() }
    }

    /// How values are shown to this session's client.
    pub(crate) fn output_settings(&self) -> Arc<OutputSettings> {
        let names = ["DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output"];
        // The values have passed the same checks when they were set.
        let output = names.into_iter().fold(OutputSettings::default(), |output, name| {
            output.set(name, self.settings.value(name)).and_then(Result::ok).unwrap_or(output)
        });
        Arc::new(output)
    }

    /// Plans a query of the server's own.
    ///
    /// # Errors
    /// Those of planning.
    pub(crate) async fn plan_text(&mut self, text: &str) -> Result<PlannedQuery, PgError> {
        let query = parse_query(text)?;
        let ast = Ast::Query(Box::new(query));
        let statement = ParsedStatement { ast, source: Arc::from(text), text: text.to_owned(), offset: 0 };
        Box::pin(self.plan(&statement, &[])).await
    }

    /// Whether a query of the server's own gives any row.
    ///
    /// # Errors
    /// The query's.
    pub(crate) async fn has_rows(&mut self, text: &str) -> Result<bool, PgError> {
        let planned = self.plan_text(text).await?;
        let mut rows = self.start(&planned, &[], Some(text)).await?;
        while let Some(batch) = rows.next().await {
            if batch.map_err(|error| PgError::from_datafusion(error, Some(text)))?.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Starts a planned query over the session's present rows.
    ///
    /// # Errors
    /// The query's, up to its first rows.
    pub(crate) async fn start(
        &mut self,
        planned: &PlannedQuery,
        values: &[ScalarValue],
        text: Option<&str>,
    ) -> Result<RowStream, PgError> {
        let plan = planned.bind(values)?;
        self.start_plan(&plan, text).await
    }

    /// Starts a plan over the session's present rows.
    ///
    /// # Errors
    /// See [`Session::start`].
    pub(crate) async fn start_plan(
        &mut self,
        plan: &LogicalPlan,
        text: Option<&str>,
    ) -> Result<RowStream, PgError> {
        let context = self.context();
        let plan = self.engine.with_present_rows(plan.clone(), &context.snapshot);
        let plan = plan.map_err(|error| PgError::from_datafusion(error, text))?;
        let rows = self.engine.run(&context.state, &context.snapshot, &plan).await;
        rows.map_err(|error| PgError::from_datafusion(error, text))
    }

    async fn open(
        &mut self,
        planned: &PlannedQuery,
        values: &[ScalarValue],
        text: Option<&str>,
    ) -> Result<(Description, Cursor), PgError> {
        let rows = self.start(planned, values, text).await?;
        Ok((self.describe(planned), Cursor::of_plan(rows)))
    }
}
