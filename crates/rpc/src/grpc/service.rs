//! The callee's side of every call: the secret, bounds, deadlines, panics and metrics around the services.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use proto::{Code, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{BoxError, Service};
use tracing::{Instrument as _, Span};

use super::config::GrpcConfig;
use super::deadline::{self, Deadline};
use super::metrics::GrpcMetrics;
use super::secret::{ClusterSecret, InvalidSecret};
use super::status::to_status;
use super::trace;
use crate::overload::{Class, Governor};

/// The paths of what ingesters serve.
const INGESTER: &str = "/barograph.ingester.v1.Ingester/";

/// When a caller that was shed may come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What every call to a process must keep to.
#[derive(Clone)]
pub struct ServerPolicy {
    secret: ClusterSecret,
    calls: Arc<Semaphore>,
    metrics: GrpcMetrics,
    clock: Arc<dyn Clock>,
    governor: Option<Governor>,
}

impl ServerPolicy {
    /// The policy that the configuration asks for.
    ///
    /// # Errors
    /// Where no call can carry the cluster's secret.
    pub fn new(
        config: &GrpcConfig,
        metrics: GrpcMetrics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidSecret> {
        Ok(Self {
            secret: ClusterSecret::new(&config.cluster_secret)?,
            calls: Arc::new(Semaphore::new(config.max_calls)),
            metrics,
            clock,
            governor: None,
        })
    }

    /// The same, with the calls that ingesters serve shed as `governor` says. Calls of the control plane never are.
    pub fn with_governor(self, governor: Governor) -> Self {
        Self { governor: Some(governor), ..self }
    }

    pub(super) fn metrics(&self) -> &GrpcMetrics {
        &self.metrics
    }
}

impl std::fmt::Debug for ServerPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerPolicy").finish_non_exhaustive()
    }
}

/// Services as the network reaches them, whatever the network is.
#[derive(Debug, Clone)]
pub struct GrpcService {
    routes: Routes,
    policy: ServerPolicy,
}

impl GrpcService {
    /// These services behind this policy.
    pub fn new(routes: Routes, policy: ServerPolicy) -> Self {
        Self { routes: routes.prepare(), policy }
    }

    /// Admits a call, or says why not.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<OwnedSemaphorePermit, Error> {
        if !self.policy.secret.take(request.headers_mut()) {
            self.policy.metrics.unauthenticated.inc();
            return Err(Error::new(
                Code::Unauthenticated,
                "the call does not carry this cluster's secret; set grpc.cluster_secret to the same everywhere",
            ));
        }
        if let (Some(governor), Some(class)) = (&self.policy.governor, class(request.uri().path())) {
            governor.admit(class)?;
        }
        Arc::clone(&self.policy.calls).try_acquire_owned().map_err(|_| {
            self.policy.metrics.shed.inc();
            Error::unavailable("too many calls are being served; come back later", RETRY_AFTER)
        })
    }
}

impl<B> Service<Request<B>> for GrpcService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The routes are always ready; whether a call is taken is decided with the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let permit = match self.admit(&mut request) {
            Ok(permit) => permit,
            Err(error) => return Box::pin(std::future::ready(Ok(to_status(&error).into_http()))),
        };
        let policy = self.policy.clone();
        let timeout = deadline::timeout(request.headers());
        if let Some(timeout) = timeout {
            request.extensions_mut().insert(Deadline::after(&*policy.clock, timeout));
        }
        let span = trace::served(request.uri().path(), request.headers());
        let mut observed = Observed::new(policy.metrics.clone(), request.uri().path(), span.clone());
        let answer = AssertUnwindSafe(self.routes.call(request)).catch_unwind();
        let call = async move {
            let expired = async {
                match timeout {
                    Some(timeout) => policy.clock.sleep(timeout).await,
                    None => std::future::pending().await,
                }
            };
            let response = tokio::select! {
                biased;
                answer = answer => match answer {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    // The panic's message stays in the log, which the scope's panic hook writes.
                    Err(_) => to_status(&Error::internal("internal error; the log of the server says more")).into_http(),
                },
                () = expired => deadline::exceeded(timeout.unwrap_or_default()).into_http(),
            };
            observed.answered(&response);
            drop(permit);
            Ok(trace::within(&observed.span, response))
        };
        Box::pin(call.instrument(span))
    }
}

/// What a call is, as far as shedding is concerned; `None` for one that is never shed.
fn class(path: &str) -> Option<Class> {
    match path.strip_prefix(INGESTER)? {
        "Push" => Some(Class::Write),
        _ => Some(Class::Read),
    }
}

/// A call at work; dropping it observes its duration, also where the caller goes away.
struct Observed {
    metrics: GrpcMetrics,
    method: Arc<str>,
    started: Duration,
    code: tonic::Code,
    span: Span,
}

impl Observed {
    fn new(metrics: GrpcMetrics, method: &str, span: Span) -> Self {
        metrics.in_flight.inc();
        let started = metrics.clock.monotonic();
        Self { metrics, method: method.into(), started, code: tonic::Code::Cancelled, span }
    }

    fn answered(&mut self, response: &Response<Body>) {
        self.code = trace::code(response);
        if self.code == tonic::Code::Unimplemented {
            // The method is the caller's word then, not one of ours.
            self.method = "unknown".into();
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let taken = self.metrics.clock.monotonic().saturating_sub(self.started);
        trace::came_to(&self.span, self.code);
        self.metrics.served(&self.method, self.code, taken);
    }
}
