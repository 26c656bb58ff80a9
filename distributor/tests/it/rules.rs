//! What a tenant's own rules make of series: relabelling, dropped labels, HA pairs.

use proto::Version;
use std::time::Duration;
use testkit::remote_write::{CaseRequest, RW1_CONTENT_TYPE, TENANT};
use wire::snappy;

use crate::harness::{Harness, NOW_MS};
use crate::labels::message;

/// Sends a series with these labels through the router; the status.
async fn send(harness: &Harness, version: Version, labels: &[(&str, &str)], timestamp_ms: i64) -> u16 {
    let labels: Vec<(&[u8], &[u8])> = labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let content_type = match version {
        Version::V1 => RW1_CONTENT_TYPE,
        Version::V2 => testkit::remote_write::RW2_CONTENT_TYPE,
    };
    let request = CaseRequest {
        tenant: Some(TENANT),
        content_type: content_type.to_owned(),
        content_encoding: "snappy".to_owned(),
        body: snappy::compress(&message(version, &[(&labels, &[timestamp_ms])])),
        sent: [1, 0, 0],
    };
    harness.http(&request).await.0.status
}

#[tokio::test]
async fn relabelling_and_dropped_labels() {
    let overrides = r#"
overrides:
  conformance:
    drop_labels: [secret]
    metric_relabel_configs:
    - {source_labels: [__name__], regex: "go_.*", action: drop}
    - {source_labels: [job], target_label: team, replacement: "team-$1"}
    - {regex: "__name__", action: labeldrop, replacement: $1}
"#;
    for version in [Version::V1, Version::V2] {
        let without_last = overrides.rsplit_once("    - {regex").map_or("", |(before, _)| before);
        let harness = Harness::single(without_last);
        let labels = [("__name__", "up"), ("job", "x"), ("secret", "y")];
        assert_eq!(send(&harness, version, &labels, NOW_MS).await, 204);
        assert_eq!(send(&harness, version, &[("__name__", "go_info"), ("job", "x")], NOW_MS).await, 204);
        let floats = harness.floats(0);
        assert_eq!(floats.keys().collect::<Vec<_>>(), [r#"{__name__="up", job="x", team="team-x"}"#]);
        let dropped = [("tenant", TENANT), ("reason", "relabel_configuration")];
        assert_eq!(harness.metric("barograph_discarded_samples_total", &dropped), 1.0);

        let harness = Harness::single(overrides);
        assert_eq!(send(&harness, version, &labels, NOW_MS).await, 400, "a series without a name");
    }
}

#[tokio::test]
async fn rules_that_change_nothing_leave_the_request_as_it_is() {
    let harness = Harness::single("overrides: {conformance: {drop_labels: [nothing]}}");
    for version in [Version::V1, Version::V2] {
        assert_eq!(send(&harness, version, &[("__name__", "up"), ("job", "x")], NOW_MS).await, 204);
    }
    for push in harness.ingesters[0].pushes() {
        assert_eq!(push.batch.frames[0].source, proto::Source::Request);
    }
}

#[tokio::test]
async fn one_replica_of_an_ha_pair() {
    let overrides = "overrides: {conformance: {accept_ha_samples: true, ha_max_clusters: 2}}";
    for version in [Version::V1, Version::V2] {
        let harness = Harness::single(overrides);
        let pair = |cluster, replica| [("__name__", "up"), ("__replica__", replica), ("cluster", cluster)];
        assert_eq!(send(&harness, version, &pair("c", "a"), NOW_MS).await, 204);
        assert_eq!(send(&harness, version, &pair("c", "b"), NOW_MS + 1).await, 202);
        harness.clock.advance(Duration::from_secs(20));
        assert_eq!(send(&harness, version, &pair("c", "a"), NOW_MS + 2).await, 204);
        harness.clock.advance(Duration::from_secs(29));
        assert_eq!(send(&harness, version, &pair("c", "b"), NOW_MS + 3).await, 202);
        harness.clock.advance(Duration::from_secs(1));
        assert_eq!(send(&harness, version, &pair("c", "b"), NOW_MS + 4).await, 204);
        assert_eq!(send(&harness, version, &pair("c", "a"), NOW_MS + 5).await, 202);
        assert_eq!(send(&harness, version, &pair("d", "a"), NOW_MS).await, 204);
        assert_eq!(send(&harness, version, &pair("e", "a"), NOW_MS).await, 400, "a third pair");
        // Without both labels a series comes from no pair.
        assert_eq!(send(&harness, version, &[("__name__", "up"), ("__replica__", "z")], NOW_MS).await, 204);

        let floats = harness.floats(0);
        let times =
            |series: &str| floats.get(series).map(|s| s.iter().map(|(t, _)| t - NOW_MS).collect::<Vec<_>>());
        assert_eq!(times(r#"{__name__="up", cluster="c"}"#), Some(vec![0, 2, 4]));
        assert_eq!(times(r#"{__name__="up", cluster="d"}"#), Some(vec![0]));
        assert_eq!(times(r#"{__name__="up", __replica__="z"}"#), Some(vec![0]));
        assert_eq!(floats.len(), 3);
        let tenant = [("tenant", TENANT)];
        assert_eq!(harness.metric("barograph_distributor_deduped_samples_total", &tenant), 3.0);
        let clusters = [("tenant", TENANT), ("reason", "too_many_ha_clusters")];
        assert_eq!(harness.metric("barograph_discarded_samples_total", &clusters), 1.0);
    }
}
