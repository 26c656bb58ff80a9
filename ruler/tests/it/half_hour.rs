//! Half an hour in simulated time, and the same half hour in Prometheus' own evaluation of rules: what came out here becomes the
//! expectations of a unit test that promtool runs. Recorded series, states of alerts and the times since when they are
//! active are compared at each evaluation, and the labels and annotations of those that fire.

use std::collections::BTreeMap;
use std::process::Command;

use model::Labels;
use serde_json::{Value, json};

use crate::world::{Site, World, pass, rules, seconds};

/// The interval of the group, and of samples.
const STEP_S: i64 = 30;
/// Half an hour of them.
const STEPS: i64 = 60;
/// Where people reach the ruler of [`Site`].
const EXTERNAL_URL: &str = "http://barograph.example";
/// Before this, a ruler may still look up how alerts stood.
const EVALUATIONS_BEFORE: usize = 4;

/// Where a template takes the first of several series, it sorts them: promtool loads series in any order.
const RULES: &str = r#"
groups:
- name: half an hour
  interval: 30s
  labels: {source: rules}
  rules:
  - {record: tick, expr: vector(1)}
  - {record: 'job:requests:rate3m', expr: 'sum by (job) (rate(requests_total[3m]))'}
  - {record: 'job:requests:ratio', expr: 'job:requests:rate3m / on () group_left () sum(job:requests:rate3m)'}
  - {record: 'temperature:avg5m', expr: 'avg_over_time(temperature[5m])', labels: {unit: celsius, source: own}}
  - {record: 'temperature:hot', expr: 'temperature > 24'}
  - {record: 'down:count', expr: 'count(up == 0)'}
  - alert: InstanceDown
    expr: up == 0
    for: 2m
    labels: {severity: page, where: '{{ $labels.instance | reReplaceAll ":.*" "" }}'}
    annotations:
      summary: '{{ $labels.instance }} of {{ $labels.job }} is down ({{ $value }})'
      others: '{{ range query "up == 1" | sortByLabel "instance" }}{{ .Labels.instance }} {{ end }}'
      link: '{{ $externalURL }}/x?e={{ "a b" | pathPrefix }}'
  - alert: Hot
    expr: temperature > 24
    for: 1m
    keep_firing_for: 3m
    annotations:
      value: '{{ $value | humanize }} in {{ $labels.room }}, {{ with query "temperature:avg5m" | sortByLabel "room" }}{{ . | first | value | printf "%.3f" }}{{ end }}'
      long: '{{ humanizeDuration 3723 }} {{ humanizePercentage 0.1234 }} {{ humanize1024 123456 }}'
  - {alert: NoneOfB, expr: 'absent(requests_total{job="b"})', annotations: {job: '{{ $labels.job }}'}}
  - {alert: Chain, expr: 'ALERTS{alertname="Hot",alertstate="firing"}', for: 1m, labels: {severity: low, alertstate: ''}}
  - {alert: Many, expr: 'rate(requests_total[2m]) > 2', labels: {rate: '{{ printf "%.1f" $value }}'}}
"#;

