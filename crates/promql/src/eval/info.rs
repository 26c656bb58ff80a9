//! `info`: adds labels from info series, such as `target_info`, to series of the same instance and job.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Labels, METRIC_NAME, Matcher};

use crate::engine::error::QueryError;
use crate::engine::value::SampleValue;
use crate::plan::steps::Steps;
use crate::plan::{CallPlan, Node, info_hints, info_name_matchers, innermost_modifiers};

use super::column::Column;
use super::presence::Presence;
use super::selectors::Modifiers;
use super::series::Series;
use super::{Evaluator, Held, Sink};

/// The labels by which series and info series belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The values of the identifying labels, and the name of an info metric.
type Signature = [String; 3];

fn signature(labels: &Labels, name: &str) -> Signature {
    let [instance, job] = IDENTIFYING.map(|label| labels.get_or_empty(label).to_owned());
    [instance, job, name.to_owned()]
}

/// What the second argument of `info` says.
struct Wanted<'p> {
    names: Vec<Matcher>,
    /// Matchers of labels to add, by label; without any, all are added.
    labels: BTreeMap<&'p str, Vec<&'p Matcher>>,
}

impl Wanted<'_> {
    fn is_info(&self, labels: &Labels) -> bool {
        let name = labels.get_or_empty(METRIC_NAME);
        self.names.iter().all(|m| m.matches(name))
    }

    /// Whether a series without info series stays.
    fn keeps_unmatched(&self) -> bool {
        self.labels.values().flatten().all(|m| m.matches_empty())
    }

    fn adds(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.labels.is_empty() || self.labels.contains_key(label))
    }
}

impl Evaluator<'_> {
    pub(super) fn info(&self, call: &CallPlan, steps: &Steps, sink: Sink<'_>) -> Result<(), QueryError> {
        let base = self.held(&call.args[0], steps)?;
        let given: &[Matcher] = match call.args.get(1) {
            Some(Node::Vector(selector)) => &selector.matchers,
            _ => &[],
        };
        let mut wanted = Wanted { names: info_name_matchers(given), labels: BTreeMap::new() };
        for matcher in given.iter().filter(|m| m.name() != METRIC_NAME) {
            wanted.labels.entry(matcher.name()).or_default().push(matcher);
        }
        let infos = self.info_series(call, &base, &wanted, steps)?;
        let names: BTreeSet<&str> = infos.columns.iter().filter_map(|c| c.labels.metric_name()).collect();
        let mut by_signature: HashMap<Signature, Vec<&Column>> = HashMap::new();
        for column in &infos.columns {
            let name = column.labels.get_or_empty(METRIC_NAME);
            by_signature.entry(signature(&column.labels, name)).or_default().push(column);
        }
        let mut series = Series::new();
        for column in &base.columns {
            self.check_interrupted()?;
            if wanted.is_info(&column.labels) {
                series.add(self, column.clone())?;
                continue;
            }
            let candidates: Vec<&[&Column]> = names
                .iter()
                .filter_map(|name| by_signature.get(&signature(&column.labels, name)))
                .map(Vec::as_slice)
                .collect();
            self.enrich(column, &candidates, &wanted, &mut series)?;
        }
        series.into_each(sink)
    }

    /// The info series that can go with any of the base series. Their values are the times of their samples, by which
    /// newer ones take precedence.
    fn info_series(
        &self,
        call: &CallPlan,
        base: &Held,
        wanted: &Wanted<'_>,
        steps: &Steps,
    ) -> Result<Held, QueryError> {
        let mut known: [BTreeSet<&str>; 2] = Default::default();
        for column in base.columns.iter().filter(|c| !wanted.is_info(&c.labels)) {
            for (values, label) in known.iter_mut().zip(IDENTIFYING) {
                values.extend(column.labels.get(label));
            }
        }
        let mut infos = Held::new();
        if known.iter().all(BTreeSet::is_empty) {
            return Ok(infos);
        }
        let hints = info_hints(call, steps, self.lookback_ms);
        let (at_ms, offset_ms) = call.args.first().and_then(innermost_modifiers).unwrap_or((None, 0));
        let modifiers = Modifiers { at_ms, offset_ms };
        let time = |found: super::selectors::Found| match found.value {
            SampleValue::Float(_) => Some(SampleValue::Float(found.timestamp_ms as f64)),
            SampleValue::Histogram(histogram) => Some(SampleValue::Histogram(histogram)),
        };
        self.latest_samples(&hints, modifiers, steps, &time, &mut |column| {
            let relevant = known.iter().zip(IDENTIFYING).all(|(values, label)| {
                values.is_empty() || values.contains(column.labels.get_or_empty(label))
            });
            if !relevant {
                return Ok(());
            }
            if column.points.histograms.is_some() {
                return Err(QueryError::execution(format!(
                    "this should be an info metric, with float samples: {}",
                    column.labels
                )));
            }
            infos.push(self, column)
        })?;
        Ok(infos)
    }

    /// Adds labels to a series; where they change in time, several series come out.
    fn enrich(
        &self,
        column: &Column,
        candidates: &[&[&Column]],
        wanted: &Wanted<'_>,
        series: &mut Series,
    ) -> Result<(), QueryError> {
        let mut parts: Vec<(Vec<*const Column>, Labels, Presence)> = Vec::new();
        let steps = column.points.steps();
        for step in column.points.present().iter() {
            let mut chosen: Vec<&Column> = Vec::with_capacity(candidates.len());
            for of_name in candidates {
                chosen.extend(newest(of_name, step)?);
            }
            if chosen.is_empty() && !wanted.keeps_unmatched() {
                continue;
            }
            let key: Vec<*const Column> = chosen.iter().map(|c| std::ptr::from_ref(*c)).collect();
            let known = parts.iter().position(|(k, ..)| *k == key);
            let at = match known {
                Some(at) => at,
                None => {
                    let labels = enriched(&column.labels, &chosen, wanted)?;
                    parts.push((key, labels, Presence::none(steps)));
                    parts.len() - 1
                }
            };
            parts[at].2.set(step);
        }
        for (_, labels, present) in parts {
            let mut part = column.clone();
            part.points.keep_only(&present);
            part.relabel(labels);
            series.add(self, part)?;
        }
        Ok(())
    }
}

/// The info series with the newest sample at a step.
fn newest<'h>(of_name: &[&'h Column], step: usize) -> Result<Option<&'h Column>, QueryError> {
    let mut best: Option<(&Column, f64)> = None;
    for column in of_name {
        let Some(time) = column.points.float(step) else { continue };
        match best {
            Some((other, other_time)) if other_time == time => {
                return Err(QueryError::execution(format!(
                    "found duplicate series for info metric: existing {} @ {other_time}, new {} @ {time}",
                    other.labels, column.labels
                )));
            }
            Some((_, other_time)) if other_time > time => {}
            _ => best = Some((column, time)),
        }
    }
    Ok(best.map(|(column, _)| column))
}

/// The labels of a series with those of info series, which must not contradict each other.
fn enriched(labels: &Labels, infos: &[&Column], wanted: &Wanted<'_>) -> Result<Labels, QueryError> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    for info in infos {
        for (name, value) in info.labels.iter().filter(|(name, _)| wanted.adds(name)) {
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(QueryError::execution(format!("conflicting label: {name}")));
            }
            if labels.get(name).is_none() {
                added.insert(name, value);
            }
        }
    }
    if added.is_empty() {
        return Ok(labels.clone());
    }
    let mut builder = labels.to_builder();
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
