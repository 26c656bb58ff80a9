//! Alerts as they are kept: labels, annotations, when they fire; how pushes of one alert merge.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::Labels;
use thiserror::Error;

use crate::matcher::Language;
use crate::moment::Moment;

/// What tells alerts apart: a hash of their labels, upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a label set.
    pub fn of(labels: &Labels) -> Self {
        Self::of_pairs(labels.iter())
    }

    /// The fingerprint of names and values in order.
    pub fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        /// What FNV-1a of 64 bits begins with, and what it multiplies by.
        const OFFSET: u64 = 14_695_981_039_346_656_037;
        const PRIME: u64 = 1_099_511_628_211;
        /// Stands behind each name and each value.
        const SEPARATOR: u8 = 255;
        let mut hash = OFFSET;
        for (name, value) in pairs {
            for text in [name, value] {
                for byte in text.bytes().chain([SEPARATOR]) {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
                }
            }
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An alert. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it is about; never empty.
    pub labels: Labels,
    /// What else is said of it.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// When it began to fire.
    pub starts_at: Moment,
    /// When it is resolved; `None` if nobody has said.
    pub ends_at: Option<Moment>,
    /// Where it comes from.
    pub generator_url: Arc<str>,
    /// When it was last pushed.
    pub updated_at: Moment,
    /// Whether `ends_at` was not said but follows from nothing being pushed for so long.
    pub timeout: bool,
}

/// What is wrong with a pushed alert.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AlertError {
    /// It ends before it starts.
    #[error("start time must be before end time")]
    EndBeforeStart,
    /// It has no labels.
    #[error("at least one label pair required")]
    NoLabels,
    /// A label's name is none.
    #[error("invalid label set: invalid name {}", gotemplate::quote(.0))]
    LabelName(String),
    /// An annotation's name is none.
    #[error("invalid annotations: invalid name {}", gotemplate::quote(.0))]
    AnnotationName(String),
}

impl Alert {
    /// What tells it apart.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// Whether it is resolved at a time.
    pub fn is_resolved(&self, now: Moment) -> bool {
        self.ends_at.is_some_and(|ends_at| ends_at <= now)
    }

    /// Refuses what cannot be an alert.
    pub fn check(&self, language: Language) -> Result<(), AlertError> {
        if self.ends_at.is_some_and(|ends_at| ends_at < self.starts_at) {
            return Err(AlertError::EndBeforeStart);
        }
        if self.labels.is_empty() {
            return Err(AlertError::NoLabels);
        }
        if let Some((name, _)) = self.labels.iter().find(|(name, _)| !language.is_label_name(name)) {
            return Err(AlertError::LabelName(name.to_owned()));
        }
        if let Some(name) = self.annotations.keys().find(|name| !language.is_label_name(name)) {
            return Err(AlertError::AnnotationName(name.clone()));
        }
        Ok(())
    }

    /// Whether a push of this alert belongs to the same occurrence as what is known of it: the times overlap.
    pub fn overlaps(&self, known: &Self) -> bool {
        let within = |at: Moment, other: &Self| {
            at > other.starts_at && other.ends_at.is_some_and(|ends_at| at < ends_at)
        };
        self.ends_at.is_some_and(|ends_at| within(ends_at, known)) || within(self.starts_at, known)
    }

    /// Two pushes of one occurrence as one alert: the earlier start; everything else from the later push, but for an end
    /// that was said and lies behind its own.
    pub fn merge(&self, other: &Self, now: Moment) -> Self {
        let (older, younger) = if other.updated_at < self.updated_at { (other, self) } else { (self, other) };
        let mut merged = younger.clone();
        merged.starts_at = older.starts_at.min(younger.starts_at);
        let later = older.ends_at > younger.ends_at;
        let keeps = if younger.is_resolved(now) { older.is_resolved(now) } else { !older.timeout };
        if later && keeps {
            merged.ends_at = older.ends_at;
        }
        merged
    }
}

/// The order in which a notification shows alerts: by job, then by instance, then by all labels; those without a job last.
pub fn sort(alerts: &mut [Arc<Alert>]) {
    alerts.sort_by(|a, b| {
        for name in ["job", "instance"] {
            let (a, b) = (a.labels.get(name), b.labels.get(name));
            let order = match (a, b) {
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            };
            if order.is_ne() {
                return order;
            }
        }
        compare_labels(&a.labels, &b.labels)
    });
}

/// Upstream's order of label sets: fewer labels first; else by the first name, in order, at which they differ.
pub fn compare_labels(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| {
        let mut names: Vec<&str> = a.iter().chain(b.iter()).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let order = match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => a.cmp(b),
                // The one that lacks the name is the lesser.
                (a, b) => a.is_some().cmp(&b.is_some()),
            };
            if order.is_ne() {
                return order;
            }
        }
        std::cmp::Ordering::Equal
    })
}
