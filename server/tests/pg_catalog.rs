//! The system relations and functions, through DataFusion as a session has them. Answers are PostgreSQL 15's for the
//! same schema.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};
use quickdb_server::catalogue::{
    Catalogue, Change, Column, NewTable, OnCommit, PgType, RoleOptions, TableDefinition, TableOptions,
};
use quickdb_server::pg_catalog::{FunctionList, LiveFacts, PgCatalog, SessionActivity, SessionFacts};
use quickdb_server::wire::RegNames;

struct Session {
    catalogue: Catalogue,
    catalog: PgCatalog,
    context: SessionContext,
}

#[derive(Debug)]
struct OneSession;

impl LiveFacts for OneSession {
    fn sessions(&self) -> Vec<SessionActivity> {
        vec![SessionActivity {
            pid: 42,
            database: "quickdb".into(),
            user: "quickdb".into(),
            state: "active".into(),
            query: "SELECT 1".into(),
            ..SessionActivity::default()
        }]
    }
}

fn facts(user: &str) -> SessionFacts {
    SessionFacts { backend_pid: 42, live: Arc::new(OneSession), ..SessionFacts::of_user(user, "quickdb") }
}

fn create(
    catalogue: &Catalogue,
    schema: &str,
    name: &str,
    columns: &[(&str, &str, bool)],
) -> Arc<TableDefinition> {
    let columns = columns.iter().map(|(name, pg_type, not_null)| Column {
        not_null: *not_null,
        ..Column::new(*name, PgType::parse(pg_type).unwrap())
    });
    let table = NewTable {
        id: catalogue.allocate_table_id().unwrap(),
        schema: schema.into(),
        name: name.into(),
        owner: "quickdb".into(),
        columns: columns.collect(),
        constraints: Vec::new(),
        options: TableOptions::default(),
        on_commit: OnCommit::default(),
        comment: None,
    };
    catalogue.create_table(table).unwrap()
}

fn session() -> Session {
    let catalogue = Catalogue::in_memory().unwrap();
    let flights = create(
        &catalogue,
        "public",
        "flights",
        &[
            ("year", "integer", false),
            ("carrier", "text", true),
            ("dest", "varchar(3)", false),
            ("distance", "double precision", false),
            ("price", "numeric(10,2)", false),
            ("time_hour", "timestamptz", false),
            ("tags", "text[]", false),
        ],
    );
    let commented = flights.altered(|table| {
        table.comment = Some("departures of 2013".into());
        table.columns[1].comment = Some("two letters".into());
    });
    catalogue.commit(vec![Change::AlterTable(commented)]).unwrap();
    catalogue.create_schema("lab", "quickdb").unwrap();
    create(&catalogue, "lab", "stars", &[("hip", "bigint", true)]);
    let reader = RoleOptions { login: Some(true), ..RoleOptions::default() };
    catalogue.create_role("reader", &reader).unwrap();

    let catalog = PgCatalog::new(catalogue.snapshot(), facts("quickdb"));
    let config = SessionConfig::new().with_create_default_catalog_and_schema(false);
    let context =
        SessionContext::new_with_config(config.with_default_catalog_and_schema("quickdb", "public"));
    let database = MemoryCatalogProvider::new();
    let public = catalog.schema_for(Arc::new(MemorySchemaProvider::new()));
    database.register_schema("public", public).unwrap();
    context.register_catalog("quickdb", Arc::new(database));
    for function in quickdb_executor::functions::scalar_functions() {
        context.register_udf(function.as_ref().clone());
    }
    catalog.register(&context, "quickdb").unwrap();
    catalog.set_functions(Arc::new(FunctionList::of(&context.state())));
    Session { catalogue, catalog, context }
}

impl Session {
    async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.context.sql(sql).await?.collect().await
    }

    /// Rows as texts, columns separated by `|`, as `psql -At` prints them.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let batches = self.batches(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut rows = Vec::new();
        for batch in &batches {
            for row in 0..batch.num_rows() {
                rows.push(
                    batch.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join("|"),
                );
            }
        }
        rows
    }

    async fn check(&self, sql: &str, expected: &[&str]) {
        assert_eq!(self.rows(sql).await, expected, "{sql}");
    }

    async fn fails(&self, sql: &str, expected: &str) {
        let error = self.batches(sql).await.err().unwrap_or_else(|| panic!("{sql} did not fail"));
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) { String::new() } else { array_value_to_string(column, row).unwrap() }
}

