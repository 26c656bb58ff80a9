//! One test: series come in by and by, rules are evaluated over them, alerts are looked at on the way, queries at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotemplate::quote;
use gotemplate::time::GoDuration;
use model::Labels;
use parking_lot::RwLock;
use promql::text::duration::format_ms;
use promql::{Engine, EngineOptions, InstantSample, QueryTime, SampleValue};
use testseries::{Item, Loaded, LoadedValue, Storage, parse_items};

use super::compare::{AlertText, Sample, alerts_text, samples_text, series};
use super::{AlertCase, RuleTest, TestFile, TestOptions};
use crate::evaluation::{
    AlertState, AlertingRule, Evaluated, Group, Rule, RuleSample, Settings, Written, rule_samples,
};
use crate::file::RuleFile;
use crate::template::TemplateQueries;

/// How often rules may be evaluated in a test.
const MAX_EVALUATIONS: i64 = 10_000_000;

/// What is wrong with a test; nothing if it passes.
pub(super) fn failures(
    test: &RuleTest,
    file: &TestFile,
    rules: &[(String, RuleFile)],
    options: &TestOptions,
) -> Vec<String> {
    match Run::new(test, file, rules, options) {
        Ok(mut run) => run.all(),
        Err(reason) => vec![reason],
    }
}

/// Series and an engine to query them.
struct Queried {
    engine: Engine,
    storage: RwLock<Storage>,
}

impl Queried {
    /// The result of a rule's expression, which need not be parsed.
    fn rule(&self, rule: &Rule, time_ms: i64) -> Result<Vec<InstantSample>, String> {
        let prepared = self.engine.prepare_expr(rule.expr(), rule.query(), QueryTime::Instant(time_ms), None);
        let result = prepared.and_then(|query| self.engine.run(&query, &*self.storage.read(), &|| None));
        rule_samples(result.map_err(|error| error.to_string())?.value)
    }
}

impl TemplateQueries for Queried {
    fn query(&self, text: &str, time_ms: i64) -> Result<Vec<InstantSample>, String> {
        let result = self.engine.instant(text, time_ms, &*self.storage.read());
        rule_samples(result.map_err(|error| error.to_string())?.value)
    }
}

/// Samples of a series that are still to come, the next one last.
type Coming = (Labels, Vec<Loaded>);

struct Run<'t> {
    test: &'t RuleTest,
    file: &'t TestFile,
    queried: Arc<Queried>,
    groups: Vec<Group>,
    coming: Vec<Coming>,
    failures: Vec<String>,
}

impl<'t> Run<'t> {
    fn new(
        test: &'t RuleTest,
        file: &'t TestFile,
        rules: &[(String, RuleFile)],
        options: &TestOptions,
    ) -> Result<Self, String> {
        let interval_ms = test.interval_ms.unwrap_or(file.evaluation_interval_ms);
        let engine =
            EngineOptions { default_subquery_step_ms: file.evaluation_interval_ms, ..options.engine.clone() };
        let queried = Queried { engine: Engine::new(engine), storage: RwLock::new(Storage::default()) };
        Ok(Self {
            test,
            file,
            queried: Arc::new(queried),
            groups: groups(test, file, rules, interval_ms)?,
            coming: coming(test, interval_ms)?,
            failures: Vec::new(),
        })
    }

