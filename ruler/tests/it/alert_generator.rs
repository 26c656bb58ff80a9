//! The rules of the compliance suite for alert generators (`conformance/alert_generator`), as they are in the file, over half an
//! hour and more of simulated time: what Alertmanagers are told, series and APIs are what the naive model says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use model::Labels;
use rules::evaluation::Schedule;
use serde_json::json;

use crate::naive::{NaiveMessage, NaiveRule};
use crate::world::{START_MS, Site, Told, World, pass, seconds};

const INTERVAL_MS: i64 = 30_000;
/// How often samples come.
const STEP_MS: i64 = 5_000;
/// A bit more than half an hour of samples, and the time in which ends are told again.
const STEPS: i64 = 54 * 60_000 / STEP_MS;

/// A series of the suite, and what its value is over time: from which second on which value, `NaN` for none.
struct Script {
    group: &'static str,
    rule: &'static str,
    /// Labels beside the two above.
    more: &'static [(&'static str, &'static str)],
    /// The bound of the rule.
    above: f64,
    hold_ms: i64,
    values: &'static [(i64, f64)],
}

const NONE: f64 = f64::NAN;

const SCRIPTS: [Script; 7] = [
    // Pending, firing with another value, resolved, and active again while that is still being told.
    Script {
        group: "PendingAndFiringAndResolved",
        rule: "PendingAndFiringAndResolved_SimpleAlert",
        more: &[],
        above: 10.0,
        hold_ms: 360_000,
        values: &[(0, 3.0), (120, 11.0), (300, 12.0), (660, 19.0), (900, 9.0), (1_260, 13.0), (1_900, 1.0)],
    },
    // Never firing, so that nobody is told.
    Script {
        group: "PendingAndResolved_AlwaysInactive",
        rule: "PendingAndResolved_AlwaysInactive_PendingAlert",
        more: &[],
        above: 10.0,
        hold_ms: 180_000,
        values: &[(0, 5.0), (120, 15.0), (240, 5.0), (600, 11.0), (700, NONE)],
    },
    Script {
        group: "PendingAndResolved_AlwaysInactive",
        rule: "PendingAndResolved_AlwaysInactive_InactiveAlert",
        more: &[],
        above: 99.0,
        hold_ms: 180_000,
        values: &[(0, 5.0)],
    },
    Script {
        group: "ZeroFor_SmallFor",
        rule: "ZeroFor_SmallFor_ZeroFor",
        more: &[],
        above: 10.0,
        hold_ms: 0,
        values: &[(0, 5.0), (150, 11.0), (310, 3.0), (1_500, 12.0), (1_590, 4.0)],
    },
    Script {
        group: "ZeroFor_SmallFor",
        rule: "ZeroFor_SmallFor_SmallFor",
        more: &[],
        above: 13.0,
        hold_ms: 15_000,
        values: &[(0, 5.0), (180, 14.0), (400, 3.0), (900, 15.0), (935, NONE)],
    },
    Script {
        group: "NewAlerts_OrderCheck",
        rule: "NewAlerts_OrderCheck_Rule1",
        more: &[("variant", "one")],
        above: 10.0,
        hold_ms: 180_000,
        values: &[(0, 5.0), (100, 12.0), (1_200, 2.0)],
    },
    // A second one while the first fires.
    Script {
        group: "NewAlerts_OrderCheck",
        rule: "NewAlerts_OrderCheck_Rule1",
        more: &[("variant", "two")],
        above: 10.0,
        hold_ms: 180_000,
        values: &[(0, 5.0), (480, 12.0), (1_200, 2.0)],
    },
];

impl Script {
    fn at(&self, second: i64) -> Option<f64> {
        let last = self.values.iter().rev().find(|(from, _)| *from <= second)?;
        Some(last.1).filter(|value| !value.is_nan())
    }

    fn series(&self) -> String {
        let pairs = [("alertname", self.rule), ("rulegroup", self.group)];
        let pairs = pairs.iter().chain(self.more).map(|(name, value)| format!("{name}=\"{value}\""));
        format!("alert_generator_test_suite{{{}}}", pairs.collect::<Vec<_>>().join(","))
    }

    /// What its rule gives at that time: the newest sample, five minutes old at most, if it is above the bound.
    fn result(&self, at_ms: i64) -> Option<f64> {
        let newest = (0..STEPS).rev().find_map(|step| {
            let time_ms = START_MS + step * STEP_MS;
            let value = (time_ms <= at_ms).then(|| self.at(step * STEP_MS / 1_000)).flatten()?;
            Some((time_ms, value))
        });
        newest.filter(|(time_ms, value)| at_ms - time_ms < 300_000 && *value > self.above).map(|(_, v)| v)
    }
}