#[tokio::test]
async fn every_relation_can_be_read_and_is_described_by_the_catalogue() {
    let session = session();
    let relations = session
        .rows("SELECT nspname, relname, relnatts FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 1, 2")
        .await;
    assert!(relations.len() > 200);
    for relation in relations {
        let parts = relation.split('|').collect::<Vec<_>>();
        if parts[0] == "public" || parts[0] == "lab" {
            continue;
        }
        let batches = session.batches(&format!("SELECT * FROM {}.{}", parts[0], parts[1])).await.unwrap();
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        assert_eq!(columns.to_string(), parts[2], "{relation}");
    }
}

#[tokio::test]
async fn oids_agree_between_relations() {
    let session = session();
    for (sql, why) in [
        (
            "SELECT attname FROM pg_attribute a LEFT JOIN pg_type t ON t.oid = a.atttypid WHERE t.oid IS NULL",
            "column types",
        ),
        (
            "SELECT attrelid FROM pg_attribute a LEFT JOIN pg_class c ON c.oid = a.attrelid WHERE c.oid IS NULL",
            "columns",
        ),
        (
            "SELECT relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.oid IS NULL",
            "schemas",
        ),
        (
            "SELECT relname FROM pg_class c LEFT JOIN pg_type t ON t.oid = c.reltype AND t.typrelid = c.oid WHERE t.oid IS NULL",
            "row types",
        ),
        (
            "SELECT relname FROM pg_class c LEFT JOIN pg_authid r ON r.oid = c.relowner WHERE r.oid IS NULL",
            "owners",
        ),
        (
            "SELECT t.typname FROM pg_type t LEFT JOIN pg_proc p ON p.oid = t.typinput WHERE p.oid IS NULL",
            "input functions",
        ),
        (
            "SELECT t.typname FROM pg_type t LEFT JOIN pg_type a ON a.oid = t.typarray WHERE t.typarray <> 0 AND a.typelem <> t.oid",
            "arrays",
        ),
        (
            "SELECT oprname FROM pg_operator o LEFT JOIN pg_proc p ON p.oid = o.oprcode WHERE p.oid IS NULL",
            "operators",
        ),
        (
            "SELECT aggfnoid FROM pg_aggregate a LEFT JOIN pg_proc p ON p.oid = a.aggfnoid WHERE p.prokind <> 'a'",
            "aggregates",
        ),
        ("SELECT oid FROM pg_class GROUP BY oid HAVING count(*) > 1", "one relation per OID"),
        ("SELECT oid FROM pg_type GROUP BY oid HAVING count(*) > 1", "one type per OID"),
        ("SELECT oid FROM pg_proc GROUP BY oid HAVING count(*) > 1", "one function per OID"),
        (
            "SELECT attrelid FROM pg_attribute GROUP BY attrelid, attnum HAVING count(*) > 1",
            "one column per number",
        ),
    ] {
        assert!(session.rows(sql).await.is_empty(), "{why}");
    }
}

#[tokio::test]
async fn tables_of_users_show_as_in_postgresql() {
    let session = session();
    session
        .check(
            "SELECT n.nspname, c.relname, c.relkind, c.relnatts, pg_get_userbyid(c.relowner) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'quickdb') ORDER BY 1, 2",
            &["lab|stars|r|1|quickdb", "public|flights|r|7|quickdb"],
        )
        .await;
    session
        .check(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation, col_description(attrelid, attnum) \
             FROM pg_attribute WHERE attrelid = regclassin('flights') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            &[
                "year|integer|false|0|",
                "carrier|text|true|100|two letters",
                "dest|character varying(3)|false|100|",
                "distance|double precision|false|0|",
                "price|numeric(10,2)|false|0|",
                "time_hour|timestamp with time zone|false|0|",
                "tags|text[]|false|100|",
            ],
        )
        .await;
    session
        .check(
            "SELECT column_name, data_type, is_nullable, character_maximum_length, character_octet_length, \
             numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision, udt_name \
             FROM information_schema.columns WHERE table_schema = 'public' ORDER BY ordinal_position",
            &[
                "year|integer|YES|||32|2|0||int4",
                "carrier|text|NO||1073741824|||||text",
                "dest|character varying|YES|3|12|||||varchar",
                "distance|double precision|YES|||53|2|||float8",
                "price|numeric|YES|||10|10|2||numeric",
                "time_hour|timestamp with time zone|YES||||||6|timestamptz",
                "tags|ARRAY|YES|||||||_text",
            ],
        )
        .await;
    session
        .check(
            "SELECT table_schema, table_name, table_type FROM information_schema.tables \
             WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'quickdb') ORDER BY 1",
            &["lab|stars|BASE TABLE", "public|flights|BASE TABLE"],
        )
        .await;
}

