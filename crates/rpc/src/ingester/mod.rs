//! An ingester in another process: the traits [`proto::IngesterWrite`] and [`proto::IngesterRead`] over gRPC.
//!
//! [`RemoteIngester`] is the caller's side and implements both traits; [`RemoteIngesters`] finds it by
//! the name of the instance; [`IngesterService`] serves what implements them. Bodies of series and chunks are copied at most once into the message that is sent, and not at all out of the one that
//! came. Long answers come as streams of bounded messages.

mod cardinality;
mod checksums;
mod client;
mod labels;
mod peers;
mod read;
mod send;
mod server;
mod symbols;
mod take_over;
mod write;

#[cfg(test)]
mod tests;

pub use client::RemoteIngester;
pub use peers::RemoteIngesters;
pub use server::IngesterService;
pub use take_over::TakeOverService;

use proto::{Code, Error};

/// A message of a peer that does not keep to the protocol.
fn malformed(what: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("malformed message between instances: {what}"))
}

/// A number that is as large as a collection can be, at most.
fn bounded(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
