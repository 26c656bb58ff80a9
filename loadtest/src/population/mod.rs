//! The population: which series exist, what they are called, and what each one's value is at each step. Everything is
//! a pure function of the configuration, so that writer and oracle agree without storing a sample.
//!
//! A *slot* is a place for a series; churn replaces the series in it, which makes a new *generation*. A *step* is one
//! scrape interval. A *unit* is 1,000 slots that share a `cluster` label, by which the oracle divides its queries.

mod catalogue;
mod noise;
mod signal;
mod unit;

use std::fmt::Write as _;

use model::{Histogram, MetricType};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use catalogue::{APPLICATIONS, PODS, UNIT_SERIES};
pub(crate) use noise::{mix, unit as noise_unit};
use signal::Shape;
pub(crate) use signal::Signal;
use unit::{LabelValue, SeriesPlan, Target, unit_plan};

/// The label by which the population divides into parts of at most 1,000 slots.
pub const PARTITION_LABEL: &str = "cluster";

/// The most slots that a population may have.
pub const MAX_SERIES: u32 = 50_000_000;

/// Everything that the population depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PopulationConfig {
    /// What makes it another population with other series; part of the `cluster` label.
    pub seed: u32,
    /// How many slots.
    pub series: u32,
    /// Over how many tenants they are spread, each with consecutive slots; 0: no tenant is named.
    pub tenants: u32,
    /// What tenants' names begin with; a number follows when there are several.
    pub tenant_name: String,
    /// Between two steps, in milliseconds.
    pub interval_ms: i64,
    /// Time of step 0, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Part of all series that is replaced in an hour, 0 to 60.
    pub churn_per_hour: f64,
    /// Whether part of the series are native histograms.
    pub native_histograms: bool,
    /// Whether one bucket of each classic histogram carries an exemplar.
    pub exemplars: bool,
}

/// Why a population cannot be.
#[derive(Debug, Error, PartialEq)]
pub enum PopulationError {
    /// Too few or too many series.
    #[error("{series} series asked for; 1 to {MAX_SERIES} are possible")]
    Series {
        /// How many were asked for.
        series: u32,
    },
    /// More tenants than series.
    #[error("{tenants} tenants for {series} series; each tenant needs at least one")]
    Tenants {
        /// How many tenants were asked for.
        tenants: u32,
        /// And how many series.
        series: u32,
    },
    /// An interval that is no interval.
    #[error("an interval of {interval_ms} ms between samples; it has to be from 1 ms to 1 h")]
    Interval {
        /// The offending interval.
        interval_ms: i64,
    },
    /// Churn outside its range.
    #[error("churn of {churn} an hour; it has to be from 0 (none) to 60 (each minute a new series)")]
    Churn {
        /// The offending churn.
        churn: f64,
    },
}

/// The population of one configuration.
#[derive(Debug)]
pub struct Population {
    config: PopulationConfig,
    plan: Vec<SeriesPlan>,
    seed: u64,
    /// Steps until a target is replaced; `None` without churn.
    lifetime: Option<i64>,
}

impl Population {
    /// Checks the configuration and draws the plan.
    pub fn new(config: PopulationConfig) -> Result<Self, PopulationError> {
        let PopulationConfig { series, tenants, interval_ms, churn_per_hour: churn, .. } = config;
        if !(1..=MAX_SERIES).contains(&series) {
            return Err(PopulationError::Series { series });
        }
        if tenants > series {
            return Err(PopulationError::Tenants { tenants, series });
        }
        if !(1..=3_600_000).contains(&interval_ms) {
            return Err(PopulationError::Interval { interval_ms });
        }
        if !(0.0..=60.0).contains(&churn) {
            return Err(PopulationError::Churn { churn });
        }
        let lifetime = (churn > 0.0).then(|| ((3_600_000.0 / interval_ms as f64 / churn) as i64).max(2));
        Ok(Self { seed: mix(u64::from(config.seed)), plan: unit_plan(), lifetime, config })
    }

    /// What it was made from.
    pub fn config(&self) -> &PopulationConfig {
        &self.config
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.config.series
    }

    /// How many tenants have a part of it, at least one.
    pub fn tenants(&self) -> u32 {
        self.config.tenants.max(1)
    }

    /// The ID of a tenant, below [`Self::tenants`]; `None` when requests shall name none.
    pub fn tenant_id(&self, tenant: u32) -> Option<String> {
        match self.config.tenants {
            0 => None,
            1 => Some(self.config.tenant_name.clone()),
            _ => Some(format!("{}-{tenant:04}", self.config.tenant_name)),
        }
    }

