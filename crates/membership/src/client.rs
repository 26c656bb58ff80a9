//! Calls of the metastore: to the leader where one is known, to others where it is not, again where that is safe.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::{Clock, Rng};
use parking_lot::Mutex;
use prost::Message as _;
use proto::metastore::metastore_client::MetastoreClient;
use proto::metastore::{
    AddNodeRequest, BackupRequest, Consistency, Lease, Member, RangeRequest, RangeResponse, Record,
    RegisterLeaseRequest, ReleaseLeaseRequest, RemoveNodeRequest, RenewLeaseRequest, RequestId,
    ResponseHeader, StatusRequest, StatusResponse, Txn, TxnRequest, TxnResponse, WatchRequest, WatchResponse,
};
use proto::{Code, Error, METASTORE_LEADER};
use rpc::grpc::{Backoff, ChannelPool, GrpcChannel, RetryBudget, from_status};
use telemetry::Registry;
use tonic::{Request, Response, Status, Streaming};

use crate::config::MembershipConfig;
use crate::metrics::Metrics;
use crate::records::LEASES;

/// Waits between rounds over all nodes.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// A leader is elected within about a second; who asks seldom learns it late.
const LONGEST_WAIT: Duration = Duration::from_millis(200);
/// Repetitions that a quiet client has saved up. Without a leader for two seconds, a call takes about thirty.
const RETRY_BURST: u32 = 300;
/// Changes of the members wait for a new node to get its data.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(120);
/// The largest backup that is taken.
const MAX_BACKUP_BYTES: usize = 1 << 30;

/// An open watch.
pub type WatchStream = Streaming<WatchResponse>;

/// A client of the metastore. Clones share what they know.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: MembershipConfig,
    pool: Arc<ChannelPool>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    budget: RetryBudget,
    metrics: Metrics,
    /// Where the leader was last; else an endpoint's turn.
    leader: Mutex<Option<String>>,
    turn: Mutex<usize>,
    /// The greatest revision that an answer had.
    known: AtomicU64,
}

/// One of the times that a call is made.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// How long it may take.
    within: Duration,
    /// Whether an earlier one may have been done.
    again: bool,
}

/// Whether a call that may have been done already may be done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Doing it twice is as doing it once.
    Always,
    /// Only where it is certain that it was not done.
    IfNotDone,
}

