//! Applying records of the log to the head.

use std::hint::black_box;
use std::sync::atomic::Ordering;

use model::{Exemplar, TenantId, TimeRange, Value};
use parking_lot::MutexGuard;
use proto::{RejectReason, TakenOver, Written};

use crate::canonical;
use crate::codec::Malformed;
use crate::head::Head;
use crate::head::cuts::Cuts;
use crate::head::open::Incoming;
use crate::head::series::{Context, Fate, Series, State};
use crate::head::tenant::{Index, Tenant};
use crate::record::{Entry, EntryBody, Float, NewSeries, RecordReader};
use crate::take_over::record as taken;

/// The series of so many entries are looked at together.
const LOOK_AHEAD: usize = 16;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    /// How much is stored, repetitions included.
    pub(crate) written: Written,
    /// Entries of which something was refused.
    pub(crate) refused: Vec<Refused>,
    /// What became of samples that another ingester had.
    pub(crate) taken: TakenOver,
    /// A hull of the times of samples whose series nobody knows: the record with its labels is lost, and with it they are.
    pub(crate) orphaned: Option<TimeRange>,
}

/// What was refused of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The entry's position in the record.
    pub(crate) entry: u32,
    /// Why its first sample was refused.
    pub(crate) reason: RejectReason,
    /// When that sample is.
    pub(crate) timestamp_ms: i64,
    /// How much of the entry was refused.
    pub(crate) amount: Written,
}

impl Head {
    /// Applies one record. An error means that the record is not one of ours: its checksum was right, so another
    /// version wrote it.
    pub(crate) fn apply(&self, record: &[u8]) -> Result<Applied, Malformed> {
        if taken::is_taken(record) {
            return self.apply_taken(record);
        }
        let mut reader = RecordReader::new(record)?;
        let header = reader.header();
        let tenant = TenantId::new(header.tenant).map_err(|_| Malformed { what: "tenant" })?;
        let tenant = self.tenant_or_new(&tenant);
        let mut new = Vec::new();
        reader.series(|series| new.push(series))?;
        tenant.learn(&new)?;

        let context = Context {
            store: self.store(),
            out_of_order_window_ms: header.out_of_order_window_ms,
            epoch: self.epoch(),
        };
        let index = tenant.index.read();
        let mut applied = Applied::default();
        let mut entries = Vec::with_capacity(LOOK_AHEAD);
        let mut position = 0;
        loop {
            entries.clear();
            let read = gather(&mut reader, &mut entries);
            tenant.apply_entries(&index, &entries, position, context, &mut applied)?;
            read?;
            if entries.len() < LOOK_AHEAD {
                break;
            }
            position += entries.len() as u32;
        }
        tenant.count(applied.written.samples + applied.written.histograms);
        Ok(applied)
    }
}

/// Reads the next [`LOOK_AHEAD`] entries, or those that are left. After an error the ones before it are there.
fn gather<'a>(reader: &mut RecordReader<'a>, entries: &mut Vec<Entry<'a>>) -> Result<(), Malformed> {
    while entries.len() < LOOK_AHEAD
        && let Some(entry) = reader.entry()?
    {
        entries.push(entry);
    }
    Ok(())
}

