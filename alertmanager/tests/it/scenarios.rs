//! Timelines: pushes, silences and reloads, and the notifications that follow, in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use alertmanager::config::Config;
use alertmanager::dispatch::{DispatchLimits, Dispatcher, Notification, Outcome};
use alertmanager::matcher::{Language, Matcher};
use alertmanager::silence::Silence;
use alertmanager::{Alert, Moment};
use model::MatchOp;
use serde_json::Value as Json;

use crate::support::{config, conformance_path, labels, list, none_wrong, plain, seconds, text, yaml};

/// How much windows are wider, and starts and ends may differ, in seconds.
const TOLERANCE: f64 = 0.15;

/// A notification that a webhook accepted.
struct Told {
    at: f64,
    webhook: String,
    alerts: Vec<Arc<Alert>>,
}

/// Runs a scenario to its end: what the webhooks accepted.
fn run(scenario: &Json, config: &Config) -> Vec<Told> {
    let mut dispatcher = Dispatcher::new(config, DispatchLimits::default());
    let mut told = Vec::new();
    let mut silences = BTreeMap::new();
    for step in list(&scenario["steps"]) {
        let at = step["at"].as_f64().expect("a time");
        until(&mut dispatcher, config, at, &mut told);
        apply(&mut dispatcher, config, &step, seconds(at), &mut silences);
    }
    let windows = scenario["expect"].as_object().expect("what is expected").values().flat_map(list);
    let end = windows.filter_map(|entry| entry["between"][1].as_f64()).fold(0.0, f64::max);
    until(&mut dispatcher, config, end + TOLERANCE, &mut told);
    told
}

/// Sends what is due before a time.
fn until(dispatcher: &mut Dispatcher, config: &Config, end: f64, told: &mut Vec<Told>) {
    while let Some(due) = dispatcher.next_due().filter(|due| *due < seconds(end)) {
        let notifications = dispatcher.flush(due).notifications;
        for notification in notifications {
            told.push(Told {
                at: due.nanos() as f64 / 1e9,
                webhook: webhook(config, &notification),
                alerts: notification.alerts.clone(),
            });
            dispatcher.done(&notification, Outcome::Sent, due);
        }
    }
}

fn webhook(config: &Config, notification: &Notification) -> String {
    let receiver = config.receiver(&notification.key.receiver).expect("the receiver");
    let url = receiver.webhook[notification.key.index].url.expose();
    url.trim_start_matches("http://webhook/").to_owned()
}

fn apply(
    dispatcher: &mut Dispatcher,
    config: &Config,
    step: &Json,
    now: Moment,
    silences: &mut BTreeMap<String, String>,
) {
    for (action, value) in step.as_object().expect("a step") {
        match action.as_str() {
            "at" => {}
            "push" => {
                for pushed in list(value) {
                    dispatcher.push(alert(&pushed, config, now), now);
                }
            }
            "reload" => dispatcher.reload(config, now),
            "silence" => {
                let id = format!("silence-{}", silences.len());
                silences.insert(text(value, "id").to_owned(), id.clone());
                let limit = usize::MAX;
                let change = dispatcher
                    .silences()
                    .change(silence(value), &id, Language::Fallback, limit, now)
                    .expect("a silence");
                change.store.into_iter().for_each(|silence| dispatcher.silences_mut().store(silence));
            }
            "delete_silence" => {
                let id = &silences[&plain(value)];
                if let Some(ended) = dispatcher.silences().expire(id, now).expect("the silence") {
                    dispatcher.silences_mut().store(ended);
                }
            }
            other => panic!("unknown step {other}"),
        }
    }
}

