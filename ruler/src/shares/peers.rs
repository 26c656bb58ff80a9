//! The other rulers: where they stand, and which groups they evaluate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use membership::Addresses;
use model::TenantId;
use prost::Message as _;
use proto::ruler::ruler_client::RulerClient;
use proto::ruler::{Group, GroupsRequest, StandingRequest};
use proto::{Code, Error};
use rpc::grpc::{ChannelPool, Dial, GrpcChannel, from_status};
use tonic::Request;

use super::decide::Standing;

/// How long a ruler may take to say where it stands.
const STANDING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a ruler may take to tell of its groups.
const GROUPS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes the groups of a tenant may have that one ruler evaluates.
const MAX_GROUPS_BYTES: usize = 256 << 20;

/// The way to other rulers.
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

    /// Where these rulers stand, as far as they say.
    pub(super) async fn standings(&self, of: &Addresses) -> BTreeMap<Arc<str>, Standing> {
        let asked = of.iter().map(|(name, address)| async move {
            match self.standing(name, address).await {
                Ok(standing) => Some((Arc::clone(name), standing)),
                Err(error) => {
                    tracing::debug!(ruler = %name, %error, "a ruler does not say where it stands");
                    None
                }
            }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn standing(&self, name: &str, address: &str) -> Result<Standing, Error> {
        let mut request = Request::new(StandingRequest {});
        request.set_timeout(STANDING_TIMEOUT);
        // What it says is as old as the question.
        let at = self.clock.monotonic();
        let answer = self.client(address)?.standing(request).await;
        let answer = answer.map_err(|status| from_status(&status))?.into_inner();
        if answer.instance != name {
            return Err(Error::internal(format!("{address} is {} now", answer.instance)));
        }
        Ok(Standing {
            at,
            cluster_id: answer.cluster_id,
            settled: answer.settled_revision,
            placement: answer.placement_revision,
            lease_age: answer.lease_age_ms.map(Duration::from_millis),
        })
    }

    /// The groups of a tenant that a ruler evaluates.
    pub(super) async fn groups(
        &self,
        (name, address): (&str, &str),
        tenant: &TenantId,
        exclude_alerts: bool,
    ) -> Result<Vec<Group>, Error> {
        let asking = self.ask_groups(address, tenant, exclude_alerts);
        let answer = tokio::select! {
            biased;
            answer = asking => answer,
            () = self.clock.sleep(GROUPS_TIMEOUT) => {
                Err(Error::new(Code::DeadlineExceeded, format!("no answer within {GROUPS_TIMEOUT:?}")))
            }
        };
        answer.map_err(|error| {
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
        let channel = self.pool.get(address).map_err(|error| Error::internal(error.to_string()))?;
        let max = channel.max_message_bytes();
        Ok(RulerClient::new(channel).max_decoding_message_size(max))
    }
}
