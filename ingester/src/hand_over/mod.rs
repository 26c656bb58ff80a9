//! Leaving: everything that this ingester holds goes to those who own it once it is gone.
//!
//! It takes no writes any more, and is read until the end, so no read has a gap; what both have meanwhile is the same.
//! Whoever gets something has it on its disk before it says so, and getting it again changes nothing: a hand-over that
//! failed in the middle, on either side, begins again.

mod parcels;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use model::{TenantSeed, TimeRange};
use proto::{Error, Successors, TakenOver};
use ring::{Heirs, InstanceId, NoHeir, RingView};
use thiserror::Error as ThisError;
use wal::CommitError;

use crate::chunk_store::StoreError;
use crate::service::{Ingester, Inner};
use parcels::{Parcel, Reading};

/// So often a parcel is offered before the hand-over fails.
const ATTEMPTS: u32 = 8;
/// Waits between that; together about half a minute.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// What was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandedOver {
    /// Series that this ingester had.
    pub series: u64,
    /// What became of their samples.
    pub samples: TakenOver,
}

/// Why not everything was handed over. Nothing is lost: it is all here still, and a later hand-over begins again.
#[derive(Debug, ThisError)]
pub enum HandOverError {
    /// There is nobody to whom it could be given.
    #[error(transparent)]
    NoHeir(#[from] NoHeir),
    /// The log has stopped.
    #[error("the write-ahead log has stopped")]
    Log(#[from] CommitError),
    /// Something that is held cannot be read.
    #[error("something to be handed over cannot be read: {reason}")]
    Unreadable {
        /// What, and why.
        reason: String,
    },
    /// Somebody does not take what is to be its own.
    #[error("{heir} does not take over what is to be its own")]
    Refused {
        /// Who.
        heir: InstanceId,
        /// Why, in the end.
        #[source]
        source: Error,
    },
}

impl From<StoreError> for HandOverError {
    fn from(error: StoreError) -> Self {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self::Unreadable { reason: format!("{error}{}", source.unwrap_or_default()) }
    }
}

impl Ingester {
    /// Takes no writes any more, and hands everything to those of `view` who own it without `me`, the name of this
    /// instance in the ring. To be called when writers know that it leaves. Once it has returned, the instance may be
    /// said to have left.
    ///
    /// # Errors
    /// See [`HandOverError`]; the instance must stay in the ring then. To go on with it, call this again, or make it
    /// active ([`Ingester::set_state`]): then it takes writes again.
    pub async fn hand_over(
        &self,
        me: &InstanceId,
        view: &RingView,
        successors: &dyn Successors,
    ) -> Result<HandedOver, HandOverError> {
        let heirs = view.ring().heirs(me)?;
        let begun = self.inner.clock.monotonic();
        self.inner.gate.close_intake();
        // What was let in before that lies in the log before this, and is in the head after it.
        self.inner.log.run_in_order(|_| ()).await?;
        if let Err(error) = self.flush().await {
            // The heirs get it instead.
            tracing::warn!(%error, "blocks were not shipped before the hand-over");
        }
        let handed = self.inner.hand_over(&heirs, view, successors).await?;
        let HandedOver { series, samples } = handed;
        tracing::info!(
            series,
            stored = samples.stored,
            repeated = samples.repeated,
            conflicting = samples.conflicting,
            seconds = (self.inner.clock.monotonic().saturating_sub(begun)).as_secs_f64(),
            "handed over"
        );
        Ok(handed)
    }
}

impl Inner {
    async fn hand_over(
        &self,
        heirs: &Heirs,
        view: &RingView,
        successors: &dyn Successors,
    ) -> Result<HandedOver, HandOverError> {
        let mut handed = HandedOver::default();
        for tenant in self.head.tenants() {
            let oldest_ms = self.forget_before(&tenant);
            let range = TimeRange::new(oldest_ms, i64::MAX).unwrap_or(TimeRange::ALL);
            let heirs = heirs.of_tenant(TenantSeed::of(&tenant.id), view.shard_size(&tenant.id));
            let mut reading = Reading::new(tenant, heirs, range);
            while !reading.is_done() {
                let head = self.head.clone();
                let read = self.scope.run_blocking(move || {
                    let parcels = reading.read(head.store());
                    (parcels, reading)
                });
                let stopping = |e: env::TaskError| HandOverError::Unreadable { reason: e.to_string() };
                let (parcels, rest) = read.await.map_err(stopping)?;
                reading = rest;
                handed.samples += self.deliver(parcels?, successors).await?;
            }
            handed.series += reading.series;
            self.metrics.handed_over_series.inc_by(reading.series);
        }
        Ok(handed)
    }

    /// Delivers parcels: to each heir one after the other, to all of them at the same time.
    async fn deliver(
        &self,
        parcels: Vec<Parcel>,
        successors: &dyn Successors,
    ) -> Result<TakenOver, HandOverError> {
        let mut by_heir: BTreeMap<InstanceId, Vec<Parcel>> = BTreeMap::new();
        for parcel in parcels {
            by_heir.entry(parcel.to.clone()).or_default().push(parcel);
        }
        let deliveries = by_heir.into_values().map(async |parcels| {
            let mut taken = TakenOver::default();
            for parcel in parcels {
                taken += self.offer(parcel, successors).await?;
            }
            Ok::<_, HandOverError>(taken)
        });
        let mut all = TakenOver::default();
        try_join_all(deliveries).await?.into_iter().for_each(|taken| all += taken);
        Ok(all)
    }

    /// Offers a parcel until it is taken, or there is no point in it any more.
    async fn offer(&self, parcel: Parcel, successors: &dyn Successors) -> Result<TakenOver, HandOverError> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let answer = match successors.successor(&parcel.to) {
                Some(heir) => heir.take_over(parcel.request.clone()).await,
                None => Err(Error::unavailable("nobody knows how to reach it", FIRST_WAIT)),
            };
            let error = match answer {
                Ok(taken) => return Ok(taken),
                Err(error) if error.code.is_retryable() && attempt < ATTEMPTS => error,
                Err(source) => return Err(HandOverError::Refused { heir: parcel.to, source }),
            };
            tracing::warn!(heir = parcel.to.as_str(), %error, attempt, "not taken over, it is offered again");
            self.metrics.hand_over_retries.inc();
            self.clock.sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
            attempt += 1;
        }
    }
}