/// An alert as the API takes it: without an end, it is held to be resolved after the timeout.
fn alert(pushed: &Json, config: &Config, now: Moment) -> Alert {
    let time = |key: &str| pushed.get(key).and_then(Json::as_f64).map(seconds);
    let annotations = pushed.get("annotations").and_then(Json::as_object).cloned().unwrap_or_default();
    let ends_at = time("ends");
    Alert {
        labels: labels(&pushed["labels"]),
        annotations: Arc::new(annotations.iter().map(|(name, value)| (name.clone(), plain(value))).collect()),
        starts_at: time("starts").unwrap_or(now),
        ends_at: Some(ends_at.unwrap_or(now.plus(config.global.resolve_timeout))),
        generator_url: "".into(),
        updated_at: now,
        timeout: ends_at.is_none(),
    }
}

fn silence(value: &Json) -> Silence {
    let matchers = list(&value["matchers"]);
    let matchers = matchers.iter().map(|matcher| {
        let flag = |key: &str, otherwise| matcher.get(key).and_then(Json::as_bool).unwrap_or(otherwise);
        let op = match (flag("isRegex", false), flag("isEqual", true)) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        Matcher::new(text(matcher, "name"), op, text(matcher, "value")).expect("a matcher")
    });
    let time = |key: &str| seconds(value[key].as_f64().expect("a time"));
    Silence {
        id: String::new(),
        matchers: vec![matchers.collect()],
        starts_at: time("starts"),
        ends_at: time("ends"),
        updated_at: time("starts"),
        created_by: "somebody".to_owned(),
        comment: "a reason".to_owned(),
        annotations: BTreeMap::new(),
    }
}

fn is(alert: &Alert, expected: &Json) -> bool {
    let near = |moment: Moment, time: &Json| {
        time.as_f64().is_some_and(|time| (moment.nanos() as f64 / 1e9 - time).abs() <= TOLERANCE)
    };
    let annotations = expected.get("annotations").and_then(Json::as_object).cloned().unwrap_or_default();
    let annotations: BTreeMap<String, String> =
        annotations.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
    let ends = match (alert.ends_at, expected.get("ends")) {
        (Some(ends_at), Some(time)) => near(ends_at, time),
        (ends_at, time) => ends_at.is_none() && time.is_none(),
    };
    alert.labels == labels(&expected["labels"])
        && *alert.annotations == annotations
        && near(alert.starts_at, &expected["starts"])
        && ends
}

fn are(alerts: &[Arc<Alert>], expected: &[Json]) -> bool {
    alerts.len() == expected.len()
        && alerts.iter().all(|alert| expected.iter().any(|expected| is(alert, expected)))
}

/// What is wrong with what the webhooks accepted.
fn differences(scenario: &Json, told: &[Told]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (webhook, entries) in scenario["expect"].as_object().expect("what is expected") {
        let mut expected_alerts = 0;
        for entry in list(entries) {
            let bound = |index: usize| entry["between"][index].as_f64().expect("a time");
            let (from, to) = (bound(0) - TOLERANCE, bound(1) + TOLERANCE);
            let within: Vec<&Told> = told
                .iter()
                .filter(|told| told.webhook == *webhook && (from..=to).contains(&told.at))
                .collect();
            let expected = list(&entry["alerts"]);
            expected_alerts += expected.len();
            let right = if expected.is_empty() {
                within.is_empty()
            } else {
                within.iter().any(|told| are(&told.alerts, &expected))
            };
            if !right {
                let alerts: Vec<_> = within.iter().map(|told| (told.at, &told.alerts)).collect();
                wrong.push(format!("{webhook} {entry}\n  got {alerts:?}"));
            }
        }
        let got: usize =
            told.iter().filter(|told| told.webhook == *webhook).map(|told| told.alerts.len()).sum();
        if got != expected_alerts {
            let times: Vec<_> = told.iter().map(|told| (told.at, told.alerts.len())).collect();
            wrong.push(format!("{webhook}: {got} alerts told, expected {expected_alerts}: {times:?}"));
        }
    }
    wrong
}

