//! Why rules cannot be used.

use std::io;
use std::path::PathBuf;

use env::TaskError;
use thiserror::Error;

use crate::stored::MAX_NAMESPACE_NAME_BYTES;

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

/// Why what a tenant has set is not changed.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// There is no such group.
    #[error("group does not exist")]
    Absent,
    /// There is no such namespace.
    #[error("group namespace does not exist")]
    NamespaceAbsent,
    /// A namespace cannot be called so.
    #[error("a namespace has a name of 1 to {MAX_NAMESPACE_NAME_BYTES} bytes")]
    Name,
    /// The group is wrong; a line for each thing that is.
    #[error("{0}")]
    Refused(String),
    /// There would be too many.
    #[error("per-user {what} limit (limit: {max} actual: {count}) exceeded; the limit is {limit}")]
    Limit {
        /// Of what there would be too many.
        what: &'static str,
        /// What the limit is called.
        limit: &'static str,
        /// How many there would be.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The namespace would be too large.
    #[error(
        "the namespace would be larger than what is kept of one; put some of its groups into another namespace"
    )]
    TooLarge,
    /// It cannot be kept.
    #[error("the rules cannot be kept: {0}")]
    Unkept(String),
    /// The group would be too large.
    #[error(
        "the group is larger than what the metastore keeps of one, which is 2 MiB; make several groups of it"
    )]
    GroupTooLarge,
}

/// Why a ruler cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its rules cannot be used.
    #[error(transparent)]
    Rules(#[from] LoadError),
    /// What tenants have set cannot be read.
    #[error(
        "what tenants have set cannot be read; put the file right, or move it away and have its rules set again"
    )]
    Stored(#[source] io::Error),
    /// There are rules from when this process was all there was.
    #[error(
        "{}: tenants have set rules while this process was in no cluster; a cluster keeps them in the metastore: load the files \
         with barograph rules load, and move the folder away", dir.display()
    )]
    Folder {
        /// Where they are.
        dir: PathBuf,
    },
    /// An Alertmanager cannot be reached by what was given.
    #[error(
        "alertmanager_url: {url:?} refused; expected a URL such as http://alertmanager:9093, or, for all that DNS knows by a name, \
         dns+http://alertmanager:9093 or dnssrv+http://_http._tcp.alertmanager"
    )]
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
