//! `pg_catalog` and `information_schema`: the catalogue as PostgreSQL's relations and functions.
//!
//! ```text
//! data/*.tsv ──▶ builtin, relation   what PostgreSQL 15 has from the start; the columns of every system relation
//! CatalogueSnapshot ┐
//! SessionFacts ─────┼─▶ SessionView ─▶ relations/*   rows, made when a relation is scanned
//! FunctionList ─────┘              └─▶ functions/*   values, made when a function is called
//! ```
//!
//! A session has one [`PgCatalog`], registers it once, and gives it the newest snapshot before each statement.
//!
//! **Values.** `oid`, `xid` and the `reg...` types are `Int64`, so that they compare and join with numbers, and the
//! field's metadata `pg_type` names them; [`RegNames`] prints `reg...` values when they leave. `name`,
//! `"char"` and other texts are `Utf8View` with their name in `pg_type`; `int2vector` and `oidvector` are lists.
//!
//! **Invariant:** no secret leaves the catalogue: password verifiers have no column here.

mod acl;
mod builtin;
mod error;
mod function_list;
mod functions;
mod identifier;
pub mod overloads;
mod relation;
mod relations;
mod resolve;
mod rows;
mod session;
mod table;
mod type_name;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use relation::RowSource;
use session::SessionView;

pub use builtin::{BuiltinSetting, setting, settings};
pub use error::{FunctionError, FunctionResult, Mistake};
pub use function_list::FunctionList;
pub(crate) use functions::is_volatile_function;
pub(crate) use relation::is_system_relation;
pub(crate) use session::shown;
pub use session::{
    CursorFacts, LiveFacts, NothingLive, PreparedStatementFacts, SessionActivity, SessionFacts,
};

use crate::catalogue::CatalogueSnapshot;
use crate::wire::RegNames;
use crate::wire::row::ColumnOrigin;
use crate::wire::types::base_type;

/// Where rows come from, for the relations that have any.
const SOURCES: &[&[((&str, &str), RowSource)]] = &[
    relations::classes::SOURCES,
    relations::cluster::SOURCES,
    relations::constraints::SOURCES,
    relations::information_schema::SOURCES,
    relations::live::SOURCES,
    relations::routines::SOURCES,
    relations::sequences::SOURCES,
    relations::state::SOURCES,
    relations::statistics::SOURCES,
    relations::types::SOURCES,
];

/// The schemas that no user makes.
pub(crate) const SYSTEM_SCHEMAS: [&str; 3] = ["pg_catalog", "information_schema", "quickdb"];

/// The catalogue of one session. A clone is the same catalogue.
#[derive(Debug, Clone)]
pub struct PgCatalog {
    view: Arc<RwLock<Arc<SessionView>>>,
}

impl PgCatalog {
    /// The catalogue of a session with these facts.
    pub fn new(snapshot: Arc<CatalogueSnapshot>, facts: SessionFacts) -> Self {
        let view = SessionView { snapshot, facts, functions: Arc::default(), layouts: HashMap::new() };
        Self { view: Arc::new(RwLock::new(Arc::new(view))) }
    }

    /// The version of the catalogue that it shows.
    pub fn version(&self) -> u64 {
        self.view().snapshot.version
    }

    /// Shows a newer snapshot and newer facts from the next scan and call on. Cheap: nothing is made before it is read.
    pub fn update(&self, snapshot: Arc<CatalogueSnapshot>, facts: SessionFacts) {
        self.replace(|view| SessionView {
            snapshot,
            facts,
            functions: Arc::clone(&view.functions),
            layouts: HashMap::new(),
        });
    }

    /// Shows these functions in `pg_proc`. Sessions with the same functions share the list.
    pub fn set_functions(&self, functions: Arc<FunctionList>) {
        self.replace(|view| SessionView {
            snapshot: Arc::clone(&view.snapshot),
            facts: view.facts.clone(),
            functions,
            layouts: HashMap::new(),
        });
    }

