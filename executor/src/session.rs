//! What a session's settings change in the work of its workers.
//!
//! datafusion-distributed hands on the settings of extensions alone, so what a function needs to know beside the
//! data travels in this one.

use datafusion::common::extensions_options;
use datafusion::config::{ConfigExtension, ConfigOptions};

extensions_options! {
    /// The part of a session that travels with its tasks.
    pub struct SessionOptions {
        /// Zone of `timestamp with time zone` values in casts, functions and text.
        pub time_zone: String, default = "UTC".to_owned()
    }
}

impl ConfigExtension for SessionOptions {
    const PREFIX: &'static str = "quickdb";
}

/// Sets the zone of a client's session for its tasks on the workers of a cluster.
pub fn set_time_zone(options: &mut ConfigOptions, zone: &str) {
    if let Some(session) = options.extensions.get_mut::<SessionOptions>() {
        zone.clone_into(&mut session.time_zone);
    }
}