    fn all(&mut self) -> Vec<String> {
        if let Some(nameless) = self.test.alerts.iter().find(|case| case.name.is_empty()) {
            let group = match self.test.is_named {
                true => format!(" (in TestGroup {})", self.test.name),
                false => String::new(),
            };
            return vec![format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time {}{group}",
                format_ms(nameless.at_ms)
            )];
        }
        let alert_times = self.test.alerts.iter().map(|case| case.at_ms);
        let last_ms = alert_times.chain(self.test.queries.iter().map(|case| case.at_ms)).max().unwrap_or(0);
        let step_ms = self.file.evaluation_interval_ms;
        if last_ms / step_ms > MAX_EVALUATIONS {
            return vec![format!("more than {MAX_EVALUATIONS} evaluations up to {}", format_ms(last_ms))];
        }
        let mut after_ms = 0;
        while after_ms <= last_ms {
            if self.evaluate(self.test.start_ms + after_ms) {
                return std::mem::take(&mut self.failures);
            }
            self.check_alerts(after_ms..after_ms + step_ms);
            after_ms += step_ms;
        }
        self.check_queries();
        std::mem::take(&mut self.failures)
    }

    /// Evaluates all rules once; whether one of them failed.
    fn evaluate(&mut self, at_ms: i64) -> bool {
        if let Err(reason) = self.load_until(at_ms) {
            self.failures.push(reason);
            return false;
        }
        let queries: Arc<dyn TemplateQueries> = self.queried.clone();
        let mut failed = Vec::new();
        for group in &mut self.groups {
            for index in 0..group.rules().len() {
                let Some(rule) = group.rules().get(index) else { continue };
                let result = self.queried.rule(rule, group.query_time_ms(at_ms));
                let evaluated = group.evaluate(index, at_ms, result, &queries);
                let written = write(&mut self.queried.storage.write(), &evaluated);
                group.written(index, &evaluated, written);
            }
            group.finish(at_ms);
            for rule in group.rules() {
                if let Some(error) = rule.last_error() {
                    let time = GoDuration(at_ms.saturating_mul(1_000_000));
                    failed.push(format!("    rule: {}, time: {time}, err: {error}", rule.name()));
                }
            }
        }
        let any = !failed.is_empty();
        self.failures.extend(failed);
        any
    }

    /// Loads what has come until then.
    fn load_until(&mut self, at_ms: i64) -> Result<(), String> {
        let mut storage = self.queried.storage.write();
        for (labels, samples) in &mut self.coming {
            while let Some(sample) = samples.pop_if(|sample| sample.timestamp_ms <= at_ms) {
                storage.append_one(labels, sample).map_err(|error| format!("{labels}: {error}"))?;
            }
        }
        Ok(())
    }

    /// Checks the alerts of cases at these times after the start: those of the evaluation before count.
    fn check_alerts(&mut self, times: std::ops::Range<i64>) {
        let mut cases: Vec<&AlertCase> =
            self.test.alerts.iter().filter(|case| times.contains(&case.at_ms)).collect();
        cases.sort_by_key(|case| case.at_ms);
        for case in cases {
            let mut got: Vec<AlertText> = self.firing(&case.name);
            let mut expected: Vec<AlertText> = case
                .expected
                .iter()
                .map(|(labels, annotations)| {
                    let mut labels = Labels::from_pairs(labels).to_builder();
                    labels.set("alertname", &case.name);
                    (labels.build(), annotations.clone())
                })
                .collect();
            got.sort();
            expected.sort();
            if got != expected {
                let name = match self.test.is_named {
                    true => format!("    name: {},\n", self.test.name),
                    false => String::new(),
                };
                self.failures.push(format!(
                    "{name}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
                    case.name,
                    format_ms(case.at_ms),
                    alerts_text(&expected),
                    alerts_text(&got)
                ));
            }
        }
    }

    fn firing(&self, name: &str) -> Vec<AlertText> {
        let rules = self.groups.iter().flat_map(Group::rules).filter_map(Rule::alerting);
        let alerts = rules.filter(|rule| rule.name() == name).flat_map(AlertingRule::alerts);
        alerts
            .filter(|alert| alert.state == AlertState::Firing)
            .map(|alert| (alert.labels.clone(), alert.annotations.clone()))
            .collect()
    }

    fn check_queries(&mut self) {
        for case in &self.test.queries {
            let place = format!("    expr: {}, time: {}", quote(&case.query), format_ms(case.at_ms));
            let expected: Result<Vec<Sample>, String> = case.expected.iter().map(Sample::expected).collect();
            let got = self.queried.query(&case.query, self.test.start_ms + case.at_ms);
            let (mut got, mut expected) = match (got, expected) {
                (Ok(got), Ok(expected)) => {
                    (got.into_iter().map(Sample::of_result).collect::<Vec<_>>(), expected)
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.failures.push(format!("{place}, err: {error}"));
                    continue;
                }
            };
            got.sort_by(|a, b| a.labels.cmp(&b.labels));
            expected.sort_by(|a, b| a.labels.cmp(&b.labels));
            let same = got.len() == expected.len()
                && got.iter().zip(&expected).all(|(got, expected)| got.is(expected, self.file.fuzzy));
            if !same {
                let (expected, got) = (samples_text(&expected), samples_text(&got));
                self.failures.push(format!("{place},\n        exp: {expected}\n        got: {got}"));
            }
        }
    }
}

