//! Alertmanagers that are built wrong, by what they are handed.

use bytes::{BufMut as _, Bytes, BytesMut};
use membership::records::{Kind as _, NotificationLog};
use prost::Message;
use proto::alertmanager::TakeRequest;
use proto::metastore::{Op, TxnRequest, op};

/// What is built wrong about Alertmanagers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AlertmanagerMutant {
    /// What receivers were told is not committed, and taken for committed.
    LogNotCommitted,
    /// Whoever starts anew does not hear of silences.
    SilenceForgotten,
    /// Whoever comes takes tenants over without waiting for others to let go of them, so that two tell at once.
    TwoDispatchers,
    /// What another one was posted is acknowledged to it and dropped.
    AlertsDropped,
}

/// What a gRPC message begins with: a byte that says whether it is compressed, and its length in four.
const PREFIX_BYTES: usize = 5;

impl AlertmanagerMutant {
    /// What a call by this path says in the place of its body.
    pub(super) fn misled(self, path: &str, body: &Bytes) -> Option<Bytes> {
        match self {
            Self::LogNotCommitted if path.ends_with("/Txn") => altered(body, |request: &mut TxnRequest| {
                if let Some(txn) = &mut request.txn {
                    txn.then.retain(|op| !is_log(op));
                }
            }),
            Self::AlertsDropped if path.ends_with("/Take") => {
                altered(body, |request: &mut TakeRequest| request.alerts.clear())
            }
            _ => None,
        }
    }
}

fn is_log(op: &Op) -> bool {
    matches!(&op.op, Some(op::Op::Put(put)) if put.key.starts_with(NotificationLog::PREFIX.as_bytes()))
}

/// The one message of a call's body, altered.
fn altered<M: Message + Default>(body: &Bytes, alter: impl FnOnce(&mut M)) -> Option<Bytes> {
    let mut message = M::decode(body.get(PREFIX_BYTES..)?).ok()?;
    alter(&mut message);
    let mut out = BytesMut::with_capacity(body.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).ok()?);
    // A buffer that grows takes everything.
    message.encode(&mut out).ok()?;
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use proto::metastore::{Put, Txn};

    use super::*;

    fn framed(message: &impl Message) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(0);
        out.put_u32(u32::try_from(message.encoded_len()).expect("short"));
        message.encode(&mut out).expect("room");
        out.freeze()
    }

    #[test]
    fn only_what_is_misled_is_altered() {
        let put = |key: &'static str| Op { op: Some(op::Op::Put(Put { key: key.into(), ..Put::default() })) };
        let txn = |ops: Vec<Op>| TxnRequest {
            txn: Some(Txn { then: ops, ..Txn::default() }),
            ..TxnRequest::default()
        };
        let both = framed(&txn(vec![put("notification_log/t/1"), put("silences/t/1")]));
        let rest = framed(&txn(vec![put("silences/t/1")]));
        let mutant = AlertmanagerMutant::LogNotCommitted;
        assert_eq!(mutant.misled("/metastore/Txn", &both), Some(rest));
        assert_eq!(mutant.misled("/metastore/Watch", &both), None);
        assert_eq!(AlertmanagerMutant::TwoDispatchers.misled("/metastore/Txn", &both), None);
        let take = TakeRequest { tenant: "t".to_owned(), alerts: vec![Default::default()], told: Vec::new() };
        let left = TakeRequest { tenant: "t".to_owned(), ..TakeRequest::default() };
        let misled = AlertmanagerMutant::AlertsDropped.misled("/alertmanager/Take", &framed(&take));
        assert_eq!(misled, Some(framed(&left)));
    }
}
