//! Mimir's API for the configuration of a tenant: `/api/v1/alerts`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use rpc::{BodyLimits, Tenant, read_body};

use crate::own::ConfigChangeError;
use crate::service::Alertmanager;

/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// When to come back where a configuration cannot be kept.
const RETRY_AFTER_WAIT: Duration = Duration::from_secs(5);
/// The routes, from the root.
pub(crate) fn router(alertmanager: &Alertmanager) -> Router {
    let methods = get(show).post(set).delete(delete);
    Router::new().route("/api/v1/alerts", methods).with_state(alertmanager.clone())
}

async fn show(State(role): State<Alertmanager>, Tenant(tenant): Tenant) -> Response {
    match role.0.own_body(&tenant) {
        Some(body) => ([(CONTENT_TYPE, HeaderValue::from_static("application/yaml"))], body).into_response(),
        None => (StatusCode::NOT_FOUND, "alertmanager storage object not found\n").into_response(),
    }
}

async fn set(State(role): State<Alertmanager>, Tenant(tenant): Tenant, body: Body) -> Response {
    let (max, too_big) = role.0.max_own_body(&tenant);
    let limits = BodyLimits { max_bytes: max as u64, read_timeout: READ_TIMEOUT };
    let body = match read_body(body, limits).await {
        Ok(body) => Vec::from(body),
        Err(error) if error.code == proto::Code::TooLarge => {
            return refused(&ConfigChangeError::TooBig(too_big));
        }
        Err(error) => return rpc::error_response(&error),
    };
    let Ok(body) = String::from_utf8(body) else {
        return refused(&ConfigChangeError::Unreadable("it is no text in UTF-8".to_owned()));
    };
    match role.0.set_own(&tenant, body).await {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(error) => refused(&error),
    }
}

async fn delete(State(role): State<Alertmanager>, Tenant(tenant): Tenant) -> Response {
    match role.0.delete_own(&tenant).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &ConfigChangeError) -> Response {
    let status = match error {
        ConfigChangeError::Unreadable(_) | ConfigChangeError::TooBig(_) | ConfigChangeError::Refused(_) => {
            StatusCode::BAD_REQUEST
        }
        ConfigChangeError::Unkept(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = (status, format!("{error}\n")).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_WAIT.as_secs()));
    }
    response
}
