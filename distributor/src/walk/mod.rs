//! From a request's bytes to frames grouped by ingester: one walk, in place.
//!
//! A series that is well-formed and stays as it is costs one pass over its labels and one over the rest, and allocates
//! nothing; its frame points into the request. Everything else takes the slow path in [`rewrite`]: it is refused with a
//! reason, left out, or written anew with its samples copied.

mod canonical;
mod labels;
mod plan;
mod rewrite;
mod tail;
mod v1;
mod v2;

use std::time::Duration;

use bytes::Bytes;
use model::{SeriesHash, TenantId, TenantSeed};
use proto::{Frame, RejectReason, Source, Version, Written};
use wire::WireError;

use crate::config::WriteLimits;
use crate::error::WriteError;
use crate::ha::{Election, HaTracker};

pub(crate) use plan::{Content, Owners, Plan, Refusal, Refusals};

/// What a walk needs to know besides the request.
pub(crate) struct Context<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) seed: TenantSeed,
    pub(crate) limits: &'a WriteLimits,
    pub(crate) owners: Owners<'a>,
    pub(crate) ha: &'a dyn HaTracker,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
    /// The monotonic clock.
    pub(crate) now: Duration,
}

impl Context<'_> {
    /// The latest timestamp that is not too far in the future.
    fn latest_ms(&self) -> i64 {
        let grace = i64::try_from(self.limits.creation_grace_period.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.saturating_add(grace)
    }
}

/// Walks a request. Series that are refused or left out are noted in the plan; an error is one of the whole request.
pub(crate) fn walk(context: &Context<'_>, version: Version, body: &Bytes) -> Result<Plan, WriteError> {
    let mut walker = Walker {
        context,
        body,
        latest_ms: context.latest_ms(),
        rewrite_all: context.limits.changes_labels(),
        last_election: None,
        canonical: Vec::with_capacity(1024),
        plan: Plan::new(context.owners, body.len()),
    };
    match version {
        Version::V1 => v1::walk(&mut walker)?,
        Version::V2 => v2::walk(&mut walker)?,
    }
    Ok(walker.plan)
}

/// The error of a whole request whose bytes are wrong.
fn malformed(version: Version, source: WireError) -> WriteError {
    let expected = match version {
        Version::V1 => "prometheus.WriteRequest",
        Version::V2 => "io.prometheus.write.v2.Request",
    };
    WriteError::Malformed { expected, source }
}

/// A walk under way.
struct Walker<'a> {
    context: &'a Context<'a>,
    body: &'a Bytes,
    latest_ms: i64,
    /// Whether every series takes the slow path.
    rewrite_all: bool,
    /// The HA pair and replica that was asked about last, and the answer.
    last_election: Option<(String, String, Election)>,
    /// Canonical bytes of the series at hand, where they are not a slice of the request.
    canonical: Vec<u8>,
    plan: Plan,
}

impl Walker<'_> {
    /// Sends a part of the request as it is to the series' replicas.
    #[inline]
    fn forward(&mut self, hash: SeriesHash, start: usize, len: usize, content: Content) {
        let frame = Frame { hash, source: Source::Request, start: start as u32, len: len as u32 };
        self.plan.place(self.context.owners, frame, content);
    }

    fn refuse(&mut self, refused: Written, refusal: Refusal) {
        self.plan.refusals.add(refused, refusal);
    }

    /// Notes samples that are too far in the future; the rest of their series is stored.
    fn refuse_future(&mut self, future: Content, timestamp_ms: i64, series: &str) {
        let grace = self.context.limits.creation_grace_period;
        self.refuse(
            future.into(),
            Refusal {
                reason: RejectReason::TooFarInFuture,
                message: format!(
                    "series {series}: timestamp {timestamp_ms} is more than {grace:?} later than now, {} \
                     (creation_grace_period)",
                    self.context.now_ms
                ),
            },
        );
    }
}
