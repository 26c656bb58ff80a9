//! `info`: labels from info series, such as `target_info`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, METRIC_NAME, MatchOp, Matcher};
use promql::ast::{Call, Expr, Span};

use super::{Naive, Outcome, Value, Vector};

const IDENTIFYING: [&str; 2] = ["instance", "job"];

impl Naive<'_> {
    pub(super) fn info(&self, e: &Call, times: &[i64]) -> Outcome<Vec<Vector>> {
        let base = self.vectors(&e.args[0], times)?;
        let given: Vec<Matcher> = match e.args.get(1).map(Expr::without_parens) {
            Some(Expr::Vector(selector)) => selector.matchers.clone(),
            _ => Vec::new(),
        };
        let (of_name, of_labels): (Vec<_>, Vec<_>) = given.into_iter().partition(|m| m.name() == METRIC_NAME);
        let names = name_matchers(of_name);
        let is_info = |labels: &Labels| names.iter().all(|m| m.matches(labels.get_or_empty(METRIC_NAME)));
        // Of info series, those are of interest that have values that any series has.
        let mut values: [BTreeSet<String>; 2] = Default::default();
        for sample in base.iter().flatten().filter(|s| !is_info(&s.labels)) {
            for (values, label) in values.iter_mut().zip(IDENTIFYING) {
                values.extend(sample.labels.get(label).map(str::to_owned));
            }
        }
        let mut infos = Vec::new();
        if values.iter().any(|v| !v.is_empty()) {
            let all: Vec<Matcher> = names.iter().chain(&of_labels).cloned().collect();
            infos = self.stored(&all, Span::default());
            infos.retain(|s| {
                let mut both = values.iter().zip(IDENTIFYING);
                both.all(|(v, label)| v.is_empty() || v.contains(s.labels.get_or_empty(label)))
            });
        }
        let (at, offset) = self.modifiers(&e.args[0])?.unwrap_or((None, 0));
        let mut out = Vec::new();
        for (vector, t) in base.into_iter().zip(times) {
            let mut current: Vec<(Labels, i64)> = Vec::new();
            for s in &infos {
                let Some(point) = self.latest(&s.points, at.unwrap_or(*t) - offset) else { continue };
                if matches!(point.value, Value::Histogram(_)) {
                    return Err("this should be an info metric, with float samples".to_owned());
                }
                current.push((s.labels.clone(), point.t));
            }
            let by_key = newest(current, !vector.is_empty())?;
            let mut result = Vector::new();
            for mut sample in vector {
                if !is_info(&sample.labels) {
                    let Some(labels) = enriched(&sample.labels, &by_key, &of_labels)? else { continue };
                    sample.labels = labels;
                }
                result.push(sample);
            }
            out.push(result);
        }
        self.all_unique(out)
    }

    /// `@` and offset of the first selector, with those of subqueries around it up to the first with `@`.
    fn modifiers(&self, expr: &Expr) -> Outcome<Option<(Option<i64>, i64)>> {
        Ok(match expr {
            Expr::Vector(e) => Some((self.at_ms(e.at), self.duration_ms(&e.offset)?)),
            Expr::Matrix(e) => Some((self.at_ms(e.selector.at), self.duration_ms(&e.selector.offset)?)),
            Expr::Subquery(e) => match self.modifiers(&e.expr)? {
                Some((None, offset)) => Some((self.at_ms(e.at), offset + self.duration_ms(&e.offset)?)),
                other => other,
            },
            other => {
                for child in other.children() {
                    if let Some(found) = self.modifiers(child)? {
                        return Ok(Some(found));
                    }
                }
                None
            }
        })
    }
}

/// The matchers that names of info series have to pass.
fn name_matchers(given: Vec<Matcher>) -> Vec<Matcher> {
    if given.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    if given.iter().any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex)) {
        return given;
    }
    let any = Matcher::new(METRIC_NAME, MatchOp::Regex, ".+_info").expect("a regular expression");
    [any].into_iter().chain(given).collect()
}

/// Name, instance and job.
type Key = [String; 3];

fn key(name: &str, labels: &Labels) -> Key {
    [name, labels.get_or_empty(IDENTIFYING[0]), labels.get_or_empty(IDENTIFYING[1])].map(str::to_owned)
}

/// The info series with the newest sample by name and identifying labels. Two of the same age are an error where
/// anybody asks.
fn newest(current: Vec<(Labels, i64)>, asked: bool) -> Outcome<BTreeMap<Key, Labels>> {
    let mut out: BTreeMap<Key, (Labels, i64)> = BTreeMap::new();
    for (labels, t) in current {
        let key = key(labels.get_or_empty(METRIC_NAME), &labels);
        match out.get(&key) {
            Some((_, known)) if *known == t && asked => {
                return Err("found duplicate series for info metric".to_owned());
            }
            Some((_, known)) if *known >= t => {}
            _ => drop(out.insert(key, (labels, t))),
        }
    }
    Ok(out.into_iter().map(|(key, (labels, _))| (key, labels)).collect())
}

/// The labels of a series with those of its info series; none if it has none although some are demanded.
fn enriched(labels: &Labels, infos: &BTreeMap<Key, Labels>, wanted: &[Matcher]) -> Outcome<Option<Labels>> {
    let own = |info: &&Labels| key("", info) == key("", labels);
    let mut found = infos.values().filter(own).peekable();
    if found.peek().is_none() {
        let may_be_empty = wanted.iter().all(Matcher::matches_empty);
        return Ok(may_be_empty.then(|| labels.clone()));
    }
    let mut builder = labels.to_builder();
    for info in found {
        for (name, value) in info.iter() {
            let adds = name != METRIC_NAME && (wanted.is_empty() || wanted.iter().any(|m| m.name() == name));
            if !adds || labels.get(name).is_some() {
                continue;
            }
            if builder.get(name).is_some_and(|known| known != value) {
                return Err("conflicting label".to_owned());
            }
            builder.set(name, value);
        }
    }
    Ok(Some(builder.build()))
}
