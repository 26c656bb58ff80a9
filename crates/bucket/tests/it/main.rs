//! Buckets over every backend.

mod backends;
mod failing;
mod index;
mod suite;