#[tokio::test]
async fn a_newer_snapshot_shows_without_registering_again() {
    let session = session();
    create(&session.catalogue, "public", "later", &[("a", "int", false)]);
    session.check("SELECT relname FROM pg_class WHERE relname = 'later'", &[]).await;
    session.catalog.update(session.catalogue.snapshot(), facts("quickdb"));
    session.check("SELECT relname FROM pg_class WHERE relname = 'later'", &["later"]).await;
    session.check("SELECT to_regclass('later') IS NOT NULL", &["true"]).await;
}

#[tokio::test]
async fn names_and_oids_go_both_ways() {
    let session = session();
    for (sql, expected) in [
        ("SELECT regclassin('pg_class')", "1259"),
        ("SELECT regclassin('PG_catalog.\"pg_class\"')", "1259"),
        ("SELECT pg_regclass(1259)", "pg_class"),
        ("SELECT pg_regclass(regclassin('lab.stars'))", "lab.stars"),
        ("SELECT pg_regclass(0)", "-"),
        ("SELECT pg_regclass(99999)", "99999"),
        ("SELECT regclassin('1259')", "1259"),
        ("SELECT to_regclass('nope')", ""),
        ("SELECT regtypein('timestamp with time zone')", "1184"),
        ("SELECT regtypein('int4[]')", "1007"),
        ("SELECT pg_regtype(1007)", "integer[]"),
        ("SELECT pg_regtype(18)", "\"char\""),
        ("SELECT pg_regtype(19)", "name"),
        ("SELECT pg_regtype(regtypein('flights'))", "flights"),
        ("SELECT pg_regtype(regtypein('lab.stars[]'))", "lab.stars[]"),
        ("SELECT to_regtype('nope')", ""),
        ("SELECT regprocin('array_in')", "750"),
        ("SELECT pg_regproc(750)", "array_in"),
        ("SELECT regrolein('quickdb')", "10"),
        ("SELECT pg_regrole(10)", "quickdb"),
        ("SELECT regnamespacein('public')", "2200"),
        ("SELECT pg_regnamespace(11)", "pg_catalog"),
        ("SELECT format_type(1043, 24)", "character varying(20)"),
        ("SELECT format_type(1042, NULL)", "character"),
        ("SELECT format_type(1042, -1)", "bpchar"),
        ("SELECT format_type(1700, 655366)", "numeric(10,2)"),
        ("SELECT format_type(0, NULL)", "-"),
        ("SELECT format_type(424242, NULL)", "???"),
        ("SELECT format_type(NULL, 1)", ""),
        (
            "SELECT format_type(oid, -1) FROM pg_type WHERE typname = 'sql_identifier'",
            "information_schema.sql_identifier",
        ),
    ] {
        session.check(sql, &[expected]).await;
    }
    session.fails("SELECT regclassin('nope')", "relation \"nope\" does not exist").await;
    session.fails("SELECT regclassin('public.nope')", "relation \"public.nope\" does not exist").await;
    session.fails("SELECT regclassin('a.b.c')", "cross-database references are not implemented: a.b.c").await;
    session.fails("SELECT regtypein('nope')", "type \"nope\" does not exist").await;
    session.fails("SELECT regrolein('nope')", "role \"nope\" does not exist").await;
    session.fails("SELECT regnamespacein('nope')", "schema \"nope\" does not exist").await;
}

