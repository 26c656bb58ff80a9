//! Builders, check helpers and fakes for tests; a dev-dependency only.

pub mod conformance;

pub use conformance::conformance;
