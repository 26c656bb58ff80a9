//! What has to hold of groups and rules.

use std::collections::{BTreeMap, BTreeSet};

use gotemplate::quote;
use model::{METRIC_NAME, TenantId};
use promql::ast::Expr;

use super::decode::{RawGroup, RawRule};
use super::reader::{Text, Texts};
use super::{FileError, FileOptions, FileRule, Place, RuleGroup, RuleKind, RuleName};
use crate::template;

/// The groups, or all that is wrong with them, in the order of the file.
pub(super) fn groups(raw: Vec<RawGroup>, options: &FileOptions) -> Result<Vec<RuleGroup>, Vec<FileError>> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    let mut groups = Vec::with_capacity(raw.len());
    for group in raw {
        if group.name.is_empty() {
            errors.push(FileError::new(group.place, "Groupname must not be empty"));
        }
        if !names.insert(group.name.clone()) {
            let message = format!("groupname: \"{}\" is repeated in the same file", group.name);
            errors.push(FileError::new(group.place, message));
        }
        errors.extend(
            wrong_names(&group.labels, "label").map(|(place, message)| FileError::new(place, message)),
        );
        let mut source_tenants = Vec::new();
        for Text { text, place } in group.source_tenants {
            match TenantId::new(&text) {
                Ok(tenant) => source_tenants.push(tenant),
                Err(error) => errors.push(FileError::new(place, format!("source_tenants: {error}"))),
            }
        }
        source_tenants.sort();
        source_tenants.dedup();
        let rules = group.rules.into_iter().enumerate().filter_map(|(index, raw)| {
            let named = RuleName {
                group: group.name.clone(),
                number: index + 1,
                name: first_of(&raw.alert, &raw.record).to_owned(),
            };
            let mut check = Check { named, errors: &mut errors };
            check.rule(raw, options)
        });
        let rules = rules.collect();
        groups.push(RuleGroup {
            name: group.name,
            interval_ms: group.interval_ms.filter(|interval| *interval != 0),
            query_offset_ms: group.query_offset_ms,
            limit: group.limit,
            labels: plain(group.labels),
            source_tenants,
            rules,
            place: group.place,
        });
    }
    if errors.is_empty() { Ok(groups) } else { Err(errors) }
}

/// The first of two texts that is there and not empty; empty where neither is.
fn first_of<'a>(first: &'a Option<Text>, second: &'a Option<Text>) -> &'a str {
    [first, second]
        .into_iter()
        .flatten()
        .map(|text| text.text.as_str())
        .find(|text| !text.is_empty())
        .unwrap_or("")
}

fn plain(texts: Texts) -> BTreeMap<String, String> {
    texts.into_iter().map(|(name, text)| (name, text.text)).collect()
}

/// Names that labels or annotations may not have. Any text that is not empty is a name.
fn wrong_names<'a>(texts: &'a Texts, what: &'a str) -> impl Iterator<Item = (Place, String)> + 'a {
    let reserved = what == "label";
    texts
        .iter()
        .filter(move |(name, _)| name.is_empty() || reserved && *name == METRIC_NAME)
        .map(move |(name, text)| (text.place, format!("invalid {what} name: {name}")))
}

/// Errors of one rule.
struct Check<'e> {
    named: RuleName,
    errors: &'e mut Vec<FileError>,
}

impl Check<'_> {
    fn wrong(&mut self, place: Place, message: impl Into<String>) {
        let error = FileError::new(place, message);
        self.errors.push(FileError { rule: Some(self.named.clone()), ..error });
    }

    fn rule(&mut self, raw: RawRule, options: &FileOptions) -> Option<FileRule> {
        let given = |text: &Option<Text>| text.clone().filter(|text| !text.text.is_empty());
        let (record, alert) = (given(&raw.record), given(&raw.alert));
        match (&record, &alert) {
            (Some(record), Some(alert)) => {
                let message = "only one of 'record' and 'alert' must be set";
                self.wrong(record.place, message);
                if let Some(last) = self.errors.last_mut() {
                    last.also = Some(alert.place);
                }
            }
            (None, None) => self.wrong(raw.place, "one of 'record' or 'alert' must be set"),
            _ => {}
        }
        let expr = self.expression(&raw, options);
        if let Some(record) = &record {
            self.recording(record, &raw);
        }
        for (place, message) in
            wrong_names(&raw.labels, "label").chain(wrong_names(&raw.annotations, "annotation"))
        {
            self.wrong(place, message);
        }
        if let Some(alert) = &alert {
            self.templates(&alert.text, &raw);
        }
        let (kind, name) = match (record, alert) {
            (Some(record), _) => (RuleKind::Recording, record.text),
            (None, alert) => (RuleKind::Alerting, alert?.text),
        };
        Some(FileRule {
            kind,
            name,
            expr: expr?,
            hold_ms: raw.hold_ms,
            keep_firing_ms: raw.keep_firing_ms,
            labels: plain(raw.labels),
            annotations: plain(raw.annotations),
            place: raw.place,
        })
    }

    fn expression(&mut self, raw: &RawRule, options: &FileOptions) -> Option<Expr> {
        let Some(text) = raw.expr.as_ref().filter(|text| !text.text.is_empty()) else {
            let place = raw.expr.as_ref().map_or(raw.place, |text| text.place);
            self.wrong(place, "field 'expr' must be set in rule");
            return None;
        };
        match promql::parse(&text.text, &options.expressions) {
            Ok(expr) => Some(expr),
            Err(error) => {
                self.wrong(text.place, format!("could not parse expression: {error}"));
                None
            }
        }
    }

    fn recording(&mut self, record: &Text, raw: &RawRule) {
        let alerts_only = [
            ("annotations", !raw.annotations.is_empty()),
            ("for", raw.hold_ms != 0),
            ("keep_firing_for", raw.keep_firing_ms != 0),
        ];
        for (field, _) in alerts_only.into_iter().filter(|(_, given)| *given) {
            self.wrong(record.place, format!("invalid field '{field}' in recording rule"));
        }
        if record.text.contains(['{', '}']) {
            let message =
                format!("braces present in the recording rule name; should it be in expr?: {}", record.text);
            self.wrong(record.place, message);
        }
    }

    fn templates(&mut self, alert: &str, raw: &RawRule) {
        for (what, texts) in [("label", &raw.labels), ("annotation", &raw.annotations)] {
            for (name, text) in texts {
                if let Err(error) = template::check(alert, &text.text) {
                    self.wrong(text.place, format!("{what} {}: {error}", quote(name)));
                }
            }
        }
    }
}
