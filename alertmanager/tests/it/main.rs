//! The decisions of the Alertmanager, against upstream's conformance data and cases of our own.

mod api;
mod config;
mod dispatch;
mod inhibition;
mod intervals;
mod matchers;
mod role;
mod routing;
mod scenarios;
mod silences;
mod state;
mod support;
mod templates;
