//! Builders, check helpers and fakes for tests; a dev-dependency only.

pub mod address;
pub mod conformance;
pub mod ingester;
pub mod peer;
pub mod receiver;
pub mod remote_write;
pub mod s3;

pub use address::free_address;
pub use conformance::conformance;
pub use ingester::FakeIngester;
pub use peer::peer;
pub use receiver::{ReceivedRequest, Receiver, Reply};
pub use s3::S3Server;
