//! Metrics of calls, by method and by what they came to. Methods are those of services of ours, so that callers cannot
//! make label values.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use telemetry::{HistogramFamily, Registry};
use tonic::Code;

/// From a call on loopback to one that reaches its deadline.
const DURATION_BUCKETS_SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Metrics of the gRPC calls of one process, served and made. Clones are the same metrics.
#[derive(Clone)]
pub struct GrpcMetrics {
    served: HistogramFamily<CallLabels>,
    made: Family<CallLabels, Counter>,
    pub(super) in_flight: Gauge,
    pub(super) connections: Gauge,
    pub(super) shed: Counter,
    pub(super) unauthenticated: Counter,
    peer_open: Family<PeerLabels, Gauge>,
    peer_openings: Family<PeerLabels, Counter>,
    kept_back: Family<PeerLabels, Counter>,
    peer_shed: Family<PeerLabels, Counter>,
    peer_sent: Family<PeerLabels, Counter>,
    pub(super) handshake_failures: Counter,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: Arc<str>,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: Arc<str>,
}

/// The metrics of the calls to one peer.
pub(super) struct PeerMetrics {
    labels: PeerLabels,
    metrics: GrpcMetrics,
    pub(super) open: Gauge,
    pub(super) openings: Counter,
    pub(super) kept_back: Counter,
    pub(super) shed: Counter,
    pub(super) sent: Counter,
}

impl PeerMetrics {
    /// Takes the metrics away. What is still under way counts for nobody.
    pub(super) fn forget(&self) {
        let Self { labels, metrics, .. } = self;
        metrics.peer_open.remove(labels);
        metrics.peer_openings.remove(labels);
        metrics.kept_back.remove(labels);
        metrics.peer_shed.remove(labels);
        metrics.peer_sent.remove(labels);
    }
}

impl GrpcMetrics {
    /// Registers the metrics, named `…_grpc_…`.
    pub fn register(registry: &Registry, clock: Arc<dyn Clock>) -> Self {
        let registry = registry.sub("grpc");
        Self {
            served: registry.histogram_family(
                "request_duration_seconds",
                "Time from the headers of a call to those of its answer, as served",
                &DURATION_BUCKETS_SECONDS,
            ),
            made: registry.family("client_requests", "Calls made, by what they came to"),
            in_flight: registry.gauge("requests_in_flight", "Calls that are being served"),
            connections: registry.gauge("connections", "Open connections to this process"),
            shed: registry.counter("shed_requests", "Calls refused because too many are being served"),
            unauthenticated: registry
                .counter("unauthenticated_requests", "Calls without the cluster's secret"),
            peer_open: registry.family(
                "peer_breaker_open",
                "1 while calls to the peer are kept back because it does not answer",
            ),
            peer_openings: registry
                .family("peer_breaker_openings", "How often calls to the peer began to be kept back"),
            kept_back: registry.family(
                "peer_kept_back_calls",
                "Calls to the peer that were kept back because it does not answer",
            ),
            peer_shed: registry
                .family("peer_shed_calls", "Calls to the peer refused because too much was under way to it"),
            peer_sent: registry.family(
                "peer_sent_bytes",
                "Bytes of writes sent to the peer, without what the transport adds",
            ),
            handshake_failures: registry.counter(
                "tls_handshake_failures",
                "Connections to this process given up because their TLS handshake failed or took too long",
            ),
            clock,
        }
    }

    pub(super) fn of_peer(&self, peer: &str) -> PeerMetrics {
        let labels = PeerLabels { peer: peer.into() };
        PeerMetrics {
            open: self.peer_open.get_or_create(&labels).clone(),
            openings: self.peer_openings.get_or_create(&labels).clone(),
            kept_back: self.kept_back.get_or_create(&labels).clone(),
            shed: self.peer_shed.get_or_create(&labels).clone(),
            sent: self.peer_sent.get_or_create(&labels).clone(),
            metrics: self.clone(),
            labels,
        }
    }

    pub(super) fn served(&self, method: &Arc<str>, code: Code, taken: Duration) {
        self.served.get_or_create(&labels(method, code)).observe(taken.as_secs_f64());
    }

    pub(super) fn made(&self, method: &str, code: Code) {
        self.made.get_or_create(&labels(&method.into(), code)).inc();
    }
}

impl std::fmt::Debug for GrpcMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcMetrics").finish_non_exhaustive()
    }
}

fn labels(method: &Arc<str>, code: Code) -> CallLabels {
    CallLabels { method: Arc::clone(method), code: name(code) }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
