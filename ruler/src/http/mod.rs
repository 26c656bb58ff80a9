//! The API that Prometheus has for rules and alerts, and the one that Mimir has to set rules.

mod alerts;
mod answer;
mod config;
mod params;
mod rules;
mod time;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::StatusCode;

use crate::service::Ruler;

/// The routes of the API. `/api/v1/alerts` is not among them: that is Mimir's configuration of the Alertmanager.
pub(crate) fn router(ruler: &Ruler) -> Router {
    Router::new()
        .route("/prometheus/api/v1/rules", get(rules::list))
        .route("/api/v1/rules", get(rules::list))
        .route("/prometheus/api/v1/alerts", get(alerts::list))
        .merge(config::router())
        .with_state(ruler.clone())
}

/// What operates the role.
pub(crate) fn operations(ruler: &Ruler) -> Router {
    Router::new().route("/-/reload", post(reload).put(reload)).with_state(ruler.clone())
}

async fn reload(State(ruler): State<Ruler>) -> Response {
    match ruler.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let text = format!("failed to reload rules: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}
