//! Rates, and what may be under way.

use std::time::Duration;

use distributor::DistributorConfig;
use proto::{Code, Version};
use settings::ByteSize;
use testkit::ingester::Behaviour;
use testkit::remote_write::{CaseRequest, RW1_CONTENT_TYPE, TENANT};
use wire::encode::Rw1Writer;
use wire::snappy;

use crate::harness::{Harness, NOW_MS};

fn samples(count: i64) -> Vec<u8> {
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "up");
    for i in 0..count {
        writer.sample(NOW_MS + i, 1.0);
    }
    writer.end_series();
    writer.message().to_vec()
}

#[tokio::test]
async fn the_rate_is_the_tenants() {
    let harness = Harness::single("overrides: {conformance: {ingestion_rate: 10, ingestion_burst_size: 20}}");
    let code = |result: Result<proto::WriteResponse, proto::Error>| {
        result.err().map(|error| {
            assert!(error.retry_after.is_some());
            error.code
        })
    };
    assert_eq!(code(harness.write(Version::V1, samples(20)).await), None);
    assert_eq!(code(harness.write(Version::V1, samples(1)).await), Some(Code::TenantLimit));
    harness.clock.advance(Duration::from_secs(1));
    assert_eq!(code(harness.write(Version::V1, samples(10)).await), None);
    assert_eq!(code(harness.write(Version::V1, samples(21)).await), Some(Code::TenantLimit));
    let labels = [("tenant", TENANT), ("reason", "rate_limited")];
    assert_eq!(harness.metric("barograph_discarded_samples_total", &labels), 22.0);
    harness
        .limits
        .load("overrides.yml", "overrides: {conformance: {ingestion_rate: 0}}")
        .expect("the overrides are right");
    assert_eq!(code(harness.write(Version::V1, samples(100)).await), None);
}

fn request(message: &[u8]) -> CaseRequest {
    CaseRequest {
        tenant: Some(TENANT),
        content_type: RW1_CONTENT_TYPE.to_owned(),
        content_encoding: "snappy".to_owned(),
        body: snappy::compress(message),
        sent: [0; 3],
    }
}

#[tokio::test]
async fn too_many_requests_under_way_are_shed_early() {
    let config = DistributorConfig { max_inflight_push_requests: 1, ..DistributorConfig::default() };
    let harness = Harness::new(1, 1, "", config);
    harness.ingesters[0].behave(Behaviour::Hang);
    let request = request(&samples(1));
    let first = harness.http(&request);
    let second = async {
        while harness.ingesters[0].pushes().is_empty() {
            tokio::task::yield_now().await;
        }
        let (answer, response) = harness.http(&request).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(harness.ingesters[0].pushes().len(), 1);
        harness.clock.advance(Duration::from_secs(11));
    };
    let ((answer, _), ()) = tokio::join!(first, second);
    assert_eq!(answer.status, 503);
    assert_eq!(harness.metric("barograph_distributor_inflight_requests", &[]), 0.0);
    assert_eq!(harness.metric("barograph_distributor_inflight_bytes", &[]), 0.0);
    let labels = [("limit", "max_inflight_push_requests")];
    assert_eq!(harness.metric("barograph_distributor_shed_requests_total", &labels), 1.0);
    harness.ingesters[0].behave(Behaviour::Store);
    assert_eq!(harness.http(&request).await.0.status, 204);
}

#[tokio::test]
async fn bytes_under_way_are_bounded() {
    let config = DistributorConfig {
        max_inflight_push_requests_bytes: ByteSize(1 << 20),
        ..DistributorConfig::default()
    };
    let harness = Harness::new(1, 1, "", config);
    let (answer, response) = harness.http(&request(&vec![0; 2 << 20])).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(harness.http(&request(&samples(1))).await.0.status, 204);
}

#[tokio::test]
async fn large_bodies_are_refused_before_they_are_read() {
    let config = DistributorConfig { max_recv_msg_size: ByteSize(1 << 10), ..DistributorConfig::default() };
    let harness = Harness::new(1, 1, "", config);
    let noise: Vec<u8> = (0..5_000u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
    let (answer, _) = harness.http(&request(&noise)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}
