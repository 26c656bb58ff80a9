//! Every case of the remote write conformance data, through the router.

use crate::harness::{Harness, NOW_MS};
use testkit::remote_write::{self, RATE_LIMITED_TENANT};

#[tokio::test]
async fn every_case() {
    let Some(cases) = remote_write::cases() else {
        return;
    };
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let overrides =
        format!("overrides:\n  {RATE_LIMITED_TENANT}:\n    ingestion_rate: 1\n    ingestion_burst_size: 1\n");
    let mut failures = Vec::new();
    for case in &cases {
        let harness = Harness::single(&overrides);
        let Some(requests) = case.requests(NOW_MS) else {
            failures.push(format!("{}: nothing is known to send for it ({})", case.id, case.text));
            continue;
        };
        let mut answers = Vec::new();
        for request in &requests {
            answers.push(harness.http(request).await.0);
        }
        if let Err(failure) = case.check(&requests, &answers) {
            failures.push(format!("{}: {failure}", case.id));
        }
    }
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