/// The evaluations of a group.
fn evaluations(file: &str, group: &str, until_ms: i64) -> Vec<i64> {
    let schedule = Schedule::new(file, group, INTERVAL_MS);
    let mut times = vec![schedule.before(START_MS) + INTERVAL_MS];
    while let Some(last) = times.last().copied().filter(|last| last + INTERVAL_MS <= until_ms) {
        times.push(last + INTERVAL_MS);
    }
    times
}

fn file() -> Option<PathBuf> {
    Some(testkit::conformance("alert_generator")?.join("rules.yaml"))
}

/// The messages about an alert, by its labels without those that all have in common.
type Messages = BTreeMap<Labels, Vec<NaiveMessage>>;

#[tokio::test(start_paused = true)]
async fn the_suite_passes() {
    let Some(path) = file() else { return };
    let world = World::new();
    let told = Told::new(&world);
    let site = Site::start(&world, std::slice::from_ref(&path), vec![told.target("am")], &[]).await;
    for step in 0..STEPS {
        let second = step * STEP_MS / 1_000;
        for script in &SCRIPTS {
            if let Some(value) = script.at(second) {
                world.put(&script.series(), value);
            }
        }
        for id in ["1", "2"] {
            world.put(&format!("alert_generator_test_suite{{rulegroup=\"ZeroFor_SmallFor\",for=\"template\",id=\"{id}\"}}"), 28.0);
        }
        pass(seconds(STEP_MS as u64 / 1_000)).await;
    }
    let until_ms = world.now_ms();
    let file = path.display().to_string();
    let (mut expected, mut states) = (Messages::new(), BTreeMap::new());
    for script in &SCRIPTS {
        let times = evaluations(&file, script.group, until_ms);
        let values = times.iter().map(|at| (*at, script.result(*at))).collect();
        let (messages, of_series) = rule(script.hold_ms).play(&values);
        let labels = labels(script);
        states.insert(labels.clone(), of_series);
        if !messages.is_empty() {
            expected.insert(labels, messages);
        }
    }
    let (labels, messages, of_second) = second_rule(&states);
    expected.insert(labels.clone(), messages);
    states.insert(labels, of_second);
    check_messages(&told, &expected);
    check_series(&world, &states);
    check_api(&site, &file).await;
}

fn rule(hold_ms: i64) -> NaiveRule {
    NaiveRule { interval_ms: INTERVAL_MS, hold_ms, keep_firing_ms: 0, resend_delay_ms: 60_000 }
}

/// The labels of the alert of a series.
fn labels(script: &Script) -> Labels {
    let mut labels: BTreeMap<&str, &str> = script.more.iter().copied().collect();
    labels.extend([("alertname", script.rule), ("rulegroup", script.group)]);
    let added: &[(&str, &str)] = match script.rule {
        "PendingAndResolved_AlwaysInactive_InactiveAlert" | "ZeroFor_SmallFor_SmallFor" => {
            &[("ba_dum", "tss")]
        }
        _ => &[("foo", "bar")],
    };
    labels.extend(added.iter().copied());
    Labels::from_pairs(labels)
}

/// The rule that reads what the first one of its group has just written: it holds when both alerts of that fire.
fn second_rule(
    states: &BTreeMap<Labels, BTreeMap<i64, &'static str>>,
) -> (Labels, Vec<NaiveMessage>, BTreeMap<i64, &'static str>) {
    let of = |variant: &str| {
        let found = states.iter().find(|(labels, _)| labels.get("variant") == Some(variant));
        found.expect("the first rule has two alerts").1
    };
    let (one, two) = (of("one"), of("two"));
    let times = evaluations(
        &file().expect("there").display().to_string(),
        "NewAlerts_OrderCheck",
        START_MS + STEPS * STEP_MS,
    );
    let fires = |states: &BTreeMap<i64, &str>, at: &i64| states.get(at) == Some(&"firing");
    let values = times.iter().map(|at| (*at, (fires(one, at) && fires(two, at)).then_some(2.0))).collect();
    let (messages, of_second) = rule(0).play(&values);
    let labels = [
        ("alertname", "NewAlerts_OrderCheck_Rule2"),
        ("alertstate", "firing"),
        ("ba_dum", "tss"),
        ("foo", "baz"),
        ("rulegroup", "NewAlerts_OrderCheck"),
    ];
    (Labels::from_pairs(labels), messages, of_second)
}

