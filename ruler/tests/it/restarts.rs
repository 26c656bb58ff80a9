//! A ruler that starts again after a crash: alerts go on waiting where they were.

use serde_json::json;

use crate::world::{Site, Told, World, pass, rules, seconds};

const RULES: &str = "
groups:
- name: g
  interval: 10s
  rules:
  - {alert: Long, expr: 'up == 0', for: 20m, labels: {severity: page}}
  - {alert: Short, expr: 'up == 0', for: 1m}
";

/// Samples of something that is down, for so many seconds.
async fn down(world: &World, for_seconds: u64) {
    for _ in 0..for_seconds / 5 {
        world.put("up{job=\"x\"}", 0.0);
        pass(seconds(5)).await;
    }
}

async fn state(site: &Site, name: &str) -> Option<(String, String)> {
    let alerts = site.data("/prometheus/api/v1/alerts").await;
    let alerts = alerts["alerts"].as_array().expect("alerts").clone();
    let found = alerts.into_iter().find(|alert| alert["labels"]["alertname"] == json!(name))?;
    let text = |key: &str| found[key].as_str().expect("text").to_owned();
    Some((text("state"), text("activeAt")))
}

#[tokio::test(start_paused = true)]
async fn an_alert_goes_on_waiting_after_a_restart() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let told = Told::new(&world);
    let files = [file];
    let settings = [("for_grace_period", "2m")];
    let site = Site::start(&world, &files, vec![told.target("am")], &settings).await;
    down(&world, 600).await;
    assert_eq!(state(&site, "Long").await.expect("pending").0, "pending");
    assert_eq!(state(&site, "Short").await.expect("firing").0, "firing");
    site.crash();
    told.take();
    // Two minutes without a ruler do not count.
    down(&world, 120).await;
    let site = Site::start(&world, &files, vec![told.target("am")], &settings).await;
    down(&world, 600).await;
    assert_eq!(state(&site, "Long").await.expect("pending").0, "pending", "ten minutes and not quite ten");
    down(&world, 60).await;
    assert_eq!(state(&site, "Long").await.expect("firing").0, "firing");
    // The one that waits for less than the grace period has begun anew.
    assert_eq!(state(&site, "Short").await.expect("firing").0, "firing");
    let names: std::collections::BTreeSet<String> =
        told.take().iter().map(|(_, alert)| alert.labels.get_or_empty("alertname").to_owned()).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["Long", "Short"]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_fired_fires_again_soon() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let files = [file];
    let site = Site::start(&world, &files, vec![], &[]).await;
    down(&world, 1_500).await;
    let before = state(&site, "Long").await.expect("firing");
    assert_eq!(before.0, "firing");
    site.crash();
    down(&world, 60).await;
    let site = Site::start(&world, &files, vec![], &[]).await;
    down(&world, 60).await;
    let after = state(&site, "Long").await.expect("firing");
    assert_eq!(after.0, "firing");
    // The series knows whole seconds.
    assert_eq!(after.1[..19], before.1[..19]);
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_had_ended_begins_anew() {
    let (_folder, file) = rules(RULES);
    let world = World::new();
    let files = [file];
    let site = Site::start(&world, &files, vec![], &[]).await;
    down(&world, 1_500).await;
    for _ in 0..12 {
        world.put("up{job=\"x\"}", 1.0);
        pass(seconds(5)).await;
    }
    assert_eq!(state(&site, "Long").await, None);
    site.crash();
    let site = Site::start(&world, &files, vec![], &[]).await;
    down(&world, 120).await;
    assert_eq!(state(&site, "Long").await.expect("pending").0, "pending");
}
