//! Finished spans: queued within a bound, sent in batches over OTLP, counted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use thiserror::Error;
use tonic::metadata::MetadataMap;

use crate::Registry;
use crate::metrics::Counter;

/// Where spans go, and how many.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    /// The collector's OTLP endpoint for gRPC, for example `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// How many of the traces that begin here are exported, from 0 to 1. What a caller has decided holds for its own.
    pub sampling_ratio: f64,
    /// The attribute `service.name`.
    pub service_name: String,
    /// The attribute `service.instance.id`.
    pub instance: String,
    /// Headers of every export: `name=value`, separated by commas.
    pub headers: String,
    /// How many finished spans may wait; further ones are dropped.
    pub max_queued_spans: usize,
    /// How many spans one export has at most.
    pub max_batch_spans: usize,
    /// How long spans wait at most before they are exported.
    pub interval: Duration,
    /// How long an export may take.
    pub timeout: Duration,
}

/// Why spans cannot be exported.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The headers are not headers.
    #[error("header {header:?} of the trace export is none; give name=value, separated by commas")]
    Header {
        /// What was given; a value is not shown.
        header: String,
    },
    /// The exporter refuses its settings.
    #[error(
        "spans cannot be exported to {endpoint:?}; give the URL of an OTLP endpoint for gRPC, such as http://127.0.0.1:4317"
    )]
    Exporter {
        /// Where to.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: ExporterBuildError,
    },
}

/// Checks that `text` is [`TraceConfig::headers`].
///
/// # Errors
/// Where one is no header.
pub fn check_headers(text: &str) -> Result<(), TraceError> {
    headers(text).map(drop)
}

/// The export of spans, which ends with [`Tracing::shutdown`].
#[derive(Debug)]
pub struct Tracing {
    provider: SdkTracerProvider,
    counters: Counters,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    exported: Counter,
    failed: Counter,
    failing: Arc<AtomicBool>,
}

impl Tracing {
    /// Registers how many spans were exported, and how many were not.
    pub fn register(&self, registry: &Registry) {
        let registry = registry.sub("tracing");
        let Counters { exported, failed, .. } = &self.counters;
        registry.register("exported_spans", "Spans that the collector has taken", exported.clone());
        registry.register("failed_spans", "Spans whose export failed", failed.clone());
    }

    /// Exports what waits and ends; at most within `timeout`. It blocks, and needs the runtime that the export was made in.
    pub fn shutdown(self, timeout: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(timeout) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Begins to export, in the tokio runtime that is entered, from a thread of its own.
pub(crate) fn tracer(config: &TraceConfig) -> Result<(Tracing, SdkTracer), TraceError> {
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_endpoint(config.endpoint.clone())
        .with_timeout(config.timeout)
        .with_metadata(MetadataMap::from_headers(headers(&config.headers)?))
        .build()
        .map_err(|source| TraceError::Exporter { endpoint: config.endpoint.clone(), source })?;
    let counters = Counters::default();
    let exporter = Counted { exporter, endpoint: config.endpoint.clone(), counters: counters.clone() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(config.max_queued_spans)
        .with_max_export_batch_size(config.max_batch_spans)
        .with_scheduled_delay(config.interval)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attributes([
            KeyValue::new("service.instance.id", config.instance.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampling_ratio))))
        .with_resource(resource)
        .with_span_processor(processor)
        .build();
    let tracer = provider.tracer("barograph");
    Ok((Tracing { provider, counters }, tracer))
}

fn headers(text: &str) -> Result<HeaderMap, TraceError> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let parsed = HeaderName::try_from(name.trim()).ok().zip(HeaderValue::try_from(value.trim()).ok());
        let (name, value) = parsed
            .filter(|_| pair.contains('='))
            .ok_or_else(|| TraceError::Header { header: name.to_owned() })?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// An exporter that counts, and says once that the collector does not take spans, and once that it does again.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    endpoint: String,
    counters: Counters,
}

impl SpanExporter for Counted {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let spans = batch.len() as u64;
        let export = self.exporter.export(batch);
        async move {
            let result = export.await;
            let Counters { exported, failed, failing } = &self.counters;
            match &result {
                Ok(()) => {
                    exported.inc_by(spans);
                    if failing.swap(false, Ordering::Relaxed) {
                        tracing::info!(endpoint = self.endpoint, "spans are exported again");
                    }
                }
                Err(error) => {
                    failed.inc_by(spans);
                    if !failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(endpoint = self.endpoint, %error, "spans cannot be exported");
                    }
                }
            }
            result
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs() {
        let parsed = headers(" authorization=Basic a=b , x-scope-orgid=7,").expect("headers");
        assert_eq!(
            (parsed["authorization"].as_bytes(), parsed["x-scope-orgid"].as_bytes()),
            (&b"Basic a=b"[..], &b"7"[..])
        );
        assert!(headers("").expect("none").is_empty());
        for wrong in ["name", "a b=c", "=c", "a=\u{1}"] {
            assert!(headers(wrong).is_err(), "{wrong:?}");
        }
    }
}
