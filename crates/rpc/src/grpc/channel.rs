//! The caller's side: a channel to one peer, over whatever transport.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use env::{Clock, Rng};
use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service};
use tracing::{Instrument as _, Span};

use super::config::GrpcConfig;
use super::deadline::{self, DeadlineBody};
use super::metrics::GrpcMetrics;
use super::peer::{Call, PeerGuard, UnderWay};
use super::retry::RetryBudget;
use super::secret::{ClusterSecret, InvalidSecret};
use super::status::to_status;
use super::trace;

/// What every call of a process carries and keeps to.
#[derive(Clone)]
pub struct ClientPolicy {
    secret: ClusterSecret,
    config: GrpcConfig,
    metrics: GrpcMetrics,
    clock: Arc<dyn Clock>,
}

impl ClientPolicy {
    /// The policy that the configuration asks for.
    ///
    /// # Errors
    /// Where the cluster's secret cannot be sent.
    pub fn new(
        config: &GrpcConfig,
        metrics: GrpcMetrics,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidSecret> {
        Ok(Self {
            secret: ClusterSecret::new(&config.cluster_secret)?,
            config: config.clone(),
            metrics,
            clock,
        })
    }
}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPolicy").field("timeout", &self.config.timeout).finish_non_exhaustive()
    }
}

/// A channel to a peer, which generated clients take. Clones share its connections.
#[derive(Clone)]
pub struct GrpcChannel {
    transport: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
    policy: Arc<ClientPolicy>,
    guard: Option<Arc<PeerGuard>>,
}

impl GrpcChannel {
    /// A channel over a transport that carries requests to the peer and answers back.
    pub fn new<S>(transport: S, policy: Arc<ClientPolicy>) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        let transport = tower::util::MapErr::new(transport, Into::into as fn(S::Error) -> BoxError);
        Self { transport: BoxCloneSyncService::new(transport), policy, guard: None }
    }

    /// The same channel with a breaker, and with bounds on what is under way, as the configuration has them. Logs and
    /// metrics call the peer `peer`; `rng` spreads the times at which it is tried again.
    ///
    /// Not for calls that keep time themselves, as those between voters do.
    #[must_use]
    pub fn guarded(self, peer: &str, rng: Arc<dyn Rng>) -> Self {
        let ClientPolicy { config, metrics, clock, .. } = &*self.policy;
        let guard = PeerGuard::new(peer, config, metrics, Arc::clone(clock), rng);
        Self { guard: Some(guard), ..self }
    }

    /// The peer is no longer one: its metrics go.
    pub(crate) fn forget_peer(&self) {
        if let Some(guard) = &self.guard {
            guard.forget();
        }
    }

    /// How often calls may be repeated, where the channel has a bound on that.
    pub(crate) fn repetitions(&self) -> Option<&RetryBudget> {
        self.guard.as_ref().map(|guard| guard.repetitions())
    }

    /// Sets bytes of a call aside, where the channel has a bound on them.
    pub(crate) fn bytes(&self, bytes: u64) -> Result<Option<UnderWay>, proto::Error> {
        self.guard.as_ref().map(|guard| guard.bytes(bytes)).transpose()
    }

    /// The largest message to take, for `max_decoding_message_size` of a generated client.
    pub fn max_message_bytes(&self) -> usize {
        self.policy.config.max_message_bytes()
    }
}

impl fmt::Debug for GrpcChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcChannel").finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for GrpcChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.transport.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let call = match self.guard.as_ref().map(PeerGuard::call).transpose() {
            Ok(call) => call,
            Err(error) => return Box::pin(std::future::ready(Err(to_status(&error).into()))),
        };
        let policy = Arc::clone(&self.policy);
        policy.secret.add(request.headers_mut());
        let asked = deadline::timeout(request.headers());
        let timeout = asked.unwrap_or(policy.config.timeout);
        let method = method(&request);
        let span = trace::made(&method, request.headers_mut());
        let mut observed = Observed { code: Code::Cancelled, method, policy, call, span: span.clone() };
        let answer = self.transport.call(request);
        let call = async move {
            let started = observed.policy.clock.monotonic();
            let mut expired = observed.policy.clock.sleep(timeout);
            let answer = tokio::select! {
                biased;
                answer = answer => answer.map_err(|error| {
                    // A transport that watches the deadline too has other words for it.
                    let passed = observed.policy.clock.monotonic().saturating_sub(started) >= timeout;
                    if passed { deadline::exceeded(timeout).into() } else { error }
                }),
                () = &mut expired => {
                    observed.came_to(Code::DeadlineExceeded, Reached::No);
                    return Err(deadline::exceeded(timeout).into());
                }
            };
            let reached = if answer.is_ok() { Reached::Yes } else { Reached::No };
            observed.came_to(code(&answer), reached);
            let response = trace::within(&observed.span, answer?);
            // Without a deadline of the caller, the answer has begun in time, and is a stream perhaps.
            Ok(match asked {
                Some(_) => response.map(|body| Body::new(DeadlineBody::new(body, expired, timeout))),
                None => response,
            })
        };
        Box::pin(call.instrument(span))
    }
}

/// Counts a call when it has come to something, or was given up.
struct Observed {
    code: Code,
    method: Box<str>,
    policy: Arc<ClientPolicy>,
    call: Option<Call>,
    span: Span,
}

/// Whether a call got to its peer, and an answer back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Yes,
    No,
}

impl Observed {
    fn came_to(&mut self, code: Code, reached: Reached) {
        self.code = code;
        let Some(call) = self.call.take() else { return };
        // A peer that says in time that it had no time did not answer in time.
        match (reached, code) {
            (Reached::No, _) | (Reached::Yes, Code::DeadlineExceeded) => call.failed(),
            (Reached::Yes, _) => call.answered(),
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        trace::came_to(&self.span, self.code);
        self.policy.metrics.made(&self.method, self.code);
    }
}

fn method(request: &Request<Body>) -> Box<str> {
    request.uri().path().into()
}

/// What a call came to, as far as the head of its answer tells.
fn code(answer: &Result<Response<Body>, BoxError>) -> Code {
    match answer {
        Ok(response) => trace::code(response),
        Err(error) => error.downcast_ref::<Status>().map_or(Code::Unavailable, Status::code),
    }
}