    /// The slots of a tenant.
    pub fn tenant_slots(&self, tenant: u32) -> std::ops::Range<u32> {
        let (series, tenants) = (u64::from(self.slots()), u64::from(self.tenants()));
        let bound = |t: u64| (series * t / tenants) as u32;
        bound(u64::from(tenant))..bound(u64::from(tenant) + 1)
    }

    /// The part that a slot belongs to.
    pub fn unit(&self, slot: u32) -> u32 {
        slot / UNIT_SERIES as u32
    }

    /// The slots of a part, as far as they exist.
    pub fn unit_slots(&self, unit: u32) -> std::ops::Range<u32> {
        let first = unit.saturating_mul(UNIT_SERIES as u32);
        first.min(self.slots())..first.saturating_add(UNIT_SERIES as u32).min(self.slots())
    }

    /// The value of the label [`PARTITION_LABEL`] in a part.
    pub fn partition(&self, unit: u32) -> String {
        format!("{}{unit:05}", self.partition_prefix())
    }

    /// What all of this population's partition labels begin with, and nothing else does.
    pub fn partition_prefix(&self) -> String {
        format!("prod-{:x}-", self.config.seed)
    }

    /// When the sample of this step is taken, in milliseconds since the Unix epoch. Targets are scraped at different
    /// moments of the interval.
    pub fn timestamp_ms(&self, slot: u32, step: u32) -> i64 {
        self.config.start_ms + i64::from(step) * self.config.interval_ms + self.offset_ms(slot)
    }

    /// When in the interval a slot's target is scraped.
    pub fn offset_ms(&self, slot: u32) -> i64 {
        let plan = self.plan(slot);
        let seed = self.target_seed(self.unit(slot), plan.target);
        // Never the last millisecond, so that a query can end between two steps.
        (noise_unit(seed, 7) * (self.config.interval_ms - 1) as f64) as i64
    }

    /// Which generation lives in a slot at a step; 0 is the first.
    pub fn generation(&self, slot: u32, step: u32) -> u32 {
        match self.lifetime {
            None => 0,
            Some(lifetime) => ((i64::from(step) + self.phase(slot, lifetime)) / lifetime) as u32,
        }
    }

    /// The first step of a generation, 0 for the first one.
    pub fn birth(&self, slot: u32, generation: u32) -> u32 {
        match self.lifetime {
            Some(lifetime) if generation > 0 => {
                (i64::from(generation) * lifetime - self.phase(slot, lifetime)) as u32
            }
            _ => 0,
        }
    }

    /// Replacements are spread over time: how far the first generation of a slot's target has come at step 0.
    fn phase(&self, slot: u32, lifetime: i64) -> i64 {
        let seed = self.entity_seed(self.unit(slot), self.plan(slot).target);
        (noise_unit(seed, 8) * lifetime as f64) as i64
    }

    /// Calls `label` with each label of a series, by name.
    pub fn labels(&self, slot: u32, generation: u32, mut label: impl FnMut(&str, &str)) {
        let plan = self.plan(slot);
        let unit = self.unit(slot);
        let mut text = String::with_capacity(64);
        for (name, value) in &plan.labels {
            if let LabelValue::Fixed(value) = value {
                label(name, value);
                continue;
            }
            text.clear();
            self.render(value, unit, plan.target, generation, &mut text);
            label(name, &text);
        }
    }

    /// The family of a slot's metric, and what type of metric it is.
    pub fn family(&self, slot: u32) -> (&'static str, MetricType) {
        let plan = self.plan(slot);
        let metric_type = match plan.shape {
            _ if plan.histogram.is_some() => MetricType::Histogram,
            Shape::Native if self.config.native_histograms => MetricType::Histogram,
            Shape::Idle | Shape::Slow | Shape::Busy | Shape::Seconds | Shape::Nanos | Shape::Native => {
                MetricType::Counter
            }
            _ => MetricType::Gauge,
        };
        (plan.family, metric_type)
    }

    /// Whether a slot holds native histograms rather than floats.
    pub fn is_native(&self, slot: u32) -> bool {
        self.config.native_histograms && self.plan(slot).shape == Shape::Native
    }

    /// Whether a slot's samples carry exemplars.
    pub fn has_exemplar(&self, slot: u32) -> bool {
        self.config.exemplars && self.plan(slot).exemplar
    }

