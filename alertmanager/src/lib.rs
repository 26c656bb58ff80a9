//! The Alertmanager. Its decisions are pure: the configuration, matchers, routes, intervals, inhibition, silences, and what is
//! to be told to whom and when take the time and events and return what is to be done. The role runs them: `service` has
//! tenants and what is kept of them, `api` answers, `notify` tells receivers, `state` is what outlives the process.

pub mod alert;
mod api;
mod cluster;
pub mod config;
pub mod dispatch;
mod error;
mod glob;
mod health;
pub mod inhibit;
pub mod interval;
mod keeper;
mod limits;
pub mod matcher;
mod metrics;
pub mod moment;
pub mod notification_log;
mod notify;
mod own;
mod post;
pub mod route;
mod service;
mod settings;
mod setup;
pub mod silence;
mod state;
pub mod template;
mod tenant;

pub use alert::{Alert, AlertError, Fingerprint};
pub use cluster::{AlertmanagerService, ClusterDeps, RemoteAlertmanagers};
pub use config::{Config, ConfigError};
pub use error::{SetupError, StartError};
pub use limits::AlertmanagerLimits;
pub use moment::Moment;
pub use notify::ReceiverNetwork;
pub use service::{Alertmanager, Deps, RuleGroups};
pub use settings::AlertmanagerConfig;
pub use setup::Checked;
pub use state::StateError;
