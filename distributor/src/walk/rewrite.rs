//! The slow path: series whose labels are wrong, unsorted, or changed on the way.

use std::borrow::Cow;

use model::{LabelsBuilder, SeriesHash};
use proto::{Frame, RejectReason, Source, Version};
use relabel::Verdict;
use wire::protobuf::put_bytes_field;

use super::labels::{self, RawLabel};
use super::tail::{Tail, splice};
use super::{Context, Refusal, Walker};
use crate::error::WriteError;
use crate::ha::Election;

/// The longest name of an HA pair or of a replica: elections are kept under them.
const MAX_HA_NAME_BYTES: usize = 256;

/// The labels that a series is to be stored with.
pub(crate) enum Prepared<'a> {
    /// Those that were sent, sorted and without empty values, some perhaps removed.
    Sent(Vec<(&'a str, &'a str)>),
    /// Relabelled.
    Changed(LabelsBuilder),
}

impl Prepared<'_> {
    /// The labels, by name.
    pub(crate) fn pairs(&self) -> Cow<'_, [(&str, &str)]> {
        match self {
            Self::Sent(labels) => Cow::Borrowed(labels),
            Self::Changed(labels) => Cow::Owned(labels.iter().collect()),
        }
    }
}

/// What is to become of a series.
pub(crate) enum Decision<'a> {
    Store(Prepared<'a>),
    Refuse(Refusal),
    /// Another replica of its HA pair is elected.
    Deduplicate,
    /// Relabelling dropped it.
    Drop,
}

impl Walker<'_> {
    /// Decides about a series by its labels.
    pub(crate) fn decide<'l>(&mut self, raw: &[RawLabel<'l>]) -> Decision<'l> {
        let sent = match labels::normalise(raw) {
            Ok(sent) => sent,
            Err(refusal) => return Decision::Refuse(refusal),
        };
        let prepared = match self.rewrite_all {
            false => Prepared::Sent(sent),
            true => match self.transform(sent) {
                Ok(prepared) => prepared,
                Err(decision) => return decision,
            },
        };
        match labels::check(&prepared.pairs(), self.context.limits) {
            Ok(()) => Decision::Store(prepared),
            Err(refusal) => Decision::Refuse(refusal),
        }
    }

    /// Deduplicates, removes labels and relabels.
    fn transform<'l>(&mut self, mut labels: Vec<(&'l str, &'l str)>) -> Result<Prepared<'l>, Decision<'l>> {
        let limits = self.context.limits;
        if limits.accept_ha_samples && self.is_elected(&labels)? {
            labels.retain(|(name, _)| *name != limits.ha_replica_label);
        }
        if !limits.drop_labels.is_empty() {
            labels.retain(|(name, _)| !limits.drop_labels.iter().any(|dropped| dropped == name));
        }
        if limits.metric_relabel_configs.is_empty() {
            return Ok(Prepared::Sent(labels));
        }
        let mut builder = LabelsBuilder::default();
        for (name, value) in labels {
            builder.set(name, value);
        }
        match relabel::apply(&limits.metric_relabel_configs, &mut builder) {
            Verdict::Keep => Ok(Prepared::Changed(builder)),
            Verdict::Drop => Err(Decision::Drop),
        }
    }

    /// Whether the series comes from the elected replica of a pair; false: it does not come from a pair.
    fn is_elected<'l>(&mut self, labels: &[(&'l str, &'l str)]) -> Result<bool, Decision<'l>> {
        let limits = self.context.limits;
        let value_of =
            |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
        let cluster = value_of(&limits.ha_cluster_label);
        let replica = value_of(&limits.ha_replica_label);
        let (Some(cluster), Some(replica)) = (cluster, replica) else {
            return Ok(false);
        };
        let refuse = |reason, what: String| {
            Err(Decision::Refuse(Refusal {
                reason,
                message: format!("series {}: {what}", labels::show(labels.iter().copied())),
            }))
        };
        let longest = limits.max_label_value_length.min(MAX_HA_NAME_BYTES);
        if cluster.len().max(replica.len()) > longest {
            return refuse(
                RejectReason::LabelValueTooLong,
                format!(
                    "the names of HA pair and replica may have {longest} bytes at most (the lesser of \
                     max_label_value_length and {MAX_HA_NAME_BYTES})"
                ),
            );
        }
        let election = self.elect(cluster, replica);
        match election {
            Election::Elected => Ok(true),
            Election::NotElected => Err(Decision::Deduplicate),
            Election::Undecided => {
                self.plan.undecided(cluster, replica);
                Err(Decision::Deduplicate)
            }
            Election::TooManyClusters => refuse(
                RejectReason::TooManyHaClusters,
                format!(
                    "there are {} HA pairs already, no more are allowed (ha_max_clusters)",
                    limits.ha_max_clusters
                ),
            ),
        }
    }

    /// The election of a replica. All series of a request are mostly of one, which is asked about once.
    fn elect(&mut self, cluster: &str, replica: &str) -> Election {
        if let Some((known_cluster, known_replica, election)) = &self.last_election
            && known_cluster == cluster
            && known_replica == replica
        {
            return *election;
        }
        let Context { tenant, limits, ha, now, .. } = self.context;
        let election = ha.observe(tenant, cluster, replica, limits.ha_max_clusters, *now);
        self.last_election = Some((cluster.to_owned(), replica.to_owned(), election));
        election
    }

    /// Notes a series that is not stored.
    pub(crate) fn leave_out(&mut self, decision: Decision<'_>, tail: &Tail) {
        let samples = u64::from(tail.content.samples) + u64::from(tail.content.histograms);
        match decision {
            Decision::Store(_) => {}
            Decision::Refuse(refusal) => self.refuse(tail.content.into(), refusal),
            Decision::Deduplicate => self.plan.deduped += samples,
            Decision::Drop => self.plan.dropped += samples,
        }
    }

    /// Writes a series anew, with the labels whose canonical bytes [`Walker::canonical`] holds; a 2.0 series refers to
    /// them with `refs`.
    pub(crate) fn rewrite(
        &mut self,
        version: Version,
        refs: &[u8],
        body: &[u8],
        tail: &Tail,
    ) -> Result<(), WriteError> {
        let start = self.plan.rewritten.len();
        match version {
            Version::V1 => self.plan.rewritten.extend_from_slice(&self.canonical),
            Version::V2 => put_bytes_field(&mut self.plan.rewritten, 1, refs),
        }
        splice(version, body, self.latest_ms, &mut self.plan.rewritten)
            .map_err(|source| super::malformed(version, source))?;
        let end = self.plan.rewritten.len();
        if end > u32::MAX as usize {
            return Err(WriteError::TooLarge {
                bytes: end,
                max: u32::MAX as usize,
                limit: "after relabelling",
            });
        }
        let frame = Frame {
            hash: SeriesHash::of_canonical(self.context.seed, &self.canonical),
            source: Source::Rewritten,
            start: start as u32,
            len: (end - start) as u32,
        };
        self.plan.place(self.context.owners, frame, tail.kept());
        Ok(())
    }
}
