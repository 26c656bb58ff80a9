//! What a small request costs from socket to handler and back: listener, metrics, tenant, body. The client is a raw
//! socket on the same thread, so that the time is nearly all the server's, system calls included.

#![allow(missing_docs, reason = "criterion's macros make items without documentation")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use criterion::{Criterion, criterion_group, criterion_main};
use env::{Clock, Scope, SystemClock};
use rpc::{
    BodyLimits, HttpMetrics, HttpServer, ServerConfig, Tenant, TenantLayer, TenantResolver, error_response,
    read_body,
};
use telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// About what Snappy leaves of 50 samples.
const BODY_BYTES: usize = 2_500;

async fn push(tenant: Tenant, request: Request) -> Response {
    let limits = BodyLimits { max_bytes: 1 << 20, read_timeout: Duration::from_secs(10) };
    match read_body(request.into_body(), limits).await {
        Ok(body) => {
            std::hint::black_box((tenant, body));
            Response::default()
        }
        Err(error) => error_response(&error),
    }
}

fn small_request(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let metrics = HttpMetrics::register(&Registry::new(), Arc::clone(&clock));
    let scope = Scope::new("bench");
    let router = Router::new()
        .route("/api/v1/push", post(push))
        .layer(TenantLayer::new(TenantResolver::multi_tenant()));
    let mut stream = runtime.block_on(async {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let server =
            HttpServer::bind(address, ServerConfig::default(), metrics, &scope, clock).await.unwrap();
        let address = server.local_addr();
        drop(scope.spawn("serve", server.serve(router, std::future::pending())));
        TcpStream::connect(address).await.unwrap()
    });
    stream.set_nodelay(true).unwrap();
    let mut request = format!(
        "POST /api/v1/push HTTP/1.1\r\nhost: localhost:9009\r\nuser-agent: Prometheus/3.5.0\r\n\
         content-encoding: snappy\r\ncontent-type: application/x-protobuf\r\n\
         x-prometheus-remote-write-version: 0.1.0\r\nx-scope-orgid: team-a\r\ncontent-length: {BODY_BYTES}\r\n\r\n"
    )
    .into_bytes();
    request.resize(request.len() + BODY_BYTES, b'x');
    let mut answer = [0; 1_024];
    criterion.bench_function("http/small_write_request", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                stream.write_all(&request).await.unwrap();
                let read = stream.read(&mut answer).await.unwrap();
                assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            });
        });
    });
}

criterion_group!(benches, small_request);
criterion_main!(benches);
