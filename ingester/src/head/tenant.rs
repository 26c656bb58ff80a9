//! One tenant's part of the head: its series and what finds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::HashTable;
use model::{Labels, METRIC_NAME, Matcher, SeriesHash, TenantId, TimeRange};
use parking_lot::{Mutex, RwLock};

use crate::head::coverage::Coverage;
use crate::head::cuts::CutGroup;
use crate::head::exemplars::Exemplars;
use crate::head::held::Held;
use crate::head::id_map::IdMap;
use crate::head::metadata::FamilyMap;
use crate::head::series::{Fate, Series};
use crate::index::{LabelIds, Postings, Symbols};

/// A replay keeps at most so many exemplars of a tenant; its own limit applies from its next request on.
const EXEMPLARS_IN_REPLAY: usize = 100_000;

/// A tenant in the head.
pub(crate) struct Tenant {
    /// Who it is.
    pub(crate) id: TenantId,
    /// Its series. Locked for writing only to create and release series.
    pub(crate) index: RwLock<Index>,
    /// Its exemplars.
    pub(crate) exemplars: Mutex<Exemplars>,
    /// How many exemplars it may have: its limit, as the last request found it.
    pub(crate) max_exemplars: AtomicUsize,
    /// Its metadata.
    pub(crate) metadata: Mutex<FamilyMap>,
    /// Samples stored since the process started.
    pub(crate) samples: AtomicU64,
    /// What blocks have been cut from.
    pub(crate) coverage: Coverage,
    /// Which of these blocks have nothing that is not here.
    pub(crate) held: Held,
}

impl Tenant {
    pub(crate) fn new(id: TenantId) -> Self {
        Self {
            id,
            index: RwLock::default(),
            exemplars: Mutex::default(),
            max_exemplars: AtomicUsize::new(EXEMPLARS_IN_REPLAY),
            metadata: Mutex::default(),
            samples: AtomicU64::new(0),
            coverage: Coverage::default(),
            held: Held::default(),
        }
    }
}

/// The series of one tenant, by number, by hash, and by label.
#[derive(Default)]
pub(crate) struct Index {
    symbols: Symbols,
    postings: Postings,
    by_hash: HashTable<Arc<Series>>,
    by_id: IdMap,
    /// Numbers are not used twice while the log may still have the old meaning.
    next_id: u32,
}

impl Index {
    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The number that the next series gets.
    pub(crate) fn next_id(&self) -> u32 {
        self.next_id
    }

    /// Keeps numbers below `next_id` from being given out.
    pub(crate) fn reserve_ids(&mut self, next_id: u32) {
        self.next_id = self.next_id.max(next_id);
    }

    /// The label names and values.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Which series have which labels.
    pub(crate) fn postings(&self) -> &Postings {
        &self.postings
    }

