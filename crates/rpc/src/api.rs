//! What the Prometheus API adds to every answer: compression and cross-origin headers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use model::{MatchOp, Matcher, MatcherError};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::response::method_not_allowed;

/// Answers smaller than this are not worth compressing: they fit into one packet.
const MIN_COMPRESSED_BYTES: u64 = 1_024;

/// The origins whose scripts may use the API.
#[derive(Debug, Clone)]
pub struct CorsOrigins(Origins);

#[derive(Debug, Clone)]
enum Origins {
    Any,
    None,
    Matching(Arc<Matcher>),
}

impl CorsOrigins {
    /// Every origin.
    pub fn any() -> Self {
        Self(Origins::Any)
    }

    /// No origin.
    pub fn none() -> Self {
        Self(Origins::None)
    }

    /// Origins that `pattern` matches as a whole, such as `https?://(a|b)\.example`; `.*` means every origin.
    ///
    /// # Errors
    /// Where it is not a regular expression.
    pub fn matching(pattern: &str) -> Result<Self, MatcherError> {
        let matcher = Matcher::new("origin", MatchOp::Regex, pattern)?;
        Ok(if pattern == ".*" { Self::any() } else { Self(Origins::Matching(Arc::new(matcher))) })
    }

    /// What `Access-Control-Allow-Origin` says to `origin`; `None` where it may not.
    fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.0 {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::None => None,
            Origins::Matching(matcher) => {
                let matches = origin.to_str().is_ok_and(|origin| matcher.matches(origin));
                matches.then(|| origin.clone())
            }
        }
    }
}

/// `router` with answers compressed (gzip or zstd) where the client accepts it, and open to scripts of these origins.
pub fn prometheus_api<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    origins: CorsOrigins,
) -> Router<S> {
    router
        // Before the layers, so that these see a request with another method, too.
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(MIN_COMPRESSED_BYTES)))
        .layer(from_fn_with_state(origins, cross_origin))
}

async fn cross_origin(State(origins): State<CorsOrigins>, request: Request, next: Next) -> Response {
    let from_script = request.headers().get(ORIGIN).filter(|origin| !origin.is_empty()).cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = from_script {
        // As in Prometheus, these are sent to every script; the browser goes by whether the origin is allowed.
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Accept, Authorization, Content-Type, Origin"),
        );
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Date"));
        if let Some(allowed) = origins.allow(&origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
    }
    response
}
