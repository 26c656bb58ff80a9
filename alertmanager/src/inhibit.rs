//! Inhibition: alerts that keep quiet while others fire.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::sync::Arc;

use model::Labels;

use crate::alert::{Alert, Fingerprint};
use crate::matcher::{Matcher, all_match};
use crate::moment::Moment;

/// A rule: an alert that the target's matchers match is inhibited while one fires that the source's matchers match, if
/// both have the same values of some labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InhibitRule {
    /// Its name, or empty.
    pub name: String,
    /// Which alerts inhibit.
    pub sources: Vec<Matcher>,
    /// Which alerts are inhibited.
    pub targets: Vec<Matcher>,
    /// The labels whose values must be the same; that neither has one is the same too.
    pub equal: Vec<String>,
}

/// Tables by fingerprints, which are hashes of their own; what order they have shows nowhere.
type Table<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The sources of one rule, by the labels that have to be equal. Of several with the same ones, one that lasts longest
/// speaks for all.
#[derive(Debug, Default)]
struct Sources {
    by_equal: Table<Fingerprint, Table<Fingerprint, Arc<Alert>>>,
}

/// The rules and the alerts that inhibit by them.
#[derive(Debug, Default)]
pub struct Inhibitor {
    rules: Vec<(InhibitRule, Sources)>,
}

impl Inhibitor {
    /// No alerts yet.
    pub fn new(rules: impl IntoIterator<Item = InhibitRule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, Sources::default())).collect() }
    }

    /// Takes note of an alert as it is now, firing or resolved.
    pub fn update(&mut self, alert: &Arc<Alert>) {
        let fingerprint = alert.fingerprint();
        for (rule, sources) in &mut self.rules {
            if all_match(&rule.sources, &alert.labels) {
                let equal = rule.equal_labels(&alert.labels);
                sources.by_equal.entry(equal).or_default().insert(fingerprint, alert.clone());
            }
        }
    }

    /// Forgets the alerts that are resolved.
    pub fn forget_resolved(&mut self, now: Moment) {
        for (_, sources) in &mut self.rules {
            sources.by_equal.retain(|_, alerts| {
                alerts.retain(|_, alert| !alert.is_resolved(now));
                !alerts.is_empty()
            });
        }
    }

    /// The alert that inhibits one with these labels, by the first rule by which one does.
    pub fn inhibited_by(&self, labels: &Labels, now: Moment) -> Option<Fingerprint> {
        self.rules.iter().find_map(|(rule, sources)| {
            if !all_match(&rule.targets, labels) {
                return None;
            }
            // What is both cannot be inhibited by what is both: it would inhibit itself.
            let both = all_match(&rule.sources, labels);
            let alerts = sources.by_equal.get(&rule.equal_labels(labels))?;
            alerts
                .iter()
                .filter(|(_, alert)| !alert.is_resolved(now))
                .filter(|(_, alert)| !(both && all_match(&rule.targets, &alert.labels)))
                .map(|(fingerprint, _)| *fingerprint)
                .min()
        })
    }
}

impl InhibitRule {
    fn equal_labels(&self, labels: &Labels) -> Fingerprint {
        Fingerprint::of_pairs(self.equal.iter().map(|name| (name.as_str(), labels.get_or_empty(name))))
    }
}
