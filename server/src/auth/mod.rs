//! Authentication of clients.

pub mod channel_binding;
pub mod scram;
