//! Applying records of the log to the head.

use std::sync::atomic::Ordering;

use model::{Exemplar, TenantId, Value};
use proto::{RejectReason, Written};

use crate::canonical;
use crate::codec::Malformed;
use crate::head::Head;
use crate::head::open::Incoming;
use crate::head::series::{Context, Fate};
use crate::head::tenant::{Index, Tenant};
use crate::record::{Entry, EntryBody, Float, NewSeries, RecordReader};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Applied {
    /// How much is stored, repetitions included.
    pub(crate) written: Written,
    /// Entries of which something was refused.
    pub(crate) refused: Vec<Refused>,
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
        let mut position = 0;
        while let Some(entry) = reader.entry()? {
            tenant.apply_entry(&index, &entry, position, context, &mut applied)?;
            position += 1;
        }
        tenant.count(applied.written.samples + applied.written.histograms);
        Ok(applied)
    }
}

impl Tenant {
    /// Takes the series that a record introduces; live they exist already, and are known to be durable now.
    fn learn(&self, new: &[NewSeries<'_>]) -> Result<(), Malformed> {
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

    fn apply_entry(
        &self,
        index: &Index,
        entry: &Entry<'_>,
        position: u32,
        context: Context<'_>,
        applied: &mut Applied,
    ) -> Result<(), Malformed> {
        if let EntryBody::Metadata { family, metadata } = &entry.body {
            self.metadata.lock().set(family, metadata.clone());
            return Ok(());
        }
        let Some(series) = index.get(entry.id) else {
            // Its labels were in a part of the log that is damaged; the damage was reported with its time range.
            return Ok(());
        };
        let mut tally = Tally { position, applied, first: None };
        match &entry.body {
            EntryBody::Float(Float { timestamp_ms, start_ms, value }) => {
                let (timestamp_ms, start_ms, value) = (*timestamp_ms, *start_ms, &Value::Float(*value));
                let sample = Incoming { timestamp_ms, start_ms, value };
                tally.float(timestamp_ms, series.state.lock().apply(sample, context));
            }
            EntryBody::Floats(floats) => {
                let mut state = series.state.lock();
                for Float { timestamp_ms, start_ms, value } in floats.clone() {
                    let sample = Incoming { timestamp_ms, start_ms, value: &Value::Float(value) };
                    tally.float(timestamp_ms, state.apply(sample, context));
                }
            }
            EntryBody::Histogram { message, start_ms } => {
                let decoded =
                    wire::histogram::decode(message).map_err(|_| Malformed { what: "histogram" })?;
                let timestamp_ms = decoded.timestamp_ms;
                let sample = Incoming { timestamp_ms, start_ms: *start_ms, value: &decoded.value };
                tally.histogram(timestamp_ms, series.state.lock().apply(sample, context));
            }
            EntryBody::Exemplar { timestamp_ms, value, canonical } => {
                let labels = canonical::decode(canonical)?.into_iter().collect();
                let exemplar = Exemplar { labels, value: *value, timestamp_ms: *timestamp_ms };
                let capacity = self.max_exemplars.load(Ordering::Relaxed);
                if self.exemplars.lock().add(series.id, exemplar, capacity) {
                    tally.applied.written.exemplars += 1;
                }
            }
            EntryBody::Metadata { .. } => {}
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

    fn finish(self) {
        self.applied.refused.extend(self.first);
    }
}
