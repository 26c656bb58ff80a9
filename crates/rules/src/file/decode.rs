//! From YAML to groups and rules as they are written. What they mean is looked at later.

use yaml::{Kind, Node};

use super::reader::{Reader, Text, Texts, place};
use super::{FileError, FileOptions, Place};

/// A group as it is written.
#[derive(Debug)]
pub(super) struct RawGroup {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) interval_ms: Option<i64>,
    pub(super) query_offset_ms: Option<i64>,
    pub(super) limit: i64,
    pub(super) labels: Texts,
    pub(super) source_tenants: Vec<Text>,
    pub(super) rules: Vec<RawRule>,
}

/// A rule as it is written.
#[derive(Debug)]
pub(super) struct RawRule {
    pub(super) place: Place,
    pub(super) record: Option<Text>,
    pub(super) alert: Option<Text>,
    pub(super) expr: Option<Text>,
    pub(super) hold_ms: i64,
    pub(super) keep_firing_ms: i64,
    pub(super) labels: Texts,
    pub(super) annotations: Texts,
}

/// The groups of a document.
pub(super) fn groups(root: &Node, options: &FileOptions) -> Result<Vec<RawGroup>, Vec<FileError>> {
    let mut reader = Reader::new(options.ignore_unknown_fields);
    let root = spec(root).unwrap_or(root);
    let fields = reader.mapping(root, "rulefmt.RuleGroups", &["groups"]);
    let groups = reader
        .list(fields.get("groups"), "[]rulefmt.RuleGroup", |reader, node| group(reader, node, &OF_FILES));
    reader.finish(groups)
}

/// The one group that a document is.
pub(super) fn one(root: &Node, options: &FileOptions) -> Result<Vec<RawGroup>, Vec<FileError>> {
    let mut reader = Reader::new(options.ignore_unknown_fields);
    let group = group(&mut reader, root, &OF_TENANTS);
    reader.finish(vec![group])
}

/// What stands in the `spec` of a manifest of kind `PrometheusRule`.
fn spec(root: &Node) -> Option<&Node> {
    let Kind::Mapping(entries) = &root.kind else { return None };
    let get = |name: &str| entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
    (get("kind")?.scalar()? == "PrometheusRule").then(|| get("spec")).flatten()
}

/// What a group of a file may have.
const OF_FILES: [&str; 8] = [
    "name",
    "interval",
    "query_offset",
    "limit",
    "rules",
    "labels",
    // Of Thanos and of VictoriaMetrics: how they evaluate a group.
    "partial_response_strategy",
    "concurrency",
];

/// What a group may have besides that a tenant sets.
const OF_TENANTS: [&str; 9] = {
    let mut known = ["source_tenants"; 9];
    let mut at = 0;
    while at < OF_FILES.len() {
        known[at] = OF_FILES[at];
        at += 1;
    }
    known
};

fn group(reader: &mut Reader, node: &Node, known: &[&str]) -> RawGroup {
    let fields = reader.mapping(node, "rulefmt.RuleGroup", known);
    if let Some(strategy) = fields.get("partial_response_strategy") {
        let text = reader.text(strategy).text;
        if !["", "abort", "warn"].contains(&text.to_lowercase().as_str()) {
            let message = format!("invalid partial_response_strategy {text:?}: it is abort or warn");
            reader.errors.push(FileError::new(place(strategy), message));
        }
    }
    if let Some(concurrency) = fields.get("concurrency") {
        reader.int(concurrency);
    }
    RawGroup {
        place: place(node),
        name: fields.get("name").map(|node| reader.text(node).text).unwrap_or_default(),
        interval_ms: fields.get("interval").and_then(|node| reader.duration(node)),
        query_offset_ms: fields.get("query_offset").and_then(|node| reader.duration(node)),
        limit: fields.get("limit").and_then(|node| reader.int(node)).unwrap_or(0),
        labels: fields.get("labels").map(|node| reader.texts(node)).unwrap_or_default(),
        source_tenants: reader.list(fields.get("source_tenants"), "[]string", Reader::text),
        rules: reader.list(fields.get("rules"), "[]rulefmt.Rule", rule),
    }
}

fn rule(reader: &mut Reader, node: &Node) -> RawRule {
    const KNOWN: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
    let fields = reader.mapping(node, "rulefmt.Rule", &KNOWN);
    RawRule {
        place: place(node),
        record: fields.get("record").map(|node| reader.text(node)),
        alert: fields.get("alert").map(|node| reader.text(node)),
        expr: fields.get("expr").map(|node| reader.text(node)),
        hold_ms: fields.get("for").and_then(|node| reader.duration(node)).unwrap_or(0),
        keep_firing_ms: fields.get("keep_firing_for").and_then(|node| reader.duration(node)).unwrap_or(0),
        labels: fields.get("labels").map(|node| reader.texts(node)).unwrap_or_default(),
        annotations: fields.get("annotations").map(|node| reader.texts(node)).unwrap_or_default(),
    }
}
