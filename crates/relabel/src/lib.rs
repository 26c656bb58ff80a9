//! Relabelling as Prometheus defines it (`relabel_config`): rules that drop label sets or change their labels, read
//! from configuration and applied in order.
//!
//! Label names may be any non-empty UTF-8, as in Prometheus 3. Pure: what a rule does depends on the labels alone.

mod apply;
mod config;
mod pattern;
mod template;

pub use apply::{Verdict, apply};
pub use config::{Action, Rule, RuleError};