impl Client {
    /// A client of the nodes that the configuration names.
    pub fn new(
        config: MembershipConfig,
        pool: Arc<ChannelPool>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        registry: &Registry,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                pool,
                clock,
                rng,
                budget: RetryBudget::new(RETRY_BURST),
                metrics: Metrics::new(registry),
                leader: Mutex::default(),
                turn: Mutex::default(),
                known: AtomicU64::new(0),
            }),
        }
    }

    /// The record of a key, as the leader has it now.
    ///
    /// # Errors
    /// Where no leader answers in time.
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Record>, Error> {
        let request = RangeRequest { key: key.into(), ..RangeRequest::default() };
        Ok(self.range(request).await?.records.into_iter().next())
    }

    /// Records under a prefix, as asked for.
    ///
    /// # Errors
    /// Where no node that may answer does so in time.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let anybody = request.consistency() == Consistency::Stale;
        let answer = self
            .call(Repeat::Always, anybody, self.inner.config.call_timeout, |mut client, attempt| {
                let request = within(request.clone(), attempt.within);
                async move { client.range(request).await }
            })
            .await?;
        self.knows(answer.header.as_ref());
        Ok(answer)
    }

    /// All records under a prefix, as the leader has them; those of one moment only as far as one answer reaches.
    ///
    /// # Errors
    /// Where no leader answers in time.
    pub async fn all(&self, prefix: impl Into<Bytes>) -> Result<Vec<Record>, Error> {
        let mut request = RangeRequest { key: prefix.into(), prefix: true, ..RangeRequest::default() };
        let mut records: Vec<Record> = Vec::new();
        loop {
            let answer = self.range(request.clone()).await?;
            records.extend(answer.records);
            match records.last() {
                Some(last) if answer.more => request.after = last.key.clone(),
                _ => return Ok(records),
            }
        }
    }

    /// A transaction, done once however often it has to be sent: every call has a name, under which the metastore
    /// remembers what it came to. An error of another kind than [`Code::InvalidArgument`] or [`Code::NotFound`] may
    /// mean that it was done, or still will be.
    ///
    /// # Errors
    /// Where it was refused, or no leader did it in time.
    pub async fn txn(&self, txn: Txn) -> Result<TxnResponse, Error> {
        let rng = &self.inner.rng;
        let id: Vec<u8> = [rng.next_u64(), rng.next_u64()].into_iter().flat_map(u64::to_be_bytes).collect();
        let id = Bytes::from(id);
        let known_revision = self.inner.known.load(Relaxed);
        let answer = self
            .call(Repeat::Always, false, self.inner.config.call_timeout, |mut client, attempt| {
                let request = RequestId { id: id.clone(), again: attempt.again, known_revision };
                let request = TxnRequest { txn: Some(txn.clone()), request: Some(request) };
                let request = within(request, attempt.within);
                async move { client.txn(request).await }
            })
            .await?;
        self.knows(answer.header.as_ref());
        Ok(answer)
    }

    /// Registers this process. It takes over from a former process of the same name, whose lease it looks up first: a copy of
    /// this call that arrives later replaces no lease that was registered meanwhile, this process' own least of all.
    ///
    /// # Errors
    /// Where it was refused, or no leader did it in time.
    pub async fn register(&self, lease: Lease) -> Result<Lease, Error> {
        let found = self.get(format!("{LEASES}{}", lease.instance)).await?;
        let seen = found.and_then(|record| Lease::decode(record.value).ok()).map_or(0, |lease| lease.token);
        let request = RegisterLeaseRequest { lease: Some(lease), replaces: Some(seen) };
        let answer = self
            .call(Repeat::Always, false, self.inner.config.call_timeout, |mut client, attempt| {
                let request = within(request.clone(), attempt.within);
                async move { client.register_lease(request).await }
            })
            .await?;
        answer.lease.ok_or_else(|| Error::internal("the metastore registered no lease"))
    }

    /// Renews a lease, and says for how long from when the call began. One attempt after another within `timeout`.
    ///
    /// # Errors
    /// [`Code::NotFound`] where the lease has ended; others where no leader answers in time.
    pub async fn renew(&self, instance: &str, token: u64, timeout: Duration) -> Result<Duration, Error> {
        let request = RenewLeaseRequest { instance: instance.to_owned(), token };
        let answer = self
            .call(Repeat::Always, false, timeout, |mut client, attempt| {
                let request = within(request.clone(), attempt.within);
                async move { client.renew_lease(request).await }
            })
            .await?;
        Ok(Duration::from_millis(answer.ttl_ms))
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// Where no leader did it in time.
    pub async fn release(&self, instance: &str, token: u64) -> Result<(), Error> {
        let request = ReleaseLeaseRequest { instance: instance.to_owned(), token };
        self.call(Repeat::Always, false, self.inner.config.call_timeout, |mut client, attempt| {
            let request = within(request.clone(), attempt.within);
            async move { client.release_lease(request).await }
        })
        .await
        .map(|_| ())
    }

    /// What a node says of the cluster: the leader where one is known.
    ///
    /// # Errors
    /// Where no node answers in time.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        self.call(Repeat::Always, true, self.inner.config.call_timeout, |mut client, attempt| {
            let request = within(StatusRequest {}, attempt.within);
            async move { client.status(request).await }
        })
        .await
    }

    /// Adds the node at an address to the cluster.
    ///
    /// # Errors
    /// Where it was refused, or not done in time; it may be done later then.
    pub async fn add_node(&self, address: &str, learner: bool) -> Result<Member, Error> {
        let request = AddNodeRequest { address: address.to_owned(), learner };
        let answer = self
            .call(Repeat::IfNotDone, false, MEMBERS_TIMEOUT, |mut client, _| {
                let request = within(request.clone(), MEMBERS_TIMEOUT);
                async move { client.add_node(request).await }
            })
            .await?;
        answer.member.ok_or_else(|| Error::internal("the metastore added nobody"))
    }

    /// Removes a node, by name or number.
    ///
    /// # Errors
    /// Where it was refused, or not done in time; it may be done later then.
    pub async fn remove_node(&self, node: &str) -> Result<Member, Error> {
        let request = RemoveNodeRequest { node: node.to_owned() };
        let answer = self
            .call(Repeat::IfNotDone, false, MEMBERS_TIMEOUT, |mut client, _| {
                let request = within(request.clone(), MEMBERS_TIMEOUT);
                async move { client.remove_node(request).await }
            })
            .await?;
        answer.member.ok_or_else(|| Error::internal("the metastore removed nobody"))
    }

    /// The whole state, as bytes that `barograph metastore restore` takes.
    ///
    /// # Errors
    /// Where no leader answers in time, or the connection breaks on the way.
    pub async fn backup(&self) -> Result<Bytes, Error> {
        let mut parts = self
            .call(Repeat::Always, false, self.inner.config.call_timeout, |mut client, _| async move {
                client.backup(BackupRequest {}).await
            })
            .await?;
        let mut backup = BytesMut::new();
        while let Some(part) = parts.message().await.map_err(|status| from_status(&status))? {
            if backup.len() + part.data.len() > MAX_BACKUP_BYTES {
                return Err(Error::internal(format!("the backup has more than {MAX_BACKUP_BYTES} bytes")));
            }
            backup.extend_from_slice(&part.data);
        }
        Ok(backup.freeze())
    }

    /// Begins a watch at the next node in turn, so that many watchers spread over all nodes.
    ///
    /// # Errors
    /// Where that node does not answer.
    pub async fn watch(&self, request: WatchRequest) -> Result<WatchStream, Error> {
        let address = self.next_endpoint()?;
        let mut client = self.connect(&address)?;
        let timeout = self.inner.clock.sleep(self.inner.config.attempt_timeout);
        tokio::select! {
            biased;
            answer = client.watch(request) => {
                answer.map(Response::into_inner).map_err(|status| from_status(&status))
            }
            () = timeout => Err(Error::new(Code::DeadlineExceeded, format!("{address} does not answer"))),
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(crate) fn rng(&self) -> &Arc<dyn Rng> {
        &self.inner.rng
    }

    pub(crate) fn config(&self) -> &MembershipConfig {
        &self.inner.config
    }

    /// Notes that the metastore has come as far as an answer of it says.
    pub(crate) fn knows(&self, header: Option<&ResponseHeader>) {
        self.inner.known.fetch_max(header.map_or(0, |header| header.revision), Relaxed);
    }

    /// Calls until it is done, refused, or out of time.
    async fn call<T, F>(
        &self,
        repeat: Repeat,
        anybody: bool,
        timeout: Duration,
        call: impl Fn(MetastoreClient<GrpcChannel>, Attempt) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let inner = &*self.inner;
        inner.budget.earn();
        let begun = inner.clock.monotonic();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut first = true;
        let mut again = false;
        // Until the next wait: attempts at all nodes, and at a leader that one of them names; and who was silent.
        let at_once = inner.config.addresses.len() + 1;
        let (mut attempts_left, mut silent) = (at_once, None);
        loop {
            let left = timeout.saturating_sub(inner.clock.monotonic().saturating_sub(begun));
            let known = inner.leader.lock().clone();
            let address = match known {
                Some(leader) if !anybody || first => leader,
                _ => self.next_endpoint()?,
            };
            let within = inner.config.attempt_timeout.min(left).max(Duration::from_millis(1));
            let attempt = Attempt { within, again };
            let status = match call(self.connect(&address)?, attempt).await {
                Ok(answer) => {
                    if !anybody {
                        *inner.leader.lock() = Some(address);
                    }
                    return Ok(answer.into_inner());
                }
                Err(status) => status,
            };
            first = false;
            attempts_left = attempts_left.saturating_sub(1);
            again |= !is_undone(&status);
            if status.details().is_empty() {
                silent = Some(address.clone());
            }
            // Only a leader that was named by another node than itself is news, and only if it is not known to be silent:
            // those who are left name a dead leader until they elect another.
            let hint = leader_hint(&status).filter(|hint| *hint != address && silent.as_ref() != Some(hint));
            *inner.leader.lock() = hint;
            if !may_repeat(&status, repeat) || left <= attempt_floor() || !inner.budget.spend() {
                inner.metrics.failed_calls.inc();
                return Err(from_status(&status));
            }
            inner.metrics.retries.inc();
            if attempts_left == 0 {
                let wait = backoff.wait(&*inner.rng).min(left);
                inner.clock.sleep(wait).await;
                (attempts_left, silent) = (at_once, None);
            }
        }
    }

    fn connect(&self, address: &str) -> Result<MetastoreClient<GrpcChannel>, Error> {
        let channel = self.inner.pool.get(address).map_err(|error| Error::invalid(error.to_string()))?;
        let max = channel.max_message_bytes();
        Ok(MetastoreClient::new(channel).max_decoding_message_size(max))
    }

    /// The endpoint whose turn it is; the first by chance.
    fn next_endpoint(&self) -> Result<String, Error> {
        let addresses = &self.inner.config.addresses;
        let mut turn = self.inner.turn.lock();
        if *turn == 0 {
            *turn = usize::try_from(self.inner.rng.below(addresses.len() as u64)).unwrap_or(0);
        }
        *turn += 1;
        let chosen = turn.checked_rem(addresses.len()).and_then(|at| addresses.get(at));
        chosen.cloned().ok_or_else(|| Error::invalid("metastore.addresses names no node of the metastore"))
    }
}

/// Below this nothing more is tried.
fn attempt_floor() -> Duration {
    Duration::from_millis(1)
}

fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn leader_hint(status: &Status) -> Option<String> {
    status.metadata().get(METASTORE_LEADER)?.to_str().ok().map(str::to_owned)
}

/// Whether a call that came to this may be made again.
fn may_repeat(status: &Status, repeat: Repeat) -> bool {
    let code = from_status(status).code;
    match repeat {
        Repeat::Always => {
            matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::Canceled)
        }
        Repeat::IfNotDone => is_undone(status),
    }
}

/// Whether a call that came to this was certainly not done: a node that says by itself that it is unavailable has done
/// nothing, and neither has one that was never reached.
fn is_undone(status: &Status) -> bool {
    from_status(status).code == Code::Unavailable && (!status.details().is_empty() || never_sent(status))
}

/// Whether there was no connection to send the call on.
fn never_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(cause) = source {
        if cause.is::<tonic::ConnectError>() {
            return true;
        }
        source = cause.source();
    }
    false
}
