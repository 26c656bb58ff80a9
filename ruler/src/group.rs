//! A group that is being evaluated: its rules and their states, and how long things took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gotemplate::ParseError;
use model::TenantId;
use parking_lot::Mutex;
use rules::evaluation::{Group, Settings};
use rules::{RuleGroup, RuleKind};

use crate::metrics::{GroupMetrics, Metrics};

/// Where a group is: file and name. Groups are shown in this order.
pub(crate) type GroupKey = (String, String);

/// A group as it is described.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// Its file; or its namespace, where a tenant has set it.
    pub(crate) file: String,
    pub(crate) group: Arc<RuleGroup>,
    /// Whether a tenant has set it.
    pub(crate) stored: bool,
}

impl Described {
    /// Where it is.
    pub(crate) fn key(&self) -> GroupKey {
        (self.file.clone(), self.group.name.clone())
    }

    /// What it is called where groups are shared out: names that differ give texts that differ.
    pub(crate) fn share_name(&self, tenant: &TenantId) -> String {
        format!("{tenant}/{}:{}/{}", self.file.len(), self.file, self.group.name)
    }

    /// What its times come from: many tenants set the same groups, which are not to be evaluated all at once.
    fn timed_by(&self, tenant: &TenantId) -> String {
        if self.stored { format!("{tenant}/{}", self.file) } else { self.file.clone() }
    }
}

/// A group of a tenant.
pub(crate) struct Unit {
    pub(crate) tenant: TenantId,
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) settings: Arc<Settings>,
    /// What it was made of: the group is the same as long as this is.
    pub(crate) source: Arc<RuleGroup>,
    /// Rules that may be evaluated at the same time, by their places, one batch after the other.
    pub(crate) batches: Vec<Vec<usize>>,
    pub(crate) metrics: GroupMetrics,
    pub(crate) state: Mutex<State>,
    /// Whether it is another ruler's now, so that nothing may be written any more.
    moved: AtomicBool,
}

/// What changes with evaluations.
pub(crate) struct State {
    pub(crate) group: Group,
    /// By the place of the rule.
    pub(crate) timings: Vec<Timing>,
    /// Of the whole group.
    pub(crate) timing: Timing,
    /// Whether alerts may have been before this process was, which is to be looked up.
    pub(crate) restores: bool,
}

/// When something was evaluated last, and how long that took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timing {
    /// When it began, in milliseconds since 1970.
    pub(crate) began_ms: Option<i64>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Unit {
    /// A group of a tenant, where there are so many others. With `restores`, alerts may have been before.
    pub(crate) fn new(
        tenant: TenantId,
        described: Described,
        settings: Arc<Settings>,
        metrics: (&Metrics, usize),
        restores: bool,
    ) -> Result<Self, ParseError> {
        let group =
            Group::new(&described.timed_by(&tenant), &described.group, Arc::clone(&settings), !restores)?;
        let Described { file, group: source, .. } = described;
        let (registered, number) = metrics;
        let metrics = registered.of_group(tenant.as_str(), &format!("{file};{}", source.name), number);
        metrics.rules.set(i64::try_from(source.rules.len()).unwrap_or(i64::MAX));
        metrics.interval.set(group.interval_ms() as f64 / 1_000.0);
        Ok(Self {
            tenant,
            file,
            name: source.name.clone(),
            settings,
            batches: group.batches(),
            metrics,
            state: Mutex::new(State {
                timings: vec![Timing::default(); source.rules.len()],
                timing: Timing::default(),
                group,
                restores,
            }),
            source,
            moved: AtomicBool::new(false),
        })
    }

    /// It is another ruler's from now on.
    pub(crate) fn set_moved(&self) {
        self.moved.store(true, Ordering::Release);
    }

    /// Whether it is another ruler's.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Acquire)
    }

    /// Takes the state of the group that it replaces.
    pub(crate) fn adopt(&self, from: &Self) {
        let (mut state, from) = (self.state.lock(), from.state.lock());
        state.group.adopt(&from.group);
        state.timing = from.timing;
        state.restores = from.restores;
        if !state.restores {
            for index in 0..state.group.rules().len() {
                if let Some(rule) = state.group.alerting_mut(index) {
                    rule.set_restored();
                }
            }
        }
    }

    /// Whether another description means the same.
    pub(crate) fn is_of(&self, other: &Arc<RuleGroup>) -> bool {
        Arc::ptr_eq(&self.source, other) || self.source.means(other)
    }

    /// Whether a rule may ask for more while its texts are filled in.
    pub(crate) fn asks(&self, index: usize) -> bool {
        self.source.rules.get(index).is_some_and(|rule| {
            let texts =
                self.source.labels.values().chain(rule.labels.values()).chain(rule.annotations.values());
            rule.kind == RuleKind::Alerting && texts.into_iter().any(|text| text.contains("query"))
        })
    }
}
