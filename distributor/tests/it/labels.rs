//! What happens to series by their labels and timestamps, in both versions.

use proto::{Code, Source, Version};
use testkit::remote_write::{CaseRequest, RW1_CONTENT_TYPE, RW2_CONTENT_TYPE, TENANT};
use wire::encode::{Rw1Writer, Rw2Writer};
use wire::snappy;

use crate::harness::{Harness, NOW_MS, tenant};

pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Labels and timestamps.
pub(crate) type Series<'a> = (&'a [Pair<'a>], &'a [i64]);

/// One series with these labels and one sample, in either version.
pub(crate) fn message(version: Version, series: &[Series<'_>]) -> Vec<u8> {
    let (mut v1, mut v2) = (Rw1Writer::default(), Rw2Writer::default());
    for (labels, timestamps) in series {
        for (name, value) in *labels {
            v1.raw_label(name, value);
            let refs = [v2.raw_symbol(name), v2.raw_symbol(value)];
            v2.label_refs(&refs);
        }
        for timestamp in *timestamps {
            v1.sample(*timestamp, 1.0);
            v2.sample(*timestamp, 1.0, 0);
        }
        v1.end_series();
        v2.end_series();
    }
    match version {
        Version::V1 => v1.message().to_vec(),
        Version::V2 => v2.message(),
    }
}

/// Sends one series; the answer's error, what is stored, and which buffers the frames point to.
async fn send(
    version: Version,
    labels: &[Pair<'_>],
    timestamps: &[i64],
) -> (Option<String>, String, Vec<Source>) {
    let harness = Harness::single("");
    let response = harness
        .write(version, message(version, &[(labels, timestamps)]))
        .await
        .expect("the write is not refused as a whole");
    let error = response.error.map(|error| {
        assert_eq!(error.code, Code::InvalidArgument, "{error}");
        error.message
    });
    let sources = harness.ingesters[0]
        .pushes()
        .iter()
        .flat_map(|push| push.batch.frames.iter().map(|frame| frame.source))
        .collect();
    (error, format!("{:?}", harness.floats(0)), sources)
}

async fn check_stored(labels: &[Pair<'_>], stored: &str, source: Source) {
    for version in [Version::V1, Version::V2] {
        let (error, found, sources) = send(version, labels, &[NOW_MS]).await;
        assert_eq!(error, None, "{labels:?} as {version:?}");
        let expected = format!("{{\"{}\": [({NOW_MS}, 1.0)]}}", stored.escape_debug());
        assert_eq!(found, expected, "{version:?}");
        assert_eq!(sources, [source], "{labels:?} as {version:?}");
    }
}

async fn check_refused(labels: &[Pair<'_>], parts: &[&str]) {
    for version in [Version::V1, Version::V2] {
        let (error, found, sources) = send(version, labels, &[NOW_MS]).await;
        let error = error.unwrap_or_else(|| panic!("{version:?} is accepted: {found}"));
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
        assert!(error.len() < 4_096, "a message of {} bytes", error.len());
        assert!(error.contains("(1 of 1 samples, histograms and exemplars were refused)"), "{error}");
        assert!(sources.is_empty());
    }
}

#[tokio::test]
async fn well_formed_series_are_forwarded_as_they_are() {
    let long = "x".repeat(300);
    let labels: [Pair<'_>; 3] =
        [(b"__name__", b"up"), (b"job", "Zürich".as_bytes()), (b"long", long.as_bytes())];
    let stored = format!(r#"{{__name__="up", job="Zürich", long="{long}"}}"#);
    check_stored(&labels, &stored, Source::Request).await;
    check_stored(
        &[(b"__name__", b"a metric. with \xf0\x9f\x9a\x80")],
        r#"{__name__="a metric. with 🚀"}"#,
        Source::Request,
    )
    .await;
}

#[tokio::test]
async fn labels_are_sorted_and_empty_values_left_out() {
    let stored = r#"{__name__="up", a="1", b="2"}"#;
    check_stored(&[(b"b", b"2"), (b"a", b"1"), (b"__name__", b"up")], stored, Source::Rewritten).await;
    check_stored(&[(b"__name__", b"up"), (b"a", b"1"), (b"b", b"2"), (b"c", b"")], stored, Source::Rewritten)
        .await;
}

#[tokio::test]
async fn labels_behind_samples_count_too() {
    let harness = Harness::single("");
    let mut writer = Rw1Writer::default();
    writer.label("__name__", "up").sample(NOW_MS, 1.0).label("a", "1").end_series();
    harness.write(Version::V1, writer.message().to_vec()).await.expect("it is stored");
    let floats = harness.floats(0);
    assert_eq!(floats.keys().collect::<Vec<_>>(), [r#"{__name__="up", a="1"}"#]);
}

#[tokio::test]
async fn wrong_labels_are_refused_with_a_reason() {
    check_refused(&[], &["{}", "no metric name"]).await;
    check_refused(&[(b"job", b"x")], &[r#"{job="x"}"#, "no metric name"]).await;
    check_refused(&[(b"__name__", b"")], &["no metric name"]).await;
    check_refused(&[(b"__name__", b"up"), (b"", b"x")], &["has no name"]).await;
    check_refused(
        &[(b"__name__", b"up"), (b"a", b"1"), (b"a", b"1")],
        &[r#"label "a" occurs more than once"#],
    )
    .await;
    check_refused(&[(b"__name__", b"up"), (b"b", b"1"), (b"a", b"1"), (b"b", b"")], &[r#"label "b" occurs"#])
        .await;
    check_refused(&[(b"__name__", b"up"), (b"a", b"\xff")], &[r#"value of label "a" is not valid UTF-8"#])
        .await;
    check_refused(&[(b"__name__", b"up"), (b"a\xc3", b"x")], &["label name", "is not valid UTF-8"]).await;
}

#[tokio::test]
async fn labels_over_limits_are_refused() {
    let megabyte = vec![b'x'; 1 << 20];
    check_refused(
        &[(b"__name__", b"up"), (b"a", &megabyte)],
        &["1048576 bytes", "2048", "max_label_value_length"],
    )
    .await;
    check_refused(
        &[(b"__name__", b"up"), (&megabyte, b"a")],
        &["1048576 bytes", "1024", "max_label_name_length"],
    )
    .await;
    let names: Vec<String> = (10..40).map(|i| format!("label_{i}")).collect();
    let mut labels: Vec<Pair<'_>> = vec![(b"__name__", b"up")];
    labels.extend(names.iter().map(|name| (name.as_bytes(), &b"x"[..])));
    check_refused(&labels, &["31 labels", "at most 30", "max_label_names_per_series"]).await;
    labels.pop();
    let (error, ..) = send(Version::V1, &labels, &[NOW_MS]).await;
    assert_eq!(error, None);
}

#[tokio::test]
async fn samples_too_far_in_the_future_are_refused_alone() {
    let grace = 10 * 60_000;
    let labels: [Pair<'_>; 1] = [(b"__name__", b"up")];
    for version in [Version::V1, Version::V2] {
        let (error, found, sources) =
            send(version, &labels, &[NOW_MS, NOW_MS + grace, NOW_MS + grace + 1]).await;
        let error = error.expect("it is refused in part");
        assert!(error.contains("creation_grace_period") && error.contains("(1 of 3 "), "{error}");
        assert!(found.contains(&format!("[({NOW_MS}, 1.0), ({}, 1.0)]", NOW_MS + grace)), "{found}");
        assert_eq!(sources, [Source::Rewritten]);
        let (error, found, sources) = send(version, &labels, &[i64::MAX]).await;
        assert!(error.is_some() && found == "{}" && sources.is_empty(), "{found}");
    }
}

#[tokio::test]
async fn good_series_land_beside_bad_ones() {
    for version in [Version::V1, Version::V2] {
        let harness = Harness::single("");
        let (good, bad): ([Pair<'_>; 1], [Pair<'_>; 1]) = ([(b"__name__", b"good")], [(b"job", b"bad")]);
        let message =
            message(version, &[(&bad, &[NOW_MS, NOW_MS + 1]), (&good, &[NOW_MS]), (&bad, &[NOW_MS])]);
        let response = harness.write(version, message).await.expect("it is stored in part");
        assert_eq!(response.written.samples, 1);
        let error = response.error.expect("it is refused in part");
        assert!(error.message.contains(r#"{job="bad"}"#) && error.message.contains("(3 of 4 "), "{error}");
        assert_eq!(harness.floats(0).len(), 1);
        let labels = [("tenant", TENANT), ("reason", "missing_metric_name")];
        assert_eq!(harness.metric("barograph_discarded_samples_total", &labels), 3.0);
        assert_eq!(
            harness.metric("barograph_distributor_received_samples_total", &[("tenant", TENANT)]),
            4.0
        );
    }
}

#[tokio::test]
async fn a_bad_symbol_spoils_only_what_refers_to_it() {
    let harness = Harness::single("");
    let (good, bad): ([Pair<'_>; 1], [Pair<'_>; 2]) =
        ([(b"__name__", b"good")], [(b"__name__", b"up"), (b"a", b"\xff")]);
    let message = message(Version::V2, &[(&bad, &[NOW_MS]), (&good, &[NOW_MS])]);
    let response = harness.write(Version::V2, message).await.expect("it is stored in part");
    assert_eq!(response.written.samples, 1);
    assert!(response.error.is_some());
}

/// An unknown field's tag completes what the symbol before it lacks of a letter.
#[tokio::test]
async fn a_torn_letter_is_not_mended_by_what_follows() {
    let mut message = vec![0x22, 0];
    wire::protobuf::put_bytes_field(&mut message, 4, b"__name__");
    wire::protobuf::put_bytes_field(&mut message, 4, b"up\xc2");
    wire::protobuf::put_bytes_field(&mut message, 99, b"");
    wire::protobuf::put_bytes_field(&mut message, 4, b"x");
    assert!(std::str::from_utf8(&message).is_ok(), "as a whole it looks right");
    wire::protobuf::put_bytes_field(&mut message, 5, &[0x0a, 2, 1, 2, 0x12, 2, 0x10, 1]);
    let harness = Harness::single("");
    let response = harness.write(Version::V2, message).await.expect("the request is well-formed");
    let error = response.error.expect("the series is not");
    assert!(error.message.contains("is not valid UTF-8"), "{error}");
    assert!(harness.floats(0).is_empty());
}

#[tokio::test]
async fn metadata_of_1_0_is_passed_on() {
    let harness = Harness::single("overrides: {conformance: {max_metadata_length: 16}}");
    let metadata = |help: &str, unit: &str| model::Metadata {
        metric_type: model::MetricType::Gauge,
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    let mut writer = Rw1Writer::default();
    writer.metadata("up", &metadata("whether it is üp at all", "s"));
    writer.metadata("", &metadata("no name", ""));
    writer.metadata("x", &metadata("", "a unit that is too long"));
    let response = harness.write(Version::V1, writer.message().to_vec()).await.expect("it is stored");
    assert_eq!(response.error, None);
    let stored = harness.ingesters[0].stored(&tenant()).metadata;
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].family.as_str(), &stored[0].metadata), ("up", &metadata("whether it is ü", "s")));
    let discarded = |reason| {
        harness.metric("barograph_discarded_metadata_total", &[("tenant", TENANT), ("reason", reason)])
    };
    assert_eq!((discarded("missing_metric_name"), discarded("unit_too_long")), (1.0, 1.0));
}

async fn check_status(content_type: &str, body: Vec<u8>, status: u16, part: &str) {
    let harness = Harness::single("overrides: {conformance: {max_write_request_size: 1MiB}}");
    let request = CaseRequest {
        tenant: Some(TENANT),
        content_type: content_type.to_owned(),
        content_encoding: "snappy".to_owned(),
        body,
        sent: [0; 3],
    };
    let (answer, _) = harness.http(&request).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.body.contains(part), "{answer:?}");
    assert!(harness.ingesters[0].pushes().is_empty());
}

#[tokio::test]
async fn broken_bodies_are_refused_with_what_is_wrong() {
    for content_type in [RW1_CONTENT_TYPE, RW2_CONTENT_TYPE] {
        let bomb = vec![0x80, 0x80, 0x80, 0x80, 0x08, 0];
        check_status(content_type, bomb, 413, "2147483648 bytes").await;
        check_status(content_type, vec![0xff; 20], 400, "snappy").await;
        check_status(content_type, Vec::new(), 400, "snappy").await;
        check_status(content_type, snappy::compress(&vec![0; 2 << 20]), 413, "max_write_request_size").await;
        check_status(content_type, snappy::compress(b"hello"), 400, "byte ").await;
    }
    // A series that says it is longer than the request.
    check_status(RW1_CONTENT_TYPE, snappy::compress(&[0x0a, 5, 1]), 400, "byte 2: length 5").await;
    // Symbols beyond number.
    let symbols = [0x22, 0].repeat(500_000);
    let harness = Harness::single("");
    harness.write(Version::V2, symbols).await.expect("half a million symbols are fine");
    let too_many = [0x22, 0].repeat(4_000_001);
    let error = harness.write(Version::V2, too_many).await.expect_err("four million are not");
    assert_eq!(error.code, Code::InvalidArgument);
}
