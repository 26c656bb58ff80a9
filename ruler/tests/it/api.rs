//! `/api/v1/rules` and `/api/v1/alerts`, with filters and pages.

use serde_json::{Value, json};

use crate::world::{Site, World, pass, rules, seconds};

const RULES: &str = "
groups:
- name: b
  interval: 15s
  limit: 3
  labels: {team: x}
  rules:
  - {record: 'job:up:sum', expr: 'sum by (job) (up)', labels: {env: prod}}
  - {alert: Down, expr: up < 1, for: 1m, keep_firing_for: 5m, labels: {severity: page}, annotations: {s: '{{ $labels.job }}'}}
- name: a
  interval: 300d
  rules:
  - {alert: Down, expr: up < 0, labels: {severity: ticket}}
- name: broken
  interval: 15s
  rules:
  - {record: broken, expr: 'label_replace(up, \"job\", \"same\", \"\", \"\")'}
";

async fn site() -> (std::sync::Arc<World>, Site, tempfile::TempDir, String) {
    let (folder, file) = rules(RULES);
    let name = file.display().to_string();
    let world = World::new();
    let site = Site::start(&world, &[file], vec![], &[]).await;
    for _ in 0..6 {
        world.put("up{job=\"one\"}", 0.0);
        world.put("up{job=\"two\"}", 1.0);
        pass(seconds(5)).await;
    }
    (world, site, folder, name)
}

fn names(data: &Value) -> Vec<String> {
    let groups = data["groups"].as_array().expect("groups");
    let of = |group: &Value| {
        let name = group["name"].as_str().expect("a name").to_owned();
        let rules = group["rules"].as_array().expect("rules").clone();
        let rules =
            rules.into_iter().map(move |rule| format!("{name}/{}", rule["name"].as_str().expect("a name")));
        rules.collect::<Vec<_>>()
    };
    groups.iter().flat_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn everything_is_shown_as_prometheus_shows_it() {
    let (_world, site, _folder, file) = site().await;
    let data = site.data("/prometheus/api/v1/rules").await;
    assert_eq!(data, site.data("/api/v1/rules").await);
    assert_eq!(names(&data), ["a/Down", "b/job:up:sum", "b/Down", "broken/broken"]);
    let mut group = data["groups"][1].clone();
    let record = group["rules"][0].take();
    let mut alert = group["rules"][1].take();
    assert_eq!(
        (&group["file"], &group["interval"], &group["limit"]),
        (&json!(file), &json!(15.0), &json!(3))
    );
    let (keys, expected) = (
        record.as_object().expect("an object"),
        [
            ("health", json!("ok")),
            ("labels", json!({"env": "prod", "team": "x"})),
            ("name", json!("job:up:sum")),
            ("query", json!("sum by (job) (up)")),
            ("type", json!("recording")),
        ],
    );
    for (key, value) in expected {
        assert_eq!(keys[key], value, "{key}");
    }
    assert_eq!(keys.len(), 7, "{record}");
    assert!(record["lastEvaluation"].as_str().is_some_and(|time| time.starts_with("2026-01-01T00:00:")));
    let active = alert["alerts"][0].take();
    assert_eq!(
        (&alert["state"], &alert["duration"], &alert["keepFiringFor"]),
        (&json!("pending"), &json!(60.0), &json!(300.0))
    );
    assert_eq!(alert["annotations"], json!({"s": "{{ $labels.job }}"}));
    assert_eq!(active["labels"], json!({"alertname": "Down", "job": "one", "severity": "page", "team": "x"}));
    assert_eq!((&active["state"], &active["value"]), (&json!("pending"), &json!("0e+00")));
    assert_eq!(active["annotations"], json!({"s": "one"}));
    // One that was not evaluated yet, and one that fails.
    let waiting = &data["groups"][0];
    assert_eq!(
        (&waiting["lastEvaluation"], &waiting["rules"][0]["health"]),
        (&json!("0001-01-01T00:00:00Z"), &json!("unknown"))
    );
    let broken = &data["groups"][2]["rules"][0];
    assert_eq!(broken["health"], "err");
    let error = broken["lastError"].as_str().expect("why");
    assert!(error.contains("same labelset"), "{error}");
    let alerts = site.data("/prometheus/api/v1/alerts").await;
    assert_eq!(alerts["alerts"], json!([active]));
}

#[tokio::test(start_paused = true)]
async fn filters_narrow_what_is_shown() {
    let (_world, site, _folder, file) = site().await;
    let file = form_urlencoded::byte_serialize(file.as_bytes()).collect::<String>();
    let of_file = format!("file[]={file}&type=alert&rule_group[]=b");
    for (query, expected) in [
        ("type=alert", vec!["a/Down", "b/Down"]),
        ("type=Record", vec!["b/job:up:sum", "broken/broken"]),
        ("rule_name[]=broken&rule_name[]=job:up:sum", vec!["b/job:up:sum", "broken/broken"]),
        ("rule_group[]=a&rule_group[]=none", vec!["a/Down"]),
        (of_file.as_str(), vec!["b/Down"]),
        ("file[]=none", vec![]),
        ("match[]={team=\"x\",severity!=\"page\"}", vec!["b/job:up:sum"]),
        ("match[]={severity=\"page\"}&match[]={severity=\"ticket\"}", vec!["a/Down", "b/Down"]),
    ] {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        assert_eq!(names(&site.data(&format!("/api/v1/rules?{query}")).await), expected, "{query}");
    }
    let without = site.data("/api/v1/rules?exclude_alerts=true&rule_group[]=b&type=alert").await;
    assert_eq!(without["groups"][0]["rules"][0]["alerts"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn groups_are_shown_page_by_page() {
    let (_world, site, _folder, _file) = site().await;
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let data = site.data(&format!("/api/v1/rules?group_limit=1{token}")).await;
        found.extend(names(&data));
        match data.get("groupNextToken") {
            Some(next) => token = format!("&group_next_token={}", next.as_str().expect("text")),
            None => break,
        }
    }
    assert_eq!(found, ["a/Down", "b/job:up:sum", "b/Down", "broken/broken"]);
    // A page that all fits has none to follow.
    let all = site.data("/api/v1/rules?group_limit=3").await;
    assert_eq!((names(&all).len(), all.get("groupNextToken")), (4, None));
}

#[tokio::test(start_paused = true)]
async fn wrong_parameters_are_named() {
    let (_world, site, _folder, _file) = site().await;
    for (query, message) in [
        ("type=foo", "invalid parameter \"type\": not supported value \"foo\""),
        ("exclude_alerts=maybe", "error converting exclude_alerts"),
        ("group_limit=0", "group_limit needs to be greater than 0"),
        ("group_limit=x", "group_limit needs to be a valid number"),
        ("group_next_token=x", "group_limit needs to be present in order to paginate over the groups"),
        ("group_limit=1&group_next_token=x", "invalid group_next_token 'x'. were rule groups changed?"),
        ("match[]=%7B", "invalid parameter \"match[]\""),
    ] {
        let (status, body) = site.ask(&format!("/api/v1/rules?{query}")).await;
        assert_eq!((status, &body["status"], &body["errorType"]), (400, &json!("error"), &json!("bad_data")));
        assert!(body["error"].as_str().is_some_and(|error| error.contains(message)), "{query}: {body}");
    }
}
