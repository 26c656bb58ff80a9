//! Labels from outside of a block: in buckets of Thanos all series of a block have its external labels besides their own,
//! and labels that tell replicas from each other are dropped.

use block::Meta;
use bucket::Layout;
use model::{Labels, Matcher};

/// What is done to the labels of a block's series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// Are put in, in place of a series' own, sorted by name.
    added: Vec<(String, String)>,
    /// Are taken out.
    dropped: Vec<String>,
}

impl Outside {
    /// For a block of a bucket with this layout.
    pub(super) fn of(layout: Layout, meta: &Meta, replica_labels: &[String]) -> Self {
        match (layout, &meta.thanos) {
            (Layout::Mimir, _) => Self::default(),
            (Layout::Thanos, thanos) => {
                let labels = thanos.iter().flat_map(|thanos| &thanos.labels);
                Self {
                    added: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
                    dropped: replica_labels.to_vec(),
                }
            }
        }
    }

    /// Whether labels stay as they are.
    pub(super) fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }

    fn added(&self, name: &str) -> Option<&str> {
        self.added.iter().find(|(added, _)| added == name).map(|(_, value)| value.as_str())
    }

    /// The matchers that the series' own labels have to match; `None` where what is put in does not match. A label that
    /// is dropped can be selected by.
    pub(super) fn own<'a>(&self, matchers: impl Iterator<Item = &'a Matcher>) -> Option<Vec<Matcher>> {
        let mut own = Vec::new();
        for matcher in matchers {
            match self.added(matcher.name()) {
                Some(value) if matcher.matches(value) => {}
                Some(_) => return None,
                None => own.push(matcher.clone()),
            }
        }
        Some(own)
    }

    /// The labels as queries see them.
    pub(super) fn apply(&self, labels: Labels) -> Labels {
        if self.is_nothing() {
            return labels;
        }
        let mut builder = labels.to_builder();
        for (name, value) in &self.added {
            builder.set(name, value);
        }
        for name in &self.dropped {
            builder.remove(name);
        }
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use block::meta::{Compaction, Stats, Thanos};

    use super::*;

    #[test]
    fn labels_of_thanos_are_put_in_and_replicas_taken_out() {
        let labels = [("cluster", "one"), ("replica", "0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let meta = Meta {
            ulid: ulid::Ulid(1),
            min_time: 0,
            max_time: 1,
            stats: Stats::default(),
            compaction: Compaction::default(),
            version: 1,
            thanos: Some(Thanos { labels: labels.into(), ..Thanos::default() }),
            others: Default::default(),
        };
        let replicas = ["replica".to_owned()];
        assert!(Outside::of(Layout::Mimir, &meta, &replicas).is_nothing());
        let outside = Outside::of(Layout::Thanos, &meta, &replicas);
        let own = Labels::from_pairs([("cluster", "mine"), ("job", "api")]);
        let seen = Labels::from_pairs([("cluster", "one"), ("job", "api")]);
        assert_eq!(outside.apply(own), seen);
        let check = |matchers: &[Matcher], own: Option<usize>| {
            assert_eq!(outside.own(matchers.iter()).map(|own| own.len()), own, "{matchers:?}");
        };
        let job = Matcher::equal("job", "api");
        check(&[job.clone(), Matcher::equal("cluster", "one")], Some(1));
        check(&[job.clone(), Matcher::equal("replica", "0")], Some(1));
        check(&[job.clone(), Matcher::equal("replica", "1")], None);
        check(&[job, Matcher::equal("cluster", "two")], None);
    }
}
