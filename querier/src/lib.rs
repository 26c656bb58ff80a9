//! The querier: front door for reads. It answers the Prometheus query API from what ingesters and the blocks of the bucket
//! hold, merged and deduplicated. It stores nothing but caches, and knows ingesters only as [`proto::IngesterRead`].

mod active_queries;
mod admission;
pub mod blocks;
mod cardinality;
mod compute;
pub mod config;
pub mod error;
mod execute;
mod federated;
mod http;
pub mod ingesters;
mod labels;
mod memory;
pub mod metrics;
mod newest;
pub mod report;
mod samples;
mod select;
pub mod service;
mod source;
mod sources;
mod streamed;
pub mod zones;

pub use blocks::{Blocks, BlocksConfig, BlocksDeps};
pub use config::{QuerierConfig, QuerierLimits};
pub use error::{ApiError, ErrorType};
pub use ingesters::{FixedIngesters, Ingesters};
pub use labels::{LabelRequest, Limited};
pub use metrics::QuerierMetrics;
pub use promql::{QueryTime, QueryValue};
pub use report::{Cost, Report};
pub use service::{Deps, Querier, QueryClass, QueryRequest, QueryResponse, StatsWanted, Timings};
pub use zones::{ZoneDeps, ZoneIngesters};
