//! Rulers in one thread from one seed: three of them over a simulated metastore, with one storage and one Alertmanager for all,
//! and faults that take away rulers, voters and the links between them. Who watches knows what was recorded, by whom, and what
//! was told.
//!
//! Ingesters, distributors and queriers are not part of it: what rulers owe each other does not depend on them.

mod faults;
mod machines;
mod seen;
mod story;

pub use seen::RulerStats;
pub use story::{RulerOptions, run_rulers};

/// What is built wrong about rulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RulerMutant {
    /// Whoever takes groups over waits for nobody to let go of them.
    TwoOwners,
    /// What was recorded before is not found.
    StateNotRestored,
    /// A ruler that has started tells of no alert that began before.
    AlertDropped,
}
