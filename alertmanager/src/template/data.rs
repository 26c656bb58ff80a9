//! What notification templates see: the data of a notification as Go's types name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::time::GoTime;
use gotemplate::{Function, List, Map, Object, Type, Underlying, Value, text_argument};
use model::Labels;

use crate::alert::Alert;
use crate::moment::Moment;

/// The name of the label that comes first.
const ALERT_NAME: &str = "alertname";

/// What a template is executed with.
#[derive(Debug, Clone)]
pub struct Data {
    /// The receiver's name.
    pub receiver: String,
    /// `firing` if any alert fires, else `resolved`.
    pub status: String,
    /// The alerts.
    pub alerts: Vec<AlertData>,
    /// Why this is told.
    pub notification_reason: String,
    /// What the alerts are grouped by.
    pub group_labels: BTreeMap<String, String>,
    /// What all alerts have.
    pub common_labels: BTreeMap<String, String>,
    /// The annotations that all alerts have.
    pub common_annotations: BTreeMap<String, String>,
    /// The labels of the route.
    pub route_labels: BTreeMap<String, String>,
    /// Whether they were rendered already; else they are templates.
    pub route_labels_rendered: bool,
    /// Where the Alertmanager is reached.
    pub external_url: String,
}

/// An alert in [`Data`].
#[derive(Debug, Clone)]
pub struct AlertData {
    /// `firing` or `resolved`.
    pub status: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: GoTime,
    /// When it was resolved; Go's zero time if it is not.
    pub ends_at: GoTime,
    /// Where it comes from.
    pub generator_url: String,
    /// What tells it apart.
    pub fingerprint: String,
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl AlertData {
    /// The alert as it is at a time.
    pub fn of(alert: &Alert, now: Moment) -> Self {
        let resolved = alert.is_resolved(now);
        Self {
            status: if resolved { "resolved" } else { "firing" }.to_owned(),
            labels: pairs(&alert.labels),
            annotations: (*alert.annotations).clone(),
            starts_at: alert.starts_at.to_time(),
            ends_at: match alert.ends_at {
                Some(ends_at) if resolved => ends_at.to_time(),
                _ => GoTime::zero(),
            },
            generator_url: alert.generator_url.to_string(),
            fingerprint: alert.fingerprint().to_string(),
        }
    }
}

impl Data {
    /// The data of a notification about these alerts.
    pub fn new(receiver: &str, external_url: &str, group_labels: &Labels, alerts: Vec<AlertData>) -> Self {
        let firing = alerts.iter().any(|alert| alert.status == "firing");
        let common = |of: fn(&AlertData) -> &BTreeMap<String, String>| {
            let mut all = alerts.iter().map(of);
            let mut common = all.next().cloned().unwrap_or_default();
            for other in all {
                common.retain(|name, value| other.get(name) == Some(value));
            }
            common
        };
        Self {
            receiver: quote_meta(receiver),
            status: if firing { "firing" } else { "resolved" }.to_owned(),
            common_labels: common(|alert| &alert.labels),
            common_annotations: common(|alert| &alert.annotations),
            alerts,
            notification_reason: String::new(),
            group_labels: pairs(group_labels),
            route_labels: BTreeMap::new(),
            route_labels_rendered: false,
            external_url: external_url.to_owned(),
        }
    }

    /// As templates see it.
    pub fn to_value(&self) -> Value {
        Value::object(DataObject(self.clone()))
    }
}

/// A receiver's name with what means something in a regular expression escaped, as upstream shows it.
fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[derive(Debug)]
struct DataObject(Data);

impl Object for DataObject {
    fn type_name(&self) -> &'static str {
        "*template.Data"
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "Receiver",
            "Status",
            "Alerts",
            "NotificationReason",
            "GroupLabels",
            "CommonLabels",
            "CommonAnnotations",
            "RouteLabels",
            "ExternalURL",
            // Upstream's own, which shows where the whole is printed and nowhere else.
            "routeLabelsRendered",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let data = &self.0;
        Some(match name {
            "Receiver" => Value::from(data.receiver.as_str()),
            "Status" => Value::from(data.status.as_str()),
            "Alerts" => Value::object(Alerts(alert_list(&data.alerts))),
            "NotificationReason" => Value::from(data.notification_reason.as_str()),
            "GroupLabels" => kv(&data.group_labels),
            "CommonLabels" => kv(&data.common_labels),
            "CommonAnnotations" => kv(&data.common_annotations),
            "RouteLabels" => kv(&data.route_labels),
            "ExternalURL" => Value::from(data.external_url.as_str()),
            "routeLabelsRendered" => Value::Bool(data.route_labels_rendered),
            _ => return None,
        })
    }
}

fn alert_list(alerts: &[AlertData]) -> List {
    let items = alerts.iter().map(|alert| Value::object(AlertObject(alert.clone())));
    List::new(Type::Named("template.Alert"), items)
}