    /// Puts `pg_catalog` and `information_schema` into a database of DataFusion, and the functions into its session.
    /// Unqualified names find `pg_catalog`'s relations through [`PgCatalog::schema_for`].
    ///
    /// # Errors
    /// When `database` is not there or takes no schemas.
    pub fn register(&self, context: &SessionContext, database: &str) -> Result<()> {
        let Some(catalog) = context.catalog(database) else {
            return datafusion::common::plan_err!("database \"{database}\" does not exist");
        };
        self.register_schemas(&*catalog)?;
        for function in self.functions() {
            context.register_udf(function);
        }
        Ok(())
    }

    /// Puts `pg_catalog` and `information_schema` into a database of DataFusion.
    ///
    /// # Errors
    /// When it takes no schemas.
    pub fn register_schemas(&self, catalog: &dyn CatalogProvider) -> Result<()> {
        for name in SYSTEM_SCHEMAS {
            catalog.register_schema(name, self.system_schema(name))?;
        }
        Ok(())
    }

    /// The functions, for a session that gathers them itself.
    pub fn functions(&self) -> Vec<ScalarUDF> {
        functions::udfs(self)
    }

    /// Registers the functions in any registry.
    ///
    /// # Errors
    /// When the registry takes none.
    pub fn register_functions(&self, registry: &mut dyn FunctionRegistry) -> Result<()> {
        for function in self.functions() {
            registry.register_udf(Arc::new(function))?;
        }
        Ok(())
    }

    /// The schema `pg_catalog` or `information_schema`.
    pub fn system_schema(&self, name: &'static str) -> Arc<dyn SchemaProvider> {
        Arc::new(table::SystemSchema::new(name, self.clone()))
    }

    /// A user's schema that also finds the relations of `pg_catalog`, for the schema that unqualified names go to.
    pub fn schema_for(&self, schema: Arc<dyn SchemaProvider>) -> Arc<dyn SchemaProvider> {
        Arc::new(table::WithSystemRelations::new(schema, self.clone()))
    }

    /// The schema of the relation that an unqualified name means: the first of the search path that has it, with
    /// `pg_catalog` before it where the path does not name it.
    pub fn schema_of(&self, relation: &str) -> Option<String> {
        let view = self.view();
        let has = |schema: &String| {
            relation::by_name(schema, relation).is_some() || view.snapshot.table(schema, relation).is_some()
        };
        view.search_path(true).into_iter().find(has)
    }

    /// A column of the relation that a query names.
    pub fn column_of(&self, schema: Option<&str>, relation: &str, column: &str) -> Option<ColumnOrigin> {
        let view = self.view();
        let relation_oid = view.relation_named(schema, relation)?;
        let number = i16::try_from(view.column_number(relation_oid, column)?).ok()?;
        let typmod = view.snapshot.table_by_oid(relation_oid).and_then(|table| table.column(column));
        Some(ColumnOrigin { relation_oid, number, typmod: typmod.map_or(-1, |column| column.pg_type.typmod) })
    }

    /// The schemas of the search path that exist, in order, without the implicit `pg_catalog`: what
    /// `current_schemas(false)` gives. The first is `current_schema`, and where new tables go.
    pub fn search_path(&self) -> Vec<String> {
        self.view().search_path(false)
    }

    fn view(&self) -> Arc<SessionView> {
        // The lock is held for a clone of an `Arc` only, so that a poisoned one still holds a whole view.
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, change: impl FnOnce(&SessionView) -> SessionView) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let next = change(&view);
        *view = Arc::new(next);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.view, &other.view)
    }
}

/// What the values of the `reg...` types are called, for clients.
impl RegNames for PgCatalog {
    fn name_of(&self, reg_type_oid: u32, oid: u32) -> Option<String> {
        let reg = base_type(reg_type_oid)?.name;
        if oid == 0 {
            return Some("-".to_owned());
        }
        functions::reg_text(&self.view(), reg, oid)
    }
}
