//! Why the role cannot start, or cannot take a configuration.

use thiserror::Error;

use crate::config::ConfigError;
use crate::state::StateError;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetupError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of templates is wrong.
    #[error("failed to parse templates: {0}")]
    Template(String),
    /// A receiver cannot be made of it.
    #[error("{0}")]
    Receiver(String),
}

/// Why the role cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its configuration cannot be used.
    #[error("the Alertmanager's configuration cannot be used")]
    Setup(#[from] SetupError),
    /// What it kept cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// What tenants have set cannot be read.
    #[error("the configurations that tenants have set cannot be read")]
    Configs(#[source] std::io::Error),
    /// Its start was cut short.
    #[error("the start was cut short")]
    Task(#[from] env::TaskError),
}
