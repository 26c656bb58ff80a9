//! The Alertmanager's decisions: its configuration, matchers, routes, intervals, inhibition, silences, and what is to be
//! told to whom and when.
//!
//! Pure: logic takes the time and events and returns what is to be done. There is no role here yet: nothing listens, sends,
//! stores or reads a clock.

pub mod alert;
pub mod config;
pub mod dispatch;
pub mod inhibit;
pub mod interval;
pub mod matcher;
pub mod moment;
pub mod notification_log;
pub mod route;
pub mod silence;
pub mod template;

pub use alert::{Alert, AlertError, Fingerprint};
pub use config::{Config, ConfigError};
pub use moment::Moment;