#[tokio::test]
async fn functions_answer_as_postgresql_does() {
    let session = session();
    for (sql, expected) in [
        ("SELECT pg_get_userbyid(10)", "quickdb"),
        ("SELECT pg_get_userbyid(4711)", "unknown (OID=4711)"),
        ("SELECT pg_table_is_visible(regclassin('flights'))", "true"),
        ("SELECT pg_table_is_visible(regclassin('lab.stars'))", "false"),
        ("SELECT pg_table_is_visible(4711)", ""),
        ("SELECT pg_type_is_visible(23)", "true"),
        ("SELECT obj_description(regclassin('flights'), 'pg_class')", "departures of 2013"),
        ("SELECT obj_description(2200, 'pg_namespace')", "standard public schema"),
        ("SELECT col_description(regclassin('flights'), 2)", "two letters"),
        ("SELECT current_schemas(true)", "[pg_catalog, public]"),
        ("SELECT current_schemas(false)", "[public]"),
        ("SELECT current_schema()", "public"),
        ("SELECT current_database()", "quickdb"),
        ("SELECT current_setting('search_path')", "\"$user\", public"),
        ("SELECT current_setting('work_mem')", "4MB"),
        ("SELECT current_setting('no.such', true)", ""),
        ("SELECT pg_encoding_to_char(6)", "UTF8"),
        ("SELECT pg_char_to_encoding('utf-8')", "6"),
        ("SELECT pg_backend_pid()", "42"),
        ("SELECT pg_is_in_recovery()", "false"),
        ("SELECT quote_ident('My table')", "\"My table\""),
        ("SELECT quote_literal('it''s')", "'it''s'"),
        ("SELECT quote_literal(42)", "'42'"),
        ("SELECT quote_nullable(NULL)", "NULL"),
        ("SELECT pg_size_pretty(123456789)", "118 MB"),
        ("SELECT pg_size_pretty(10240.7::numeric(10,1))", "10 kB"),
        ("SELECT pg_get_function_arguments(871)", "text"),
        ("SELECT pg_get_function_result(871)", "text"),
        ("SELECT format('%I.%I = %L', 'lab', 'My stars', 'it''s')", "lab.\"My stars\" = 'it''s'"),
        (
            "SELECT json_build_object('a', 1, 'b', NULL, 'c', 'x', 'd', true)",
            "{\"a\" : 1, \"b\" : null, \"c\" : \"x\", \"d\" : true}",
        ),
        ("SELECT json_build_array(1, 'a', NULL)", "[1, \"a\", null]"),
        ("SELECT array_upper(make_array(7, 8), 1)", "2"),
        ("SELECT array_lower(make_array(7, 8), 1)", "1"),
        ("SELECT to_regprocedure('lower(text)')", "870"),
        ("SELECT pg_get_indexdef(1, 2, true)", ""),
        ("SELECT inet_server_addr()", ""),
        ("SELECT pg_relation_size('flights')", "0"),
        ("SELECT pg_relation_size(4711)", ""),
        ("SELECT generate_subscripts_list(make_array(7, 8, 9), 1)", "[1, 2, 3]"),
        ("SELECT expandarray_list(make_array(7, 8))", "[{x: 7, n: 1}, {x: 8, n: 2}]"),
        ("SELECT parse_ident('a.\"B c\"')", "[a, B c]"),
    ] {
        session.check(sql, &[expected]).await;
    }
    session
        .fails("SELECT current_setting('no.such')", "unrecognized configuration parameter \"no.such\"")
        .await;
    session.fails("SELECT pg_get_functiondef(2108)", "\"sum\" is an aggregate function").await;
}

