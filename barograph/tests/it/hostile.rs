//! What the process makes of input that no honest client sends: an answer that names the problem, or a closed
//! connection; never much memory, never the end of the process.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::support::{Barograph, PATIENCE, get};

/// The most anonymous memory that all of it together may take.
const MAX_ANONYMOUS_BYTES: f64 = 256e6;

/// Sends bytes as they are, says that no more will come, and reads what is answered.
fn exchange(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may have closed already: that is an answer, too.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A remote write 1.0 request with this body.
fn push(body: &[u8], more_headers: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /api/v1/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-protobuf\r\n\
         Content-Encoding: snappy\r\nContent-Length: {}\r\n{more_headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[track_caller]
fn answered(addr: SocketAddr, request: &[u8], status: &str, says: &str) {
    let answer = exchange(addr, request);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "not {status}: {answer}");
    assert!(answer.to_lowercase().contains(says), "{says:?} is not in {answer}");
}

fn anonymous_bytes(addr: SocketAddr) -> f64 {
    let (_, metrics) = get(addr, "/metrics");
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("barograph_process_anonymous_memory_bytes "));
    line.and_then(|value| value.parse().ok()).expect("the metric")
}

#[test]
fn hostile_requests_are_answered_and_cost_little() {
    let data = tempfile::tempdir().expect("a folder");
    let barograph = Barograph::start(data.path(), &[]);
    let addr = barograph.addr;

    answered(addr, &push(b"\xff\xff\xff\xff\x0f", ""), "413", "4294967295");
    answered(addr, &push(b"\xff\xff\xff\xff\xff\xff", ""), "400", "snappy");
    answered(addr, &push(b"\x80\x80\xc0\x20\x00", ""), "400", "snappy");
    answered(addr, &push(b"not snappy at all", ""), "400", "snappy");
    answered(addr, &push(b"\x03\x08\xff\xff\xff", ""), "400", "prometheus.writerequest");
    answered(
        addr,
        b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999\r\n\r\n",
        "4",
        "",
    );
    answered(
        addr,
        b"GET /prometheus/api/v1/query?query=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "400",
        "error",
    );
    answered(
        addr,
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes(),
        "431",
        "",
    );
    answered(addr, b"GET / HTTP/9.9\r\n\r\n", "4", "");
    answered(addr, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", "");

    // Cut in the middle: there is nobody to answer, and nothing must be left behind.
    for cut in [
        &b"POST /api/v1/pu"[..],
        b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Le",
        &push(&[0; 64], "")[..120],
    ] {
        exchange(addr, cut);
    }
    for round in 0u32..500 {
        let declared =
            [b"\xff\xff\xff\xff\x0f".as_slice(), b"\x80\x80\x80\x2f".as_slice()][round as usize % 2];
        exchange(addr, &push(declared, ""));
    }

    assert_eq!(get(addr, "/ready").0, 200);
    let bytes = anonymous_bytes(addr);
    assert!(bytes < MAX_ANONYMOUS_BYTES, "{bytes} bytes of anonymous memory");
}
