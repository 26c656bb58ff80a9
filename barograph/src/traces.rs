//! What the process can be told about traces.

use std::time::Duration;

use settings::Secret;
use telemetry::trace::TraceConfig;

settings::section! {
    /// Traces of requests, exported over OTLP.
    pub struct TracingConfig ("tracing") {
        /// The URL of a collector's OTLP endpoint for gRPC, such as http://127.0.0.1:4317. Without one there are no traces,
        /// and they cost nothing.
        endpoint: Option<String> = "";
        /// How many of the traces that begin in this process are exported: 1 is all of them. Requests that belong to a trace
        /// already (header traceparent) do as their caller has decided.
        sampling_ratio: f64 = "0.01", range "0"..="1";
        /// The attribute service.name. Without one it is barograph, and the roles of the process where it has not all.
        service_name: Option<String> = "";
        /// Headers of every export, such as authorization=…: name=value, separated by commas.
        headers: Secret = "";
        /// How many finished spans may wait to be exported; further ones are dropped.
        max_queued_spans: usize = "8192", range "16"..="1000000";
        /// How many spans one export has at most.
        max_batch_spans: usize = "512", range "1"..="100000";
        /// How long a finished span waits at most before it is exported.
        export_interval: Duration = "5s", range "10ms"..="10m";
        /// How long an export may take. A stop of the process waits as long for the last one.
        export_timeout: Duration = "5s", range "10ms"..="1m";
    }
    check tracing_is_consistent;
}

fn tracing_is_consistent(config: &TracingConfig) -> Result<(), String> {
    if config.max_batch_spans > config.max_queued_spans {
        return Err(format!(
            "tracing.max_batch_spans is {} and tracing.max_queued_spans {}; a batch cannot be larger than the queue",
            config.max_batch_spans, config.max_queued_spans
        ));
    }
    match config.endpoint.as_deref() {
        Some(url) if !url.starts_with("http://") => {
            return Err(format!(
                "tracing.endpoint: {url:?} refused; expected the URL of an OTLP endpoint for gRPC that begins with \
                 http://, such as that of a collector beside this process"
            ));
        }
        _ => {}
    }
    telemetry::trace::check_headers(config.headers.expose())
        .map_err(|error| format!("tracing.headers: {error}"))
}

impl TracingConfig {
    /// What the export needs to know; `None` where there is none. `roles` are those of the process if it has not all, and
    /// `instance` is its name.
    pub(crate) fn export(&self, roles: &[&str], instance: String) -> Option<TraceConfig> {
        let service_name = self.service_name.clone().unwrap_or_else(|| {
            let names = std::iter::once("barograph").chain(roles.iter().copied());
            names.collect::<Vec<_>>().join("-")
        });
        Some(TraceConfig {
            endpoint: self.endpoint.clone()?,
            sampling_ratio: self.sampling_ratio,
            service_name,
            instance,
            headers: self.headers.expose().to_owned(),
            max_queued_spans: self.max_queued_spans,
            max_batch_spans: self.max_batch_spans,
            interval: self.export_interval,
            timeout: self.export_timeout,
        })
    }
}