/// `template.Alerts`
#[derive(Debug)]
struct Alerts(List);

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::List(&self.0)
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        let status = match name {
            "Firing" => "firing",
            "Resolved" => "resolved",
            _ => return None,
        };
        Some(Function::new([], move |_| {
            let of_status = |item: &&Value| match item {
                Value::Object(object) => {
                    object.downcast::<AlertObject>().is_some_and(|alert| alert.0.status == status)
                }
                _ => false,
            };
            let found = self.0.items().iter().filter(of_status).cloned();
            Ok(Value::List(Arc::new(List::new(Type::Named("template.Alert"), found))))
        }))
    }
}

#[derive(Debug)]
struct AlertObject(AlertData);

impl Object for AlertObject {
    fn type_name(&self) -> &'static str {
        "template.Alert"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Status", "Labels", "Annotations", "StartsAt", "EndsAt", "GeneratorURL", "Fingerprint"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let alert = &self.0;
        Some(match name {
            "Status" => Value::from(alert.status.as_str()),
            "Labels" => kv(&alert.labels),
            "Annotations" => kv(&alert.annotations),
            "StartsAt" => Value::object(alert.starts_at.clone()),
            "EndsAt" => Value::object(alert.ends_at.clone()),
            "GeneratorURL" => Value::from(alert.generator_url.as_str()),
            "Fingerprint" => Value::from(alert.fingerprint.as_str()),
            _ => return None,
        })
    }
}

/// `template.KV`: names and values.
#[derive(Debug)]
struct Kv(Map);

fn kv(entries: &BTreeMap<String, String>) -> Value {
    let entries = entries.iter().map(|(name, value)| (name, Value::from(value.as_str())));
    Value::object(Kv(Map::new(Type::Text, entries)))
}

impl Kv {
    /// Sorted by name, the alert's name first.
    fn sorted(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<(String, String)> = self
            .0
            .entries()
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_text().unwrap_or_default().to_owned()))
            .collect();
        pairs.sort_by_key(|(name, _)| name != ALERT_NAME);
        pairs
    }

    fn without(&self, names: &[&str]) -> Value {
        let kept = self.0.entries().iter().filter(|(name, _)| !names.contains(&&***name));
        let kept: Vec<(Arc<str>, Value)> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Value::object(Self(Map::new(Type::Text, kept)))
    }
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::Map(&self.0)
    }

    fn text(&self) -> Option<String> {
        Some(shown(&self.sorted()))
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        let value = |value: Value| Some(Function::new([], move |_| Ok(value.clone())));
        match name {
            "SortedPairs" => value(pairs_value(self.sorted())),
            "Names" => value(texts(self.sorted().into_iter().map(|(name, _)| name))),
            "Values" => value(texts(self.sorted().into_iter().map(|(_, value)| value))),
            "String" => value(Value::from(shown(&self.sorted()))),
            "Remove" => Some(Function::new([Type::texts()], move |args| {
                let names = args.first().and_then(Value::as_list).map(List::items).unwrap_or_default();
                let names: Vec<&str> = names.iter().filter_map(Value::as_text).collect();
                Ok(self.without(&names))
            })),
            _ => None,
        }
    }
}

fn shown(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// `template.Pairs`
#[derive(Debug)]
struct Pairs {
    pairs: Vec<(String, String)>,
    list: List,
}

fn pairs_value(pairs: Vec<(String, String)>) -> Value {
    let items = pairs.iter().map(|(name, value)| Value::object(Pair(name.clone(), value.clone())));
    let list = List::new(Type::Named("template.Pair"), items);
    Value::object(Pairs { pairs, list })
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::List(&self.list)
    }

    fn text(&self) -> Option<String> {
        Some(shown(&self.pairs))
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        let value = match name {
            "Names" => texts(self.pairs.iter().map(|(name, _)| name.clone())),
            "Values" => texts(self.pairs.iter().map(|(_, value)| value.clone())),
            "String" => Value::from(shown(&self.pairs)),
            _ => return None,
        };
        Some(Function::new([], move |_| Ok(value.clone())))
    }
}

/// `template.Pair`
#[derive(Debug)]
struct Pair(String, String);

impl Object for Pair {
    fn type_name(&self) -> &'static str {
        "template.Pair"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "Value"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::from(self.0.as_str())),
            "Value" => Some(Value::from(self.1.as_str())),
            _ => None,
        }
    }
}

/// `template.Strings`
#[derive(Debug)]
struct Strings(List);

fn texts(items: impl IntoIterator<Item = String>) -> Value {
    Value::object(Strings(List::new(Type::Text, items.into_iter().map(Value::from))))
}

impl Object for Strings {
    fn type_name(&self) -> &'static str {
        "template.Strings"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::List(&self.0)
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        (name == "Join").then(|| {
            Function::new([Type::Text], move |args| {
                let items: Vec<&str> = self.0.items().iter().filter_map(Value::as_text).collect();
                Ok(Value::from(items.join(text_argument(args, 0))))
            })
        })
    }
}
