//! What Alertmanagers are told, and what becomes of it where one is slow, refuses, or is not there.

use model::TenantId;
use proto::{Code, Error};
use ruler::{Alertmanagers, NameServers};
use serde_json::Value;
use testkit::{Receiver, Reply};

use crate::world::{Site, Told, World, pass, rules, seconds};

const RULES: &str = "
groups:
- name: g
  interval: 10s
  rules: [{alert: Up, expr: 'up == 1', labels: {team: a}, annotations: {n: '{{ $value }} of {{ $externalLabels.cluster }}'}}]
";

/// Samples of something that is up, for so many seconds.
async fn up(world: &World, for_seconds: u64) {
    for _ in 0..for_seconds / 5 {
        world.put("up{job=\"x\"}", 1.0);
        pass(seconds(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_get_external_labels_and_are_relabelled() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let told = Told::new(&world);
    let settings = [
        ("external_labels", "{cluster: eu, team: nobody}"),
        (
            "alert_relabel_configs",
            "[{action: labeldrop, regex: job}, {source_labels: [cluster], target_label: where, replacement: in-$1}]",
        ),
    ];
    let site = Site::start(&world, &[file], vec![told.target("am")], &settings).await;
    up(&world, 30).await;
    let (_, alert) = told.take().swap_remove(0);
    let labels: Vec<_> = alert.labels.iter().collect();
    assert_eq!(labels, [("alertname", "Up"), ("cluster", "eu"), ("team", "a"), ("where", "in-eu")]);
    assert_eq!(alert.annotations["n"], "1 of eu");
    // The API and the series know nothing of it.
    let alerts = site.data("/prometheus/api/v1/alerts").await;
    assert_eq!(
        alerts["alerts"][0]["labels"],
        serde_json::json!({"alertname": "Up", "job": "x", "team": "a"})
    );
}

#[tokio::test(start_paused = true)]
async fn what_relabelling_drops_is_not_sent() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let told = Told::new(&world);
    let settings = [("alert_relabel_configs", "[{action: drop, source_labels: [team], regex: a}]")];
    let _site = Site::start(&world, &[file], vec![told.target("am")], &settings).await;
    up(&world, 60).await;
    assert!(told.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_holds_up_no_other() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let (good, gone) = (Told::new(&world), Told::new(&world));
    *gone.refusing.lock() = Some(Error::unavailable("gone", seconds(1)));
    let targets = vec![gone.target("gone"), good.target("good")];
    let site = Site::start(&world, &[file], targets, &[("resend_delay", "10s")]).await;
    up(&world, 40).await;
    assert!(good.take().len() >= 2);
    assert_eq!(site.metric("prometheus_notifications_errors_total", "good"), 0.0);
    assert!(site.metric("prometheus_notifications_errors_total", "gone") >= 1.0);
    // It comes back before what waits is given up.
    *gone.refusing.lock() = None;
    up(&world, 30).await;
    assert!(!gone.take().is_empty());
    assert_eq!(site.metric("prometheus_notifications_alertmanagers_discovered", ""), 2.0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_repeated_and_a_full_queue_drops_the_oldest() {
    let (_folder, file) = rules("groups: [{name: g, interval: 10s, rules: [{alert: Many, expr: 'm > 0'}]}]");
    let world = World::new();
    let (bad, slow) = (Told::new(&world), Told::new(&world));
    *bad.refusing.lock() = Some(Error::new(Code::InvalidArgument, "such alerts are not taken"));
    *slow.taking.lock() = seconds(9);
    let settings = [("notification_queue_capacity", "5"), ("notification_batch_size", "2")];
    let site = Site::start(&world, &[file], vec![bad.target("bad"), slow.target("slow")], &settings).await;
    for number in 0..12 {
        world.put(&format!("m{{n=\"{number:02}\"}}"), 1.0);
    }
    pass(seconds(55)).await;
    assert_eq!(site.metric("prometheus_notifications_dropped_total", "slow"), 7.0);
    let sent: Vec<_> =
        slow.take().iter().map(|(_, alert)| alert.labels.get_or_empty("n").to_owned()).collect();
    assert_eq!(sent, ["07", "08", "09", "10", "11"]);
    let (errors, dropped) = (
        site.metric("prometheus_notifications_errors_total", "bad"),
        site.metric("prometheus_notifications_dropped_total", "bad"),
    );
    // Those that did not fit, and the five that were refused, each once.
    assert_eq!((errors, dropped), (5.0, 12.0));
}

#[tokio::test]
async fn over_http_they_are_told_as_the_api_has_it() {
    let receiver = Receiver::start();
    let url = format!("http://user:secret@{}/prefix/", receiver.address());
    let mut entries = Alertmanagers::at(&[url], &NameServers::OfMachine).expect("a URL");
    let Alertmanagers::One(target) = entries.swap_remove(0) else { panic!("a URL is one Alertmanager") };
    assert_eq!(target.name, receiver.url("/prefix/api/v2/alerts"), "no password is shown");
    let alert = proto::PostedAlert {
        labels: model::Labels::from_pairs([("alertname", "Up")]),
        annotations: std::sync::Arc::new([("a".to_owned(), "ü".to_owned())].into()),
        starts_at_ms: 1_767_225_600_123,
        ends_at_ms: 1_767_225_840_000,
        generator_url: "http://x/graph?g0.expr=up&g0.tab=1".into(),
    };
    let tenant = TenantId::new("team-a").expect("a tenant");
    target.way.post(&tenant, std::slice::from_ref(&alert)).await.expect("taken");
    let request = receiver.requests().swap_remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/prefix/api/v2/alerts"));
    assert_eq!(request.header("x-scope-orgid"), Some("team-a"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(request.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    let expected = serde_json::json!([{
        "labels": {"alertname": "Up"},
        "annotations": {"a": "ü"},
        "startsAt": "2026-01-01T00:00:00.123Z",
        "endsAt": "2026-01-01T00:04:00.000Z",
        "generatorURL": "http://x/graph?g0.expr=up&g0.tab=1",
    }]);
    assert_eq!(body, expected);
    for (status, retryable) in [(500, true), (429, true), (400, false)] {
        receiver.answer_next(Reply::new(status, "because"));
        let error = target.way.post(&tenant, std::slice::from_ref(&alert)).await.expect_err("refused");
        assert_eq!(error.code.is_retryable(), retryable, "{status}");
        assert!(error.message.contains("because"), "{error}");
    }
}

#[test]
fn what_is_no_url_of_an_alertmanager_is_refused() {
    for url in ["alertmanager:9093", "ftp://x", "/api", "http://", "x y"] {
        let refused = Alertmanagers::at(&[url.to_owned()], &NameServers::OfMachine)
            .err()
            .map(|error| error.to_string());
        assert!(
            refused.as_deref().is_some_and(|text| text.contains("alertmanager_url")),
            "{url}: {refused:?}"
        );
    }
}
