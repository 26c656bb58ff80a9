//! Why a node did not do what it was asked, and who would.

use std::time::Duration;

use openraft::error::ForwardToLeader;
use proto::metastore::Node;
use proto::{Error, METASTORE_LEADER};
use tonic::Status;

/// When to ask again while there is no leader.
const NO_LEADER_RETRY: Duration = Duration::from_millis(200);

/// An error, with where the leader is, if that is why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    error: Error,
    leader: Option<String>,
}

impl Refused {
    /// This node does not lead, and did nothing.
    pub(crate) fn not_leader(forward: &ForwardToLeader<u64, Node>) -> Self {
        let leader = forward.leader_node.as_ref();
        let message = match leader {
            Some(node) => {
                format!("this node of the metastore does not lead; {} at {} does", node.name, node.address)
            }
            None => "the metastore has no leader at the moment".to_owned(),
        };
        Self {
            error: Error::unavailable(message, NO_LEADER_RETRY),
            leader: leader.map(|node| node.address.clone()),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error, leader: None }
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let mut status = rpc::grpc::to_status(&refused.error);
        if let Some(address) = refused.leader.and_then(|leader| leader.parse().ok()) {
            status.metadata_mut().insert(METASTORE_LEADER, address);
        }
        status
    }
}
