//! Files of rules that change while they are in use.

use std::path::Path;

use model::is_stale_nan;
use serde_json::{Value, json};

use crate::world::{Site, Told, World, pass, rules, seconds};

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("written");
}

fn group(name: &str, interval: &str, rules: &str) -> String {
    format!("- name: {name}\n  interval: {interval}\n  rules: {rules}\n")
}

async fn rule_names(site: &Site) -> Vec<String> {
    let data = site.data("/api/v1/rules").await;
    let groups = data["groups"].as_array().cloned().unwrap_or_default();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
    rules.map(|rule| rule["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_keeps_the_rules_that_there_were() {
    let (_folder, file) = rules(&format!("groups:\n{}", group("g", "10s", "[{record: a, expr: vector(1)}]")));
    let world = World::new();
    let site = Site::start(&world, std::slice::from_ref(&file), vec![], &[]).await;
    write(&file, "groups:\n- name: g\n  rules: [{record: b, expr: sum(}]\n");
    let refused = site.ruler.reload().await.expect_err("it is wrong").to_string();
    assert!(refused.contains("rules.yml: 3:") && refused.contains("could not parse expression"), "{refused}");
    assert_eq!(rule_names(&site).await, ["a"]);
    assert_eq!(site.metric("barograph_ruler_last_reload_successful", ""), 0.0);
    std::fs::remove_file(&file).expect("removed");
    let missing = site.ruler.reload().await.expect_err("it is gone").to_string();
    assert!(missing.contains("there is no such file"), "{missing}");
    write(&file, &format!("groups:\n{}", group("g", "10s", "[{record: c, expr: vector(1)}]")));
    site.ruler.reload().await.expect("good");
    assert_eq!(rule_names(&site).await, ["c"]);
    assert_eq!(site.metric("barograph_ruler_last_reload_successful", ""), 1.0);
}

#[tokio::test(start_paused = true)]
async fn changes_are_found_without_being_told() {
    let (folder, file) = rules(&format!("groups:\n{}", group("g", "10s", "[{record: a, expr: vector(1)}]")));
    let world = World::new();
    let pattern = folder.path().join("*.yml");
    let site = Site::start(&world, &[pattern], vec![], &[("poll_interval", "5s")]).await;
    write(
        &folder.path().join("more.yml"),
        &format!("groups:\n{}", group("h", "10s", "[{record: b, expr: vector(1)}]")),
    );
    pass(seconds(6)).await;
    assert_eq!(rule_names(&site).await, ["b", "a"], "groups stand in the order of their files");
    std::fs::remove_file(file).expect("removed");
    pass(seconds(6)).await;
    assert_eq!(rule_names(&site).await, ["b"]);
    assert_eq!(site.metric("barograph_ruler_groups", ""), 1.0);
}

#[tokio::test(start_paused = true)]
async fn what_stays_goes_on_and_what_changes_keeps_its_alerts() {
    let alert = "{alert: Up, expr: 'up == 1', for: 30s, annotations: {s: before}}";
    let still = group("still", "10s", "[{record: a, expr: vector(1)}]");
    let (_folder, file) = rules(&format!("groups:\n{still}{}", group("g", "10s", &format!("[{alert}]"))));
    let world = World::new();
    let told = Told::new(&world);
    let site = Site::start(&world, std::slice::from_ref(&file), vec![told.target("am")], &[]).await;
    for _ in 0..25 {
        world.put("up{job=\"x\"}", 1.0);
        pass(seconds(1)).await;
    }
    let alerts = site.data("/prometheus/api/v1/alerts").await;
    let since = alerts["alerts"][0]["activeAt"].clone();
    assert_eq!(alerts["alerts"][0]["state"], "pending");
    let evaluated = site.metric("prometheus_rule_evaluations_total", "still");
    // Another interval, another text, one rule more: the alert goes on waiting where it was.
    let changed = "[{alert: New, expr: vector(0) > 1}, {alert: Up, expr: 'up == 1', for: 30s, annotations: {s: after}}]";
    write(&file, &format!("groups:\n{still}{}", group("g", "5s", changed)));
    site.ruler.reload().await.expect("good");
    for _ in 0..30 {
        world.put("up{job=\"x\"}", 1.0);
        pass(seconds(1)).await;
    }
    let alerts = site.data("/prometheus/api/v1/alerts").await;
    assert_eq!(alerts["alerts"][0]["state"], "firing");
    assert_eq!(alerts["alerts"][0]["activeAt"], since);
    assert_eq!(alerts["alerts"][0]["annotations"], json!({"s": "after"}));
    assert!(!told.take().is_empty());
    // The group that stayed has missed nothing.
    let (_, samples) = world.floats("a").swap_remove(0);
    assert!(samples.windows(2).all(|pair| pair[1].0 - pair[0].0 == 10_000), "{samples:?}");
    assert!(site.metric("prometheus_rule_evaluations_total", "still") > evaluated);
}

#[tokio::test(start_paused = true)]
async fn series_of_rules_that_are_gone_end() {
    let both = "[{record: a, expr: vector(1)}, {record: b, expr: vector(1)}]";
    let text = format!(
        "groups:\n{}{}",
        group("g", "10s", both),
        group("h", "10s", "[{record: c, expr: vector(1)}]")
    );
    let (_folder, file) = rules(&text);
    let world = World::new();
    let site = Site::start(&world, std::slice::from_ref(&file), vec![], &[]).await;
    pass(seconds(30)).await;
    write(&file, &format!("groups:\n{}", group("g", "10s", "[{record: a, expr: vector(1)}]")));
    site.ruler.reload().await.expect("good");
    pass(seconds(60)).await;
    let last = |name: &str| {
        let (_, samples) = world.floats(name).swap_remove(0);
        (samples.len(), samples.last().expect("samples").1)
    };
    let (a, b, c) = (last("a"), last("b"), last("c"));
    assert!(a.1 == 1.0 && a.0 >= 8, "{a:?}");
    assert!(is_stale_nan(b.1) && b.0 <= 5, "{b:?}");
    assert!(is_stale_nan(c.1) && c.0 <= 5, "{c:?}");
    assert_eq!(site.data("/api/v1/rules").await["groups"].as_array().map(Vec::len), Some(1));
    let Value::Array(alerts) = site.data("/prometheus/api/v1/alerts").await["alerts"].take() else {
        panic!("a list")
    };
    assert!(alerts.is_empty());
}
