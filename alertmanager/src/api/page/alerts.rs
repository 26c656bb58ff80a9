//! The page of alerts, in their groups.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use form_urlencoded::Serializer;
use http::{StatusCode, Uri};
use model::{Labels, MatchOp};
use rpc::Tenant;

use super::html::{Page, count, escape, label, label_link, labels, list, shown_time, span, state};
use super::{MAX_SHOWN, problem};
use crate::alert::Alert;
use crate::api::alerts::AlertFilter;
use crate::api::groups::wanted;
use crate::api::params::{Params, ReceiverFilter};
use crate::dispatch::{AlertStatus, GroupView};
use crate::matcher::{Language, Matcher};
use crate::moment::Moment;
use crate::service::Alertmanager;

/// What is asked for on the page.
struct Asked {
    filter: String,
    silenced: bool,
    inhibited: bool,
    receiver: String,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let params = Params::of(uri);
        let text = |name: &str| params.all(name).last().unwrap_or_default().trim().to_owned();
        Self {
            filter: text("filter"),
            silenced: !text("silenced").is_empty(),
            inhibited: !text("inhibited").is_empty(),
            receiver: text("receiver"),
        }
    }

    fn matchers(&self, language: Language) -> Result<Vec<Matcher>, String> {
        match self.filter.as_str() {
            "" => Ok(Vec::new()),
            text => language.matchers(text).map_err(|error| error.to_string()),
        }
    }

    /// The same, as the API is asked.
    fn filter(&self, matchers: Vec<Matcher>) -> Result<AlertFilter, String> {
        let receivers = match self.receiver.as_str() {
            "" => ReceiverFilter::any_of_all(),
            name => ReceiverFilter::named(name).map_err(|error| error.to_string())?,
        };
        let (silenced, inhibited) = (self.silenced, self.inhibited);
        Ok(AlertFilter { matchers, active: true, silenced, inhibited, receivers })
    }

    fn form(&self, receivers: &[&str]) -> String {
        let checked = |is: bool| if is { " checked" } else { "" };
        let option = |name: &&str| {
            let selected = if **name == self.receiver { " selected" } else { "" };
            let name = escape(name);
            format!("<option value=\"{name}\"{selected}>{name}</option>")
        };
        let options: String = receivers.iter().map(option).collect();
        format!(
            "<form class=\"line\" role=\"search\"><input type=\"text\" name=\"filter\" value=\"{}\" aria-label=\"Matchers\" \
             spellcheck=\"false\" placeholder=\"severity=&quot;page&quot;, team=~&quot;db|net&quot;\">\
             <select name=\"receiver\" aria-label=\"Receiver\"><option value=\"\">all receivers</option>{options}</select>\
             <label><input type=\"checkbox\" name=\"silenced\" value=\"1\"{}> silenced</label>\
             <label><input type=\"checkbox\" name=\"inhibited\" value=\"1\"{}> inhibited</label>\
             <button>Show</button></form>",
            escape(&self.filter),
            checked(self.silenced),
            checked(self.inhibited),
        )
    }

    /// The page with one matcher more.
    fn narrowed(&self, matchers: &[Matcher], name: &str, value: &str) -> Option<String> {
        let further = Matcher::new(name, MatchOp::Equal, value).ok()?;
        let known = matchers.contains(&further);
        let all = matchers.iter().chain(Some(&further).filter(|_| !known));
        let filter: Vec<String> = all.map(ToString::to_string).collect();
        let mut query = Serializer::new(String::new());
        query.append_pair("filter", &filter.join(", "));
        for (name, is) in [("silenced", self.silenced), ("inhibited", self.inhibited)] {
            if is {
                query.append_pair(name, "1");
            }
        }
        if !self.receiver.is_empty() {
            query.append_pair("receiver", &self.receiver);
        }
        Some(format!("alerts?{}", query.finish()))
    }
}

/// What is shown of alerts, and when.
struct View<'a> {
    asked: &'a Asked,
    matchers: &'a [Matcher],
    now: Moment,
}

pub(super) async fn page(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let shared = &role.0;
    let tenant = shared.shown(&id);
    let (setup, asked) = (tenant.setup(), Asked::of(&uri));
    let names: Vec<&str> = setup.config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let mut body = led(&names) + &asked.form(&names);
    let matchers = asked.matchers(shared.config.language());
    let filter = matchers.and_then(|matchers| Ok((asked.filter(matchers.clone())?, matchers)));
    let status = match filter {
        Err(why) => {
            body.push_str(&problem(&why));
            StatusCode::BAD_REQUEST
        }
        Ok((filter, matchers)) => {
            let now = shared.now();
            let groups = wanted(&tenant, &filter, now);
            let view = View { asked: &asked, matchers: &matchers, now };
            body.push_str(&view.groups(&groups));
            StatusCode::OK
        }
    };
    let page = Page { title: "Alerts", here: "alerts", level: 1, tenant: Some(&id), body };
    (status, Html(page.render())).into_response()
}

