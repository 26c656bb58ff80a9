//! Configurations tried without an Alertmanager: what is wrong with them, where alerts go, what templates become.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use alertmanager::matcher::{Language, Matcher};
use alertmanager::route::{Grouping, Route};
use alertmanager::template::{AlertData, Data, NotificationTemplates};
use alertmanager::{Checked, Moment};
use clap::ArgMatches;
use env::FileSystem;
use gotemplate::Limits;
use gotemplate::time::GoTime;
use model::Labels;
use serde_json::{Value, json};

use super::{Outcome, text, texts, wants_json};
use crate::query::table::grid;
use crate::query::time;

/// The largest file of data and the longest template, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// What the template sees where nothing is said of the alert.
const SAMPLE_LABELS: [(&str, &str); 3] =
    [("alertname", "SampleAlert"), ("instance", "host-1:9100"), ("severity", "warning")];
const SAMPLE_ANNOTATIONS: [(&str, &str); 1] = [("summary", "a sample alert")];
/// Where links of samples begin.
const SAMPLE_URL: &str = "http://alertmanager.example";

fn language(asked: &ArgMatches) -> Language {
    match text(asked, "matchers") {
        "classic" => Language::Classic,
        "utf8" => Language::Utf8,
        _ => Language::Fallback,
    }
}

fn read(fs: &dyn FileSystem, asked: &ArgMatches, file: &str) -> Result<Checked, String> {
    Checked::read(fs, Path::new(file), language(asked)).map_err(|error| {
        let error = error.to_string();
        // What cannot be read says itself which file it is.
        if error.contains(file) { error } else { format!("{file}: {error}") }
    })
}

/// Says what is wrong with configurations, or what they have.
pub(super) fn check(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<Outcome, String> {
    let mut said = String::new();
    let mut good = true;
    for file in texts(asked, "file") {
        match read(fs, asked, file) {
            Err(problem) => {
                crate::output::error(&problem);
                good = false;
            }
            Ok(Checked { config, templates }) => {
                let mut routes = 0;
                Route::tree(&config.route).walk(&mut |_| routes += 1);
                said.push_str(&format!(
                    "{file}: good: {routes} routes, {} receivers, {} inhibit rules, {} templates\n",
                    config.receivers.len(),
                    config.inhibit_rules.len(),
                    templates.names().filter(|name| !name.is_empty()).count(),
                ));
            }
        }
    }
    Ok(Outcome { text: said, good })
}

/// Says where an alert would go.
pub(super) fn routes(fs: &dyn FileSystem, asked: &ArgMatches) -> Result<Outcome, String> {
    let checked = read(fs, asked, text(asked, "config"))?;
    let labels = Labels::from_pairs(pairs(asked, "label")?);
    let found = Route::tree(&checked.config.route).matching(&labels);
    let receivers: Vec<&str> = found.iter().map(|route| route.options.receiver.as_str()).collect();
    let expected = texts(asked, "expect");
    let good = expected.is_empty() || expected == receivers;
    if !good {
        let (expected, told) = (expected.join(","), receivers.join(","));
        crate::output::error(&format!("--expect names {expected}, and {told} would be told"));
    }
    let text = match wants_json(asked) {
        true => format!("{:#}\n", Value::Array(found.iter().map(as_json).collect())),
        false => {
            let titles = ["receiver", "grouped by", "waits", "changes after", "repeats after", "route"];
            let mut rows = vec![titles.map(str::to_owned).to_vec()];
            rows.extend(found.iter().map(row));
            grid(&rows, &[false; 6])
        }
    };
    Ok(Outcome { text, good })
}

fn grouping(route: &Route) -> Vec<String> {
    match &route.options.grouping {
        Grouping::All => vec!["...".to_owned()],
        Grouping::By(names) => names.iter().cloned().collect(),
    }
}

fn row(route: &Arc<Route>) -> Vec<String> {
    let options = &route.options;
    vec![
        options.receiver.clone(),
        grouping(route).join(","),
        settings::duration::print(options.group_wait),
        settings::duration::print(options.group_interval),
        settings::duration::print(options.repeat_interval),
        route.key.clone(),
    ]
}

fn as_json(route: &Arc<Route>) -> Value {
    let options = &route.options;
    json!({
        "receiver": options.receiver,
        "groupBy": grouping(route),
        "groupWait": settings::duration::print(options.group_wait),
        "groupInterval": settings::duration::print(options.group_interval),
        "repeatInterval": settings::duration::print(options.repeat_interval),
        "muteTimeIntervals": options.mute_time_intervals,
        "activeTimeIntervals": options.active_time_intervals,
        "matchers": route.matchers.iter().map(Matcher::to_string).collect::<Vec<_>>(),
        "route": route.key,
    })
}

/// Says what a template becomes.
pub(super) fn render(fs: &dyn FileSystem, asked: &ArgMatches, now_ms: i64) -> Result<Outcome, String> {
    let templates = match asked.get_one::<String>("config") {
        Some(file) => read(fs, asked, file)?.templates,
        None => NotificationTemplates::new([]).map_err(|error| error.to_string())?,
    };
    let template = match text(asked, "template") {
        "-" => standard_input()?,
        template => template.to_owned(),
    };
    let data = match asked.get_one::<String>("data") {
        Some(file) => posted(fs, file)?,
        None => sample(asked, now_ms)?,
    };
    let now = Moment::from_millis(now_ms);
    let rendered = match asked.get_flag("html") {
        true => templates.render_html(&template, &data, now, Limits::default()),
        false => templates.render(&template, &data, now, Limits::default()),
    };
    let mut text = rendered.map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(Outcome::good(text))
}

fn standard_input() -> Result<String, String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| format!("standard input: {error}"))?;
    Ok(text)
}

