//! A record of the metastore that clients read, write and replace. What they saw must have one order that explains it; the
//! metastore's revisions say which one that is to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use env::Scope;
use membership::Client;
use membership::records::unchanged;
use parking_lot::Mutex;
use proto::metastore::{Op, Put, Record, Txn, op};

use crate::draw::Draw;
use crate::oracle::Violation;
use crate::trace::Trace;

const KEY: &str = "sim/register";

/// What clients did with the register. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Registers {
    history: Arc<Mutex<History>>,
}

#[derive(Default)]
struct History {
    /// Beginnings and ends, in one order.
    moment: u64,
    done: Vec<Done>,
    /// Values of writes that may have been done or not, or may still be.
    uncertain: Vec<Bytes>,
}

/// What is known to have been done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Done {
    began: u64,
    ended: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// The revision at which what was read had been written, and its value; 0 where there was nothing.
    Read { written_at: u64, value: Bytes },
    /// Written by a revision; where it was to replace something, what had been written by an earlier one.
    Wrote { revision: u64, value: Bytes, replaced: Option<u64> },
}

impl Done {
    /// The revision that the operation stands at.
    fn revision(&self) -> u64 {
        match &self.what {
            What::Read { written_at, .. } => *written_at,
            What::Wrote { revision, .. } => *revision,
        }
    }
}

impl Registers {
    /// Uses the register until `stop`.
    pub(crate) fn start(
        &self,
        number: u64,
        client: Client,
        draw: Draw,
        scope: &Scope,
        stop: Arc<AtomicBool>,
        trace: Trace,
    ) {
        let registers = self.clone();
        drop(scope.spawn("register", async move {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(draw.time(Duration::from_millis(50), Duration::from_millis(1200))).await;
                round += 1;
                let value = Bytes::from(format!("{number}-{round}"));
                match draw.between(0, 2) {
                    0 => drop(registers.read(&client).await),
                    1 => registers.write(&client, value, None).await,
                    _ => {
                        if let Some(read) = registers.read(&client).await {
                            registers.write(&client, value, Some(read)).await;
                        }
                    }
                }
            }
            trace.event(format_args!("the client of registers {number} ends after {round} rounds"));
        }));
    }

    /// Reads; the revision of what was there.
    async fn read(&self, client: &Client) -> Option<u64> {
        let began = self.tick();
        let record: Option<Record> = client.get(KEY).await.ok()?;
        let written_at = record.as_ref().map_or(0, |record| record.mod_revision);
        let value = record.map(|record| record.value).unwrap_or_default();
        self.done(began, What::Read { written_at, value });
        Some(written_at)
    }

    async fn write(&self, client: &Client, value: Bytes, replaced: Option<u64>) {
        let put = Put { key: KEY.into(), value: value.clone(), lease: String::new() };
        let txn = Txn {
            compare: replaced.map(|read| unchanged(KEY.into(), read)).into_iter().collect(),
            then: vec![Op { op: Some(op::Op::Put(put)) }],
            otherwise: Vec::new(),
        };
        let began = self.tick();
        // Until it is known, also where the run ends before.
        self.history.lock().uncertain.push(value.clone());
        // Where there is no answer it stays so.
        if let Ok(answer) = client.txn(txn).await {
            self.history.lock().uncertain.retain(|uncertain| *uncertain != value);
            let revision = answer.header.map_or(0, |header| header.revision);
            if answer.result.is_some_and(|result| result.succeeded) {
                self.done(began, What::Wrote { revision, value, replaced });
            }
        }
    }

    fn tick(&self) -> u64 {
        let mut history = self.history.lock();
        history.moment += 1;
        history.moment
    }

    fn done(&self, began: u64, what: What) {
        let mut history = self.history.lock();
        history.moment += 1;
        let ended = history.moment;
        history.done.push(Done { began, ended, what });
    }

    /// Whether the order of the revisions explains everything that was seen.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        self.history.lock().check()
    }
}

impl History {
    fn check(&self) -> Result<(), Violation> {
        self.check_time()?;
        let writes = || {
            self.done.iter().filter_map(|done| match &done.what {
                What::Wrote { revision, value, replaced } => Some((*revision, value, *replaced)),
                What::Read { .. } => None,
            })
        };
        for done in &self.done {
            let What::Read { written_at, value } = &done.what else { continue };
            let known = writes().find(|(revision, _, _)| revision == written_at);
            let explained = match known {
                Some((_, written, _)) => written == value,
                None => *written_at == 0 || self.uncertain.contains(value),
            };
            if !explained {
                return Err(wrong(format_args!("{done:?} saw what nobody has written")));
            }
        }
        for (revision, value, replaced) in writes() {
            let Some(replaced) = replaced else { continue };
            let between = writes().find(|(other, _, _)| *other > replaced && *other < revision);
            if let Some((between, _, _)) = between {
                return Err(wrong(format_args!(
                    "{value:?} replaced revision {replaced} at {revision}, and {between} came between"
                )));
            }
        }
        Ok(())
    }

    /// What ended before another thing began stands before it; two writes never stand at the same revision.
    fn check_time(&self) -> Result<(), Violation> {
        for later in &self.done {
            for earlier in self.done.iter().filter(|earlier| earlier.ended < later.began) {
                let in_order = match later.what {
                    What::Read { .. } => earlier.revision() <= later.revision(),
                    What::Wrote { .. } => earlier.revision() < later.revision(),
                };
                if !in_order {
                    return Err(wrong(format_args!("{earlier:?} ended before {later:?} began")));
                }
            }
        }
        Ok(())
    }
}

fn wrong(what: std::fmt::Arguments<'_>) -> Violation {
    Violation(format!("the metastore's history has no order: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(done: &[(u64, u64, What)], holds: bool) {
        let done =
            done.iter().map(|(began, ended, what)| Done { began: *began, ended: *ended, what: what.clone() });
        let history = History { moment: 0, done: done.collect(), uncertain: vec!["u".into()] };
        assert_eq!(history.check().is_ok(), holds, "{:?}", history.done);
    }

    fn read(written_at: u64, value: &'static str) -> What {
        What::Read { written_at, value: value.into() }
    }

    fn wrote(revision: u64, value: &'static str, replaced: Option<u64>) -> What {
        What::Wrote { revision, value: value.into(), replaced }
    }

    #[test]
    fn histories_with_an_order_and_without() {
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, read(5, "a"))], true);
        check(&[(1, 4, wrote(5, "a", None)), (2, 3, read(0, ""))], true);
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, read(7, "u"))], true);
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, read(0, ""))], false);
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, read(7, "b"))], false);
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, read(5, "b"))], false);
        check(&[(1, 2, read(9, "u")), (3, 4, wrote(5, "a", None))], false);
        check(&[(1, 2, wrote(5, "a", None)), (3, 4, wrote(6, "b", Some(5)))], true);
        check(
            &[(1, 9, wrote(6, "a", None)), (2, 3, wrote(5, "c", None)), (4, 8, wrote(7, "b", Some(5)))],
            false,
        );
    }
}
