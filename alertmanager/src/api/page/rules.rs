//! The page of rules: groups with their health, in a process that also evaluates them.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use rpc::Tenant;
use serde_json::Value;

use super::html::{Page, count, escape, state};
use super::{MAX_SHOWN, problem};
use crate::service::Alertmanager;

pub(super) async fn page(State(role): State<Alertmanager>, Tenant(id): Tenant) -> Response {
    let (status, body) = match role.0.rule_groups.get() {
        None => {
            let elsewhere = "<p>This process evaluates no rules. A process with a ruler has them at <code>/prometheus/api/v1/rules</code>.</p>";
            (StatusCode::OK, elsewhere.to_owned())
        }
        Some(rules) => match rules.groups(&id).await {
            Ok(answer) => (StatusCode::OK, shown(&answer)),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, problem(&why)),
        },
    };
    let page = Page { title: "Rules", here: "rules", level: 1, tenant: Some(&id), body };
    (status, Html(page.render())).into_response()
}

/// The groups of an answer of Prometheus' API.
fn shown(answer: &Value) -> String {
    let groups = answer["data"]["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules: usize = groups.iter().map(|group| list(&group["rules"]).len()).sum();
    let mut text =
        format!("<p class=\"dim\">{} in {}</p>\n", count(rules, "rule"), count(groups.len(), "group"));
    let mut room = MAX_SHOWN;
    for group in groups {
        if room == 0 {
            break;
        }
        let rules = list(&group["rules"]);
        let shown = rules.len().min(room);
        room -= shown;
        let items: String = rules.iter().take(shown).map(rule).collect();
        text.push_str(&format!(
            "<section><h2>{}</h2><p class=\"dim\">{} · every {} s · last {} · took {}</p><ul class=\"plain\">{items}</ul></section>\n",
            escape(word(&group["name"])),
            escape(word(&group["file"])),
            number(&group["interval"]),
            escape(word(&group["lastEvaluation"])),
            took(&group["evaluationTime"]),
        ));
    }
    if rules > MAX_SHOWN {
        text.push_str(&format!("<p class=\"dim\">and {} more</p>", count(rules - MAX_SHOWN, "rule")));
    }
    text
}

fn rule(rule: &Value) -> String {
    let health = match word(&rule["health"]) {
        "ok" => state("ok"),
        "err" => state("failing"),
        _ => state("unknown"),
    };
    let alerting = match word(&rule["state"]) {
        "firing" => format!(" {}", state("firing")),
        "pending" => format!(" {}", state("pending")),
        _ => String::new(),
    };
    let error = match word(&rule["lastError"]) {
        "" => String::new(),
        error => problem(error),
    };
    format!(
        "<li>{health}{alerting} <b>{}</b><pre>{}</pre>{error}</li>",
        escape(word(&rule["name"])),
        escape(word(&rule["query"]))
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

fn took(seconds: &Value) -> String {
    format!("{:.1} ms", number(seconds) * 1_000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_rules_say_is_shown_and_never_markup() {
        let bad = json!({"name": "<b>", "query": "up < 1", "health": "err", "lastError": "no & such", "state": "firing"});
        let good = json!({"name": "r", "query": "up", "health": "ok"});
        let group = json!({"name": "g", "file": "f.yml", "interval": 15, "evaluationTime": 0.0015, "rules": [bad, good]});
        let page = shown(&json!({"data": {"groups": [group]}}));
        for part in [
            "2 rules in 1 group",
            "&lt;b&gt;",
            "up &lt; 1",
            "no &amp; such",
            "state failing",
            "state firing",
            "every 15 s",
            "took 1.5 ms",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<b><b>"), "{page}");
        assert!(shown(&json!({})).contains("0 rules in 0 groups"));
    }
}
