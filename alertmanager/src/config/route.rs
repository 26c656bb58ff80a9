//! Routes and inhibition rules as the configuration writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use settings::yaml::Node;

use super::decode::{Decode, Fields, Problem, list, text};
use super::receivers::Receiver;
use super::show::Shown;
use super::types::{equal_matchers, regex_matchers};
use crate::inhibit::InhibitRule;
use crate::interval::TimeInterval;
use crate::matcher::{Language, Matcher, sort};
use crate::route::Grouping;

/// A route, without what it inherits.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// Who is told.
    pub receiver: Option<String>,
    /// Which alerts are told together.
    pub grouping: Option<Grouping>,
    /// `match`, `match_re` and `matchers` in one.
    pub matchers: Vec<Matcher>,
    /// Intervals in which nobody is told.
    pub mute_time_intervals: Vec<String>,
    /// Intervals outside of which nobody is told.
    pub active_time_intervals: Vec<String>,
    /// Whether an alert that matches is tried on the next routes too.
    pub continues: bool,
    /// The routes below it.
    pub routes: Vec<RouteConfig>,
    /// How long a new group waits.
    pub group_wait: Option<Duration>,
    /// How long after a notification changes are told.
    pub group_interval: Option<Duration>,
    /// How long after a notification it is repeated.
    pub repeat_interval: Option<Duration>,
    /// Labels for templates.
    pub labels: BTreeMap<String, String>,
    pub(super) shown: Shown,
}

/// How deep routes may nest.
const MAX_DEPTH: usize = 100;

impl RouteConfig {
    /// Reads the root route.
    pub(super) fn read(node: &Node, language: Language) -> Result<Self, Problem> {
        Self::nested(node, language, 0)
    }

    fn nested(node: &Node, language: Language, depth: usize) -> Result<Self, Problem> {
        if depth >= MAX_DEPTH {
            return Err(Problem::at(node, format!("routes nested deeper than {MAX_DEPTH}")));
        }
        let mut shown = ShownFields::default();
        let mut fields = Fields::of(node, "config.plain")?;
        let receiver = shown.keep("receiver", fields.take("receiver").map(text).transpose()?);
        let group_by =
            shown.keep("group_by", fields.take("group_by").map(Vec::<String>::decode).transpose()?);
        let matchers = read_matchers(&mut fields, &mut shown, ["match", "match_re", "matchers"], language)?;
        let mute = fields.take("mute_time_intervals").map(Vec::<String>::decode).transpose()?;
        let mute_time_intervals = shown.keep("mute_time_intervals", mute).unwrap_or_default();
        let active = fields.take("active_time_intervals").map(Vec::<String>::decode).transpose()?;
        let active_time_intervals = shown.keep("active_time_intervals", active).unwrap_or_default();
        let continues = fields.take("continue").map(bool::decode).transpose()?.unwrap_or(false);
        shown.keep("continue", Some(continues));
        let routes = match fields.take("routes") {
            Some(node) => list(node, |node| Self::nested(node, language, depth + 1))?,
            None => Vec::new(),
        };
        if !routes.is_empty() {
            let below = routes.iter().map(|route: &Self| route.shown.clone()).collect();
            shown.0.push(("routes".to_owned(), Shown::List(below)));
        }
        let mut duration = |name: &str| -> Result<Option<Duration>, Problem> {
            Ok(shown.keep(name, fields.take(name).map(Duration::decode).transpose()?))
        };
        let group_wait = duration("group_wait")?;
        let group_interval = duration("group_interval")?;
        let repeat_interval = duration("repeat_interval")?;
        let labels = fields.take("labels").map(BTreeMap::<String, String>::decode).transpose()?;
        let labels = shown.keep("labels", labels).unwrap_or_default();
        fields.end()?;
        let wrong = |message: String| Problem::at(node, message);
        if let Some(name) = labels.keys().find(|name| !language.is_label_name(name)) {
            return Err(wrong(format!("invalid label name {} in route labels", gotemplate::quote(name))));
        }
        let grouping = group_by.map(|names| grouping(&names, language)).transpose().map_err(wrong)?;
        for (name, interval) in [("group_interval", group_interval), ("repeat_interval", repeat_interval)] {
            if interval == Some(Duration::ZERO) {
                return Err(wrong(format!("{name} cannot be zero")));
            }
        }
        Ok(Self {
            receiver: receiver.filter(|receiver| !receiver.is_empty()),
            grouping,
            matchers,
            mute_time_intervals,
            active_time_intervals,
            continues,
            routes,
            group_wait,
            group_interval,
            repeat_interval,
            labels,
            shown: Shown::Map(shown.0),
        })
    }