#[tokio::test]
async fn privileges_follow_superusers_owners_and_public() {
    let session = session();
    for (sql, expected) in [
        ("SELECT has_table_privilege('flights', 'SELECT')", "true"),
        ("SELECT has_table_privilege('reader', 'flights', 'select')", "false"),
        ("SELECT has_table_privilege('reader', 'pg_class', 'SELECT')", "true"),
        ("SELECT has_table_privilege('reader', 'pg_authid', 'SELECT')", "false"),
        ("SELECT has_table_privilege('reader', 1259, 'INSERT, SELECT')", "true"),
        ("SELECT has_table_privilege(10, regclassin('flights'), 'UPDATE WITH GRANT OPTION')", "true"),
        ("SELECT has_table_privilege(4711, 'SELECT')", ""),
        ("SELECT has_column_privilege('reader', 'pg_class', 'oid', 'SELECT')", "true"),
        ("SELECT has_column_privilege('flights', 2, 'SELECT')", "true"),
        ("SELECT has_any_column_privilege('reader', 'flights', 'SELECT')", "false"),
        ("SELECT has_schema_privilege('reader', 'public', 'USAGE')", "true"),
        ("SELECT has_schema_privilege('reader', 'public', 'CREATE')", "false"),
        ("SELECT has_schema_privilege('reader', 'lab', 'USAGE')", "false"),
        ("SELECT has_database_privilege('reader', 'quickdb', 'CONNECT')", "true"),
        ("SELECT has_database_privilege('quickdb', 'CREATE')", "true"),
        ("SELECT has_function_privilege('reader', 'upper(text)', 'EXECUTE')", "true"),
        ("SELECT has_type_privilege('reader', 'integer', 'USAGE')", "true"),
        ("SELECT has_language_privilege('reader', 'c', 'USAGE')", "false"),
        ("SELECT pg_has_role('reader', 'quickdb', 'MEMBER')", "false"),
        ("SELECT pg_has_role('quickdb', 'pg_database_owner', 'USAGE')", "true"),
    ] {
        session.check(sql, &[expected]).await;
    }
    session.fails("SELECT has_table_privilege('nope', 'SELECT')", "relation \"nope\" does not exist").await;
    session
        .fails("SELECT has_table_privilege('nope', 'flights', 'SELECT')", "role \"nope\" does not exist")
        .await;
    session
        .fails("SELECT has_table_privilege('flights', 'EAT')", "unrecognized privilege type: \"EAT\"")
        .await;
}

#[tokio::test]
async fn another_user_sees_only_what_it_may() {
    let session = session();
    session.catalog.update(session.catalogue.snapshot(), facts("reader"));
    session.check("SELECT current_user", &["reader"]).await;
    session
        .check(
            "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('public', 'lab')",
            &[],
        )
        .await;
    session.check("SELECT query FROM pg_stat_activity", &["<insufficient privilege>"]).await;
    session.check("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL", &[]).await;
}

#[tokio::test]
async fn oid_columns_are_numbers_that_say_what_they_are() {
    let session = session();
    let batches = session.batches("SELECT c.oid, c.relname, t.typinput FROM pg_class c, pg_type t WHERE t.oid = c.reltype AND c.oid = 1259").await.unwrap();
    let schema = batches[0].schema();
    let pg_types =
        schema.fields().iter().map(|field| field.metadata()["pg_type"].clone()).collect::<Vec<_>>();
    assert_eq!(pg_types, ["oid", "name", "regproc"]);
    assert_eq!(schema.field(0).data_type(), &DataType::Int64);
    assert_eq!(batches[0].column(2).as_primitive::<Int64Type>().value(0), 2_290);
    // As regproc (24), regclass (2205) and regtype (2206) they print as names.
    let printed = |reg: u32, oid: u32| session.catalog.name_of(reg, oid);
    assert_eq!(printed(24, 2_290).unwrap(), "record_in");
    assert_eq!(printed(2_205, 1_259).unwrap(), "pg_class");
    assert_eq!(printed(2_206, 23).unwrap(), "integer");
    assert_eq!(printed(2_205, 0).unwrap(), "-");
    assert_eq!(printed(2_205, 1), None);
}

#[tokio::test]
async fn functions_are_listed_with_postgresqls_signatures() {
    let session = session();
    session
        .check(
            "SELECT p.proname, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid) FROM pg_proc p \
             WHERE p.proname IN ('upper', 'format_type', 'has_table_privilege', 'split_part') AND p.pronargs < 4 ORDER BY 1, p.oid",
            &[
                "format_type|text|oid, integer",
                "has_table_privilege|boolean|name, text, text",
                "has_table_privilege|boolean|name, oid, text",
                "has_table_privilege|boolean|oid, text, text",
                "has_table_privilege|boolean|oid, oid, text",
                "has_table_privilege|boolean|text, text",
                "has_table_privilege|boolean|oid, text",
                "split_part|text|text, text, integer",
                "upper|text|text",
            ],
        )
        .await;
    assert!(session.rows("SELECT 1 FROM pg_proc WHERE proname = 'quickdb_no_such'").await.is_empty());
}
