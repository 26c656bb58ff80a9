//! Which compactor works on what, and whether it still may.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use env::Clock;
use membership::records::{self, Jobs};
use membership::{Client, LeaseHolder, Ownership};
use model::TenantId;
use placement::Unit;
use proto::metastore::Record;

/// Among whom work is divided.
#[async_trait]
pub trait Owners: Send + Sync {
    /// Whether this process looks after the tenant.
    fn owns(&self, tenant: &TenantId) -> bool;

    /// Leave to do a job, unless somebody else has it or it cannot be known.
    async fn hold(&self, tenant: &TenantId, job: &str) -> Option<Box<dyn Hold>>;
}

/// Leave to do a job.
#[async_trait]
pub trait Hold: Send + Sync {
    /// Whether it holds: asked just before what was done becomes visible.
    async fn holds(&self) -> bool;

    /// Gives it back.
    async fn release(self: Box<Self>);
}

/// The only compactor there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

#[async_trait]
impl Owners for Alone {
    fn owns(&self, _: &TenantId) -> bool {
        true
    }

    async fn hold(&self, _: &TenantId, _: &str) -> Option<Box<dyn Hold>> {
        Some(Box::new(Self))
    }
}

#[async_trait]
impl Hold for Alone {
    async fn holds(&self) -> bool {
        true
    }

    async fn release(self: Box<Self>) {}
}

/// What leases of a cluster are made of.
#[derive(Clone)]
pub struct LeasedDeps {
    /// Calls of the metastore.
    pub client: Client,
    /// Which tenants are this process'.
    pub ownership: Ownership,
    /// The lease of this process.
    pub lease: LeaseHolder,
    /// The instance that it is of.
    pub instance: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How much longer than the moment of asking the lease must hold.
    pub margin: Duration,
}

/// One of several compactors: tenants are placed by hash, jobs leased in the metastore.
#[derive(Clone)]
pub struct Leased {
    deps: LeasedDeps,
}

/// The kind of work, in placement and in the metastore.
const KIND: &str = "compactor";

impl Leased {
    /// Divides the work among those whom `deps` knows.
    pub fn new(deps: LeasedDeps) -> Self {
        Self { deps }
    }
}

#[async_trait]
impl Owners for Leased {
    fn owns(&self, tenant: &TenantId) -> bool {
        self.deps.ownership.owns(Unit::new(KIND, tenant.as_str()))
    }

    async fn hold(&self, tenant: &TenantId, job: &str) -> Option<Box<dyn Hold>> {
        let LeasedDeps { client, lease, instance, clock, margin, .. } = &self.deps;
        let held = lease.held();
        if !held.is_valid(clock.monotonic(), *margin) {
            return None;
        }
        let job = format!("{tenant}-{job}");
        let taking = records::take_job(KIND, &job, instance, held.token, clock.now_ms());
        let answer = match client.txn(taking).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%tenant, job, %error, "the metastore did not say who has a job");
                return None;
            }
        };
        let revision = answer.header.as_ref().map(|header| header.revision)?;
        let result = answer.result?;
        let found = result.results.first().and_then(|found| found.record.as_ref());
        let fence = match result.succeeded {
            true => Some(revision),
            // What an earlier attempt of this process took.
            false => found.filter(|record| is_own(record, instance, held.token)).map(|r| r.create_revision),
        };
        fence.map(|fence| -> Box<dyn Hold> { Box::new(LeasedJob { deps: self.deps.clone(), job, fence }) })
    }
}

fn is_own(record: &Record, instance: &str, token: u64) -> bool {
    let holder = records::value::<Jobs>(record).map(|stored| stored.message);
    holder.is_ok_and(|holder| holder.instance == instance && holder.lease_token == token)
}

/// A job that the metastore says is this process'.
struct LeasedJob {
    deps: LeasedDeps,
    job: String,
    fence: u64,
}

#[async_trait]
impl Hold for LeasedJob {
    async fn holds(&self) -> bool {
        let LeasedDeps { client, lease, clock, margin, .. } = &self.deps;
        if !lease.held().is_valid(clock.monotonic(), *margin) {
            return false;
        }
        let asking = records::while_holding(KIND, &self.job, self.fence, Vec::new());
        match client.txn(asking).await {
            Ok(answer) => answer.result.is_some_and(|result| result.succeeded),
            Err(error) => {
                tracing::debug!(job = self.job, %error, "the metastore did not say whether a job is still held");
                false
            }
        }
    }

    async fn release(self: Box<Self>) {
        let key = records::key::<Jobs>(&[KIND, &self.job]);
        let txn = records::while_holding(KIND, &self.job, self.fence, vec![records::delete(key)]);
        if let Err(error) = self.deps.client.txn(txn).await {
            tracing::debug!(job = self.job, %error, "a job was not given back; it ends with the lease");
        }
    }
}
