//! Who owns which series: instances, their tokens and zones, replica sets and quorums. Pure data and pure functions:
//! nothing here knows how instances find each other, and a ring never changes. Whoever watches the members makes a new
//! one.
//!
//! The ring is the circle of 64-bit hashes. Every instance has tokens on it; a series belongs to the instances that
//! come next clockwise from its hash, one in each of RF zones.

mod heirs;
mod instance;
mod newcomer;
mod placement;
mod quorum;
mod reading;
mod shard;
mod view;

pub mod lookup;

pub use heirs::{Heirs, NoHeir, TenantHeirs};
pub use instance::{Instance, InstanceId, State};
pub use lookup::{Replicas, Ring, RingError};
pub use placement::{TOKENS_PER_INSTANCE, place};
pub use quorum::{Outcome, Quorum, Tally};
pub use reading::{LostRange, ReadSet, ZoneReaders};
pub use shard::{SERIES_PER_INSTANCE, ShardSize, WriteShard};
pub use view::RingView;
