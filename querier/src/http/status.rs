//! `status/buildinfo`.

use axum::response::Response;

use super::answer::{Annotations, success};

/// The version of Prometheus whose API this is. Clients choose what they ask for by it.
const PROMETHEUS_API_VERSION: &str = "3.5.0";

pub(super) async fn build_info() -> Response {
    let fields = [
        ("version", PROMETHEUS_API_VERSION),
        ("revision", concat!("barograph-", env!("CARGO_PKG_VERSION"))),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ];
    success(&Annotations::default(), |out| {
        let fields = fields.map(|(key, value)| format!("\"{key}\":\"{value}\""));
        out.extend_from_slice(format!("{{{}}}", fields.join(",")).as_bytes());
    })
}
