//! The other Alertmanagers: told of alerts, asked for theirs, and asked whether their leases hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Clock;
use futures::TryFutureExt as _;
use membership::{Addresses, Heard, STANDING_TIMEOUT};
use model::TenantId;
use proto::Error;
use proto::alertmanager::alertmanager_client::AlertmanagerClient;
use proto::alertmanager::{Alert, HeldPart, HeldRequest, PostRequest, StandingRequest, TakeRequest};
use rpc::grpc::{Dial, GrpcChannel, from_status};
use tonic::{Request, Streaming};

/// The role, as leases name it.
pub(super) const ROLE: &str = "alertmanager";
/// How long one may take to take alerts.
pub(super) const TAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to other Alertmanagers.
pub(super) struct Peers(membership::Peers);

impl Peers {
    pub(super) fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        Self(membership::Peers::new(dial, clock))
    }

    /// Lets go of connections to where nobody is any more.
    pub(super) fn follow(&self, addresses: &Addresses) {
        self.0.follow(addresses);
    }

    /// What these say of their leases, as far as they answer.
    pub(super) async fn heard(&self, of: &Addresses) -> BTreeMap<Arc<str>, Heard> {
        let ask = |address: String| async move {
            let mut request = Request::new(StandingRequest {});
            request.set_timeout(STANDING_TIMEOUT);
            let answer = self.client(&address)?.standing(request).await;
            let says = answer.map_err(|status| from_status(&status))?.into_inner();
            Ok((says.instance, says.lease_age_ms.map(Duration::from_millis)))
        };
        let known = self.0.standings(of, ask).await.into_iter();
        known.map(|(name, (at, lease_age))| (name, Heard { at, lease_age })).collect()
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
        self.0.within(timeout, call.map_err(|status| from_status(&status))).await
    }

    fn client(&self, address: &str) -> Result<AlertmanagerClient<GrpcChannel>, Error> {
        let channel = self.0.channel(address)?;
        let max = channel.max_message_bytes();
        Ok(AlertmanagerClient::new(channel).max_decoding_message_size(max))
    }
}
