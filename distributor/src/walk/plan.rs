//! What a walk comes to: frames for each ingester, and what was refused.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use model::{SeriesHash, TenantSeed};
use proto::{Frame, MetadataEntry, RejectReason, SymbolTable, Written};
use ring::{Quorum, Replicas, Ring, Tally, WriteShard};

/// How many bytes a series takes in a typical request: what memory for frames is set aside by.
const TYPICAL_SERIES_BYTES: usize = 256;

/// How many elections are held for one request at a time.
const MAX_ELECTIONS: usize = 64;

/// Who is to store the series of a tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owners<'a> {
    pub(crate) ring: &'a Ring,
    pub(crate) shard: &'a WriteShard,
}

impl<'a> Owners<'a> {
    #[inline]
    fn of(self, hash: SeriesHash) -> Replicas<'a> {
        self.shard.lookup(self.ring, hash)
    }

    fn quorum(self) -> Quorum {
        self.ring.quorum()
    }
}

/// What one series holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) samples: u32,
    pub(crate) histograms: u32,
    pub(crate) exemplars: u32,
}

impl Content {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl From<Content> for Written {
    fn from(content: Content) -> Self {
        Self {
            samples: content.samples.into(),
            histograms: content.histograms.into(),
            exemplars: content.exemplars.into(),
        }
    }
}

/// What goes to one ingester.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Its position among the ring's instances.
    pub(crate) instance: usize,
    pub(crate) frames: Vec<Frame>,
    /// For each frame, and behind them for each metadata entry, its position in [`Plan::tallies`].
    pub(crate) items: Vec<u32>,
    pub(crate) metadata: Vec<MetadataEntry>,
    pub(crate) metadata_items: Vec<u32>,
}

/// Why a series, or part of one, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: RejectReason,
    /// A sentence that names the series and what is wrong.
    pub(crate) message: String,
}

/// All that was refused: how much for each reason, and the first in full.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) first: Option<Refusal>,
    by_reason: HashMap<RejectReason, Written>,
    /// Whether something was refused that is wrong, rather than over a limit that may be free again later.
    pub(crate) bad_data: bool,
}

impl Refusals {
    pub(crate) fn add(&mut self, refused: Written, refusal: Refusal) {
        *self.by_reason.entry(refusal.reason).or_default() += refused;
        self.bad_data |= !refusal.reason.is_tenant_limit();
        self.first.get_or_insert(refusal);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (RejectReason, Written)> {
        self.by_reason.iter().map(|(reason, refused)| (*reason, *refused))
    }

    pub(crate) fn total(&self) -> Written {
        let mut total = Written::default();
        for (_, refused) in self.iter() {
            total += refused;
        }
        total
    }
}

/// What a walk comes to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) groups: Vec<Group>,
    /// By instance, one more than its group's position; 0: it has none.
    group_of: Vec<u32>,
    /// The answers about each series, and about each metadata entry.
    pub(crate) tallies: Vec<Tally>,
    /// What each of them holds; metadata holds nothing that counts.
    pub(crate) contents: Vec<Content>,
    pub(crate) rewritten: Vec<u8>,
    pub(crate) symbols: SymbolTable,
    pub(crate) received: Written,
    pub(crate) refusals: Refusals,
    pub(crate) refused_metadata: Vec<&'static str>,
    /// Samples and histograms of replicas that are not elected.
    pub(crate) deduped: u64,
    /// Samples and histograms of series that relabelling dropped.
    pub(crate) dropped: u64,
    /// HA pairs of which nobody is elected, and who wants to be. While there are any, the plan is not to be used.
    pub(crate) elections: BTreeMap<String, String>,
    frames_per_group: usize,
}

impl Plan {
    pub(crate) fn new(owners: Owners<'_>, body_len: usize) -> Self {
        let series = body_len / TYPICAL_SERIES_BYTES + 1;
        let replicas = owners.quorum().replication_factor();
        Self {
            groups: Vec::new(),
            group_of: vec![0; owners.ring.instances().len()],
            tallies: Vec::with_capacity(series),
            contents: Vec::with_capacity(series),
            rewritten: Vec::new(),
            symbols: SymbolTable::default(),
            received: Written::default(),
            refusals: Refusals::default(),
            refused_metadata: Vec::new(),
            deduped: 0,
            dropped: 0,
            elections: BTreeMap::new(),
            frames_per_group: (series * replicas).div_ceil(owners.shard.members().max(1)).min(series),
        }
    }

    /// Notes that somebody has to be elected of an HA pair. Of more pairs than are noted, it turns out in the next walk.
    pub(crate) fn undecided(&mut self, cluster: &str, replica: &str) {
        if self.elections.len() < MAX_ELECTIONS {
            self.elections.entry(cluster.to_owned()).or_insert_with(|| replica.to_owned());
        }
    }

    /// Adds a frame to the groups of its replicas.
    #[inline]
    pub(crate) fn place(&mut self, owners: Owners<'_>, frame: Frame, content: Content) {
        let item = self.tallies.len() as u32;
        let mut found = 0;
        for instance in owners.of(frame.hash).iter() {
            let group = self.group(instance);
            group.frames.push(frame);
            group.items.push(item);
            found += 1;
        }
        self.push_tally(owners, found, content);
    }

    /// Adds metadata to the groups of its replicas: those of its family's name.
    pub(crate) fn place_metadata(&mut self, owners: Owners<'_>, seed: TenantSeed, entry: &MetadataEntry) {
        let item = self.tallies.len() as u32;
        let hash = SeriesHash::of_canonical(seed, entry.family.as_bytes());
        let mut found = 0;
        for instance in owners.of(hash).iter() {
            let group = self.group(instance);
            group.metadata.push(entry.clone());
            group.metadata_items.push(item);
            found += 1;
        }
        self.push_tally(owners, found, Content::default());
    }

    /// A zone without anyone to take it counts as one that failed.
    fn push_tally(&mut self, owners: Owners<'_>, replicas: usize, content: Content) {
        let mut tally = Tally::default();
        for _ in replicas..owners.quorum().replication_factor() {
            tally.failed();
        }
        self.tallies.push(tally);
        self.contents.push(content);
    }

    #[inline]
    fn group(&mut self, instance: usize) -> &mut Group {
        let position = match self.group_of[instance] {
            0 => {
                self.groups.push(Group {
                    instance,
                    frames: Vec::with_capacity(self.frames_per_group),
                    items: Vec::with_capacity(self.frames_per_group),
                    ..Group::default()
                });
                self.group_of[instance] = self.groups.len() as u32;
                self.groups.len() - 1
            }
            position => position as usize - 1,
        };
        &mut self.groups[position]
    }

    /// Samples and histograms that are to be stored.
    pub(crate) fn accepted_samples(&self) -> u64 {
        let samples = |content: &Content| u64::from(content.samples) + u64::from(content.histograms);
        self.contents.iter().map(samples).sum()
    }
}
