//! Buckets over every backend.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backends;
mod failing;
mod index;
mod moving;
mod suite;
