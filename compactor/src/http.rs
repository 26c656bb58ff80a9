//! What a compactor answers over HTTP: what it does, and the removal of tenants, under the paths of Mimir. It is for operators, not
//! for tenants.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode, Uri};
use model::TenantId;

use crate::service::Compactor;

/// The header that names a tenant.
const TENANT: &str = "X-Scope-OrgID";

impl Compactor {
    /// `/compactor`, `/compactor/delete_tenant` and `/compactor/delete_tenant_status`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/compactor", get(page))
            .route("/compactor/delete_tenant", post(delete_tenant))
            .route("/compactor/delete_tenant_status", get(deletion_status))
            .with_state(self.clone())
    }
}

/// What it does: text for people, JSON for whoever asks for it (`Accept: application/json` or `?format=json`).
async fn page(State(compactor): State<Compactor>, uri: Uri, headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_json = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "format=json"))
        || accepts.is_some_and(|accept| accept.contains("application/json"));
    let status = compactor.status();
    if is_json { Json(status).into_response() } else { status.to_text().into_response() }
}

async fn delete_tenant(State(compactor): State<Compactor>, headers: HeaderMap) -> Response {
    let tenant = match tenant(&headers) {
        Ok(tenant) => tenant,
        Err(refusal) => return *refusal,
    };
    match compactor.delete_tenant(&tenant).await {
        Ok(()) => (StatusCode::OK, "").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn deletion_status(State(compactor): State<Compactor>, headers: HeaderMap) -> Response {
    let tenant = match tenant(&headers) {
        Ok(tenant) => tenant,
        Err(refusal) => return *refusal,
    };
    match compactor.deletion(&tenant).await {
        Ok(Some(progress)) => Json(progress).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "the bucket is another tenant's\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The tenant that a request names. There is none by default: what is asked for cannot be undone.
fn tenant(headers: &HeaderMap) -> Result<TenantId, Box<Response>> {
    let refuse = |status: StatusCode, why: String| Box::new((status, why).into_response());
    let Some(name) = headers.get(TENANT) else {
        let why = format!("no tenant is named; expected the header {TENANT}\n");
        return Err(refuse(StatusCode::UNAUTHORIZED, why));
    };
    let name = name.to_str().unwrap_or_default();
    TenantId::new(name).map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("{error}\n")))
}