    /// The float of a series at a step at which this generation lives.
    pub fn float(&self, slot: u32, generation: u32, step: u32) -> f64 {
        self.signal(slot, generation).at(i64::from(step))
    }

    /// The native histogram of a series at a step at which this generation lives.
    pub fn histogram(&self, slot: u32, generation: u32, step: u32) -> Histogram {
        self.signal(slot, generation).histogram_at(i64::from(step))
    }

    /// All values of a series.
    pub(crate) fn signal(&self, slot: u32, generation: u32) -> Signal {
        let plan = self.plan(slot);
        let unit = self.unit(slot);
        let process = mix(self.target_seed(unit, plan.target) ^ u64::from(generation));
        let seed = match plan.histogram {
            Some(histogram) => mix(process ^ (u64::from(histogram) + 1)),
            None => mix(self.seed ^ (u64::from(slot) << 32) ^ u64::from(generation)),
        };
        let birth = (generation > 0).then(|| i64::from(self.birth(slot, generation)));
        Signal::new(plan.shape, seed, process, birth)
    }

    fn plan(&self, slot: u32) -> &SeriesPlan {
        &self.plan[slot as usize % UNIT_SERIES]
    }

    /// One seed per process that reports series.
    fn target_seed(&self, unit: u32, target: Target) -> u64 {
        let n = match target {
            Target::Node => 0,
            Target::Cadvisor(pod) => 1 + pod,
            Target::StateMetrics(pod) => 1 + PODS + pod,
            Target::Application(pod) => 1 + 2 * PODS + pod,
        };
        mix(self.seed ^ (u64::from(unit) << 20) ^ n as u64)
    }

    /// One seed per thing that is replaced as a whole: all series about a pod are.
    fn entity_seed(&self, unit: u32, target: Target) -> u64 {
        match target {
            Target::Node => self.target_seed(unit, target),
            Target::Cadvisor(pod) | Target::StateMetrics(pod) | Target::Application(pod) => {
                self.target_seed(unit, Target::Cadvisor(pod))
            }
        }
    }

    fn render(&self, value: &LabelValue, unit: u32, target: Target, generation: u32, text: &mut String) {
        let (node_generation, pod) = match target {
            Target::Node => (generation, 0),
            Target::Cadvisor(pod) | Target::StateMetrics(pod) | Target::Application(pod) => (0, pod),
        };
        let identity = mix(self.entity_seed(unit, target) ^ u64::from(generation));
        let workload = WORKLOADS[pod % WORKLOADS.len()];
        let [a, b, c, ..] =
            mix(self.target_seed(unit, Target::Node) ^ u64::from(node_generation)).to_le_bytes();
        // Writing to a String cannot fail.
        let _ = match value {
            LabelValue::Fixed(value) => write!(text, "{value}"),
            LabelValue::Cluster => write!(text, "{}", self.partition(unit)),
            LabelValue::NodeName => write!(text, "ip-10-{unit}-{node_generation}.ec2.internal"),
            LabelValue::Address(port) => match target {
                Target::Application(_) => {
                    let [x, y, ..] = identity.to_le_bytes();
                    write!(text, "10.{x}.{y}.{pod}:{port}")
                }
                _ => write!(text, "10.{a}.{b}.{c}:{port}"),
            },
            LabelValue::PodName => {
                write!(text, "{workload}-{:08x}-{:05x}", identity >> 32, identity & 0xf_ffff)
            }
            LabelValue::Namespace => write!(text, "{}", NAMESPACES[pod % NAMESPACES.len()]),
            LabelValue::Workload => write!(text, "{workload}"),
            LabelValue::Image => write!(text, "registry.local/{workload}:v1.{}.{}", pod + 3, generation),
            LabelValue::ContainerName => write!(text, "{:016x}", mix(identity)),
            LabelValue::Cgroup => write!(text, "/kubepods/pod{identity:016x}"),
        };
    }
}

const WORKLOADS: [&str; 10] = [
    "checkout",
    "orders-api",
    "payments",
    "cart-service",
    "frontend",
    "redis",
    "postgres-ha",
    "kafka-broker",
    "ingress-nginx",
    "coredns",
];
const NAMESPACES: [&str; 4] = ["shop", "platform", "data", "kube-system"];
// The applications are the first of the workloads.
const _: () = assert!(APPLICATIONS <= PODS && PODS <= WORKLOADS.len());

#[cfg(test)]
pub(crate) use tests::config as test_config;

#[cfg(test)]
mod tests;