type Pairs = BTreeMap<String, String>;

fn pairs(asked: &ArgMatches, name: &str) -> Result<Pairs, String> {
    let pairs = texts(asked, name).into_iter().map(|pair| {
        let split = pair.split_once('=').ok_or_else(|| format!("{pair:?}: name=value is wanted"));
        split.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
    });
    pairs.collect()
}

/// One alert that fires, as the command line says it.
fn sample(asked: &ArgMatches, now_ms: i64) -> Result<Data, String> {
    let or = |given: Pairs, otherwise: &[(&str, &str)]| match given.is_empty() {
        true => otherwise.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        false => given,
    };
    let own = or(pairs(asked, "label")?, &SAMPLE_LABELS);
    let group: Pairs =
        own.iter().filter(|(name, _)| *name == "alertname").map(|(n, v)| (n.clone(), v.clone())).collect();
    let alert = AlertData {
        status: "firing".to_owned(),
        labels: own,
        annotations: or(pairs(asked, "annotation")?, &SAMPLE_ANNOTATIONS),
        starts_at: Moment::from_millis(now_ms).to_time(),
        ends_at: GoTime::zero(),
        generator_url: String::new(),
        fingerprint: String::new(),
    };
    Ok(Data::new("sample", SAMPLE_URL, &Labels::from_pairs(group), vec![alert]))
}

/// What the message of a webhook says.
fn posted(fs: &dyn FileSystem, file: &str) -> Result<Data, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{file}: {why}");
    let bytes = env::read_file(fs, Path::new(file), MAX_BYTES).map_err(|error| wrong(&error))?;
    let message: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    let alerts = message["alerts"].as_array().ok_or_else(|| wrong(&"there are no \"alerts\""))?;
    let alerts = alerts.iter().map(alert).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    let part = |name: &str| message[name].as_str().unwrap_or_default();
    let group = Labels::from_pairs(texts_of(&message["groupLabels"]));
    let mut data = Data::new(part("receiver"), part("externalURL"), &group, alerts);
    data.notification_reason = part("notification_reason").to_owned();
    data.route_labels = texts_of(&message["routeLabels"]);
    // They are texts by now.
    data.route_labels_rendered = true;
    Ok(data)
}

fn texts_of(value: &Value) -> Pairs {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn alert(value: &Value) -> Result<AlertData, String> {
    let part = |name: &str| value[name].as_str().unwrap_or_default();
    let when = |name: &str| match part(name) {
        "" | "0001-01-01T00:00:00Z" => Ok(GoTime::zero()),
        text => time::parse(text, 0).map(|ms| Moment::from_millis(ms).to_time()),
    };
    Ok(AlertData {
        status: part("status").to_owned(),
        labels: texts_of(&value["labels"]),
        annotations: texts_of(&value["annotations"]),
        starts_at: when("startsAt")?,
        ends_at: when("endsAt")?,
        generator_url: part("generatorURL").to_owned(),
        fingerprint: part("fingerprint").to_owned(),
    })
}
