//! Alertmanagers in one thread from one seed: three of them over a simulated metastore, with alerts that are posted to any of them
//! and silences that people set, a receiver that counts, and faults that take away Alertmanagers, voters and the links between
//! them. Who watches knows what was posted, what was told and by whom, when the metastore had it, and what each
//! of them knew at any of these moments.
//!
//! Rulers are not part of it: what posts alerts does as they do, or as Prometheus does.

mod apart;
mod check;
mod due;
mod faults;
mod knowledge;
mod machines;
mod mutant;
mod seen;
mod story;
mod traffic;

pub use mutant::AlertmanagerMutant;
pub use seen::AlertmanagerStats;
pub use story::{AlertmanagerOptions, run_alertmanagers};
