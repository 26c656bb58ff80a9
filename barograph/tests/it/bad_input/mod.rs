//! What the process makes of input that no honest client sends: an answer that names the problem, or a closed
//! connection; never much memory, never the end of the process.

mod bodies;
mod mutations;
mod transport;

use std::net::SocketAddr;

use testkit::remote_write::{RW1_CONTENT_TYPE, TENANT};

use crate::http::{Connection, Response, get};
use crate::remote_write_cases;
use crate::support::{Barograph, memory_bytes, wait_until};

/// How much the memory of the process may grow, at its highest, while it is fed with bad input.
const MAX_GROWTH_BYTES: u64 = 300 << 20;

/// A process under attack.
pub(crate) struct Victim {
    barograph: Barograph,
    resident_bytes: u64,
    _folder: tempfile::TempDir,
}

impl Victim {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let barograph = remote_write_cases::start(folder.path(), arguments);
        let resident_bytes = memory_bytes(&barograph.program, "VmRSS");
        Self { barograph, resident_bytes, _folder: folder }
    }

    fn addr(&self) -> SocketAddr {
        self.barograph.addr
    }

    fn connect(&self) -> Connection {
        Connection::open(self.addr()).expect("connected")
    }

    /// Sends a body as remote write 1.0, over a connection of its own.
    fn push(&self, body: &[u8]) -> Response {
        let headers =
            [("Content-Type", RW1_CONTENT_TYPE), ("Content-Encoding", "snappy"), ("X-Scope-OrgID", TENANT)];
        self.connect().request("POST", "/api/v1/push", &headers, body).expect("an answer")
    }

    /// It lives, serves, holds nothing of the requests that were, and did not take much memory at any time.
    fn check(mut self) {
        assert!(self.barograph.program.runs(), "the process has ended");
        assert_eq!(get(self.addr(), "/ready").0, 200);
        wait_until("requests to be over", || {
            let (_, metrics) = get(self.addr(), "/metrics");
            let left = metrics.lines().find(|line| line.starts_with("barograph_http_requests_in_flight "));
            // The request for the metrics is one.
            match left {
                Some("barograph_http_requests_in_flight 1") => Ok(()),
                left => Err(format!("{left:?}")),
            }
        });
        let highest = memory_bytes(&self.barograph.program, "VmHWM");
        let growth = highest.saturating_sub(self.resident_bytes);
        assert!(growth < MAX_GROWTH_BYTES, "memory grew by {} MiB", growth >> 20);
    }
}

/// The answer is `status`, and its body says `says`.
#[track_caller]
fn refused(response: &Response, status: u16, says: &str) {
    let said = response.body.to_lowercase().contains(&says.to_lowercase());
    assert!(response.status == status && said, "not {status} with {says:?}: {response:?}");
}