/// Where links of notifications lead, `#/alerts?receiver=x`: one of these is shown, by its name, to those who come by such a link.
fn led(receivers: &[&str]) -> String {
    let one = |name: &&str| {
        let query = escape(&Serializer::new(String::new()).append_pair("receiver", name).finish());
        format!(
            "<p class=\"led\" id=\"/alerts?{query}\">A notification to {} led here: <a href=\"alerts?{query}\">its alerts</a></p>",
            escape(name)
        )
    };
    receivers.iter().map(one).collect()
}

impl View<'_> {
    fn groups(&self, groups: &[(GroupView, Vec<AlertStatus>)]) -> String {
        let alerts = groups.iter().flat_map(|(group, _)| group.alerts.iter());
        // An alert may be in several groups: for each receiver that is told of it.
        let different: BTreeSet<_> = alerts.map(|alert| alert.fingerprint()).collect();
        let listed: usize = groups.iter().map(|(group, _)| group.alerts.len()).sum();
        let sum = format!("{} in {}", count(different.len(), "alert"), count(groups.len(), "group"));
        let mut text = format!("<p class=\"dim\">{sum}</p>\n");
        let mut room = MAX_SHOWN;
        for (group, statuses) in groups {
            if room == 0 {
                break;
            }
            text.push_str(&self.group(group, statuses, &mut room));
        }
        if listed > MAX_SHOWN {
            let rest = count(listed - MAX_SHOWN, "alert");
            text.push_str(&format!("<p class=\"dim\">and {rest} more: a filter narrows them down</p>"));
        }
        text
    }

    fn group(&self, group: &GroupView, statuses: &[AlertStatus], room: &mut usize) -> String {
        let shared = match group.labels.is_empty() {
            true => "<span class=\"dim\">no labels in common</span>".to_owned(),
            false => self.labels(group.labels.iter()),
        };
        let muted = match group.muted_by.as_slice() {
            [] => String::new(),
            names => {
                format!(" {} <span class=\"dim\">by {}</span>", state("muted"), escape(&names.join(", ")))
            }
        };
        let silence = match group.labels.is_empty() {
            true => String::new(),
            false => format!(" · <a href=\"{}\">Silence all of these</a>", escape(&silencing(&group.labels))),
        };
        let shown = group.alerts.len().min(*room);
        *room -= shown;
        let alerts = group.alerts.iter().zip(statuses).take(shown);
        let items: String = alerts.map(|(alert, status)| self.alert(group, alert, status)).collect();
        format!(
            "<section>{shared}<p><span class=\"dim\">{} for {}</span>{muted}{silence}</p>{items}</section>\n",
            count(group.alerts.len(), "alert"),
            escape(&group.receiver),
        )
    }

    fn alert(&self, group: &GroupView, alert: &Alert, status: &AlertStatus) -> String {
        const NAME: &str = "alertname";
        let own = self.labels(alert.labels.iter().filter(|(name, _)| *name != NAME));
        let how = match (status.silenced_by.as_slice(), status.inhibited_by.is_empty()) {
            ([], true) if !group.muted_by.is_empty() => state("muted"),
            ([], true) => state("firing"),
            ([], false) => state("inhibited"),
            (ids, _) => ids
                .iter()
                .map(|id| format!("<a href=\"silences/{}\">{}</a> ", escape(id), state("silenced")))
                .collect(),
        };
        let annotations = alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let source = Some(("source", &*alert.generator_url)).filter(|(_, url)| !url.is_empty());
        let more = list(annotations.chain(source));
        format!(
            "<details class=\"item\"><summary><b>{}</b> {how} <span class=\"dim\">since {} ({})</span>{own}</summary>\
             {more}<p><a href=\"{}\">Silence this</a></p></details>\n",
            escape(alert.labels.get(NAME).unwrap_or("(no name)")),
            shown_time(alert.starts_at),
            span(self.now.since(alert.starts_at)),
            escape(&silencing(&alert.labels)),
        )
    }

    /// Labels that lead to the alerts which have them too.
    fn labels<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        labels(pairs.map(|(name, value)| {
            let text = format!("{name}={value}");
            match self.asked.narrowed(self.matchers, name, value) {
                Some(url) => label_link(&text, &url),
                None => label(&text),
            }
        }))
    }
}

/// The form for a silence of alerts with these labels: of one alert it has all, since taking some away is easier than finding
/// them.
fn silencing(labels: &Labels) -> String {
    let matchers = labels.iter().filter_map(|(name, value)| Matcher::new(name, MatchOp::Equal, value).ok());
    let matchers: Vec<String> = matchers.map(|matcher| matcher.to_string()).collect();
    let mut query = Serializer::new(String::new());
    query.append_pair("matchers", &matchers.join("\n"));
    format!("silences/new?{}", query.finish())
}
