//! Queries and how they are run: options, limits, results, errors, and the trait that data comes through.

pub mod annotations;
pub mod budget;
pub mod error;
pub mod executor;
pub mod options;
pub mod run;
pub mod sample_counts;
pub mod source;
pub mod value;
