//! Builders, check helpers and fakes for tests; a dev-dependency only.

pub mod conformance;
pub mod ingester;
pub mod remote_write;

pub use conformance::conformance;
pub use ingester::FakeIngester;
