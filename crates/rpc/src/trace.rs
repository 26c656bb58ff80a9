//! Spans of HTTP requests, which continue the trace of whoever sent them, and bodies that belong to a span.
//!
//! Without a collector there are no spans, and a request passes through untouched.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::Response;
use futures::future::Either;
use http::Request;
use http_body::{Frame, SizeHint};
use telemetry::{root_span, trace};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field};

/// Puts every request of a router into a span of its own, from its headers to the end of its answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpTraceLayer;

impl<S> Layer<S> for HttpTraceLayer {
    type Service = HttpTraceService<S>;

    fn layer(&self, inner: S) -> HttpTraceService<S> {
        HttpTraceService { inner }
    }
}

/// The service of [`HttpTraceLayer`].
#[derive(Debug, Clone)]
pub struct HttpTraceService<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for HttpTraceService<S>
where
    S: Service<Request<B>, Response = Response>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = server_span(&request);
        if span.is_disabled() {
            return Either::Left(self.inner.call(request));
        }
        trace::continue_from(&span, request.headers());
        let answer = span.in_scope(|| self.inner.call(request));
        let of_answer = span.clone();
        let traced = async move {
            let response = answer.await?;
            of_answer.record("http.response.status_code", response.status().as_u16());
            if response.status().is_server_error() {
                trace::fail(&of_answer, response.status().as_str());
            }
            Ok(response.map(|body| Body::new(TracedBody::new(body, of_answer))))
        };
        Either::Right(Box::pin(traced.instrument(span)))
    }
}

/// A span named by method and route, as OpenTelemetry's conventions have it. The query is not in it: it may be long, and
/// belongs to a tenant.
fn server_span<B>(request: &Request<B>) -> Span {
    let route = || request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    root_span!(
        "http",
        otel.name = format!("{} {}", request.method(), route().unwrap_or_default()).trim_end(),
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = route(),
        http.response.status_code = field::Empty,
        url.path = request.uri().path(),
    )
}

/// A body whose pieces are made inside a span, which ends with it.
pub(crate) struct TracedBody<B> {
    inner: B,
    span: Span,
}

impl<B> TracedBody<B> {
    pub(crate) fn new(inner: B, span: Span) -> Self {
        Self { inner, span }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for TracedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let _entered = this.span.enter();
        Pin::new(&mut this.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
