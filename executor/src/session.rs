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
        /// How dates and timestamps are written, and in which order their fields are read, as SHOW prints it.
        pub date_style: String, default = "ISO, MDY".to_owned()
        /// How intervals are written, as SHOW prints it.
        pub interval_style: String, default = "postgres".to_owned()
    }
}

impl ConfigExtension for SessionOptions {
    const PREFIX: &'static str = "quickdb";
}

/// Sets what a client's session has chosen, for plans here and for its tasks on the workers of a cluster.
pub fn set_styles(options: &mut ConfigOptions, time_zone: &str, date_style: &str, interval_style: &str) {
    if options.extensions.get::<SessionOptions>().is_none() {
        options.extensions.insert(SessionOptions::default());
    }
    if let Some(session) = options.extensions.get_mut::<SessionOptions>() {
        time_zone.clone_into(&mut session.time_zone);
        date_style.clone_into(&mut session.date_style);
        interval_style.clone_into(&mut session.interval_style);
    }
}