    pub(super) fn check_root(&self) -> Result<(), String> {
        let message = if self.receiver.is_none() {
            "root route must specify a default receiver"
        } else if !self.matchers.is_empty() {
            "root route must not have any matchers"
        } else if !self.mute_time_intervals.is_empty() {
            "root route must not have any mute time intervals"
        } else if !self.active_time_intervals.is_empty() {
            "root route must not have any active time intervals"
        } else {
            return Ok(());
        };
        Err(message.to_owned())
    }

    pub(super) fn check_receivers(&self, receivers: &[Receiver]) -> Result<(), String> {
        self.routes.iter().try_for_each(|route| route.check_receivers(receivers))?;
        match &self.receiver {
            Some(name) if receivers.iter().all(|receiver| receiver.name != *name) => {
                Err(format!("undefined receiver {} used in route", gotemplate::quote(name)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_intervals(
        &self,
        intervals: &BTreeMap<String, Vec<TimeInterval>>,
    ) -> Result<(), String> {
        self.routes.iter().try_for_each(|route| route.check_intervals(intervals))?;
        let mut named = self.active_time_intervals.iter().chain(&self.mute_time_intervals);
        match named.find(|name| !intervals.contains_key(*name)) {
            None => Ok(()),
            Some(name) => Err(format!("undefined time interval {} used in route", gotemplate::quote(name))),
        }
    }
}

/// What of a mapping is shown.
#[derive(Default)]
struct ShownFields(Vec<(String, Shown)>);

impl ShownFields {
    fn keep<T: Decode>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if let Some(shown) = value.as_ref().and_then(T::show) {
            self.0.push((name.to_owned(), shown));
        }
        value
    }
}

fn grouping(names: &[String], language: Language) -> Result<Grouping, String> {
    let all = names.iter().any(|name| name == "...");
    let mut labels = BTreeSet::new();
    for name in names.iter().filter(|name| *name != "...") {
        if !language.is_label_name(name) {
            return Err(format!("invalid label name {} in group_by list", gotemplate::quote(name)));
        }
        if all {
            return Err("cannot have wildcard group_by (`...`) and other labels at the same time".to_owned());
        }
        if !labels.insert(name.clone()) {
            return Err(format!("duplicated label {} in group_by", gotemplate::quote(name)));
        }
    }
    Ok(if all { Grouping::All } else { Grouping::By(labels) })
}

/// Matchers of the three kinds of fields: equal, regular expressions, and of the language.
fn read_matchers(
    fields: &mut Fields<'_>,
    shown: &mut ShownFields,
    [equal, regex, named]: [&str; 3],
    language: Language,
) -> Result<Vec<Matcher>, Problem> {
    type Read = fn(&Node) -> Result<Vec<Matcher>, Problem>;
    let mut all = Vec::new();
    let readers: [(&str, Read); 2] = [(equal, equal_matchers), (regex, regex_matchers)];
    for (name, read) in readers {
        if let Some(node) = fields.take(name) {
            all.extend(read(node)?);
            shown.keep(name, Some(node.to_json()));
        }
    }
    if let Some(node) = fields.take(named) {
        let mut matchers = Vec::new();
        for item in list(node, |item| Ok((text(item)?, Problem::at(item, ""))))? {
            let (line, at) = item;
            let parsed = language.matchers(&line);
            matchers.extend(parsed.map_err(|error| Problem { message: error.to_string(), ..at })?);
        }
        sort(&mut matchers);
        shown.keep(named, Some(matchers.iter().map(ToString::to_string).collect::<Vec<String>>()));
        all.extend(matchers);
    }
    Ok(all)
}

/// An inhibition rule and how it is shown; null is one that inhibits nothing but by everything.
pub(super) fn inhibit_rule(node: &Node, language: Language) -> Result<(InhibitRule, Shown), Problem> {
    let mut shown = ShownFields::default();
    let mut fields = Fields::of(node, "common.plain")?;
    let name = shown.keep("name", fields.take("name").map(text).transpose()?).unwrap_or_default();
    let sources = ["source_match", "source_match_re", "source_matchers"];
    let sources = read_matchers(&mut fields, &mut shown, sources, language)?;
    let targets = ["target_match", "target_match_re", "target_matchers"];
    let targets = read_matchers(&mut fields, &mut shown, targets, language)?;
    let equal = fields.take("equal").map(Vec::<String>::decode).transpose()?;
    let equal = shown.keep("equal", equal).unwrap_or_default();
    fields.end()?;
    if let Some(label) = equal.iter().find(|label| !language.is_label_name(label)) {
        let message = format!("invalid label name {} in equal list", gotemplate::quote(label));
        return Err(Problem::at(node, message));
    }
    Ok((InhibitRule { name, sources, targets, equal }, Shown::Map(shown.0)))
}
