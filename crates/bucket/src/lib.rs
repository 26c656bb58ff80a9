//! Object storage: a bucket, what tenants keep in it, and the index of their blocks. `object_store` speaks to S3, Google
//! Cloud Storage, Azure and files; here are the names that are allowed, one retry policy with its deadlines and bounds,
//! errors that say what to do, metrics, and the layout that Mimir and Cortex have (`docs/formats/bucket.md`).
//!
//! Nothing here knows who writes blocks or reads them.

mod backing;
mod bucket;
mod config;
mod error;
pub mod faults;
mod files;
mod http;
mod index;
mod marks;
mod metrics;
mod moving;
mod name;
mod object;
mod open;
mod policy;
mod tenant;
mod tenant_files;
mod upload;

pub use backing::Backing;
pub use bucket::{Bucket, BucketDeps, Listed, Object, ObjectInfo, Version};
pub use config::{Addressing, BackendKind, BucketConfig, Encryption, Layout};
pub use error::{BucketError, ErrorKind, Operation};
pub use index::{BucketIndex, IndexedBlock, IndexedMark, SEGMENTS_1B6D, SHARD_LABEL};
pub use marks::{DeletionMark, NoCompactMark, TenantDeletionMark};
pub use moving::Moved;
pub use name::{NameError, ObjectName};
pub use object::BlockObject;
pub use open::OpenError;
pub use tenant::{TenantBucket, TenantBucketError};
pub use tenant_files::ReadBack;
pub use upload::Uploaded;
