//! The other Alertmanagers: told of alerts, asked for theirs, and asked whether their leases hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use membership::{Addresses, Heard};
use model::TenantId;
use proto::alertmanager::alertmanager_client::AlertmanagerClient;
use proto::alertmanager::{Alert, HeldPart, HeldRequest, PostRequest, StandingRequest, TakeRequest};
use proto::{Code, Error};
use rpc::grpc::{ChannelPool, Dial, GrpcChannel, from_status};
use tonic::{Request, Streaming};

/// The role, as leases name it.
pub(super) const ROLE: &str = "alertmanager";
/// How long one may take to say whether its lease holds.
const STANDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one may take to take alerts.
pub(super) const TAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to other Alertmanagers.
pub(super) struct Peers {
    pool: ChannelPool,
    clock: Arc<dyn Clock>,
}

impl Peers {
    pub(super) fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        Self { pool: ChannelPool::new(dial), clock }
    }

    /// Lets go of connections to where nobody is any more.
    pub(super) fn follow(&self, addresses: &Addresses) {
        self.pool.retain(|address| addresses.values().any(|known| known == address));
    }

    /// What these say of their leases, as far as they answer.
    pub(super) async fn heard(&self, of: &Addresses) -> BTreeMap<Arc<str>, Heard> {
        let asked = of.iter().map(|(name, address)| async move {
            match self.standing(name, address).await {
                Ok(heard) => Some((Arc::clone(name), heard)),
                Err(error) => {
                    tracing::debug!(alertmanager = %name, %error, "another Alertmanager does not answer");
                    None
                }
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn standing(&self, name: &str, address: &str) -> Result<Heard, Error> {
        let mut request = Request::new(StandingRequest {});
        request.set_timeout(STANDING_TIMEOUT);
        // What it says is as old as the question.
        let at = self.clock.monotonic();
        let mut client = self.client(address)?;
        let answer = self.within(STANDING_TIMEOUT, client.standing(request)).await?.into_inner();
        match answer.instance == name {
            true => Ok(Heard { at, lease_age: answer.lease_age_ms.map(Duration::from_millis) }),
            false => Err(Error::internal(format!("{address} is {} now", answer.instance))),
        }
    }

    /// Has another one take alerts, and what receivers were told of.
    pub(super) async fn take(
        &self,
        address: &str,
        tenant: &TenantId,
        alerts: Vec<Alert>,
        told: Vec<Bytes>,
    ) -> Result<(), Error> {
        let mut request = Request::new(TakeRequest { tenant: tenant.as_str().to_owned(), alerts, told });
        request.set_timeout(TAKE_TIMEOUT);
        let mut client = self.client(address)?;
        self.within(TAKE_TIMEOUT, client.take(request)).await.map(drop)
    }

    /// Posts alerts to one, which passes them on.
    pub(super) async fn post(
        &self,
        address: &str,
        tenant: &TenantId,
        alerts: Vec<Alert>,
    ) -> Result<(), Error> {
        let timeout = 2 * TAKE_TIMEOUT;
        let mut request = Request::new(PostRequest { tenant: tenant.as_str().to_owned(), alerts });
        request.set_timeout(timeout);
        let mut client = self.client(address)?;
        self.within(timeout, client.post(request)).await.map(drop)
    }

    /// What another one has of tenants that are placed at `at` among these.
    pub(super) async fn held(
        &self,
        address: &str,
        (among, at): (&[Arc<str>], &str),
    ) -> Result<Streaming<HeldPart>, Error> {
        let among = among.iter().map(ToString::to_string).collect();
        let request = HeldRequest { among, at: at.to_owned() };
        let mut client = self.client(address)?;
        Ok(self.within(TAKE_TIMEOUT, client.held(request)).await?.into_inner())
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        call: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = call => answer.map_err(|status| from_status(&status)),
            () = self.clock.sleep(timeout) => {
                Err(Error::new(Code::DeadlineExceeded, format!("no answer within {timeout:?}")))
            }
        }
    }

    fn client(&self, address: &str) -> Result<AlertmanagerClient<GrpcChannel>, Error> {
        let channel = self.pool.get(address).map_err(|error| Error::internal(error.to_string()))?;
        let max = channel.max_message_bytes();
        Ok(AlertmanagerClient::new(channel).max_decoding_message_size(max))
    }
}
