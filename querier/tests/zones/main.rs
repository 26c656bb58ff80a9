//! Reading from zones whose ingesters are fakes: whatever fails, an answer is whole or an error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod cluster;
mod history;
mod node;
mod selections;
