//! A run from its seed to what it came to.

use std::collections::BTreeSet;

use crate::Stats;
use crate::mutant::Mutant;
use crate::network::Carries;
use crate::stage::{self, Played};
use crate::trace::Keep;
use crate::world::{Lived, live};

/// Which run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What everything is drawn from.
    pub seed: u64,
    /// Faults that are left out, by their numbers.
    pub without: BTreeSet<usize>,
    /// What is built wrong.
    pub mutant: Option<Mutant>,
    /// What travels through the network.
    pub carries: Carries,
    /// What is kept of the story.
    pub keep: Keep,
}

impl Options {
    /// The run of a seed, as it is.
    pub fn of(seed: u64) -> Self {
        Self { seed, without: BTreeSet::new(), mutant: None, carries: Carries::Calls, keep: Keep::Nothing }
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of everything that happened, in order.
    pub hash: u64,
    /// How much happened.
    pub events: u64,
    /// What must not be and was; `None` where all went as promised.
    pub failure: Option<String>,
    /// What clients did.
    pub stats: Stats,
    /// The faults, in the order of their numbers.
    pub faults: Vec<String>,
    /// The story, as far as it was kept.
    pub story: Vec<String>,
}

/// Runs a seed on this thread.
///
/// # Panics
/// Where no runtime can be made.
pub fn run(options: &Options) -> Outcome {
    let played = stage::play((options.seed, "executor"), options.keep, |executor, trace| async move {
        let lived = live(executor, options, trace.clone()).await;
        // What happens while everything is taken down is not part of it.
        trace.freeze();
        lived.fleet.end();
        lived
    });
    let Played { lived, hash, events, story, panic } = played;
    match lived {
        Some(Lived { failure, stats, faults, .. }) => {
            Outcome { hash, events, failure: failure.or(panic), stats, faults, story }
        }
        None => Outcome { hash, events, failure: panic, stats: Stats::default(), faults: Vec::new(), story },
    }
}
