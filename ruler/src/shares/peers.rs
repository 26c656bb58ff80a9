//! The other rulers: where they stand, and which groups they evaluate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use membership::{Addresses, STANDING_TIMEOUT};
use model::TenantId;
use prost::Message as _;
use proto::ruler::ruler_client::RulerClient;
use proto::ruler::{Group, GroupsRequest, StandingRequest, StandingResponse};
use proto::{Code, Error};
use rpc::grpc::{Dial, GrpcChannel, from_status};
use tonic::Request;

use super::decide::Standing;

/// How long a ruler may take to tell of its groups.
const GROUPS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes the groups of a tenant may have that one ruler evaluates.
const MAX_GROUPS_BYTES: usize = 256 << 20;

/// The way to other rulers.
pub(super) struct Peers(membership::Peers);

impl Peers {
    pub(super) fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        Self(membership::Peers::new(dial, clock))
    }

    /// Lets go of connections to where nobody is any more.
    pub(super) fn follow(&self, addresses: &Addresses) {
        self.0.follow(addresses);
    }

    /// Where these rulers stand, as far as they say.
    pub(super) async fn standings(&self, of: &Addresses) -> BTreeMap<Arc<str>, Standing> {
        let ask = |address: String| async move {
            let mut request = Request::new(StandingRequest {});
            request.set_timeout(STANDING_TIMEOUT);
            let answer = self.client(&address)?.standing(request).await;
            let says = answer.map_err(|status| from_status(&status))?.into_inner();
            Ok((says.instance.clone(), says))
        };
        let known = self.0.standings(of, ask).await.into_iter();
        let standing = |(name, (at, says)): (_, (_, StandingResponse))| {
            let standing = Standing {
                at,
                cluster_id: says.cluster_id,
                settled: says.settled_revision,
                placement: says.placement_revision,
                lease_age: says.lease_age_ms.map(Duration::from_millis),
            };
            (name, standing)
        };
        known.map(standing).collect()
    }

    /// The groups of a tenant that a ruler evaluates.
    pub(super) async fn groups(
        &self,
        (name, address): (&str, &str),
        tenant: &TenantId,
        exclude_alerts: bool,
    ) -> Result<Vec<Group>, Error> {
        let asking = self.ask_groups(address, tenant, exclude_alerts);
        self.0.within(GROUPS_TIMEOUT, asking).await.map_err(|error| {
            let message = format!("ruler {name} does not tell of its groups: {}", error.message);
            Error { message, ..error }
        })
    }

    async fn ask_groups(
        &self,
        address: &str,
        tenant: &TenantId,
        exclude_alerts: bool,
    ) -> Result<Vec<Group>, Error> {
        let request = GroupsRequest { tenant: tenant.as_str().to_owned(), exclude_alerts };
        let answer = self.client(address)?.groups(request).await;
        let mut parts = answer.map_err(|status| from_status(&status))?.into_inner();
        let (mut groups, mut bytes) = (Vec::new(), 0);
        while let Some(part) = parts.message().await.map_err(|status| from_status(&status))? {
            bytes += part.encoded_len();
            if bytes > MAX_GROUPS_BYTES {
                let message = format!("its groups have more than {MAX_GROUPS_BYTES} bytes");
                return Err(Error::new(Code::TooLarge, message));
            }
            groups.extend(part.groups);
        }
        Ok(groups)
    }

    fn client(&self, address: &str) -> Result<RulerClient<GrpcChannel>, Error> {
        let channel = self.0.channel(address)?;
        let max = channel.max_message_bytes();
        Ok(RulerClient::new(channel).max_decoding_message_size(max))
    }
}
