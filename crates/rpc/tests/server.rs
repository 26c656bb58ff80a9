//! The listener, over real sockets: what it serves, what it refuses, and how it stops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use env::{Clock, Scope, SystemClock};
use proto::Error;
use rpc::{
    BodyLimits, Drain, HttpMetrics, HttpServer, ServerConfig, Tenant, TenantLayer, TenantResolver,
    error_response, read_body,
};
use telemetry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

const LIMITS: BodyLimits = BodyLimits { max_bytes: 1_000, read_timeout: Duration::from_secs(10) };

/// A running server and what it takes to stop it.
struct Running {
    addr: SocketAddr,
    registry: Registry,
    scope: Scope,
    stop: oneshot::Sender<()>,
    served: env::TaskHandle<Drain>,
}

async fn start(values: &[(&str, &str)], router: Router) -> Running {
    let config: ServerConfig = settings::section::with_values(values).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let registry = Registry::new();
    let scope = Scope::new("test");
    let metrics = HttpMetrics::register(&registry, Arc::clone(&clock));
    let server =
        HttpServer::bind((Ipv4Addr::LOCALHOST, 0).into(), config, metrics, &scope, clock).await.unwrap();
    let addr = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let served = scope.spawn(
        "serve",
        server.serve(router, async move {
            let _ = stopped.await;
        }),
    );
    Running { addr, registry, scope, stop, served }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends `request` on a connection of its own; the whole answer, to the end of the connection.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

async fn echo(request: axum::extract::Request) -> axum::response::Response {
    match read_body(request.into_body(), LIMITS).await {
        Ok(body) => axum::response::Response::new(body.into()),
        Err(error) => error_response(&error),
    }
}

fn routes() -> Router {
    Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/panic/{which}", get(|| async { panic!("of tenant secret") as () }))
        .route("/echo", post(echo))
        .route(
            "/overloaded",
            get(|| async { error_response(&Error::unavailable("come back", Duration::from_millis(1_200))) }),
        )
}

#[tokio::test]
async fn answers_and_counts_requests() {
    let server = start(&[], routes()).await;
    let answer = server.get("/hello", "").await;
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("\r\ndate: "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert_eq!(status(&server.get("/nothing/here", "").await), 404);

    let text = server.registry.encode_openmetrics();
    for line in [
        r#"barograph_http_request_duration_seconds_count{method="GET",route="/hello",status_code="200"} 1"#,
        r#"barograph_http_request_duration_seconds_count{method="GET",route="unmatched",status_code="404"} 1"#,
        "barograph_http_requests_in_flight 0",
        "barograph_http_connections_accepted_total 2",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_says_nothing() {
    let server = start(&[], routes()).await;
    let answer = server.get("/panic/1", "").await;
    assert_eq!(status(&answer), 500);
    assert!(!answer.contains("secret"), "{answer}");
    assert_eq!(status(&server.get("/hello", "").await), 200);
    let text = server.registry.encode_openmetrics();
    let line = r#"_count{method="GET",route="/panic/{which}",status_code="500"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn the_date_header_can_be_left_out() {
    let server = start(&[("http_date_header", "false")], routes()).await;
    let answer = server.get("/hello", "").await;
    assert!(!answer.contains("date:"), "{answer}");
}

#[tokio::test]
async fn retry_after_is_rounded_up() {
    let server = start(&[], routes()).await;
    let answer = server.get("/overloaded", "").await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("retry-after: 2\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ncome back\n"), "{answer}");
}

#[tokio::test]
async fn oversized_headers_are_refused() {
    let server = start(&[("http_max_header_bytes", "8KiB")], routes()).await;
    let header = format!("x-large: {}\r\n", "x".repeat(9_000));
    assert_eq!(status(&server.get("/hello", &header).await), 431);
}

#[tokio::test]
async fn bodies_are_bounded_whether_announced_or_not() {
    let server = start(&[], routes()).await;
    let body = "x".repeat(1_000);
    let post = |len: usize, rest: &str| {
        format!("POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{rest}")
    };
    let answer = server.exchange(&post(1_000, &body)).await;
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with(&body));
    // Refused before any of it has come.
    assert_eq!(status(&server.exchange(&post(1_001, "")).await), 413);
    let chunked = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |len: usize| format!("{len:x}\r\n{}\r\n", "y".repeat(len));
    let answer =
        server.exchange(&format!("{chunked}{}{}{}0\r\n\r\n", chunk(300), chunk(300), chunk(400))).await;
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with(&"y".repeat(1_000)));
    let answer = server.exchange(&format!("{chunked}{}{}0\r\n\r\n", chunk(700), chunk(700))).await;
    assert_eq!(status(&answer), 413);
    // Broken framing.
    let answer = server.exchange(&format!("{chunked}zz\r\n")).await;
    assert_eq!(status(&answer), 400);
}

#[tokio::test]
async fn tenants_come_from_the_header() {
    let whoami = |tenant: Tenant| async move { tenant.0.to_string() };
    let router = |resolver| Router::new().route("/whoami", get(whoami)).layer(TenantLayer::new(resolver));
    let multi = start(&[], router(TenantResolver::multi_tenant())).await;
    let answer = multi.get("/whoami", "x-scope-orgid: team-a\r\n").await;
    assert!(answer.ends_with("\r\n\r\nteam-a"), "{answer}");
    for (header, code, text) in [
        ("", 401, "no org id\n"),
        ("x-scope-orgid:\r\n", 401, "no org id\n"),
        ("x-scope-orgid: a|b\r\n", 400, "name one\n"),
        ("x-scope-orgid: a/b\r\n", 400, "contains '/'"),
        ("x-scope-orgid: a\r\nx-scope-orgid: b\r\n", 400, "more than once"),
    ] {
        let answer = multi.get("/whoami", header).await;
        assert_eq!(status(&answer), code, "{header}");
        assert!(answer.contains(text), "{header}: {answer}");
    }
    let single = start(&[], router(TenantResolver::single_tenant())).await;
    for header in ["", "x-scope-orgid: team-a\r\n", "x-scope-orgid: a/b\r\n"] {
        let answer = single.get("/whoami", header).await;
        assert!(answer.ends_with("\r\n\r\nanonymous"), "{header}: {answer}");
    }
}

#[tokio::test]
async fn connections_stay_open_and_are_bounded() {
    let server = start(&[("http_max_connections", "1")], routes()).await;
    let mut first = server.connect().await;
    let request = b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut buffer = [0; 4_096];
    for _ in 0..2 {
        first.write_all(request).await.unwrap();
        let read = first.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].ends_with(b"hello"));
    }
    // The second waits in the kernel's queue until the first is gone.
    let mut second = server.connect().await;
    second.write_all(request).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(100), second.read(&mut buffer)).await;
    assert!(waited.is_err(), "served beyond the limit");
    drop(first);
    let read = second.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].ends_with(b"hello"));
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = start(&[("http_idle_timeout", "1s")], routes()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /hello HT").await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(10), read_to_end(&mut stream)).await;
    assert!(closed.is_ok(), "an unfinished request head keeps its connection");
}

/// A route that says when it has begun and ends when it is told to.
fn gate() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handler = move || {
        let (signal, wait) = (Arc::clone(&signal), Arc::clone(&wait));
        async move {
            signal.notify_one();
            wait.notified().await;
            "done"
        }
    };
    (Router::new().route("/gate", get(handler)), begun, go_on)
}

#[tokio::test]
async fn shutdown_lets_requests_end() {
    let (router, begun, go_on) = gate();
    let server = start(&[], router).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    begun.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed");
    go_on.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(server.served.await.unwrap(), Drain::Complete);
    assert!(TcpStream::connect(server.addr).await.is_err(), "still accepting");
}

#[tokio::test]
async fn the_drain_ends() {
    let (router, begun, _go_on) = gate();
    let server = start(&[("http_drain_timeout", "50ms")], router).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    begun.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(server.served.await.unwrap(), Drain::Cut);
    assert_eq!(read_to_end(&mut busy).await, "");
    let text = server.registry.encode_openmetrics();
    assert!(text.contains(r#"status_code="499"} 1"#), "{text}");
    drop(server.scope);
}