    /// The series with this number.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&Arc<Series>> {
        self.by_id.get(id)
    }

    /// The time of the newest sample of all series.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        let (mut page, mut next, mut newest) = (Vec::new(), Some(0), None);
        while let Some(first) = next {
            page.clear();
            next = self.page_from(first, &mut page);
            let ends = page.iter().filter_map(|series| series.state.lock().hull()).map(TimeRange::end_ms);
            newest = ends.max().max(newest);
        }
        newest
    }

    /// See [`IdMap::page_from`].
    pub(crate) fn page_from(&self, first: u32, out: &mut Vec<Arc<Series>>) -> Option<u32> {
        self.by_id.page_from(first, out)
    }

    /// The series with these labels, sorted by name.
    #[inline]
    pub(crate) fn find(&self, hash: SeriesHash, labels: &[(&[u8], &[u8])]) -> Option<&Arc<Series>> {
        self.find_where(hash, |s| s.labels.are(&self.symbols, labels))
    }

    /// A series with this hash of which `is` says yes.
    #[inline]
    pub(crate) fn find_where(&self, hash: SeriesHash, is: impl Fn(&Series) -> bool) -> Option<&Arc<Series>> {
        self.by_hash.find(hash.0, |s| s.hash == hash && is(s))
    }

    /// Makes a series with labels that no series has yet; `None` where the numbers are used up.
    pub(crate) fn create(&mut self, hash: SeriesHash, labels: &[(&str, &str)]) -> Option<Arc<Series>> {
        let id = self.next_id;
        let next_id = id.checked_add(1)?;
        let series = self.new_series(id, hash, labels);
        self.next_id = next_id;
        Some(self.insert(series))
    }

    /// Makes sure that the number `id` means these labels, as a record of the log or a snapshot says.
    ///
    /// Another series with the same labels was about to be released when this one was made: it keeps its samples until
    /// they expire, and readers merge the two. Another series with the same number had been released.
    pub(crate) fn bind(&mut self, id: u32, hash: SeriesHash, labels: &[(&str, &str)]) -> Arc<Series> {
        let bytes: Vec<_> = labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        if let Some(existing) = self.find(hash, &bytes).cloned() {
            if existing.id == id {
                return existing;
            }
            self.hide(&existing);
        }
        if let Some(other) = self.get(id).cloned() {
            self.remove(&[other]);
        }
        self.reserve_ids(id.saturating_add(1));
        let series = self.new_series(id, hash, labels);
        self.insert(series)
    }

    fn new_series(&mut self, id: u32, hash: SeriesHash, labels: &[(&str, &str)]) -> Series {
        let metric = labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let ids = LabelIds::acquire(&mut self.symbols, labels.iter().copied());
        Series::new(id, hash, CutGroup::of(metric, hash), ids)
    }

    fn insert(&mut self, series: Series) -> Arc<Series> {
        let series = Arc::new(series);
        self.postings.add(series.id, &series.labels);
        self.by_hash.insert_unique(series.hash.0, series.clone(), |s| s.hash.0);
        self.by_id.insert(series.clone());
        series
    }

    /// Keeps requests from finding these series, which are about to be released.
    pub(crate) fn hide(&mut self, series: &Series) {
        if let Ok(found) = self.by_hash.find_entry(series.hash.0, |s| s.id == series.id) {
            found.remove();
        }
    }

    /// Lets requests find a hidden series again, unless another series took its labels in the meantime.
    pub(crate) fn show(&mut self, series: &Arc<Series>) {
        let labels: Vec<(u32, u32)> = series.labels.iter().collect();
        let same = |s: &Arc<Series>| s.hash == series.hash && s.labels.iter().eq(labels.iter().copied());
        if self.by_hash.find(series.hash.0, same).is_none() {
            self.by_hash.insert_unique(series.hash.0, series.clone(), |s| s.hash.0);
        }
    }

    /// Forgets series.
    pub(crate) fn remove(&mut self, series: &[Arc<Series>]) {
        let mut gone = Vec::with_capacity(series.len());
        for series in series {
            self.hide(series);
            gone.extend(self.by_id.remove(series.id));
        }
        gone.sort_unstable_by_key(|s| s.id);
        let ids: Vec<u32> = gone.iter().map(|s| s.id).collect();
        self.postings.remove(&ids, gone.iter().map(|s| &s.labels));
        gone.iter().for_each(|s| s.labels.release(&mut self.symbols));
    }

    /// The numbers of the series that all matchers match, sorted.
    pub(crate) fn select_ids(&self, matchers: &[Matcher]) -> Vec<u32> {
        self.postings.select(&self.symbols, matchers)
    }

    /// The series that all matchers match, by number.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Vec<Arc<Series>> {
        self.select_ids(matchers).into_iter().filter_map(|id| self.get(id).cloned()).collect()
    }

    /// A series' labels as text.
    pub(crate) fn labels(&self, series: &Series) -> Labels {
        series.labels.to_labels(&self.symbols)
    }
}

impl Tenant {
    /// Notes what became of a sample, where a block has been cut from its time.
    #[inline]
    pub(crate) fn noted(&self, timestamp_ms: i64, fate: Fate, epoch: u32) -> Fate {
        // What a replay finds in a snapshot may have come behind the cut that the snapshot knows of.
        if timestamp_ms < self.coverage.cut_before()
            && (fate == Fate::Stored || (epoch == 0 && fate == Fate::Repeated))
        {
            self.coverage.stored_late(timestamp_ms);
        }
        fate
    }

    /// Counts stored samples.
    pub(crate) fn count(&self, samples: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
    }
}
