//! Who belongs to the cluster: nodes that join, are added, and are removed. Only the leader changes that, one change at
//! a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use proto::metastore::{IdentifyRequest, IdentifyResponse, Member, Node};
use proto::{Code, Error};
use tokio::sync::Mutex;

use crate::config::MetastoreConfig;
use crate::gate::ReadGate;
use crate::raft::Network;
use crate::refused::Refused;
use crate::types::Raft;

/// How long a node may take to say who it is.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes the membership.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) config: Arc<MetastoreConfig>,
    pub(crate) raft: Raft,
    pub(crate) gate: ReadGate,
    pub(crate) network: Network,
    /// Held while the membership changes.
    pub(crate) changing: Arc<Mutex<()>>,
}

impl Admin {
    /// Takes in a node that asks for it: one whose place there is, by its name, or one of the configured voters.
    pub(crate) async fn join(&self, member: Member) -> Result<(), Refused> {
        let _changing = self.changing.lock().await;
        self.gate.pass().await?;
        let node = member.node.clone().unwrap_or_default();
        let members = self.members();
        if let Some(known) = members.get(&member.id) {
            if *known != node {
                let moved = ChangeMembers::SetNodes(BTreeMap::from([(member.id, node)]));
                self.change(moved, true).await?;
            }
            return Ok(());
        }
        let place = members.iter().find(|(_, known)| known.name == node.name);
        if let Some((id, known)) = place
            && self.identify(&known.address).await.is_ok_and(|found| found.id == *id)
        {
            let message = format!(
                "node {:?} is alive at {}; a second one needs another name",
                node.name, known.address
            );
            return Err(Error::new(Code::Unprocessable, message).into());
        }
        let configured = self.config.voters.iter().any(|voter| voter.name == node.name);
        if place.is_none() && !configured {
            let message =
                format!("nobody knows a node {:?}; add it with `barograph metastore add`", node.name);
            return Err(Error::new(Code::PermissionDenied, message).into());
        }
        self.add_voter(member.id, node).await
    }

    /// Adds the node at an address, as a voter or a learner. A voter of the same name loses its place.
    pub(crate) async fn add(&self, address: &str, learner: bool) -> Result<Member, Refused> {
        let _changing = self.changing.lock().await;
        self.gate.pass().await?;
        let found = self.identify(address).await.map_err(|error| match error.code {
            Code::InvalidArgument => error,
            _ => {
                let message =
                    format!("no metastore answers at {address} ({error}); start it before it is added");
                Error::new(Code::Unprocessable, message)
            }
        })?;
        let node = Node { name: found.name, address: address.to_owned() };
        if found.initialized && !self.members().contains_key(&found.id) {
            let message =
                format!("the node at {address} belongs to another cluster; start it with an empty directory");
            return Err(Error::new(Code::Unprocessable, message).into());
        }
        if learner {
            self.add_learner(found.id, node.clone()).await?;
        } else {
            self.add_voter(found.id, node.clone()).await?;
        }
        Ok(Member { id: found.id, node: Some(node) })
    }

    /// Removes a node, by name or number.
    pub(crate) async fn remove(&self, wanted: &str) -> Result<Member, Refused> {
        let _changing = self.changing.lock().await;
        self.gate.pass().await?;
        let members = self.members();
        let matches = |(id, node): &(&u64, &Node)| node.name == wanted || id.to_string() == wanted;
        let mut found = members.iter().filter(matches);
        let Some((&id, node)) = found.next() else {
            let names: Vec<&str> = members.values().map(|node| node.name.as_str()).collect();
            let message =
                format!("no node {wanted:?} belongs to the metastore; there are {}", names.join(", "));
            return Err(Error::new(Code::NotFound, message).into());
        };
        if found.next().is_some() {
            let message = format!("several nodes have the name {wanted:?}; name one by its number");
            return Err(Error::invalid(message).into());
        }
        let voters = self.voters();
        if voters.contains(&id) {
            if voters.len() == 1 {
                let message = format!("node {wanted:?} is the only voter; add another before it is removed");
                return Err(Error::new(Code::Unprocessable, message).into());
            }
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false).await?;
        } else {
            self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])), false).await?;
        }
        Ok(Member { id, node: Some(node.clone()) })
    }

    /// Who is at an address.
    pub(crate) async fn identify(&self, address: &str) -> Result<IdentifyResponse, Error> {
        let mut client = self.network.client(address).map_err(|error| Error::invalid(error.to_string()))?;
        let mut request = tonic::Request::new(IdentifyRequest {});
        request.set_timeout(IDENTIFY_TIMEOUT);
        let answer = client.identify(request).await.map_err(|status| rpc::grpc::from_status(&status))?;
        Ok(answer.into_inner())
    }

    async fn add_learner(&self, id: u64, node: Node) -> Result<(), Refused> {
        self.raft.add_learner(id, node, true).await.map(|_| ()).map_err(|error| refused(&error))
    }

    /// First a learner, until it has the data, then a voter in place of those with its name.
    async fn add_voter(&self, id: u64, node: Node) -> Result<(), Refused> {
        let name = node.name.clone();
        self.add_learner(id, node).await?;
        let members = self.members();
        let keeps = |voter: &u64| members.get(voter).is_none_or(|known| known.name != name);
        let mut voters: BTreeSet<u64> = self.voters().into_iter().filter(keeps).collect();
        voters.insert(id);
        self.change(ChangeMembers::ReplaceAllVoters(voters), false).await
    }

    async fn change(&self, change: ChangeMembers<u64, Node>, retain: bool) -> Result<(), Refused> {
        self.raft.change_membership(change, retain).await.map(|_| ()).map_err(|error| refused(&error))
    }

    fn members(&self) -> BTreeMap<u64, Node> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().map(|(id, node)| (*id, node.clone())).collect()
    }

    fn voters(&self) -> BTreeSet<u64> {
        self.raft.metrics().borrow().membership_config.voter_ids().collect()
    }
}

fn refused(error: &RaftError<u64, ClientWriteError<u64, Node>>) -> Refused {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => Refused::not_leader(forward),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::InProgress(_) => {
                let message = "another change of the members is not finished; come back later";
                Error::unavailable(message, Duration::from_secs(1)).into()
            }
            other => Error::new(Code::Unprocessable, other.to_string()).into(),
        },
        RaftError::Fatal(fatal) => Error::internal(format!("the metastore node has failed: {fatal}")).into(),
    }
}