/// The groups of all files, in the order that the test file asks for.
fn groups(
    test: &RuleTest,
    file: &TestFile,
    rules: &[(String, RuleFile)],
    interval_ms: i64,
) -> Result<Vec<Group>, String> {
    let settings = Arc::new(Settings {
        external_labels: test.external_labels.clone(),
        external_url: Arc::from(test.external_url.as_str()),
        interval_ms,
        ..Settings::default()
    });
    let mut known = BTreeSet::new();
    let mut groups = Vec::new();
    for (name, rules) in rules {
        for group in &rules.groups {
            if known.insert((name, &group.name)) {
                let group = Group::new(name, group, Arc::clone(&settings), true);
                groups.push(group.map_err(|error| format!("{name}: {error}"))?);
            }
        }
    }
    let order: BTreeMap<&str, usize> =
        file.group_order.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    groups.sort_by_key(|group| order.get(group.name()).copied().unwrap_or(0));
    Ok(groups)
}

/// The input series with their samples.
fn coming(test: &RuleTest, interval_ms: i64) -> Result<Vec<Coming>, String> {
    let mut all: BTreeMap<Labels, Vec<Loaded>> = BTreeMap::new();
    for (name, values) in &test.series {
        let wrong = |reason: String| format!("series {}: {reason}", quote(name));
        let labels = series(name).map_err(wrong)?;
        let items = parse_items(values).map_err(wrong)?;
        let mut samples = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let after_ms = (index as i64).checked_mul(interval_ms);
            let timestamp_ms = after_ms.and_then(|after_ms| test.start_ms.checked_add(after_ms));
            let timestamp_ms = timestamp_ms.ok_or_else(|| wrong("times are out of range".to_owned()))?;
            let value = match item {
                Item::Omitted => continue,
                Item::Float(value) => LoadedValue::Float(value),
                Item::Histogram(histogram, _) => LoadedValue::Histogram(histogram),
            };
            samples.push(Loaded { timestamp_ms, start_ms: 0, value });
        }
        samples.reverse();
        all.insert(labels, samples);
    }
    Ok(all.into_iter().collect())
}

/// Writes what an evaluation gave.
fn write(storage: &mut Storage, evaluated: &Evaluated) -> Written {
    let mut append = |sample: &RuleSample| {
        let value = match &sample.value {
            SampleValue::Float(value) => LoadedValue::Float(*value),
            SampleValue::Histogram(histogram) => LoadedValue::Histogram(Arc::clone(histogram)),
        };
        let loaded = Loaded { timestamp_ms: sample.timestamp_ms, start_ms: 0, value };
        storage.append_one(&sample.labels, loaded)
    };
    let (mut refused, mut first) = (Vec::new(), None);
    for sample in &evaluated.samples {
        if let Err(error) = append(sample) {
            refused.push(sample.labels.clone());
            first.get_or_insert(error);
        }
    }
    for marker in &evaluated.stale {
        // That another rule goes on with the series is nothing wrong.
        let _ = append(marker);
    }
    match first {
        None => Written::All,
        Some(error) => Written::But { refused, error: error.to_string() },
    }
}