fn check_messages(told: &Arc<Told>, expected: &Messages) {
    let mut got = Messages::new();
    for (at_ms, alert) in told.take() {
        let annotations = &*alert.annotations;
        let value = match annotations.get("summary") {
            Some(summary) => {
                summary.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a value")
            }
            None => f64::NAN,
        };
        check_texts(alert.labels.get_or_empty("alertname"), annotations);
        assert!(
            alert.generator_url.starts_with("http://barograph.example/graph?g0.expr="),
            "{}",
            alert.generator_url
        );
        let (starts_at_ms, ends_at_ms) = (alert.starts_at_ms, alert.ends_at_ms);
        let message = NaiveMessage { at_ms, starts_at_ms, ends_at_ms, value };
        got.entry(alert.labels).or_default().push(message);
    }
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (labels, expected) in expected {
        assert!(expected.len() > 3, "{labels} is told of often");
        for (got, expected) in got[labels].iter().zip(expected) {
            let value = if got.value.is_nan() { f64::NAN } else { expected.value };
            let expected = NaiveMessage { value, ..expected.clone() };
            assert_eq!(format!("{got:?}"), format!("{expected:?}"), "{labels}");
        }
        assert_eq!(got[labels].len(), expected.len(), "{labels}");
    }
}

fn check_texts(name: &str, annotations: &BTreeMap<String, String>) {
    let text = |key: &str| annotations.get(key).map(String::as_str).unwrap_or_default();
    match name {
        "ZeroFor_SmallFor_ZeroFor" => {
            assert_eq!(text("template_test"), "1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC");
            assert_eq!(text("template_query_test"), "Args are: foo bar 99. first_id:1,1:28,2:28,");
        }
        "ZeroFor_SmallFor_SmallFor" => assert_eq!(
            text("template_test"),
            "This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ."
        ),
        "NewAlerts_OrderCheck_Rule2" => assert_eq!(
            text("description"),
            "Based on ALERTS. Old alertname was NewAlerts_OrderCheck_Rule1. foo was bar."
        ),
        _ => {}
    }
}

/// `ALERTS` has a sample for each evaluation at which an alert was there, and a marker where that has ended.
fn check_series(world: &World, states: &BTreeMap<Labels, BTreeMap<i64, &'static str>>) {
    let mut got: BTreeMap<Labels, BTreeMap<i64, String>> = BTreeMap::new();
    for (labels, samples) in world.floats("ALERTS") {
        let state = labels.get_or_empty("alertstate").to_owned();
        let mut alert = labels.to_builder();
        alert.remove("__name__").remove("alertstate");
        if labels.get("alertname") == Some("NewAlerts_OrderCheck_Rule2") {
            // Its alerts have that label themselves.
            alert.set("alertstate", "firing");
        }
        let times = got.entry(alert.build()).or_default();
        for (at, value) in samples {
            assert!(value == 1.0 || model::is_stale_nan(value), "{labels}: {value}");
            if value == 1.0 {
                assert_eq!(times.insert(at, state.clone()), None, "{labels} has one state at a time");
            }
        }
    }
    let expected: BTreeMap<&Labels, BTreeMap<i64, String>> = states
        .iter()
        .filter(|(_, states)| !states.is_empty())
        .map(|(labels, states)| {
            (labels, states.iter().map(|(at, state)| (*at, (*state).to_owned())).collect())
        })
        .collect();
    for (labels, expected) in &expected {
        assert_eq!(got.get(*labels), Some(expected), "{labels}");
    }
    assert_eq!(got.len(), expected.len());
}

async fn check_api(site: &Site, file: &str) {
    let rules = site.data("/prometheus/api/v1/rules").await;
    let groups = rules["groups"].as_array().expect("groups");
    let names: Vec<_> = groups.iter().map(|group| group["name"].as_str().expect("a name")).collect();
    assert_eq!(
        names,
        [
            "NewAlerts_OrderCheck",
            "PendingAndFiringAndResolved",
            "PendingAndResolved_AlwaysInactive",
            "ZeroFor_SmallFor"
        ]
    );
    for group in groups {
        assert_eq!((&group["file"], &group["interval"]), (&json!(file), &json!(30.0)));
        for rule in group["rules"].as_array().expect("rules") {
            assert_eq!((&rule["health"], &rule["type"]), (&json!("ok"), &json!("alerting")));
            assert_eq!((&rule["state"], &rule["lastError"]), (&json!("inactive"), &json!(null)), "{rule}");
        }
    }
    assert_eq!(site.data("/prometheus/api/v1/alerts").await, json!({"alerts": []}));
}
