//! The page of receivers: who is told, by which ways and how that goes, and by which routes.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use form_urlencoded::Serializer;
use rpc::Tenant;

use super::html::{Page, escape, label, list, shown_time, span, state};
use crate::config::Integration;
use crate::health::Health;
use crate::matcher;
use crate::moment::Moment;
use crate::route::{Grouping, Route};
use crate::service::Alertmanager;

pub(super) async fn page(State(role): State<Alertmanager>, Tenant(id): Tenant) -> Response {
    let (tenant, now) = (role.0.shown(&id), role.0.now());
    let setup = tenant.setup();
    let mut routes = Vec::new();
    Route::tree(&setup.config.route).walk(&mut |route| routes.push(route.clone()));
    let mut body = String::new();
    for receiver in &setup.config.receivers {
        let name = receiver.name.as_str();
        let health = tenant.health.lock();
        let ways = receiver.integrations();
        let ways: String = ways.iter().map(|way| shown_way(way, health.get(name, way), now)).collect();
        drop(health);
        let ways = match ways.as_str() {
            "" => "<p class=\"dim\">tells nobody</p>".to_owned(),
            ways => format!("<ul class=\"plain\">{ways}</ul>"),
        };
        let labels = receiver.labels.iter().filter(|(name, _)| *name != "name");
        let labels = list(labels.map(|(name, value)| (name.as_str(), value.as_str())));
        let own = routes.iter().filter(|route| route.options.receiver == name);
        let own: String = own.map(|route| shown_route(route)).collect();
        let alerts = Serializer::new(String::new()).append_pair("receiver", name).finish();
        body.push_str(&format!(
            "<section><h2>{}</h2>{ways}{labels}{own}<p><a href=\"alerts?{}\">Its alerts</a></p></section>\n",
            escape(name),
            escape(&alerts),
        ));
    }
    let config = escape(setup.config.to_yaml());
    body.push_str(&format!(
        "<section><details><summary>The configuration</summary><pre>{config}</pre></details></section>"
    ));
    let page = Page { title: "Receivers", here: "receivers", level: 1, tenant: Some(&id), body };
    Html(page.render()).into_response()
}

/// A way of a receiver, and how telling on it went last.
fn shown_way(way: &Integration, health: Option<&Health>, now: Moment) -> String {
    let mut text = format!("<li>{}", label(way.kind));
    let ago = |at: Moment| format!("{} ({} ago)", shown_time(at), span(now.since(at)));
    match health {
        None => text.push_str(" <span class=\"dim\">nothing to tell since the process began</span>"),
        Some(health) => {
            text.push_str(&format!(" {}", state(if health.fails() { "failing" } else { "ok" })));
            if let Some(told_at) = health.told_at {
                text.push_str(&format!(" <span class=\"dim\">last told {}</span>", ago(told_at)));
            }
            if let Some(failure) = &health.failure {
                text.push_str(&format!(
                    "<p><span class=\"dim\">{} {}:</span> {}</p>",
                    match (failure.again, health.fails()) {
                        (true, true) => "is being tried again, failed last",
                        (true, false) => "failed last",
                        (false, _) => "last given up",
                    },
                    ago(failure.at),
                    escape(&failure.message)
                ));
            }
        }
    }
    text.push_str("</li>");
    text
}

fn shown_route(route: &Route) -> String {
    let options = &route.options;
    let grouping = match &options.grouping {
        Grouping::All => "each alert by itself".to_owned(),
        Grouping::By(names) if names.is_empty() => "all alerts together".to_owned(),
        Grouping::By(names) => names.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    let print = settings::duration::print;
    let times = format!(
        "{} at first, {} for changes, {} to repeat",
        print(options.group_wait),
        print(options.group_interval),
        print(options.repeat_interval)
    );
    let mut pairs = vec![("grouped by", grouping), ("waits", times)];
    for (what, names) in
        [("not during", &options.mute_time_intervals), ("only during", &options.active_time_intervals)]
    {
        if !names.is_empty() {
            pairs.push((what, names.join(", ")));
        }
    }
    let matchers = match route.matchers.as_slice() {
        [] => "<span class=\"dim\">whatever no other route takes</span>".to_owned(),
        matchers => label(&matcher::display(matchers)),
    };
    format!("<p>{matchers}</p>{}", list(pairs.iter().map(|(name, text)| (*name, text.as_str()))))
}
