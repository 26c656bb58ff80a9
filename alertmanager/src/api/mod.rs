//! The HTTP API, version 2, as upstream's specification has it; pages for people; what operates the role; and the limits of
//! requests.

mod alerts;
mod answer;
mod groups;
mod own;
mod page;
mod params;
mod read;
mod silences;
mod status;
mod time;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, ORIGIN, VARY,
};
use http::{HeaderValue, Method, Request, StatusCode, Uri};

use self::answer::fault;
use crate::service::Alertmanager;

/// What the role serves to tenants.
pub(crate) fn router(alertmanager: &Alertmanager) -> Router {
    let v2 = Router::new()
        .route("/api/v2/status", get(status::status).fallback(not_allowed_get))
        .route("/api/v2/receivers", get(status::receivers).fallback(not_allowed_get))
        .route("/api/v2/alerts", get(alerts::list).post(alerts::push).fallback(not_allowed_both))
        .route("/api/v2/alerts/groups", get(groups::list).fallback(not_allowed_get))
        .route("/api/v2/silences", get(silences::list).post(silences::set).fallback(not_allowed_both))
        .route(
            "/api/v2/silence/{id}",
            get(silences::one).delete(silences::expire).fallback(not_allowed_delete),
        )
        .route("/api/v2/{*path}", axum::routing::any(no_path))
        .layer(from_fn(shared_headers));
    v2.merge(page::router(alertmanager)).with_state(alertmanager.clone())
}

/// Configurations of tenants, from the root.
pub(crate) fn configs(alertmanager: &Alertmanager) -> Router {
    own::router(alertmanager)
}

/// What operates the role.
pub(crate) fn operations(alertmanager: &Alertmanager) -> Router {
    Router::new().route("/-/reload", post(reload)).with_state(alertmanager.clone())
}

/// What every answer of the API has: it is not to be kept, and pages of other origins may read it, as upstream has it.
async fn shared_headers(request: Request<Body>, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let origin = parts.headers.contains_key(ORIGIN);
    if parts.method == Method::OPTIONS && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return preflight(&parts);
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// What a page of another origin may send: what does not change anything that it could not change by a form.
fn preflight(parts: &http::request::Parts) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let asked = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.append(VARY, HeaderValue::from_static(asked));
    let method = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    let allowed = method.filter(|method| matches!(method.as_bytes(), b"GET" | b"HEAD" | b"POST"));
    let wanted = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let plain = |value: &HeaderValue| {
        value.to_str().is_ok_and(|names| {
            let mut names = names.split(',').map(str::trim);
            names.all(|name| {
                ["accept", "content-type", "x-requested-with"].contains(&name.to_lowercase().as_str())
            })
        })
    };
    if let Some(method) = allowed.filter(|_| wanted.as_ref().is_none_or(plain)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let Some(wanted) = wanted {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
    }
    response
}

async fn no_path(uri: Uri) -> Response {
    fault(StatusCode::NOT_FOUND, 404, &format!("path {} was not found", uri.path()))
}

macro_rules! not_allowed {
    ($($name:ident: $allowed:literal;)*) => {
        $(async fn $name(method: Method) -> Response {
            let message = format!("method {method} is not allowed, but [{}] are", $allowed);
            let mut response = fault(StatusCode::METHOD_NOT_ALLOWED, 405, &message);
            response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static($allowed));
            response
        })*
    };
}
not_allowed! {
    not_allowed_get: "GET";
    not_allowed_both: "POST,GET";
    not_allowed_delete: "GET,DELETE";
}

async fn reload(State(alertmanager): State<Alertmanager>) -> Response {
    match alertmanager.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let text = format!("failed to reload config: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
