//! Whether this node still leads, asked of a quorum: the condition of linearizable reads and of renewals. Those who ask
//! at the same time share one answer.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use openraft::error::{CheckIsLeaderError, RaftError};
use proto::{Code, Error};
use tokio::sync::{mpsc, oneshot};

use crate::refused::Refused;
use crate::types::Raft;

/// Those who wait for the next answer; further ones wait before they may ask.
const WAITING: usize = 4096;

type Answer = oneshot::Sender<Result<(), Refused>>;

/// Asks a quorum, for many at once.
#[derive(Clone)]
pub(crate) struct ReadGate {
    ask: mpsc::Sender<Answer>,
}

impl ReadGate {
    /// The gate, and the task that serves it.
    pub(crate) fn new(raft: Raft) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (ask, mut asked) = mpsc::channel::<Answer>(WAITING);
        let serve = async move {
            let mut round = Vec::new();
            while asked.recv_many(&mut round, WAITING).await > 0 {
                // Whoever asks from now on is in the next round: an answer counts only for those who asked before.
                let answer = raft.ensure_linearizable().await.map(|_| ()).map_err(|error| refused(&error));
                for waiting in round.drain(..) {
                    // Who no longer waits needs no answer.
                    let _ = waiting.send(answer.clone());
                }
            }
        };
        (Self { ask }, serve)
    }

    /// As [`ReadGate::pass`] for those who are in no hurry: who comes within `gap` of another shares one question with it,
    /// so that many callers ask a quorum no more often than a few.
    pub(crate) fn patient(
        &self,
        gap: Duration,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (ask, mut asked) = mpsc::channel::<Answer>(WAITING);
        let gate = self.clone();
        let serve = async move {
            let mut round = Vec::new();
            while let Some(first) = asked.recv().await {
                round.push(first);
                clock.sleep(gap).await;
                while round.len() < WAITING
                    && let Ok(more) = asked.try_recv()
                {
                    round.push(more);
                }
                let answer = gate.pass().await;
                for waiting in round.drain(..) {
                    // Who no longer waits needs no answer.
                    let _ = waiting.send(answer.clone());
                }
            }
        };
        (Self { ask }, serve)
    }

    /// Returns once this node has been found to lead after the call began, and has applied what was committed by then.
    pub(crate) async fn pass(&self) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Error::unavailable("the metastore node is stopping", Duration::from_secs(1));
        self.ask.send(answer).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}

fn refused(error: &RaftError<u64, CheckIsLeaderError<u64, proto::metastore::Node>>) -> Refused {
    match error {
        RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)) => Refused::not_leader(forward),
        RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => {
            Error::unavailable("the leader does not reach a quorum of the metastore", Duration::from_secs(1))
                .into()
        }
        RaftError::Fatal(fatal) => {
            Error::new(Code::Internal, format!("the metastore node has failed: {fatal}")).into()
        }
    }
}
