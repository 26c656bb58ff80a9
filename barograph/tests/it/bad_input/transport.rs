//! HTTP that is garbage, too slow, too large, or cut.

use super::{Victim, refused};
use crate::http::Response;

const HEAD: &str = "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: a\r\nContent-Type: application/x-protobuf\r\n\
                    Content-Encoding: snappy\r\nContent-Length: 1000\r\n\r\n";

/// Sends bytes over a connection of their own, says that no more will come, and reads the answer. The server may take the
/// end of what is sent for the end of the client, and close without one.
fn exchange(victim: &Victim, bytes: &[u8]) -> Option<Response> {
    let mut connection = victim.connect();
    // The server may have closed already.
    let _ = connection.send(bytes);
    connection.finish();
    connection.response().expect("HTTP or the end")
}

#[test]
fn garbage() {
    let victim = Victim::start(&[]);
    for bytes in [
        // TLS, another protocol, nothing like a request.
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nxx",
    ] {
        if let Some(response) = exchange(&victim, bytes) {
            let shown = String::from_utf8_lossy(bytes);
            assert!((400..500).contains(&response.status), "{shown:?} is answered with {response:?}");
        }
    }
    let long = "x".repeat(1 << 20);
    for request in [
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(100_000)),
    ] {
        let status = exchange(&victim, request.as_bytes()).map(|response| response.status);
        assert!(matches!(status, None | Some(414 | 431)), "{status:?}");
    }
    let response =
        victim.connect().request("PUT", "/api/v1/push", &[("X-Scope-OrgID", "a")], b"").expect("an answer");
    assert_eq!(response.status, 405);
    victim.check();
}

#[test]
fn tenants_that_are_none() {
    let victim = Victim::start(&[]);
    let long = "x".repeat(500);
    for tenant in ["../../etc", "a/b", "..", ".", "", "a|b", "\u{e9}", &long] {
        let headers = [("X-Scope-OrgID", tenant), ("Content-Type", "application/x-protobuf")];
        let response = victim.connect().request("POST", "/api/v1/push", &headers, b"").expect("an answer");
        assert!(matches!(response.status, 400 | 401), "{tenant:?}: {response:?}");
        assert!(response.body.trim().len() > 5, "{tenant:?}: {response:?}");
    }
    victim.check();
}

#[test]
fn cut_requests() {
    let victim = Victim::start(&[]);
    for cut in (1..HEAD.len()).step_by(7).chain([HEAD.len() - 1]) {
        if let Some(response) = exchange(&victim, &HEAD.as_bytes()[..cut]) {
            assert!((400..500).contains(&response.status), "cut at {cut}: {response:?}");
        }
    }
    // The head is whole, but the body is shorter than it says.
    for body in [0, 1, 999] {
        let request = [HEAD.as_bytes(), &vec![b'x'; body]].concat();
        if let Some(response) = exchange(&victim, &request) {
            refused(&response, 400, "body");
        }
    }
    // Gone before the answer.
    for _ in 0..500 {
        let mut connection = victim.connect();
        connection.send(HEAD.as_bytes()).expect("sent");
        drop(connection);
    }
    victim.check();
}

#[test]
fn slow_requests() {
    let limits = [
        "--server.http-idle-timeout",
        "1s",
        "--server.http-body-timeout",
        "1s",
        "--distributor.body-read-timeout",
        "1s",
    ];
    let victim = Victim::start(&limits);
    // A head that does not end.
    let mut heads: Vec<_> = (0..50).map(|_| victim.connect()).collect();
    for head in &mut heads {
        head.send(b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Slow: ").expect("sent");
    }
    for head in &mut heads {
        let status = head.response().expect("HTTP or the end").map(|response| response.status);
        assert!(matches!(status, None | Some(408)), "{status:?}");
    }
    // A body that does not end.
    let mut bodies: Vec<_> = (0..50).map(|_| victim.connect()).collect();
    for body in &mut bodies {
        body.send(HEAD.as_bytes()).expect("sent");
        body.send(b"x").expect("sent");
    }
    for body in &mut bodies {
        let response = body.response().expect("HTTP").expect("an answer");
        refused(&response, 400, "did not arrive within 1 s");
    }
    victim.check();
}
