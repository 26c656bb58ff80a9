//! The lease of this process: registered, renewed for as long as it lives, released when it stops.

use std::time::Duration;

use env::Scope;
use prost::Message as _;
use proto::metastore::Lease;
use proto::{Code, Error};
use rpc::grpc::Backoff;
use tokio::sync::watch;

use crate::client::Client;
use crate::records::LEASES;

/// A lease is renewed when this part of it has passed.
const RENEWALS_PER_LEASE: u32 = 3;
/// Waits after a failed attempt.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The lease as this process knows it. The metastore counts from when a renewal reached it, which is later, so what
/// this says to be valid is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The fencing token; 0 where nothing was ever registered.
    pub token: u64,
    /// Until when nobody else acts for this process, in the clock's monotonic time.
    pub valid_until: Duration,
    /// When it was registered, by the clock of the metastore's leader, in milliseconds since the Unix epoch.
    pub registered_ms: i64,
    /// Before that, by this process' monotonic clock.
    pub registered_at: Duration,
    /// Whether another process has registered under this name since, and lives. It is the instance then, and this one
    /// waits for its end.
    pub displaced: bool,
}

impl Held {
    /// Whether the lease holds at `now` and for `margin` longer: to be asked just before an effect outside.
    pub fn is_valid(&self, now: Duration, margin: Duration) -> bool {
        self.token != 0 && now + margin < self.valid_until
    }

    /// What time it is for the metastore at `now` (monotonic), in milliseconds since the Unix epoch: never earlier than
    /// it is there, and later by what the registration took at most. `None` where nothing was registered.
    pub fn cluster_time_ms(&self, now: Duration) -> Option<i64> {
        let since = i64::try_from(now.saturating_sub(self.registered_at).as_millis()).unwrap_or(i64::MAX);
        (self.token != 0).then(|| self.registered_ms.saturating_add(since))
    }
}

/// Holds the lease of this process. Clones are the same.
#[derive(Debug, Clone)]
pub struct LeaseHolder {
    held: watch::Receiver<Held>,
    stop: Scope,
}

impl LeaseHolder {
    /// Registers `lease`, whose time to live is the configuration's, as soon as the metastore is there, and renews it
    /// until [`LeaseHolder::release`] or the end of `scope`. Where it was lost it is registered again, with another
    /// token; where another process at other addresses has it, once that one has gone: two that were started under one
    /// name would take it from each other for ever.
    pub fn start(client: Client, mut lease: Lease, scope: &Scope) -> Self {
        lease.ttl_ms = u64::try_from(client.config().lease_ttl.as_millis()).unwrap_or(u64::MAX);
        let (publish, held) = watch::channel(Held::default());
        let stop = scope.child("lease");
        let keep = Keep { client, lease, publish, scope: stop.clone() };
        // It ends with its scope; nobody waits for it.
        drop(stop.spawn("lease", keep.run()));
        Self { held, stop }
    }

    /// The lease now.
    pub fn held(&self) -> Held {
        self.held.borrow().clone()
    }

    /// To be told of another token.
    pub fn subscribe(&self) -> watch::Receiver<Held> {
        self.held.clone()
    }

    /// The lease, once it is registered.
    pub async fn registered(&self) -> Held {
        let mut held = self.held.clone();
        let registered = held.wait_for(|held| held.token != 0).await.map(|held| held.clone());
        match registered {
            Ok(held) => held,
            // The scope is being ended, and whoever waits with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends the lease, so that nobody has to wait for it. Returns once the metastore has said so, or cannot be reached.
    pub async fn release(&self) {
        self.stop.cancel();
        let mut held = self.held.clone();
        // The task drops its end when it is done.
        while held.changed().await.is_ok() {}
    }
}

struct Keep {
    client: Client,
    lease: Lease,
    publish: watch::Sender<Held>,
    scope: Scope,
}

impl Keep {
    async fn run(self) {
        let stopped = self.scope.cancelled();
        tokio::select! {
            biased;
            () = stopped => {}
            () = self.keep() => {}
        }
        let token = self.publish.borrow().token;
        if token != 0
            && let Err(error) = self.client.release(&self.lease.instance, token).await
        {
            tracing::info!(%error, "the lease was not released; it ends by itself");
        }
    }

    async fn keep(&self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let begun = self.client.clock().monotonic();
            match self.client.register(self.lease.clone()).await {
                Ok(lease) => {
                    backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
                    tracing::info!(instance = lease.instance, token = lease.token, "lease registered");
                    let valid_until = begun + Duration::from_millis(lease.ttl_ms);
                    let (token, registered_ms) = (lease.token, lease.registered_ms);
                    self.publish.send_replace(Held {
                        token,
                        valid_until,
                        registered_ms,
                        registered_at: begun,
                        displaced: false,
                    });
                    self.renew(lease.token).await;
                    self.client.metrics().lease_losses.inc();
                    self.stand_aside().await;
                }
                Err(error) => tracing::debug!(%error, "the lease was not registered"),
            }
            self.client.clock().sleep(backoff.wait(&**self.client.rng())).await;
        }
    }

    /// Waits while another process is the instance.
    async fn stand_aside(&self) {
        while let Some(other) = self.other().await {
            if !self.publish.borrow().displaced {
                tracing::error!(
                    instance = self.lease.instance,
                    own_addresses = ?self.lease.addresses,
                    other_addresses = ?other.addresses,
                    "another process was started under the name of this one, and is the instance now; every instance needs \
                     a name of its own (--instance-id). This one waits until the other has ended"
                );
                self.publish.send_modify(|held| held.displaced = true);
            }
            let wait = Duration::from_millis(self.lease.ttl_ms) / RENEWALS_PER_LEASE;
            self.client.clock().sleep(wait).await;
        }
    }

    /// The lease of a process that has this one's name and other addresses, if there is one.
    async fn other(&self) -> Option<Lease> {
        let key = format!("{LEASES}{}", self.lease.instance);
        let record = self.client.get(key).await.ok().flatten()?;
        let lease = Lease::decode(record.value).ok()?;
        (lease.addresses != self.lease.addresses).then_some(lease)
    }

    /// Renews until the metastore says that the lease has ended. While it cannot be reached the lease may run out
    /// here and live on there, and then it is valid again with the next renewal.
    async fn renew(&self, token: u64) {
        let ttl = Duration::from_millis(self.lease.ttl_ms);
        let wait = ttl / RENEWALS_PER_LEASE;
        loop {
            self.client.clock().sleep(wait).await;
            let begun = self.client.clock().monotonic();
            match self.client.renew(&self.lease.instance, token, wait).await {
                Ok(ttl) => {
                    // What an attempt within the call took counts against the lease, not for it.
                    self.publish.send_modify(|held| held.valid_until = begun + ttl);
                }
                Err(error) if is_lost(&error) => {
                    tracing::warn!(instance = self.lease.instance, token, "the lease has ended");
                    return;
                }
                Err(error) => tracing::debug!(%error, "the lease was not renewed"),
            }
        }
    }
}

fn is_lost(error: &Error) -> bool {
    error.code == Code::NotFound
}
