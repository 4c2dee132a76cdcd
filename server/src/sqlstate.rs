//! Names of the codes that sessions and the protocol use; what queries raise has its codes in [`SqlState::of`].
//!
//! <https://www.postgresql.org/docs/15/errcodes-appendix.html>

use crate::error::SqlState;

macro_rules! codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        impl SqlState {
            $(
                #[doc = concat!("`", $code, "`.")]
                pub const $name: SqlState = SqlState($code);
            )+
        }
    };
}

codes! {
    CONNECTION_FAILURE = "08006",
    PROTOCOL_VIOLATION = "08P01",
    FEATURE_NOT_SUPPORTED = "0A000",
    INVALID_PARAMETER_VALUE = "22023",
    ACTIVE_SQL_TRANSACTION = "25001",
    NO_ACTIVE_SQL_TRANSACTION = "25P01",
    IN_FAILED_SQL_TRANSACTION = "25P02",
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03",
    INVALID_SQL_STATEMENT_NAME = "26000",
    INVALID_AUTHORIZATION_SPECIFICATION = "28000",
    INVALID_PASSWORD = "28P01",
    INVALID_CURSOR_NAME = "34000",
    INVALID_SAVEPOINT_SPECIFICATION = "3B001",
    INVALID_CATALOG_NAME = "3D000",
    SYNTAX_ERROR = "42601",
    UNDEFINED_OBJECT = "42704",
    DUPLICATE_CURSOR = "42P03",
    DUPLICATE_PREPARED_STATEMENT = "42P05",
    TOO_MANY_CONNECTIONS = "53300",
    PROGRAM_LIMIT_EXCEEDED = "54000",
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000",
    CANT_CHANGE_RUNTIME_PARAM = "55P02",
    QUERY_CANCELED = "57014",
    ADMIN_SHUTDOWN = "57P01",
    IDLE_SESSION_TIMEOUT = "57P05",
    IO_ERROR = "58030",
    INTERNAL_ERROR = "XX000",
}
