//! Metrics of requests by method, route and status. Routes are patterns of ours and methods a closed set, so that
//! clients cannot make label values.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::response::Response;
use env::Clock;
use http::{Method, Request, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use telemetry::{HistogramFamily, Registry};
use tower::{Layer, Service};

/// The route of requests that none of ours matches.
const UNMATCHED: &str = "unmatched";

/// The status of requests whose client went away before the answer, as nginx counts them.
const CLIENT_CLOSED_REQUEST: u32 = 499;

/// From a write that only touches memory to a query that reaches its timeout.
const DURATION_BUCKETS_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0, 100.0];

/// Metrics of the HTTP listener. Clones are the same metrics.
#[derive(Clone)]
pub struct HttpMetrics {
    durations: HistogramFamily<RequestLabels>,
    in_flight: Gauge,
    connections: Gauge,
    accepted: Counter,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Arc<str>,
    status_code: u32,
}

impl HttpMetrics {
    /// Registers the metrics, named `…_http_…`.
    pub fn register(registry: &Registry, clock: Arc<dyn Clock>) -> Self {
        let registry = registry.sub("http");
        Self {
            durations: registry.histogram_family(
                "request_duration_seconds",
                "Time from the headers of a request to those of its answer",
                &DURATION_BUCKETS_SECONDS,
            ),
            in_flight: registry.gauge("requests_in_flight", "Requests that are being handled"),
            connections: registry.gauge("connections", "Open connections"),
            accepted: registry.counter("connections_accepted", "Connections accepted since the start"),
            clock,
        }
    }

    /// The layer that counts the requests of a router.
    pub fn layer(&self) -> HttpMetricsLayer {
        HttpMetricsLayer(self.clone())
    }

    /// Counts a connection; it is open until the guard is dropped.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        self.accepted.inc();
        OpenConnection(self.connections.clone())
    }
}

impl std::fmt::Debug for HttpMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpMetrics").finish_non_exhaustive()
    }
}

/// An open connection, as far as metrics are concerned.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts requests; made by [`HttpMetrics::layer`].
#[derive(Debug, Clone)]
pub struct HttpMetricsLayer(HttpMetrics);

impl<S> Layer<S> for HttpMetricsLayer {
    type Service = HttpMetricsService<S>;

    fn layer(&self, inner: S) -> HttpMetricsService<S> {
        HttpMetricsService { metrics: self.0.clone(), inner }
    }
}

/// The service of [`HttpMetricsLayer`].
#[derive(Debug, Clone)]
pub struct HttpMetricsService<S> {
    metrics: HttpMetrics,
    inner: S,
}

impl<S, B> Service<Request<B>> for HttpMetricsService<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = request.extensions().get::<MatchedPath>();
        let mut observed = Observed {
            started: self.metrics.clock.monotonic(),
            labels: RequestLabels {
                method: method_label(request.method()),
                route: route.map_or(UNMATCHED, MatchedPath::as_str).into(),
                status_code: CLIENT_CLOSED_REQUEST,
            },
            metrics: self.metrics.clone(),
        };
        self.metrics.in_flight.inc();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let Ok(response) = &answer {
                observed.answered(response.status());
            }
            answer
        })
    }
}

/// A request at work; dropping it observes its duration, also where the client goes away and the handler is dropped.
struct Observed {
    started: Duration,
    labels: RequestLabels,
    metrics: HttpMetrics,
}

impl Observed {
    fn answered(&mut self, status: StatusCode) {
        self.labels.status_code = u32::from(status.as_u16());
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let taken = self.metrics.clock.monotonic().saturating_sub(self.started);
        self.metrics.durations.get_or_create(&self.labels).observe(taken.as_secs_f64());
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