/// What is there at each step; nothing where there is no sample.
fn script() -> BTreeMap<String, Vec<Option<f64>>> {
    let of = |value: &dyn Fn(i64) -> Option<f64>| (0..=STEPS).map(value).collect::<Vec<_>>();
    let mut series = BTreeMap::new();
    // A counter that begins anew, and one that ends and comes again.
    series.insert(
        r#"requests_total{instance="a:1",job="a"}"#.to_owned(),
        of(&|k| Some((k % 23 * (40 + k)) as f64)),
    );
    series.insert(
        r#"requests_total{instance="b:1",job="b"}"#.to_owned(),
        of(&|k| (!(20..40).contains(&k)).then_some((k * k) as f64)),
    );
    for (n, instance) in ["a:1", "b:1", "c:9"].into_iter().enumerate() {
        let n = n as i64;
        // Down for a moment, for a while, and for good; one is not even asked in between.
        let up = |k: i64| match n {
            0 => Some(if k % 13 < 3 { 0.0 } else { 1.0 }),
            1 => (!(30..36).contains(&k)).then_some(if (18..44).contains(&k) { 0.0 } else { 1.0 }),
            _ => Some(if k > 41 { 0.0 } else { 1.0 }),
        };
        series.insert(format!(r#"up{{instance="{instance}",job="{}"}}"#, &instance[..1]), of(&up));
    }
    for (n, room) in ["hall", "kitchen"].into_iter().enumerate() {
        let wave = |k: i64| Some(22.0 + 4.0 * (k as f64 / (4.0 + 3.0 * n as f64)).sin());
        series.insert(format!(r#"temperature{{room="{room}"}}"#), of(&wave));
    }
    series
}

/// What was recorded for a name at a time, in promtool's form; times that are values count from `start_ms` on.
fn recorded(world: &World, name: &str, (at_ms, start_ms): (i64, i64)) -> Vec<Value> {
    let of = |(labels, floats): (Labels, Vec<(i64, f64)>)| {
        let (_, value) =
            floats.into_iter().find(|(time_ms, value)| *time_ms == at_ms && !model::is_stale_nan(*value))?;
        let value = if name == "ALERTS_FOR_STATE" { value - (start_ms / 1_000) as f64 } else { value };
        Some(json!({"labels": labels.to_string(), "value": value}))
    };
    world.floats(name).into_iter().filter_map(of).collect()
}

/// The labels and annotations of alerts that fire, by the alerts' names.
async fn firing(site: &Site) -> BTreeMap<String, Vec<Value>> {
    let mut firing: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let shown = site.data("/prometheus/api/v1/rules?type=alert").await;
    let rules =
        shown["groups"].as_array().expect("groups").iter().flat_map(|group| group["rules"].as_array());
    for rule in rules.flatten() {
        let of_rule = firing.entry(rule["name"].as_str().expect("a name").to_owned()).or_default();
        for alert in rule["alerts"].as_array().expect("alerts") {
            if alert["state"] == "firing" {
                let mut labels = alert["labels"].clone();
                labels.as_object_mut().expect("labels").remove("alertname");
                of_rule.push(json!({"exp_labels": labels, "exp_annotations": alert["annotations"]}));
            }
        }
    }
    firing
}

/// The time of the first evaluation at which everything counts.
async fn first_evaluation(world: &World) -> i64 {
    loop {
        pass(seconds(1)).await;
        let ticks = world.floats("tick").pop().map(|(_, floats)| floats).unwrap_or_default();
        if ticks.len() >= EVALUATIONS_BEFORE {
            let (last_ms, _) = ticks[ticks.len() - 1];
            return last_ms + STEP_S * 1_000;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_is_as_promtool_has_it() {
    let (folder, file) = rules(RULES);
    let world = World::new();
    let site = Site::start(&world, &[file], Vec::new(), &[]).await;
    let start_ms = first_evaluation(&world).await;
    let script = script();
    for (series, values) in &script {
        for (k, value) in (0..).zip(values) {
            if let Some(value) = value {
                world.put_at(series, start_ms + k * STEP_S * 1_000, *value);
            }
        }
    }
    let names = [
        "tick",
        "job:requests:rate3m",
        "job:requests:ratio",
        "temperature:avg5m",
        "temperature:hot",
        "down:count",
        "ALERTS",
        "ALERTS_FOR_STATE",
    ];
    let (mut expressions, mut alerts, mut fired) = (Vec::new(), Vec::new(), BTreeMap::new());
    for k in 0..=STEPS {
        let at_ms = start_ms + k * STEP_S * 1_000;
        while world.now_ms() < at_ms + 1_000 {
            pass(seconds(1)).await;
        }
        let eval_time = format!("{}s", k * STEP_S);
        for name in names {
            let samples = recorded(&world, name, (at_ms, start_ms));
            *fired.entry(name.to_owned()).or_insert(0) += samples.len();
            expressions.push(json!({"expr": name, "eval_time": eval_time, "exp_samples": samples}));
        }
        for (alertname, firing) in firing(&site).await {
            *fired.entry(alertname.clone()).or_insert(0) += firing.len();
            alerts.push(json!({"eval_time": eval_time, "alertname": alertname, "exp_alerts": firing}));
        }
    }
    assert_eq!(fired.len(), names.len() + 5);
    assert!(fired.values().all(|count| *count >= 5), "something hardly ever happens: {fired:?}");
    let input = |(series, values): (&String, &Vec<Option<f64>>)| {
        let values = values.iter().map(|value| value.map_or("_".to_owned(), |value| value.to_string()));
        json!({"series": series, "values": values.collect::<Vec<_>>().join(" ")})
    };
    let step = format!("{STEP_S}s");
    let test = json!({
        "rule_files": ["rules.yml"],
        "evaluation_interval": step,
        // Averages of 3.5 differ in the last bit.
        "fuzzy_compare": true,
        "tests": [{
            "interval": step,
            "external_url": EXTERNAL_URL,
            "input_series": script.iter().map(input).collect::<Vec<_>>(),
            "promql_expr_test": expressions,
            "alert_rule_test": alerts,
        }],
    });
    let file = folder.path().join("test.yml");
    std::fs::write(&file, test.to_string()).expect("written");
    let output = Command::new(testkit::peer("promtool")).args(["test", "rules"]).arg(&file).output();
    let output = output.expect("promtool runs");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{}", said.chars().take(8_000).collect::<String>());
}
