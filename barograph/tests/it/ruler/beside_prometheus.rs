//! The same rules over the same samples, in Prometheus and here: what is recorded is equal sample by sample, alerts are equal in
//! state, labels, annotations and times, and receivers are told the same, also by Debian's Alertmanagers behind both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Receiver, free_address};

use super::{data, start_with, write};
use crate::alertmanager::side_by_side::upstream;
use crate::http::{get, query_value};
use crate::support::{Barograph, Program, now_ms, peer, wait_for, wait_until};

/// How long samples are written, in seconds; `RULES_BESIDE_SECONDS` says otherwise.
const SECONDS: u64 = 40;
/// Where people reach both.
const EXTERNAL_URL: &str = "http://metrics.example";

const RULES: &str = r#"
groups:
- name: records
  interval: 2s
  query_offset: 2s
  labels: {source: rules}
  rules:
  - {record: 'job:requests:rate', expr: 'sum by (job) (rate(requests_total[10s]))'}
  - {record: 'requests:rate', expr: 'sum(job:requests:rate)', labels: {level: all}}
  - {record: 'temperature:hot', expr: 'temperature > 20'}
  - {record: 'temperature:p', expr: 'quantile by (room) (0.9, temperature)', labels: {source: own}}
  - {record: 'one', expr: '1'}
- name: limited
  interval: 2s
  query_offset: 2s
  limit: 1
  rules:
  - {record: 'too:many', expr: 'temperature'}
- name: alerts
  interval: 2s
  query_offset: 2s
  rules:
  - alert: Hot
    expr: temperature > 20
    for: 4s
    keep_firing_for: 5s
    labels: {severity: page, room_copy: '{{ $labels.room }}', empty: ''}
    annotations:
      value: '{{ $value | humanize }} in {{ $labels.room }}, {{ $externalLabels.cluster }}'
      others: '{{ range query "temperature" | sortByLabel "room" }}{{ .Labels.room }} {{ end }}'
  - alert: Now
    expr: temperature > 22
    annotations: {summary: '{{ printf "%.1f" .Value }}'}
  - alert: Twice
    expr: 'label_replace(temperature, "room", "x", "", "")'
  - alert: Chain
    expr: 'ALERTS{alertname="Now", alertstate="firing"}'
    labels: {severity: low}
- name: slow to fire
  interval: 3s
  query_offset: 2s
  rules:
  - {alert: Never, expr: vector(0) > 1}
  - {alert: Always, expr: count(temperature), for: 12s, labels: {n: '{{ $value }}'}}
"#;

/// What Alertmanagers tell of these.
const ROUTES: &str = "
route: {receiver: hook, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: '<url>'}]}]
";

/// What is written for each second.
fn samples(second: u64) -> Vec<(String, f64)> {
    let mut samples: Vec<(String, f64)> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(n, job)| {
            (format!("requests_total{{job=\"{job}\",path=\"/x\"}}"), (second * (3 + n as u64)) as f64)
        })
        .collect();
    for (n, room) in ["kitchen", "hall"].iter().enumerate() {
        // Up and down, each in its own time, so that alerts come, go, come again, and go on for a while.
        let phase = (second as f64 + 7.0 * n as f64) / 3.5;
        samples.push((format!("temperature{{room=\"{room}\"}}"), 20.0 + 4.0 * phase.sin()));
    }
    samples
}

struct Sides {
    barograph: Barograph,
    prometheus: SocketAddr,
    _prometheus: Program,
    /// Who is told by Barograph, and who by Prometheus.
    receivers: [Receiver; 2],
    /// Who is told by the Alertmanagers behind them.
    hooks: [Receiver; 2],
    _alertmanagers: [Program; 2],
}

