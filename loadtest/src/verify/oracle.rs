//! The questions that the oracle asks, part by part.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use env::Clock;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;

use super::answer::{Envelope, Matrix, key};
use super::difference::{DifferenceKind, Differences};
use super::window::{Knowledge, Part, Window, describe, expected_series, group_of};
use super::{Failures, VerifyConfig, VerifyError, VerifyReport};
use crate::client::{Answer, Client, ClientError};
use crate::group::{Group, groups};
use crate::ledger::{self, Fate, Fates};
use crate::population::{PARTITION_LABEL, Population};

/// The labels of a series, as the series API lists them.
pub(super) type Labels = BTreeMap<String, String>;

/// How far before the first and after the last step is looked for samples that nobody wrote.
const MARGIN: Duration = Duration::from_secs(3_600);
/// Between two attempts at all servers.
const PAUSE: Duration = Duration::from_millis(200);

/// An oracle of one population on one server.
pub struct Oracle {
    pub(super) config: VerifyConfig,
    client: Client,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) population: Arc<Population>,
    groups: Vec<Group>,
    /// Counts queries, so that they are spread over the servers.
    turn: AtomicUsize,
}

impl Oracle {
    /// An oracle of this population, divided into requests in this way.
    pub fn new(
        config: VerifyConfig,
        population: Arc<Population>,
        series_per_request: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let groups = groups(&population, series_per_request);
        let client = Client::new(config.timeout);
        Self { config, client, clock, population, groups, turn: AtomicUsize::new(0) }
    }

    /// An oracle of the run that a ledger tells of, and its fates.
    pub fn of_ledger(
        config: VerifyConfig,
        path: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Fates), VerifyError> {
        let (header, fates) = ledger::read(path)?;
        let population = Arc::new(Population::new(header.population)?);
        Ok((Self::new(config, population, header.series_per_request, clock), fates))
    }

    /// Checks everything; `progress` is called with the parts done and all parts.
    pub async fn verify(
        &self,
        fates: &Fates,
        progress: impl Fn(u64, u64),
    ) -> Result<VerifyReport, VerifyError> {
        let knowledge = self.knowledge(fates, fates);
        let parts = self.parts();
        let total = parts.len() as u64;
        let mut report = VerifyReport::default();
        let mut done = 0;
        let mut results = stream::iter(&parts)
            .map(|part| self.verify_part(&knowledge, part))
            .buffer_unordered(self.config.concurrency.max(1));
        while let Some(part) = results.try_next().await? {
            report.add(part);
            done += 1;
            progress(done, total);
        }
        drop(results);
        for tenant in 0..self.population.tenants() {
            let outcome = self.verify_label_values(&knowledge, tenant, &mut report).await;
            self.judge(outcome, &mut report)?;
        }
        Ok(report)
    }

    /// How many samples of a part have to be there.
    pub(super) fn acknowledged(&self, fates: &Fates, part: &Part, steps: Range<u32>) -> u64 {
        let of_slot = |slot| {
            let group = group_of(&self.groups, slot);
            steps.clone().filter(|step| fates.of(group, *step) == Fate::Acknowledged).count() as u64
        };
        part.slots.clone().map(of_slot).sum()
    }

