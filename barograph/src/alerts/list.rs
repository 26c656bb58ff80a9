//! `barograph alerts list`.

use clap::ArgMatches;
use serde_json::{Map, Value};

use super::client::Client;
use super::{Outcome, text, texts, wants_json};
use crate::query::table::grid;

/// Annotations that say what an alert is about, the best first.
const SAYING: [&str; 3] = ["summary", "description", "message"];

/// Prints the alerts that are asked for.
pub(super) fn list(asked: &ArgMatches) -> Result<Outcome, String> {
    let client = Client::new(asked)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for matcher in texts(asked, "matcher") {
        query.append_pair("filter", matcher);
    }
    for state in ["silenced", "inhibited"] {
        query.append_pair(state, if asked.get_flag(state) { "true" } else { "false" });
    }
    if asked.contains_id("receiver") {
        query.append_pair("receiver", text(asked, "receiver"));
    }
    let found = client.get(&format!("/api/v2/alerts?{}", query.finish()))?.unwrap_or_default();
    if wants_json(asked) {
        return Ok(Outcome::good(format!("{found:#}\n")));
    }
    let alerts = found.as_array().map(Vec::as_slice).unwrap_or_default();
    if alerts.is_empty() {
        return Ok(Outcome::good("no alerts\n"));
    }
    let mut rows = vec![["alert", "since", "state", "told", "labels", "says"].map(str::to_owned).to_vec()];
    let mut shown: Vec<Vec<String>> = alerts.iter().map(row).collect();
    shown.sort_unstable();
    rows.extend(shown);
    Ok(Outcome::good(grid(&rows, &[false; 6])))
}

fn row(alert: &Value) -> Vec<String> {
    let empty = Map::new();
    let labels = alert["labels"].as_object().unwrap_or(&empty);
    let name = labels.get("alertname").and_then(Value::as_str).unwrap_or_default();
    let others = labels.iter().filter(|(name, _)| *name != "alertname");
    let others: Vec<String> =
        others.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    let receivers = alert["receivers"].as_array().into_iter().flatten();
    let receivers: Vec<&str> = receivers.filter_map(|receiver| receiver["name"].as_str()).collect();
    let state = &alert["status"];
    let has = |key: &str| state[key].as_array().is_some_and(|names| !names.is_empty());
    let why = [("silenced", has("silencedBy")), ("inhibited", has("inhibitedBy")), ("muted", has("mutedBy"))];
    let why: Vec<&str> = why.into_iter().filter(|(_, is)| *is).map(|(why, _)| why).collect();
    let state =
        if why.is_empty() { state["state"].as_str().unwrap_or_default().to_owned() } else { why.join(",") };
    let annotation = |name: &&str| alert["annotations"][*name].as_str();
    let says = SAYING.iter().find_map(annotation).unwrap_or_default();
    vec![
        name.to_owned(),
        second(alert["startsAt"].as_str().unwrap_or_default()),
        state,
        receivers.join(","),
        others.join(" "),
        says.to_owned(),
    ]
}

/// A time without its parts of a second.
pub(super) fn second(time: &str) -> String {
    match time.split_once('.') {
        Some((second, _)) => format!("{second}Z"),
        None => time.to_owned(),
    }
}