impl Sides {
    fn start(folder: &Path) -> Self {
        let receivers = [Receiver::start(), Receiver::start()];
        let hooks = [Receiver::start(), Receiver::start()];
        let alertmanager = |side: usize| {
            let folder = folder.join(format!("alertmanager{side}"));
            std::fs::create_dir(&folder).expect("made");
            upstream(&folder, &ROUTES.replace("<url>", &hooks[side].url("/hook")), EXTERNAL_URL)
        };
        let ((own, own_addr), (other, other_addr)) = (alertmanager(0), alertmanager(1));
        let rules = folder.join("rules.yml");
        std::fs::write(&rules, RULES).expect("written");
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{external_labels: {{cluster: eu}}}}\nrule_files: ['{}']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}', '{other_addr}']}}]}}]}}\n",
            rules.display(),
            receivers[1].address()
        );
        std::fs::write(&config, text).expect("written");
        let addr = free_address();
        let mut command = Command::new(peer("prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg(format!("--web.external-url={EXTERNAL_URL}"))
            .args([
                "--web.enable-remote-write-receiver",
                "--rules.alert.resend-delay=5s",
                "--log.level=error",
            ]);
        let prometheus = Program::start(command.stdout(Stdio::null()));
        let urls = format!("{},http://{own_addr}", receivers[0].url(""));
        let arguments = [
            "--alertmanager-url",
            &urls,
            "--ruler.resend-delay=5s",
            "--ruler.external-labels={cluster: eu}",
            "--web.external-url",
            EXTERNAL_URL,
        ];
        let barograph = start_with(folder, &rules, &arguments);
        let alertmanagers = [own, other];
        let sides = Self {
            barograph,
            prometheus: addr,
            _prometheus: prometheus,
            receivers,
            hooks,
            _alertmanagers: alertmanagers,
        };
        // Neither writes series of alerts before it has evaluated twice, every three seconds at the least often.
        for side in sides.both() {
            let evaluated = || points(side, "one", 0)?.into_values().next().map(|points| points.len());
            wait_for("both to evaluate", || evaluated().filter(|count| *count >= 5));
        }
        sides
    }

    fn both(&self) -> [SocketAddr; 2] {
        [self.barograph.addr, self.prometheus]
    }
}

/// The samples of a metric since then, by labels: times in milliseconds, and values.
fn points(addr: SocketAddr, name: &str, since_ms: i64) -> Option<BTreeMap<String, Vec<(i64, String)>>> {
    let query = query_value(&format!("{name}[10m]"));
    let (status, body) = get(addr, &format!("/api/v1/query?query={query}"));
    let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    let series = answer.pointer("/data/result")?.as_array()?.clone();
    let of = |series: &Value| {
        let points = series["values"].as_array().cloned().unwrap_or_default();
        let points = points.iter().map(|point| {
            let at_ms = (point[0].as_f64().expect("a time") * 1_000.0).round() as i64;
            (at_ms, point[1].as_str().expect("a value").to_owned())
        });
        (series["metric"].to_string(), points.filter(|(at_ms, _)| *at_ms >= since_ms).collect::<Vec<_>>())
    };
    Some(series.iter().map(of).filter(|(_, points)| !points.is_empty()).collect())
}

/// A range of a metric at every second, in which series end where markers say so.
fn steps(addr: SocketAddr, name: &str, [start_ms, end_ms]: [i64; 2]) -> Value {
    let (start, end) = (start_ms / 1_000, end_ms / 1_000);
    let query = query_value(name);
    data(addr, &format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1"))["result"].take()
}

/// The alerts of a side without what is finer than a millisecond, in order.
fn alerts(addr: SocketAddr) -> BTreeSet<String> {
    let rules = data(addr, "/api/v1/rules?type=alert");
    let groups = rules["groups"].as_array().cloned().unwrap_or_default();
    let mut shown = BTreeSet::new();
    for group in &groups {
        for rule in group["rules"].as_array().expect("rules") {
            let mut rule = rule.clone();
            for volatile in ["evaluationTime", "lastEvaluation"] {
                rule.as_object_mut().expect("an object").remove(volatile);
            }
            let mut active: Vec<Value> = rule["alerts"].as_array().cloned().unwrap_or_default();
            for alert in &mut active {
                for time in ["activeAt", "keepFiringSince"] {
                    if let Some(text) = alert.get(time).and_then(Value::as_str) {
                        let milliseconds = text.trim_end_matches('Z').chars().take(23).collect::<String>();
                        alert[time] = json!(milliseconds.trim_end_matches(['0', '.']));
                    }
                }
            }
            active.sort_by_key(|alert| alert["labels"].to_string());
            rule["alerts"] = Value::Array(active);
            for number in ["duration", "keepFiringFor"] {
                rule[number] = json!(rule[number].as_f64());
            }
            shown.insert(format!("{}: {rule}", group["name"]));
        }
    }
    shown
}

/// What a receiver was told since then, each thing once.
fn told(receiver: &Receiver, since: &str) -> BTreeSet<String> {
    let requests = receiver.requests();
    let alerts = requests.iter().flat_map(|request| {
        assert_eq!(request.path, "/api/v2/alerts");
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        body.as_array().expect("a list").clone()
    });
    let newer = alerts.filter(|alert| alert["startsAt"].as_str().is_some_and(|at| at >= since));
    newer.map(|alert| alert.to_string()).collect()
}

/// What an Alertmanager told a webhook of alerts that began since then, each thing once. In what company an alert is told depends
/// on when the Alertmanager heard of them, and so does which of its annotations are the newest: these are looked for among
/// those that the Alertmanager was sent.
fn hooked(hook: &Receiver, sent: &BTreeSet<String>, since: &str) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for request in hook.requests() {
        let mut message: Value = serde_json::from_str(&request.body).expect("JSON");
        let (group, receiver) = (message["groupKey"].to_string(), message["receiver"].to_string());
        for alert in message["alerts"].as_array_mut().expect("alerts") {
            if alert["startsAt"].as_str().is_none_or(|at| at < since) {
                continue;
            }
            let annotations = alert.as_object_mut().and_then(|alert| alert.remove("annotations"));
            let annotations = annotations.filter(|annotations| *annotations != json!({}));
            if let Some(annotations) = annotations.map(|annotations| annotations.to_string()) {
                assert!(sent.iter().any(|sent| sent.contains(&annotations)), "{annotations} was never sent");
            }
            told.insert(format!("{group} {receiver}: {alert}"));
        }
    }
    told
}

