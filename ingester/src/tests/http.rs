//! What an operator asks over HTTP.

use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, SimFs};
use http::Request;
use http_body_util::BodyExt;
use proto::Error;
use tower::ServiceExt;

use super::support::*;
use crate::Ingester;

async fn ask(ingester: &Ingester, method: &str, path: &str) -> (u16, String) {
    let ingester = ingester.clone();
    let router = crate::http::router(move || Ok(ingester.clone()));
    let request = Request::builder().method(method).uri(path).body(axum::body::Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn said(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[test]
fn a_prepared_shutdown_is_remembered_until_it_is_taken_back() {
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        let path = "/ingester/prepare-shutdown";
        assert_eq!(ask(&host.ingester, "GET", path).await, said(200, "unset\n"));
        assert_eq!(ask(&host.ingester, "POST", path).await, said(204, ""));
        end(host).await;
        let host = start(Arc::new(fs.crash(CrashMode::LoseAll)), limits(Duration::ZERO)).await.unwrap();
        assert_eq!(ask(&host.ingester, "GET", path).await, said(200, "set\n"));
        assert!(host.ingester.wishes().borrow().shutdown_prepared);
        assert_eq!(ask(&host.ingester, "DELETE", path).await, said(204, ""));
        assert_eq!(ask(&host.ingester, "GET", path).await, said(200, "unset\n"));
        end(host).await;
    });
}

#[test]
fn read_only_says_since_when() {
    run(async {
        let host = start(Arc::new(SimFs::new(1)), limits(Duration::ZERO)).await.unwrap();
        let path = "/ingester/prepare-instance-ring-downscale";
        assert_eq!(ask(&host.ingester, "GET", path).await, said(200, r#"{"timestamp":0}"#));
        let since = said(200, &format!(r#"{{"timestamp":{}}}"#, NOW_MS / 1000));
        assert_eq!(ask(&host.ingester, "POST", path).await, since);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(ask(&host.ingester, "POST", path).await, since, "it has been so since the first time");
        assert_eq!(ask(&host.ingester, "GET", path).await, since);
        assert_eq!(ask(&host.ingester, "DELETE", path).await, said(200, r#"{"timestamp":0}"#));
        assert_eq!(host.ingester.wishes().borrow().read_only_since_ms, None);
        end(host).await;
    });
}

#[test]
fn a_flush_leaves_a_snapshot() {
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        host.push(&tenant("a"), &[row(&labels("up", 1), NOW_MS, 1.0)]).await.unwrap();
        assert_eq!(ask(&host.ingester, "POST", "/ingester/flush").await, said(204, ""));
        end(host).await;
        let host = start(Arc::new(fs), limits(Duration::ZERO)).await.unwrap();
        let restored = host.ingester.restored();
        assert_eq!((restored.series, restored.records), (1, 0), "nothing is left to be replayed");
        end(host).await;
    });
}

#[test]
fn an_ingester_that_is_not_there_yet_says_so() {
    run(async {
        let why = || Err::<Ingester, _>(Error::unavailable("it recovers its data", Duration::from_secs(1)));
        let request = Request::post("/ingester/prepare-shutdown").body(axum::body::Body::empty()).unwrap();
        let response = crate::http::router(why).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert!(response.headers().contains_key("retry-after"));
    });
}
