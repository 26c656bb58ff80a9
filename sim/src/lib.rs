//! The whole cluster in one thread from one seed: metastore, ingesters, distributors and queriers as they are, on a simulated
//! network, simulated disks and simulated clocks, with faults, and an oracle that knows what clients were promised.
//!
//! [`run`] is a run; the same [`Options`] give the same [`Outcome`], on any machine and whatever else runs beside it.

mod alertmanagers;
mod bounds;
mod clients;
mod draw;
mod fault;
mod fleet;
mod logs;
mod mutant;
mod network;
mod node;
mod oracle;
mod panics;
mod registers;
mod replicas;
mod rulers;
mod run;
mod schedule;
mod shrink;
mod site;
mod soak;
mod stage;
mod storage;
mod trace;
mod world;

pub use alertmanagers::{AlertmanagerMutant, AlertmanagerOptions, AlertmanagerStats, run_alertmanagers};
pub use mutant::Mutant;
pub use network::Carries;
pub use oracle::Stats;
pub use rulers::{RulerMutant, RulerOptions, RulerStats, run_rulers};
pub use run::{Options, Outcome, run};
pub use shrink::shrink;
pub use soak::Soak;
pub use stage::RoleOutcome;
pub use trace::Keep;
pub use world::HEALS_WITHIN;
