//! What this ruler answers to others.

use std::pin::Pin;

use futures::Stream;
use model::TenantId;
use prost::Message as _;
use proto::ruler::ruler_server::{Ruler as Service, RulerServer};
use proto::ruler::{Group, GroupsPart, GroupsRequest, StandingRequest, StandingResponse};
use proto::{Code, Error};
use rpc::grpc::to_status;
use tonic::{Request, Response, Status};

use crate::service::Ruler;

/// How many bytes of groups are in one message, unless one group has more.
const PART_BYTES: usize = 1 << 20;

/// A ruler, as others call it.
pub struct RulerService {
    ruler: Ruler,
}

impl RulerService {
    /// The service, for [`tonic::service::Routes`]; a message that is longer than `max_message_bytes` is refused.
    pub fn serve(ruler: Ruler, max_message_bytes: usize) -> RulerServer<Self> {
        RulerServer::new(Self { ruler }).max_decoding_message_size(max_message_bytes)
    }
}

#[tonic::async_trait]
impl Service for RulerService {
    type GroupsStream = Pin<Box<dyn Stream<Item = Result<GroupsPart, Status>> + Send>>;

    async fn standing(&self, _: Request<StandingRequest>) -> Result<Response<StandingResponse>, Status> {
        match self.ruler.0.shares() {
            Some(shares) => Ok(Response::new(shares.standing())),
            None => {
                let alone = Error::new(Code::Unprocessable, "this ruler is in no cluster");
                Err(to_status(&alone))
            }
        }
    }

    async fn groups(&self, request: Request<GroupsRequest>) -> Result<Response<Self::GroupsStream>, Status> {
        let GroupsRequest { tenant, exclude_alerts } = request.into_inner();
        let tenant = TenantId::new(&tenant).map_err(|error| to_status(&Error::invalid(error.to_string())))?;
        let mut groups = self.ruler.0.told(&tenant, exclude_alerts).into_iter().peekable();
        let parts = std::iter::from_fn(move || next_part(&mut groups));
        Ok(Response::new(Box::pin(futures::stream::iter(parts.map(Ok)))))
    }
}

/// As many groups as a message takes, at least one; `None` where there are no more.
fn next_part(groups: &mut std::iter::Peekable<impl Iterator<Item = Group>>) -> Option<GroupsPart> {
    let first = groups.next()?;
    let mut bytes = first.encoded_len();
    let mut part = vec![first];
    while let Some(next) = groups.next_if(|next| bytes + next.encoded_len() <= PART_BYTES) {
        bytes += next.encoded_len();
        part.push(next);
    }
    Some(GroupsPart { groups: part })
}
