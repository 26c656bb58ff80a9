//! Writing the record of an instance, with tokens that nobody else was given at the same time.

use proto::metastore::{Instance, LostRange, Op, Placement, Txn};
use proto::{Error, Stored};

use super::{Announcement, Keep, Moment, WrongPlace, record};
use crate::client::Client;
use crate::records::{self, Instances, Kind as _, Placements};

/// Attempts while others join the same zone at the same time; each of them wins once.
const MAX_ATTEMPTS: usize = 100;

/// Why a record was not written.
#[derive(Debug)]
pub(super) enum PlaceError {
    Wrong(WrongPlace),
    Metastore(Error),
}

impl From<Error> for PlaceError {
    fn from(error: Error) -> Self {
        Self::Metastore(error)
    }
}

impl From<prost::DecodeError> for PlaceError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Metastore(Error::internal(format!("the instance's record cannot be read: {error}")))
    }
}

impl Keep {
    /// Makes the record what is wanted, and says at which revision it is, and what it says is lost.
    pub(super) async fn write(&self, wanted: &Announcement) -> Result<(Moment, Vec<LostRange>), PlaceError> {
        for _ in 0..MAX_ATTEMPTS {
            let now_ms = self.now_ms();
            let (txn, lost) = match self.client.get(self.key.clone()).await? {
                Some(found) => {
                    let mut stored = records::value::<Instances>(&found)?;
                    record::check(&stored.message, &self.place).map_err(PlaceError::Wrong)?;
                    record::merge(&mut stored.message, &self.place, wanted, now_ms);
                    let txn = records::replace::<Instances>(&self.key, found.mod_revision, &stored);
                    (txn, stored.message.lost_ranges)
                }
                None => self.placing(wanted, now_ms).await?,
            };
            let answer = self.client.txn(txn).await?;
            if answer.result.is_some_and(|result| result.succeeded) {
                let header = answer.header.unwrap_or_default();
                let at = Moment { cluster_id: header.cluster_id, revision: header.revision };
                return Ok((at, lost));
            }
        }
        Err(Error::internal(format!("the instance's record was changed {MAX_ATTEMPTS} times by others"))
            .into())
    }

    /// Makes the record, with tokens, where nobody else has joined the zone meanwhile. An instance that the metastore
    /// has forgotten keeps the tokens that it had.
    async fn placing(&self, wanted: &Announcement, now_ms: i64) -> Result<(Txn, Vec<LostRange>), PlaceError> {
        let guard = records::key::<Placements>(&[&self.place.ring, &self.place.zone]);
        let guarded = self.client.get(guard.clone()).await?.map_or(0, |record| record.mod_revision);
        let mut stored = match &self.saved {
            Some(saved) => saved.clone(),
            None => {
                let others = others(&self.client, &self.place.ring, &self.place.zone).await?;
                let others: Vec<&[u64]> = others.iter().map(Vec::as_slice).collect();
                let zone = (!self.place.zone.is_empty()).then_some(self.place.zone.as_str());
                record::new(&self.place, ring::place(zone, &others), now_ms)
            }
        };
        record::check(&stored.message, &self.place).map_err(PlaceError::Wrong)?;
        record::merge(&mut stored.message, &self.place, wanted, now_ms);
        let placement = Placement { instance: self.place.instance.clone(), placed_ms: now_ms };
        let put: Vec<Op> = vec![
            records::put::<Instances>(self.key.clone(), &stored),
            records::put::<Placements>(guard.clone(), &Stored::new(placement)),
        ];
        let compare = vec![records::unchanged(self.key.clone(), 0), records::unchanged(guard, guarded)];
        Ok((Txn { compare, then: put, otherwise: Vec::new() }, stored.message.lost_ranges))
    }
}

/// The tokens of everyone in a zone of a ring, whatever their states.
async fn others(client: &Client, ring: &str, zone: &str) -> Result<Vec<Vec<u64>>, PlaceError> {
    let prefix = format!("{}{ring}/", Instances::PREFIX);
    let mut tokens = Vec::new();
    for found in client.all(prefix).await? {
        let Instance { zone: of, tokens: has, .. } = records::value::<Instances>(&found)?.message;
        if of == zone && !has.is_empty() {
            tokens.push(has);
        }
    }
    Ok(tokens)
}
