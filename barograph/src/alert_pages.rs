//! What the Alertmanager's pages are told by other parts of the process, and the ways that lead to them.

use std::sync::Arc;

use alertmanager::{Alertmanager, RuleGroups};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::LOCATION;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use model::TenantId;
use rpc::{TenantLayer, TenantResolver};
use ruler::Ruler;
use serde_json::Value;
use tower::ServiceExt as _;

/// Where rulers answer.
const RULES: &str = "/prometheus/api/v1/rules";

/// Has the pages show the groups of the ruler of this process.
pub(crate) fn show_rules(alertmanager: &Alertmanager, ruler: &Ruler) {
    let router = ruler.router().layer(TenantLayer::new(TenantResolver::multi_tenant()));
    alertmanager.show_rules(Arc::new(OfRuler(router)));
}

/// Leads from where the Alertmanager is, with and without a slash, to its pages: seen from there.
pub(crate) fn ways(path: &str) -> Router {
    let name = path.rsplit('/').next().unwrap_or_default();
    let from_beside = format!("{name}/ui/alerts");
    let beside = move || async move { elsewhere(&from_beside) };
    Router::new()
        .route(path, get(beside))
        .route(&format!("{path}/"), get(|| async { elsewhere("ui/alerts") }))
}

/// Another page in the place of this one. What stands behind `#` in the address goes along.
pub(crate) fn elsewhere(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path.to_owned())]).into_response()
}

/// The API of the ruler, asked without a way over the network.
struct OfRuler(Router);

#[async_trait]
impl RuleGroups for OfRuler {
    async fn groups(&self, tenant: &TenantId) -> Result<Value, String> {
        let request =
            Request::builder().uri(RULES).header("x-scope-orgid", tenant.as_str()).body(Body::empty());
        let request = request.map_err(|error| error.to_string())?;
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let answer: Value = serde_json::from_slice(&body).map_err(|error| format!("{status}: {error}"))?;
        match status {
            StatusCode::OK => Ok(answer),
            _ => Err(answer["error"].as_str().unwrap_or("the ruler does not say").to_owned()),
        }
    }
}
