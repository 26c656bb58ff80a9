//! What the process itself serves: readiness, its metrics, its configuration, and the index page.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use telemetry::{Format, Registry};

use crate::readiness::{Phase, Readiness};

/// How long clients are asked to wait while the process starts, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// What the pages show.
pub(crate) struct Pages {
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    /// The configuration as YAML, secrets hidden.
    pub(crate) config_yaml: String,
    /// Where users reach the process, without a slash at the end.
    pub(crate) base_url: String,
    /// The page that is shown instead of the index.
    pub(crate) home: Option<&'static str>,
}

/// The routes of the pages.
pub(crate) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/ready", get(ready))
        .route("/-/ready", get(ready))
        .route("/-/healthy", get(healthy))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .with_state(Arc::new(pages))
}

/// Readiness and health alone, for a role that has them under a path of its own.
pub(crate) fn health(readiness: &Readiness) -> Router {
    Router::new()
        .route("/-/ready", get(|State(readiness): State<Readiness>| async move { shown(&readiness) }))
        .route("/-/healthy", get(healthy))
        .with_state(readiness.clone())
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    shown(&pages.readiness)
}

fn shown(readiness: &Readiness) -> Response {
    match readiness.phase() {
        Phase::Ready => (StatusCode::OK, "Barograph is ready.\n").into_response(),
        Phase::Starting(why) => unavailable(format!("Barograph is starting: {why}.\n")),
        Phase::Stopping => unavailable("Barograph is stopping.\n".to_owned()),
    }
}

fn unavailable(text: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_SECONDS)], text).into_response()
}

async fn healthy() -> &'static str {
    "Barograph is healthy.\n"
}

async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    ([(CONTENT_TYPE, format.content_type())], pages.registry.encode(format)).into_response()
}

async fn config(State(pages): State<Arc<Pages>>) -> Response {
    ([(CONTENT_TYPE, "text/yaml; charset=utf-8")], pages.config_yaml.clone()).into_response()
}

async fn home(State(pages): State<Arc<Pages>>) -> Response {
    match pages.home {
        Some(home) => crate::alert_pages::elsewhere(home),
        None => index(State(pages)).await.into_response(),
    }
}

async fn index(State(pages): State<Arc<Pages>>) -> Html<String> {
    let phase = match pages.readiness.phase() {
        Phase::Starting(_) => "starting",
        Phase::Ready => "ready",
        Phase::Stopping => "stopping",
    };
    Html(
        INDEX
            .replace("%VERSION%", env!("CARGO_PKG_VERSION"))
            .replace("%PHASE%", phase)
            .replace("%URL%", &escape(&pages.base_url)),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const INDEX: &str = include_str!("index.html");

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> Pages {
        Pages {
            readiness: Readiness::waiting_for("it recovers its data"),
            registry: Registry::new(),
            config_yaml: "http: x\n".into(),
            base_url: "http://h:1/<x>".into(),
            home: None,
        }
    }

    #[tokio::test]
    async fn the_index_page_names_its_own_url_and_nothing_outside() {
        let Html(page) = index(State(Arc::new(pages()))).await;
        assert!(page.contains("url: http://h:1/&lt;x&gt;/api/v1/push"), "{page}");
        for placeholder in ["%VERSION%", "%PHASE%", "%URL%"] {
            assert!(!page.contains(placeholder), "{placeholder} is left");
        }
        for outside in ["src=", "@import", "<link", "<script", "https://"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[tokio::test]
    async fn readiness_follows_the_phase() {
        let pages = Arc::new(pages());
        let status = async || ready(State(Arc::clone(&pages))).await.status();
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
        pages.readiness.set(Phase::Ready);
        assert_eq!(status().await, StatusCode::OK);
        pages.readiness.set(Phase::Stopping);
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