#[test]
fn the_same_rules_give_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let sides = Sides::start(folder.path());
    let seconds = std::env::var("RULES_BESIDE_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds = seconds.unwrap_or(SECONDS);
    let start_ms = now_ms();
    for second in 0..seconds {
        let at_ms = start_ms + second as i64 * 1_000;
        for (addr, path) in sides.both().into_iter().zip(["/api/v1/push", "/api/v1/write"]) {
            write(addr, path, at_ms, &samples(second));
        }
        let left_ms = at_ms + 1_000 - now_ms();
        std::thread::sleep(Duration::from_millis(left_ms.max(0).unsigned_abs()));
    }
    let end_ms = start_ms + seconds as i64 * 1_000;
    let [ours, theirs] = sides.both();
    wait_until("the same alerts", || {
        let (ours, theirs) = (alerts(ours), alerts(theirs));
        match ours == theirs {
            true => Ok(()),
            false => Err(format!("{:#?}", ours.symmetric_difference(&theirs).collect::<Vec<_>>())),
        }
    });
    // Evaluations after the end may have come on one side only.
    let until_ms = end_ms - 4_000;
    for name in [
        "job:requests:rate",
        "requests:rate",
        "temperature:hot",
        "temperature:p",
        "one",
        "too:many",
        "ALERTS",
        "ALERTS_FOR_STATE",
    ] {
        let [ours, theirs] = [ours, theirs].map(|side| {
            let mut found = points(side, name, start_ms).expect("an answer");
            found.values_mut().for_each(|points| points.retain(|(at_ms, _)| *at_ms <= until_ms));
            found.retain(|_, points| !points.is_empty());
            found
        });
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{name}");
        for (labels, points) in &ours {
            assert_eq!(points, &theirs[labels], "{labels}");
        }
        assert_eq!(ours.is_empty(), name == "too:many", "{name}");
        let range = [start_ms, until_ms];
        assert_eq!(
            sorted(&steps(sides.both()[0], name, range)),
            sorted(&steps(sides.both()[1], name, range)),
            "{name}"
        );
    }
    let since = gotemplate::time::GoTime::from_millis(start_ms).format("2006-01-02T15:04:05.000Z07:00");
    check_told("notifications", || [0, 1].map(|side| told(&sides.receivers[side], &since)));
    check_told("webhooks of Alertmanagers", || {
        [0, 1].map(|side| hooked(&sides.hooks[side], &told(&sides.receivers[side], &since), &since))
    });
}

fn sorted(series: &Value) -> Vec<String> {
    let mut series: Vec<String> = series
        .as_array()
        .expect("series")
        .iter()
        .map(|series| format!("{}: {}", series["metric"], series["values"]))
        .collect();
    series.sort();
    series
}

/// What began after the start was told by both in the same way; what one has still to say is waited for.
fn check_told(what: &str, told: impl Fn() -> [BTreeSet<String>; 2]) {
    wait_until(&format!("the same {what}"), || {
        let [ours, theirs] = told();
        // The latest may have been sent by one only.
        let difference: Vec<_> = ours.symmetric_difference(&theirs).collect();
        match difference.is_empty() && ours.len() > 10 {
            true => Ok(()),
            false => Err(format!("of {} and {}: {difference:#?}", ours.len(), theirs.len())),
        }
    });
}