/// The states of the series of some entries, locked; and of how many entries, at least one. Only the first is waited for:
/// the others may be in a reader's hands, or in ours already, where a series has several entries.
fn lock<'i>(
    entries: &[Entry<'_>],
    series: &[Option<&'i Series>],
) -> ([Option<MutexGuard<'i, State>>; LOOK_AHEAD], usize) {
    let mut states = [const { None }; LOOK_AHEAD];
    let mut count = 0;
    for ((entry, series), slot) in entries.iter().zip(series).zip(&mut states) {
        if let Some(series) = series
            && has_samples(&entry.body)
        {
            *slot = if count == 0 { Some(series.state.lock()) } else { series.state.try_lock() };
            if slot.is_none() {
                break;
            }
        }
        count += 1;
    }
    (states, count)
}

fn has_samples(body: &EntryBody<'_>) -> bool {
    !matches!(body, EntryBody::Exemplar { .. } | EntryBody::Metadata { .. })
}

impl Tenant {
    /// Takes the series that a record introduces; live they exist already, and are known to be durable now.
    pub(super) fn learn(&self, new: &[NewSeries<'_>]) -> Result<(), Malformed> {
        let unknown: Vec<_> = {
            let index = self.index.read();
            new.iter()
                .filter(|n| match index.get(n.id) {
                    Some(series) if series.hash == n.hash => {
                        series.logged.store(true, Ordering::Release);
                        false
                    }
                    _ => true,
                })
                .collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let mut index = self.index.write();
        for new in unknown {
            let labels = canonical::decode(new.canonical)?;
            index.bind(new.id, new.hash, &labels).logged.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Applies at most [`LOOK_AHEAD`] entries, one after the other. Their series are scattered over the memory, and so are
    /// the chunks that they are filling; a little of each is read first, because the processor waits for independent reads
    /// together and for those that appends are between one by one.
    fn apply_entries(
        &self,
        index: &Index,
        entries: &[Entry<'_>],
        first_position: u32,
        context: Context<'_>,
        applied: &mut Applied,
    ) -> Result<(), Malformed> {
        let mut series: [Option<&Series>; LOOK_AHEAD] = [None; LOOK_AHEAD];
        for (slot, entry) in series.iter_mut().zip(entries) {
            *slot = index.get(entry.id).map(|series| &**series);
        }
        black_box(series.iter().flatten().fold(0, |all, s| all ^ s.hash.0 ^ u64::from(s.state.is_locked())));
        let mut rest = entries.iter().zip(series).zip(first_position..);
        let mut done = 0;
        while done < entries.len() {
            let (mut states, count) =
                lock(entries.get(done..).unwrap_or_default(), series.get(done..).unwrap_or_default());
            black_box(states.iter().flatten().fold(0, |all, state| all ^ state.touch()));
            for (state, ((entry, series), position)) in states.iter_mut().take(count).zip(&mut rest) {
                let tally = Tally { position, applied, first: None };
                self.apply_entry(entry, series, state.as_deref_mut(), context, tally)?;
            }
            done += count;
        }
        Ok(())
    }

    fn apply_entry(
        &self,
        entry: &Entry<'_>,
        series: Option<&Series>,
        state: Option<&mut State>,
        context: Context<'_>,
        mut tally: Tally<'_>,
    ) -> Result<(), Malformed> {
        if let EntryBody::Metadata { family, metadata } = &entry.body {
            self.metadata.lock().set(family, metadata.clone());
            return Ok(());
        }
        let Some(series) = series else {
            // Its labels were in a part of the log that is damaged. What was reported of that is the time of what is there, and
            // not of this.
            return tally.orphaned(&entry.body);
        };
        let cuts = Cuts::of(series.cut_group);
        match (&entry.body, state) {
            (EntryBody::Float(Float { timestamp_ms, start_ms, value }), Some(state)) => {
                let (timestamp_ms, start_ms, value) = (*timestamp_ms, *start_ms, &Value::Float(*value));
                let sample = Incoming { timestamp_ms, start_ms, value };
                let fate = self.noted(timestamp_ms, state.apply(sample, cuts, context), context.epoch);
                tally.float(timestamp_ms, fate);
            }
            (EntryBody::Floats(floats), Some(state)) => {
                for Float { timestamp_ms, start_ms, value } in floats.clone() {
                    let sample = Incoming { timestamp_ms, start_ms, value: &Value::Float(value) };
                    let fate = self.noted(timestamp_ms, state.apply(sample, cuts, context), context.epoch);
                    tally.float(timestamp_ms, fate);
                }
            }
            (EntryBody::Histogram { message, start_ms }, Some(state)) => {
                let decoded =
                    wire::histogram::decode(message).map_err(|_| Malformed { what: "histogram" })?;
                let timestamp_ms = decoded.timestamp_ms;
                let sample = Incoming { timestamp_ms, start_ms: *start_ms, value: &decoded.value };
                let fate = self.noted(timestamp_ms, state.apply(sample, cuts, context), context.epoch);
                tally.histogram(timestamp_ms, fate);
            }
            (EntryBody::Exemplar { timestamp_ms, value, canonical }, _) => {
                let labels = canonical::decode(canonical)?.into_iter().collect();
                let exemplar = Exemplar { labels, value: *value, timestamp_ms: *timestamp_ms };
                let capacity = self.max_exemplars.load(Ordering::Relaxed);
                if self.exemplars.lock().add(series.id, exemplar, capacity) {
                    tally.applied.written.exemplars += 1;
                }
            }
            // Entries of samples come with their series' state.
            _ => {}
        }
        tally.finish();
        Ok(())
    }
}

/// Counts the fates of one entry's samples.
struct Tally<'a> {
    position: u32,
    applied: &'a mut Applied,
    first: Option<Refused>,
}

impl Tally<'_> {
    fn float(&mut self, timestamp_ms: i64, fate: Fate) {
        match fate {
            Fate::Stored | Fate::Repeated => self.applied.written.samples += 1,
            Fate::Refused(reason) => self.refused(timestamp_ms, reason).samples += 1,
        }
    }

    fn histogram(&mut self, timestamp_ms: i64, fate: Fate) {
        match fate {
            Fate::Stored | Fate::Repeated => self.applied.written.histograms += 1,
            Fate::Refused(reason) => self.refused(timestamp_ms, reason).histograms += 1,
        }
    }

    fn refused(&mut self, timestamp_ms: i64, reason: RejectReason) -> &mut Written {
        let entry = self.position;
        let first = || Refused { entry, reason, timestamp_ms, amount: Written::default() };
        &mut self.first.get_or_insert_with(first).amount
    }

    /// The series of these samples is not known.
    fn orphaned(self, body: &EntryBody<'_>) -> Result<(), Malformed> {
        let hull = match body {
            EntryBody::Float(float) => Some((float.timestamp_ms, float.timestamp_ms)),
            EntryBody::Floats(floats) => floats
                .clone()
                .map(|float| (float.timestamp_ms, float.timestamp_ms))
                .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))),
            EntryBody::Histogram { message, .. } => {
                let decoded =
                    wire::histogram::decode(message).map_err(|_| Malformed { what: "histogram" })?;
                Some((decoded.timestamp_ms, decoded.timestamp_ms))
            }
            EntryBody::Exemplar { .. } | EntryBody::Metadata { .. } => None,
        };
        if let Some((start_ms, end_ms)) = hull {
            let known = self.applied.orphaned;
            let start_ms = known.map_or(start_ms, |known| known.start_ms().min(start_ms));
            let end_ms = known.map_or(end_ms, |known| known.end_ms().max(end_ms));
            self.applied.orphaned = TimeRange::new(start_ms, end_ms);
        }
        Ok(())
    }

    fn finish(self) {
        self.applied.refused.extend(self.first);
    }
}
