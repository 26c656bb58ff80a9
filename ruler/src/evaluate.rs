//! One evaluation of a group: queries are asked, results handed to the rules, and what comes out is written and sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::Clock;
use futures::StreamExt as _;
use parking_lot::Mutex;
use promql::InstantSample;
use proto::{InstantQuery, Query, Write};
use rules::evaluation::rule_samples;
use rules::{Evaluated, Health, RuleSample, TemplateQueries, Written};
use tokio::sync::Semaphore;

use crate::config::RulerConfig;
use crate::group::{Timing, Unit};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::shares::Shares;
use crate::takeover::Left;
use crate::template_queries::{Answers, MAX_ROUNDS};
use crate::write::{patiently, write};

/// What evaluations need. All groups have it in common.
pub(crate) struct Evaluator {
    pub(crate) config: RulerConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) query: Arc<dyn Query>,
    pub(crate) write: Arc<dyn Write>,
    pub(crate) notifier: Notifier,
    pub(crate) metrics: Metrics,
    /// So many rules are evaluated at the same time.
    pub(crate) room: Semaphore,
    /// Which groups are this process', where there are other rulers.
    pub(crate) shares: Option<Shares>,
}

/// What rules of a group add up to.
#[derive(Default)]
struct Sums {
    samples: AtomicU64,
    micros: AtomicU64,
    undone: Mutex<Vec<usize>>,
}

impl Evaluator {
    /// Whether a group may be evaluated by this process now. To be asked just before anything that others see.
    pub(crate) fn may_act(&self, unit: &Unit) -> bool {
        !unit.has_moved() && self.shares.as_ref().is_none_or(Shares::may_act)
    }

    /// Evaluates all rules of a group at that time, but for those that were evaluated then by whoever has left it. Gives the
    /// places of those that were not, since the group may not be evaluated here any more.
    pub(crate) async fn evaluate(&self, unit: &Unit, at_ms: i64, left: &Left) -> Vec<usize> {
        let (began, began_ms) = (self.clock.monotonic(), self.clock.now_ms());
        let sums = Sums::default();
        for batch in &unit.batches {
            let rules = batch.iter().copied().filter(|index| !left.is_done(*index, at_ms));
            let rules = futures::stream::iter(rules);
            let at_once = Some(self.config.max_independent_rules);
            rules.for_each_concurrent(at_once, |index| self.rule(unit, index, at_ms, &sums)).await;
        }
        let ended = unit.state.lock().group.finish(at_ms);
        if self.may_act(unit) {
            self.end(unit, &ended).await;
        }
        let took = self.clock.monotonic().saturating_sub(began);
        unit.state.lock().timing = Timing { began_ms: Some(began_ms), took };
        self.metrics.group_duration.observe(took.as_secs_f64());
        unit.metrics.last_duration.set(took.as_secs_f64());
        unit.metrics.last_evaluation.set(began_ms as f64 / 1_000.0);
        let Sums { samples, micros, undone } = sums;
        let rules_took = Duration::from_micros(micros.into_inner());
        unit.metrics.last_rules_duration.set(rules_took.as_secs_f64());
        unit.metrics.last_samples.set(i64::try_from(samples.into_inner()).unwrap_or(i64::MAX));
        let undone = undone.into_inner();
        tracing::debug!(
            tenant = %unit.tenant, file = unit.file, group = unit.name, at_ms, late_ms = began_ms.saturating_sub(at_ms),
            undone = undone.len(), "a group was evaluated"
        );
        undone
    }

    /// Writes markers for series that have ended. It does not matter where one is refused: another rule has the series now.
    pub(crate) async fn end(&self, unit: &Unit, ended: &[RuleSample]) {
        if let Written::Nothing { error } = write(&self.write, &*self.clock, &unit.tenant, ended).await {
            self.metrics.write_failures.inc();
            tracing::warn!(
                tenant = %unit.tenant, file = unit.file, group = unit.name, error,
                "the end of series could not be written"
            );
        }
    }

