//! What the Prometheus API's answers carry besides their content.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use rpc::api::CorsOrigins;
use tower::ServiceExt;

fn api(origins: CorsOrigins) -> Router {
    rpc::api::prometheus_api(
        Router::new()
            .route("/small", get(|| async { "small" }))
            .route("/large", get(|| async { "large ".repeat(1_000) })),
        origins,
    )
}

async fn call(request: http::request::Builder) -> http::Response<Body> {
    api(CorsOrigins::any()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn scripts_of_any_origin_may_ask() {
    let answer = call(Request::get("/small").header("origin", "https://grafana.example")).await;
    let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(header("access-control-allow-methods").as_deref(), Some("GET, POST, OPTIONS"));
    assert_eq!(
        header("access-control-allow-headers").as_deref(),
        Some("Accept, Authorization, Content-Type, Origin")
    );
    assert_eq!(header("access-control-expose-headers").as_deref(), Some("Date"));
    let plain = call(Request::get("/small")).await;
    assert!(!plain.headers().contains_key("access-control-allow-origin"));
    assert!(plain.headers().get_all("vary").iter().any(|v| v == "Origin"));
}

#[tokio::test]
async fn other_origins_are_not_named() {
    let origins = CorsOrigins::matching(r"https?://(a|b)\.example").unwrap();
    for (origin, allowed) in [
        ("https://a.example", true),
        ("http://b.example", true),
        ("https://a.example.evil", false),
        ("https://axexample", false),
    ] {
        let request = Request::get("/small").header("origin", origin).body(Body::empty()).unwrap();
        let answer = api(origins.clone()).oneshot(request).await.unwrap();
        let named = answer.headers().get("access-control-allow-origin").map(|v| v.to_str().unwrap());
        assert_eq!(named, allowed.then_some(origin), "{origin}");
        // Prometheus says the rest to every script.
        assert!(answer.headers().contains_key("access-control-allow-methods"));
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert!(CorsOrigins::matching("(").is_err());
}

#[tokio::test]
async fn options_need_no_handler() {
    let answer = call(Request::options("/small").header("origin", "https://grafana.example")).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn large_answers_are_compressed_where_accepted() {
    for (accepted, path, expected) in [
        ("gzip", "/large", Some("gzip")),
        ("zstd", "/large", Some("zstd")),
        ("gzip", "/small", None),
        ("identity", "/large", None),
    ] {
        let answer = call(Request::get(path).header("accept-encoding", accepted)).await;
        let encoding = answer.headers().get("content-encoding").map(|v| v.to_str().unwrap());
        assert_eq!(encoding, expected, "{accepted} {path}");
    }
}
