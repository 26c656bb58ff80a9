//! What tools besides PromQL ask of the process: Grafana, other Prometheus servers, browsers.

mod data;
mod federation;
mod grafana;
mod remote_read;
mod transport;

pub(crate) use data::write;
