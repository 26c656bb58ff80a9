//! The pages of silences: all of them, one, and the end of one.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, Uri};
use model::TenantId;
use rpc::Tenant;

use super::html::{Page, count, escape, label, labels, list as pairs, shown_time, span, state, time};
use super::{MAX_SHOWN, elsewhere, wrong};
use crate::alert::Alert;
use crate::api::params::Params;
use crate::moment::Moment;
use crate::service::{Alertmanager, Shared};
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::tenant::{ChangeError, Tenant as Owner};

/// How many of the alerts that a silence is about are shown.
const MAX_AFFECTED: usize = 100;
/// What is said of a silence that is not there.
const NO_SILENCE: &str = "There is no silence of that name, or not any more.";

/// Which silences are asked for.
struct Asked {
    /// Those that are over, instead of those that hold or will.
    over: bool,
    /// What has to occur in them, in lower case.
    find: String,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let params = Params::of(uri);
        let text = |name: &str| params.all(name).last().unwrap_or_default().trim().to_lowercase();
        Self { over: !text("expired").is_empty(), find: text("find") }
    }

    fn wants(&self, silence: &Silence, now: Moment) -> bool {
        let over = silence.state(now) == SilenceState::Expired;
        let matchers = silence.matchers.iter().flatten().map(ToString::to_string);
        let mut texts = matchers.chain([silence.comment.clone(), silence.created_by.clone()]);
        over == self.over
            && (self.find.is_empty() || texts.any(|text| text.to_lowercase().contains(&self.find)))
    }

    fn form(&self) -> String {
        let checked = if self.over { " checked" } else { "" };
        format!(
            "<p><a href=\"silences/new\">New silence</a></p>\
             <form class=\"line\" role=\"search\"><input type=\"text\" name=\"find\" value=\"{}\" aria-label=\"Find\" \
             placeholder=\"a word of its matchers, of who made it, or why\">\
             <label><input type=\"checkbox\" name=\"expired\" value=\"1\"{checked}> those that are over</label>\
             <button>Show</button></form>",
            escape(&self.find)
        )
    }
}

pub(super) async fn list(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let shared = &role.0;
    let (tenant, now, asked) = (shared.shown(&id), shared.now(), Asked::of(&uri));
    let mut silences: Vec<Silence> = {
        let dispatcher = tenant.dispatcher.lock();
        dispatcher.silences().iter().filter(|silence| asked.wants(silence, now)).cloned().collect()
    };
    if asked.over {
        silences.sort_by_key(|silence| Reverse(silence.ends_at));
    } else {
        silences.sort_by_key(|silence| silence.ends_at);
    }
    let mut body = format!("{}<p class=\"dim\">{}</p>\n", asked.form(), count(silences.len(), "silence"));
    body.extend(silences.iter().take(MAX_SHOWN).map(|silence| item(silence, now)));
    if silences.len() > MAX_SHOWN {
        body.push_str(&format!("<p class=\"dim\">and {} more</p>", silences.len() - MAX_SHOWN));
    }
    let title = if asked.over { "Silences that are over" } else { "Silences" };
    Html(Page { title, here: "silences", level: 1, tenant: Some(&id), body }.render()).into_response()
}

fn item(silence: &Silence, now: Moment) -> String {
    format!(
        "<section>{}<p>{} <span class=\"dim\">{}, by {}</span></p><p>{}</p>\
         <p><a href=\"silences/{}\">Look, change or end</a></p></section>\n",
        matchers(silence),
        state(silence.state(now).as_str()),
        when(silence, now),
        escape(&silence.created_by),
        escape(&silence.comment),
        escape(&silence.id),
    )
}

/// Where a silence stands in time, in words, in HTML.
fn when(silence: &Silence, now: Moment) -> String {
    let (starts, ends) = (shown_time(silence.starts_at), shown_time(silence.ends_at));
    match silence.state(now) {
        SilenceState::Pending => format!("from {starts} until {ends}"),
        SilenceState::Active => format!("until {ends}, for {} more", span(silence.ends_at.since(now))),
        SilenceState::Expired => format!("ended {ends}"),
    }
}

