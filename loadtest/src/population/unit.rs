//! The plan of one unit: for each of its series the name, the labels and the shape, made once from the catalogue.

use super::catalogue::{
    APPLICATION, APPLICATIONS, CADVISOR, Dimension, Family, HistogramFamily, NODE, PODS, REQUESTS,
    STATE_METRICS,
};
use super::signal::Shape;

/// Who reports a series. Also what is replaced at once by churn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// node_exporter on the unit's node.
    Node,
    /// The kubelet's cAdvisor, about this pod.
    Cadvisor(usize),
    /// kube-state-metrics, about this pod.
    StateMetrics(usize),
    /// The application in this pod.
    Application(usize),
}

/// Where the value of a label comes from.
#[derive(Debug, Clone)]
pub(crate) enum LabelValue {
    Fixed(String),
    Cluster,
    NodeName,
    /// The target's address; the port tells exporters apart.
    Address(u16),
    PodName,
    ContainerName,
    Namespace,
    Workload,
    Image,
    Cgroup,
}

/// One series of a unit.
#[derive(Debug, Clone)]
pub(crate) struct SeriesPlan {
    pub(crate) target: Target,
    pub(crate) shape: Shape,
    /// Which of the unit's classic histograms it is a part of.
    pub(crate) histogram: Option<u32>,
    /// Whether it carries an exemplar when those are on.
    pub(crate) exemplar: bool,
    /// Name of the metric family, for metadata.
    pub(crate) family: &'static str,
    /// Sorted by name, `__name__` among them.
    pub(crate) labels: Vec<(&'static str, LabelValue)>,
}

/// All series of a unit, in the order in which a scraper would send them.
pub(crate) fn unit_plan() -> Vec<SeriesPlan> {
    let mut plan = Plan { series: Vec::new(), histograms: 0 };
    plan.families(Target::Node, NODE);
    for pod in 0..PODS {
        plan.families(Target::Cadvisor(pod), CADVISOR);
    }
    for pod in 0..PODS {
        plan.families(Target::StateMetrics(pod), STATE_METRICS);
    }
    for pod in 0..APPLICATIONS {
        plan.histogram(Target::Application(pod), &REQUESTS);
        plan.families(Target::Application(pod), APPLICATION);
    }
    plan.series
}

struct Plan {
    series: Vec<SeriesPlan>,
    histograms: u32,
}

impl Plan {
    fn families(&mut self, target: Target, families: &[Family]) {
        for family in families {
            for labels in combinations(family.dimensions) {
                self.push(target, family.shape, family.name, family.name.to_owned(), labels);
            }
        }
    }

    fn histogram(&mut self, target: Target, family: &HistogramFamily) {
        for labels in combinations(family.dimensions) {
            for (i, bound) in family.bounds.iter().enumerate() {
                let mut labels = labels.clone();
                labels.push(("le", *bound));
                // Latencies crowd in the middle buckets; the last holds everything.
                let t = (i + 1) as f64 / family.bounds.len() as f64;
                let share = t * t * (3.0 - 2.0 * t);
                self.push(
                    target,
                    Shape::Bucket(share),
                    family.name,
                    format!("{}_bucket", family.name),
                    labels,
                );
                self.last_in_histogram(i == family.bounds.len() / 2);
            }
            for (suffix, shape) in [("count", Shape::Count), ("sum", Shape::Sum)] {
                self.push(target, shape, family.name, format!("{}_{suffix}", family.name), labels.clone());
                self.last_in_histogram(false);
            }
            self.histograms += 1;
        }
    }

    fn last_in_histogram(&mut self, exemplar: bool) {
        if let Some(series) = self.series.last_mut() {
            series.histogram = Some(self.histograms);
            series.exemplar = exemplar;
        }
    }

    fn push(
        &mut self,
        target: Target,
        shape: Shape,
        family: &'static str,
        name: String,
        fixed: Vec<(&'static str, &'static str)>,
    ) {
        let mut labels = target_labels(target);
        labels.push((model::METRIC_NAME, LabelValue::Fixed(name)));
        labels.extend(fixed.into_iter().map(|(n, v)| (n, LabelValue::Fixed(v.to_owned()))));
        labels.sort_by_key(|(name, _)| *name);
        self.series.push(SeriesPlan { target, shape, histogram: None, exemplar: false, family, labels });
    }
}

fn fixed(value: &str) -> LabelValue {
    LabelValue::Fixed(value.to_owned())
}

fn target_labels(target: Target) -> Vec<(&'static str, LabelValue)> {
    let mut labels = vec![("cluster", LabelValue::Cluster)];
    labels.extend(match target {
        Target::Node => vec![
            ("environment", fixed("prod")),
            ("instance", LabelValue::Address(9100)),
            ("job", fixed("node-exporter")),
            ("node", LabelValue::NodeName),
            ("pool", fixed("general")),
            ("region", fixed("eu-central-1")),
        ],
        Target::Cadvisor(_) => vec![
            ("container", LabelValue::Workload),
            ("environment", fixed("prod")),
            ("id", LabelValue::Cgroup),
            ("image", LabelValue::Image),
            ("instance", LabelValue::Address(10250)),
            ("job", fixed("kubelet")),
            ("metrics_path", fixed("/metrics/cadvisor")),
            ("name", LabelValue::ContainerName),
            ("namespace", LabelValue::Namespace),
            ("node", LabelValue::NodeName),
            ("pod", LabelValue::PodName),
        ],
        Target::StateMetrics(_) => vec![
            ("container", LabelValue::Workload),
            ("instance", LabelValue::Address(8080)),
            ("job", fixed("kube-state-metrics")),
            ("namespace", LabelValue::Namespace),
            ("node", LabelValue::NodeName),
            ("pod", LabelValue::PodName),
            ("region", fixed("eu-central-1")),
        ],
        Target::Application(_) => vec![
            ("container", LabelValue::Workload),
            ("endpoint", fixed("http")),
            ("instance", LabelValue::Address(9464)),
            ("job", LabelValue::Workload),
            ("namespace", LabelValue::Namespace),
            ("pod", LabelValue::PodName),
        ],
    });
    labels
}

/// Every combination of the dimensions' values, the last dimension changing fastest.
fn combinations(dimensions: &[Dimension]) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = vec![Vec::new()];
    for (name, values) in dimensions {
        all = all
            .into_iter()
            .flat_map(|so_far| {
                values.iter().map(move |value| {
                    let mut labels = so_far.clone();
                    labels.push((*name, *value));
                    labels
                })
            })
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::catalogue::UNIT_SERIES;

    #[test]
    fn a_unit_has_a_thousand_series_of_8_to_13_labels() {
        let plan = unit_plan();
        assert_eq!(plan.len(), UNIT_SERIES);
        for series in &plan {
            let count = series.labels.len();
            assert!((8..=13).contains(&count), "{}: {count} labels", series.family);
            assert!(series.labels.is_sorted_by(|a, b| a.0 < b.0), "{}: labels repeat", series.family);
        }
    }
}
