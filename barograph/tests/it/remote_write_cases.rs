//! Every remote write case of the conformance data, against the process through HTTP.

use std::path::Path;

use testkit::remote_write::{self, Answer, CaseRequest, RATE_LIMITED_TENANT};

use crate::http::{Connection, Response};
use crate::support::{Barograph, now_ms};

/// The headers that say how much of a request was written.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// A process that knows the tenants of the cases; its data and its limits are in `folder`.
pub(crate) fn start(folder: &Path, more: &[&str]) -> Barograph {
    let limits = folder.join("limits.yaml");
    let text =
        format!("overrides:\n  {RATE_LIMITED_TENANT}:\n    ingestion_rate: 1\n    ingestion_burst_size: 1\n");
    std::fs::write(&limits, text).expect("written");
    let limits = limits.to_string_lossy();
    let arguments =
        ["--multitenancy-enabled", "--self-monitoring.enabled=false", "--runtime-config.file", &limits];
    Barograph::start(&folder.join("data"), &[&arguments, more].concat())
}

/// Sends a request of a case.
pub(crate) fn send(connection: &mut Connection, request: &CaseRequest) -> std::io::Result<Response> {
    let mut headers =
        vec![("Content-Type", &*request.content_type), ("Content-Encoding", &*request.content_encoding)];
    headers.extend(request.tenant.map(|tenant| ("X-Scope-OrgID", tenant)));
    connection.request("POST", "/api/v1/push", &headers, &request.body)
}

/// An answer as the cases look at it.
pub(crate) fn answer(response: &Response) -> Answer {
    let written = WRITTEN.map(|name| response.header(name).and_then(|count| count.parse().ok()).unwrap_or(0));
    Answer { status: response.status, written, body: response.body.clone() }
}

#[test]
fn every_case() {
    let Some(cases) = remote_write::cases() else { return };
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let folder = tempfile::tempdir().expect("a folder");
    let barograph = start(folder.path(), &[]);
    let mut connection = Connection::open(barograph.addr).expect("connected");
    let now_ms = now_ms();
    let mut failures = Vec::new();
    for case in &cases {
        let Some(requests) = case.requests(now_ms) else {
            failures.push(format!("{}: nothing is known to send for it ({})", case.id, case.text));
            continue;
        };
        let mut answers = Vec::new();
        for request in &requests {
            let response = send(&mut connection, request)
                .unwrap_or_else(|error| panic!("{}: the connection ended: {error}", case.id));
            answers.push(answer(&response));
        }
        if let Err(failure) = case.check(&requests, &answers) {
            failures.push(format!("{}: {failure}", case.id));
        }
    }
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