    async fn rule(&self, unit: &Unit, index: usize, at_ms: i64, sums: &Sums) {
        // The semaphore is never closed.
        let _permit = self.room.acquire().await.ok();
        if !self.may_act(unit) {
            sums.undone.lock().push(index);
            return;
        }
        let (began, began_ms) = (self.clock.monotonic(), self.clock.now_ms());
        unit.metrics.evaluations.inc();
        let evaluated = self.outcome(unit, index, at_ms).await;
        if !self.may_act(unit) {
            // Whoever has the group then evaluates it at this time.
            sums.undone.lock().push(index);
            return;
        }
        sums.samples.fetch_add(evaluated.samples.len() as u64, Ordering::Relaxed);
        self.notifier.send(&unit.tenant, &evaluated.alerts);
        let mut written = write(&self.write, &*self.clock, &unit.tenant, &evaluated.samples).await;
        if let Written::But { error, .. } | Written::Nothing { error } = &mut written {
            self.metrics.write_failures.inc();
            *error = format!("writing the result failed: {error}");
        }
        if !matches!(written, Written::Nothing { .. }) {
            self.end(unit, &evaluated.stale).await;
        }
        let took = self.clock.monotonic().saturating_sub(began);
        self.metrics.rule_duration.observe(took.as_secs_f64());
        sums.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut state = unit.state.lock();
        state.group.written(index, &evaluated, written);
        if let Some(timing) = state.timings.get_mut(index) {
            *timing = Timing { began_ms: Some(began_ms), took };
        }
        let Some(rule) = state.group.rules().get(index) else { return };
        if rule.health() == Health::Bad {
            unit.metrics.failures.inc();
            tracing::warn!(
                tenant = %unit.tenant, file = unit.file, group = unit.name, rule = rule.name(), index,
                error = rule.last_error().unwrap_or_default(),
                "a rule failed"
            );
        }
    }

    /// What a rule makes of its result.
    async fn outcome(&self, unit: &Unit, index: usize, at_ms: i64) -> Evaluated {
        let asked = {
            let state = unit.state.lock();
            let rule = state.group.rules().get(index);
            rule.map(|rule| (rule.query().to_owned(), state.group.query_time_ms(at_ms)))
        };
        let Some((text, time_ms)) = asked else { return Evaluated::default() };
        let result = self.instant(unit, text, time_ms).await;
        let answers = match &result {
            Ok(result) if unit.asks(index) && !result.is_empty() => {
                self.answers(unit, index, at_ms, result).await
            }
            _ => Answers::none(),
        };
        let queries: Arc<dyn TemplateQueries> = answers;
        unit.state.lock().group.evaluate(index, at_ms, result, &queries)
    }

    /// The answers to everything that the texts of an alert ask.
    async fn answers(&self, unit: &Unit, index: usize, at_ms: i64, result: &[InstantSample]) -> Arc<Answers> {
        let answers = Answers::none();
        let queries: Arc<dyn TemplateQueries> = Arc::clone(&answers) as _;
        for _ in 0..MAX_ROUNDS {
            {
                let state = unit.state.lock();
                let rule = state.group.rules().get(index).and_then(rules::Rule::alerting);
                // What is wrong with it is said when it is evaluated.
                let _ = rule.map(|rule| rule.candidates(result, at_ms, &unit.settings, &queries));
            }
            let missing = answers.take_missing();
            if missing.is_empty() {
                break;
            }
            for (text, time_ms) in missing {
                let answer = self.instant(unit, text.clone(), time_ms).await;
                answers.add((text, time_ms), answer);
            }
        }
        answers
    }

    async fn instant(&self, unit: &Unit, text: String, time_ms: i64) -> Result<Vec<InstantSample>, String> {
        let (tenant, source_tenants) = (unit.tenant.clone(), unit.source.source_tenants.clone());
        let query = InstantQuery { tenant, source_tenants, text, time_ms };
        let value = patiently(&*self.clock, || self.query.instant(query.clone())).await;
        rule_samples(value.map_err(|error| error.message)?)
    }
}