fn matchers(silence: &Silence) -> String {
    let sets = silence.matchers.iter();
    let sets: Vec<String> =
        sets.map(|set| labels(set.iter().map(|matcher| label(&matcher.to_string())))).collect();
    sets.join(" or ")
}

/// The alerts that a silence is about, as a part of a page.
pub(super) fn affected(shared: &Shared, tenant: &Owner, silence: &Silence) -> String {
    let now = shared.now();
    let dispatcher = tenant.dispatcher.lock();
    let fires = |alert: &Alert| !alert.is_resolved(now) && silence.matches(&alert.labels);
    let mut shown = Vec::new();
    let mut found = 0;
    for alert in dispatcher.alerts().filter(|alert| fires(alert)) {
        found += 1;
        if found <= MAX_AFFECTED {
            shown.push(alert.clone());
        }
    }
    drop(dispatcher);
    let item = |alert: &Arc<Alert>| {
        let each = alert.labels.iter().map(|(name, value)| label(&format!("{name}={value}")));
        format!("<li>{}</li>", labels(each))
    };
    let items: String = shown.iter().map(item).collect();
    let rest = match found - shown.len() {
        0 => String::new(),
        rest => format!("<p class=\"dim\">and {rest} more</p>"),
    };
    format!(
        "<section><h2>It is about {}</h2><ul class=\"plain\">{items}</ul>{rest}</section>",
        count(found, "firing alert")
    )
}

pub(super) async fn one(
    State(role): State<Alertmanager>,
    Tenant(id): Tenant,
    Path(name): Path<String>,
) -> Response {
    let shared = &role.0;
    let (tenant, now) = (shared.shown(&id), shared.now());
    let silence = tenant.dispatcher.lock().silences().get(&name).cloned();
    let Some(silence) = silence else {
        return missing(2, &id);
    };
    let over = silence.state(now) == SilenceState::Expired;
    let (starts, ends, updated) = (time(silence.starts_at), time(silence.ends_at), time(silence.updated_at));
    let facts = pairs([
        ("why", silence.comment.as_str()),
        ("who", silence.created_by.as_str()),
        ("from", starts.as_str()),
        ("until", ends.as_str()),
        ("changed", updated.as_str()),
        ("name", silence.id.as_str()),
    ]);
    let annotations = pairs(silence.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let name = escape(&silence.id);
    let actions = match over {
        true => format!("<p><a href=\"{name}/edit\">Make it again</a></p>"),
        false => format!(
            "<form class=\"line\" method=\"post\" action=\"{name}/expire\"><a href=\"{name}/edit\">Change it</a>\
             <button>End it now</button></form>"
        ),
    };
    let about = if over { String::new() } else { affected(shared, &tenant, &silence) };
    let body = format!(
        "<section>{}<p>{} <span class=\"dim\">{}</span></p>{facts}{annotations}{actions}</section>{about}",
        matchers(&silence),
        state(silence.state(now).as_str()),
        when(&silence, now),
    );
    let page = Page { title: "Silence", here: "silences", level: 2, tenant: Some(&id), body };
    Html(page.render()).into_response()
}

pub(super) async fn expire(
    State(role): State<Alertmanager>,
    Tenant(id): Tenant,
    Path(name): Path<String>,
) -> Response {
    match role.0.shown(&id).expire_silence(&role.0, &name).await {
        Ok(()) => elsewhere(&format!("../{name}")),
        Err(error) => {
            let (status, message) = why(&error);
            wrong(3, Some(&id), status, &message)
        }
    }
}

/// Why a silence is not as it was asked for.
pub(super) fn why(error: &ChangeError) -> (StatusCode, String) {
    match error {
        ChangeError::Refused(SilenceError::NotFound) => (StatusCode::NOT_FOUND, NO_SILENCE.to_owned()),
        ChangeError::Refused(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        ChangeError::Unkept(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("The silence {why}")),
    }
}

/// What is said of a silence that is not there, as a page.
pub(super) fn missing(level: usize, id: &TenantId) -> Response {
    wrong(level, Some(id), StatusCode::NOT_FOUND, NO_SILENCE)
}