#[track_caller]
fn check(text_of_scenario: &str) -> Vec<String> {
    let scenario = yaml(text_of_scenario);
    let mut source = text(&scenario, "config").to_owned();
    while let Some(start) = source.find("WEBHOOK(") {
        let end = start + source[start..].find(')').expect("the end of the name");
        let url = format!("http://webhook/{}", &source[start + "WEBHOOK(".len()..end]);
        source.replace_range(start..=end, &url);
    }
    let told = run(&scenario, &config(&source));
    let id = text(&scenario, "id");
    differences(&scenario, &told).into_iter().map(|wrong| format!("{id}: {wrong}")).collect()
}

#[test]
fn timelines_of_upstream_are_kept() {
    let Some(folder) = conformance_path("scenarios") else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        wrong.extend(check(&std::fs::read_to_string(path).expect("the file")));
        count += 1;
    }
    assert!(count >= 9, "{count}");
    none_wrong(&wrong);
}

const OWN: [&str; 3] = [
    // Two receivers of a group are told each for itself; one of them wants no resolved alerts.
    r#"
id: two-ways
config: |
  route: {receiver: r, group_by: [g], group_wait: 1s, group_interval: 10s, repeat_interval: 1h}
  receivers:
  - name: r
    webhook_configs:
    - url: WEBHOOK(all)
    - {url: WEBHOOK(firing), send_resolved: false}
steps:
- {at: 0, push: [{labels: {g: "1", a: x}}, {labels: {g: "1", a: y}}, {labels: {g: "2"}}]}
- {at: 5, push: [{labels: {g: "1", a: x}, starts: 0, ends: 5}]}
- {at: 15, push: [{labels: {g: "1", a: y}, starts: 0, ends: 15}, {labels: {g: "2"}, starts: 0, ends: 15}]}
expect:
  all:
  - {between: [1, 1], alerts: [{labels: {g: "1", a: x}, starts: 0}, {labels: {g: "1", a: y}, starts: 0}]}
  - {between: [1, 1], alerts: [{labels: {g: "2"}, starts: 0}]}
  - {between: [11, 11], alerts: [{labels: {g: "1", a: x}, starts: 0, ends: 5}, {labels: {g: "1", a: y}, starts: 0}]}
  - {between: [21, 21], alerts: [{labels: {g: "1", a: y}, starts: 0, ends: 15}]}
  - {between: [21, 21], alerts: [{labels: {g: "2"}, starts: 0, ends: 15}]}
  - {between: [22, 60]}
  firing:
  - {between: [1, 1], alerts: [{labels: {g: "1", a: x}, starts: 0}, {labels: {g: "1", a: y}, starts: 0}]}
  - {between: [1, 1], alerts: [{labels: {g: "2"}, starts: 0}]}
"#,
    // An alert that came and went between two flushes is told to nobody.
    r#"
id: short
config: |
  route: {receiver: r, group_wait: 10s}
  receivers: [{name: r, webhook_configs: [{url: WEBHOOK(w)}]}]
steps:
- {at: 0, push: [{labels: {a: x}}]}
- {at: 5, push: [{labels: {a: x}, starts: 0, ends: 5}]}
expect:
  w: [{between: [0, 100]}]
"#,
    // A silence of all keeps a group quiet, and its end brings it back; a silence that is ended early counts no more.
    r#"
id: silenced
config: |
  route: {receiver: r, group_wait: 1s, group_interval: 10s, repeat_interval: 1h}
  receivers: [{name: r, webhook_configs: [{url: WEBHOOK(w)}]}]
steps:
- {at: 0, silence: {id: s, starts: 0, ends: 1000, matchers: [{name: a, value: 'x|y', isRegex: true}]}}
- {at: 1, push: [{labels: {a: x}}]}
- {at: 15, delete_silence: s}
expect:
  w:
  - {between: [0, 21]}
  - {between: [22, 22], alerts: [{labels: {a: x}, starts: 1}]}
  - {between: [23, 100]}
"#,
];

#[test]
fn timelines_of_our_own_are_kept() {
    none_wrong(&OWN.iter().flat_map(|scenario| check(scenario)).collect::<Vec<_>>());
}