    pub(super) fn knowledge<'a>(&'a self, before: &'a Fates, after: &'a Fates) -> Knowledge<'a> {
        Knowledge { population: &self.population, groups: &self.groups, before, after }
    }

    /// Every tenant's share of every unit.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for tenant in 0..self.population.tenants() {
            let of_tenant = self.population.tenant_slots(tenant);
            let mut next = of_tenant.start;
            while next < of_tenant.end {
                let unit = self.population.unit(next);
                let end = self.population.unit_slots(unit).end.min(of_tenant.end);
                parts.push(Part { tenant, unit, slots: next..end });
                next = end;
            }
        }
        parts
    }

    /// The steps divided into queries of bearable size; at least one, so that an empty ledger is checked too.
    pub(super) fn windows(&self, part: &Part, steps: u32) -> Vec<Range<u32>> {
        let per_window = (self.config.samples_per_query / part.slots.len() as u32).max(1);
        let steps = steps.max(1);
        (0..steps).step_by(per_window as usize).map(|first| first..steps.min(first + per_window)).collect()
    }

    async fn verify_part(&self, knowledge: &Knowledge<'_>, part: &Part) -> Result<VerifyReport, VerifyError> {
        let steps = knowledge.after.steps();
        let acknowledged_samples = self.acknowledged(knowledge.before, part, 0..steps);
        let mut report = VerifyReport { acknowledged_samples, ..VerifyReport::default() };
        for window in self.windows(part, steps) {
            let outcome = self.verify_window(knowledge, part, window, steps, &mut report).await;
            self.judge(outcome, &mut report)?;
        }
        let outcome = self.verify_series(knowledge, part, steps, &mut report).await;
        self.judge(outcome, &mut report)?;
        Ok(report)
    }

    /// Whether a failure is one of the verification.
    fn judge(&self, outcome: Result<(), VerifyError>, report: &mut VerifyReport) -> Result<(), VerifyError> {
        match (outcome, self.config.failures) {
            (Err(error), Failures::Count) => {
                report.failed(&error);
                Ok(())
            }
            (outcome, _) => outcome,
        }
    }

    async fn verify_window(
        &self,
        knowledge: &Knowledge<'_>,
        part: &Part,
        window: Range<u32>,
        steps: u32,
        report: &mut VerifyReport,
    ) -> Result<(), VerifyError> {
        let what = format!("query of part {part:?}, steps {window:?}");
        let (answer, took) = self.matrix(part, &window, steps, &what, self.config.keep_trying).await?;
        report.answered(took);
        let matrix = parse::<Matrix<'_>>(&answer, &what)?;
        let compared = Window::new(knowledge, part, window).compare(&matrix, &mut report.differences);
        report.compared(compared);
        Ok(())
    }

    /// Asks for raw samples. A window ends one millisecond before its next step begins, so that windows neither
    /// overlap nor leave a gap; the outer ones reach further.
    pub(super) async fn matrix(
        &self,
        part: &Part,
        window: &Range<u32>,
        steps: u32,
        what: &str,
        keep_trying: Duration,
    ) -> Result<(Answer, Duration), VerifyError> {
        let config = self.population.config();
        let margin_ms = MARGIN.as_millis() as i64;
        let mut start = config.start_ms + i64::from(window.start) * config.interval_ms - 1;
        let mut end = config.start_ms + i64::from(window.end) * config.interval_ms - 1;
        if window.start == 0 {
            start -= margin_ms;
        }
        if window.end >= steps {
            end += margin_ms;
        }
        let query = format!("{}[{}ms]", self.selector(part), end - start);
        let time = seconds(end);
        let parameters = [("query", query.as_str()), ("time", time.as_str())];
        self.ask(part.tenant, "/api/v1/query", &parameters, what, keep_trying).await
    }

    fn selector(&self, part: &Part) -> String {
        format!("{{{PARTITION_LABEL}=\"{}\"}}", self.population.partition(part.unit))
    }

    /// The series API lists what has acknowledged samples, and nothing that was never sent.
    async fn verify_series(
        &self,
        knowledge: &Knowledge<'_>,
        part: &Part,
        steps: u32,
        report: &mut VerifyReport,
    ) -> Result<(), VerifyError> {
        let (listed, took) = self.series(part, steps, self.config.keep_trying).await?;
        report.answered(took);
        self.compare_series(knowledge, part, steps, &listed, &mut report.differences);
        Ok(())
    }

    /// Asks the series API for a part.
    pub(super) async fn series(
        &self,
        part: &Part,
        steps: u32,
        keep_trying: Duration,
    ) -> Result<(Vec<Labels>, Duration), VerifyError> {
        let what = format!("series of part {part:?}");
        let (start, end) = self.whole_range(steps);
        let parameters = [("match[]", self.selector(part)), ("start", start), ("end", end)];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (answer, took) = self.ask(part.tenant, "/api/v1/series", &parameters, &what, keep_trying).await?;
        Ok((parse_owned(&answer, &what)?, took))
    }

    /// Compares what the series API listed with what was sent in the first `steps`.
    pub(super) fn compare_series(
        &self,
        knowledge: &Knowledge<'_>,
        part: &Part,
        steps: u32,
        listed: &[Labels],
        differences: &mut Differences,
    ) {
        let mut expected = expected_series(knowledge, part, 0..steps.max(1));
        for labels in listed {
            let known = expected.remove(&key(labels));
            let sent = known.is_some_and(|(slot, generation)| {
                self.any_step(slot, generation, steps, |fate| fate != Fate::NeverSent, knowledge.after)
            });
            if !sent {
                differences.add(DifferenceKind::SeriesListed, || format!("{labels:?}"));
            }
        }
        for (slot, generation) in expected.into_values() {
            if self.any_step(slot, generation, steps, |fate| fate == Fate::Acknowledged, knowledge.before) {
                differences
                    .add(DifferenceKind::SeriesNotListed, || describe(&self.population, slot, generation));
            }
        }
    }

    /// Whether a series has a step whose fate is like this. A series that ends leaves a staleness marker one step
    /// later; that alone does not count.
    fn any_step(
        &self,
        slot: u32,
        generation: u32,
        steps: u32,
        like: impl Fn(Fate) -> bool,
        fates: &Fates,
    ) -> bool {
        let group = group_of(&self.groups, slot);
        let first = self.population.birth(slot, generation);
        (first..steps)
            .take_while(|step| self.population.generation(slot, *step) == generation)
            .any(|step| like(fates.of(group, step)))
    }

    /// The values of the partition label are those of the tenant's parts: nothing of another tenant.
    async fn verify_label_values(
        &self,
        knowledge: &Knowledge<'_>,
        tenant: u32,
        report: &mut VerifyReport,
    ) -> Result<(), VerifyError> {
        let what = format!("values of label {PARTITION_LABEL} of tenant {tenant}");
        let path = format!("/api/v1/label/{PARTITION_LABEL}/values");
        let (start, end) = self.whole_range(knowledge.after.steps());
        let parameters = [("start", start.as_str()), ("end", end.as_str())];
        let (answer, took) = self.ask(tenant, &path, &parameters, &what, self.config.keep_trying).await?;
        report.answered(took);
        let mut values: Vec<String> = parse_owned(&answer, &what)?;
        let prefix = self.population.partition_prefix();
        values.retain(|value| value.starts_with(&prefix));
        values.sort();
        let mut may = Vec::new();
        for part in self.parts().into_iter().filter(|part| part.tenant == tenant) {
            let value = self.population.partition(part.unit);
            let fate_is = |like: fn(Fate) -> bool, fates: &Fates| {
                part.slots.clone().any(|slot| {
                    (0..fates.steps()).any(|step| like(fates.of(group_of(&self.groups, slot), step)))
                })
            };
            if !values.contains(&value) && fate_is(|fate| fate == Fate::Acknowledged, knowledge.before) {
                report
                    .differences
                    .add(DifferenceKind::LabelValues, || format!("{what}: {value:?} is not listed"));
            }
            if fate_is(|fate| fate != Fate::NeverSent, knowledge.after) {
                may.push(value);
            }
        }
        for value in values.iter().filter(|value| !may.contains(value)) {
            report
                .differences
                .add(DifferenceKind::LabelValues, || format!("{what}: {value:?} was never written"));
        }
        Ok(())
    }

    fn whole_range(&self, steps: u32) -> (String, String) {
        let config = self.population.config();
        let margin_ms = MARGIN.as_millis() as i64;
        let end = config.start_ms + i64::from(steps) * config.interval_ms;
        (seconds(config.start_ms - margin_ms), seconds(end + margin_ms))
    }

    /// Asks one server after the other, again and again for as long as given; the answer, and how long it took in all.
    async fn ask(
        &self,
        tenant: u32,
        path: &str,
        parameters: &[(&str, &str)],
        what: &str,
        keep_trying: Duration,
    ) -> Result<(Answer, Duration), VerifyError> {
        let tenant = self.population.tenant_id(tenant);
        let began = self.clock.monotonic();
        loop {
            let outcome = self.ask_each_once(tenant.as_deref(), path, parameters, what).await;
            let took = self.clock.monotonic() - began;
            match outcome {
                Ok(answer) => return Ok((answer, took)),
                Err(error) if took + PAUSE > keep_trying => return Err(error),
                Err(_) => self.clock.sleep(PAUSE).await,
            }
        }
    }

    /// Passes over servers that cannot be reached or have no time; any other answer is the answer.
    async fn ask_each_once(
        &self,
        tenant: Option<&str>,
        path: &str,
        parameters: &[(&str, &str)],
        what: &str,
    ) -> Result<Answer, VerifyError> {
        let urls = &self.config.urls;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut outcome = Err(no_server(what));
        for i in 0..urls.len() {
            let url = &urls[turn.wrapping_add(i) % urls.len()];
            outcome = match self.client.get(url, path, parameters, tenant).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => Err(VerifyError::Refused {
                    what: what.to_owned(),
                    status: answer.status.as_u16(),
                    message: answer.text(),
                }),
                Err(source) => Err(VerifyError::Client { what: what.to_owned(), source }),
            };
            let passed_over = matches!(
                outcome,
                Err(VerifyError::Refused { status: 503, .. }
                    | VerifyError::Client { source: ClientError::Connection { .. }, .. })
            );
            if !passed_over {
                break;
            }
        }
        outcome
    }
}

fn no_server(what: &str) -> VerifyError {
    VerifyError::Client { what: what.to_owned(), source: ClientError::Url { url: String::new() } }
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(answer: &'a Answer, what: &str) -> Result<T, VerifyError> {
    let envelope: Envelope<T> = serde_json::from_slice(&answer.body)
        .map_err(|source| VerifyError::Parse { what: what.to_owned(), source })?;
    let Envelope { status, data, error } = envelope;
    data.filter(|_| status == "success").ok_or_else(|| VerifyError::Refused {
        what: what.to_owned(),
        status: answer.status.as_u16(),
        message: error.unwrap_or_else(|| format!("status {status:?} without data")),
    })
}

fn parse_owned<T: DeserializeOwned>(answer: &Answer, what: &str) -> Result<T, VerifyError> {
    parse(answer, what)
}
