//! Why rules cannot be used.

use std::io;
use std::path::PathBuf;

use env::TaskError;
use thiserror::Error;

/// Why files of rules cannot be used. The rules in use stay.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A pattern names no file.
    #[error("{}: there is no such file", pattern.display())]
    Missing {
        /// The file that was named.
        pattern: PathBuf,
    },
    /// Files are wrong; a line for each thing that is.
    #[error("{}", problems.join("\n"))]
    Wrong {
        /// What is wrong, each with file, line and column.
        problems: Vec<String>,
    },
    /// Reading was cut short.
    #[error("files of rules cannot be read")]
    Task(#[from] TaskError),
}

/// Why a ruler cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its rules cannot be used.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// An Alertmanager cannot be reached by what was given.
    #[error("alertmanager_url: {url:?} refused; expected a URL such as http://alertmanager:9093")]
    AlertmanagerUrl {
        /// What was given, without a password.
        url: String,
    },
    /// No client for HTTP can be made.
    #[error("cannot make an HTTP client for Alertmanagers")]
    Client(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for Alertmanagers")]
    Tls(#[source] rustls::Error),
}
