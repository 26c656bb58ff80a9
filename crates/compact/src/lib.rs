//! What is to become of a tenant's blocks: which are merged into larger ones, split by series, dropped because they are too
//! old or contained in others, and which are left as they are, and why. A pure function of blocks, rules and the time.
//!
//! Nothing here reads a block. A block that no rule speaks of stays: nothing is dropped for not being understood.

mod block;
mod contained;
mod ladder;
mod plan;
mod shard;

pub use block::{Block, Window};
pub use ladder::{Ladder, LadderError};
pub use plan::{Contained, Job, Left, Plan, Reason, Rules, plan};
pub use shard::{MAX_SHARDS, Shard, ShardError};
