//! How numbers, durations and texts are written, where clients and tests expect the form that Go gives them.

pub mod duration;
pub mod number;
pub mod quote;
