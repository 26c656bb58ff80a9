//! The way of one machine to the bucket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bucket::BucketIndex;
use bucket::faults::{Errand, Fault, Instead, Way};
use bytes::Bytes;
use env::Clock as _;
use ulid::Ulid;

use super::{DELETION_DELAY, Inner, MAX_SKEW, Storage};
use crate::mutant::Misled;
use crate::node::Role;
use crate::site::Process;

/// How long a request takes that comes to nothing.
const LOST_FOR: Duration = Duration::from_millis(300);

/// The way of a process.
pub(super) struct MachineWay {
    storage: Arc<Inner>,
    machine: String,
    misled: Option<Misled>,
}

impl MachineWay {
    pub(super) fn new(storage: &Storage, process: &Process, role: Role) -> Self {
        let storage = Arc::clone(&storage.inner);
        let misled = Misled::of(process.site.mutant, role, &storage.memory);
        Self { storage, machine: process.name.clone(), misled }
    }

    /// What goes wrong with an operation that begins now.
    fn fault(&self, errand: &Errand<'_>) -> Option<Fault> {
        let state = self.storage.state.lock();
        let is_away = state.away.get(&self.machine).is_some_and(|faults| *faults > 0);
        let (is_gone, trouble) = (state.is_down || is_away, state.trouble);
        drop(state);
        let draw = &self.storage.draw;
        if is_gone || draw.chance(trouble.refused) {
            return Some(Fault::Refused);
        }
        if errand.changes && draw.chance(trouble.unanswered) {
            return Some(Fault::Unanswered);
        }
        (can_be_half(errand) && draw.chance(trouble.half)).then_some(Fault::Half)
    }

    /// How long one way takes.
    fn time(&self) -> Duration {
        let longest = self.storage.state.lock().trouble.longest;
        let draw = &self.storage.draw;
        // Most are quick however slow some are.
        let longest = if draw.chance(100) { longest } else { longest.min(Duration::from_millis(8)) };
        draw.time(Duration::ZERO, longest)
    }
}

/// Data of blocks, which are read back, and the index, which can be made anew, may be written by half; of what is read, only contents
/// can be cut short. `meta.json` and marks, of a few hundred bytes, are there or not, as servers promise.
fn can_be_half(errand: &Errand<'_>) -> bool {
    match errand.what {
        "get" => true,
        "put" => !errand.object.contains("mark") && !errand.object.ends_with("/meta.json"),
        _ => false,
    }
}

impl fmt::Debug for MachineWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineWay").field("machine", &self.machine).finish_non_exhaustive()
    }
}

#[async_trait]
impl Way for MachineWay {
    async fn there(&self, errand: Errand<'_>) -> Option<Fault> {
        tokio::time::sleep(self.time()).await;
        let fault = self.fault(&errand);
        let Errand { what, object, .. } = errand;
        match fault {
            None => self.storage.trace.message(format_args!("{}: bucket, {what} {object}", self.machine)),
            Some(fault) => {
                self.storage
                    .trace
                    .message(format_args!("{}: bucket, {what} {object}: {fault:?}", self.machine));
            }
        }
        if fault == Some(Fault::Refused) {
            tokio::time::sleep(LOST_FOR.min(self.time() * 10)).await;
        } else if what == "delete" {
            self.storage.is_deleted(&self.machine, object);
        }
        fault
    }

    async fn back(&self, _: Errand<'_>) {
        tokio::time::sleep(self.time()).await;
    }

    fn instead(&self, object: &str) -> Option<Instead> {
        self.misled.as_ref()?.instead(object)
    }

    fn write(&self, object: &str, bytes: Bytes) -> Bytes {
        match &self.misled {
            Some(misled) => misled.write(object, bytes),
            None => bytes,
        }
    }
}

impl Inner {
    /// A machine deletes an object: a block goes only once it has been marked for long enough, or if no reader ever knew it.
    fn is_deleted(&self, machine: &str, object: &str) {
        let Some((tenant, block)) = object.strip_suffix("/meta.json").and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        let (Ok(block), Some(file)) =
            (Ulid::from_string(block), self.memory.peek(&format!("{tenant}/{}", BucketIndex::FILE)))
        else {
            return;
        };
        // One that was written by half names nobody.
        let Ok(index) = BucketIndex::parse(&file) else { return };
        let marked = index.block_deletion_marks.iter().find(|mark| mark.id == block);
        let least = i64::try_from((DELETION_DELAY - MAX_SKEW).as_secs()).unwrap_or(0);
        match marked.map(|mark| self.clock.now_ms().div_euclid(1000) - mark.deletion_time) {
            Some(age) if age < least => {
                let what = format!(
                    "{machine} deletes block {block} of {tenant} {age} seconds after it was marked, before {least}"
                );
                self.oracle.is_wrong(what);
            }
            None if index.is_live(block) => {
                self.oracle
                    .is_wrong(format!("{machine} deletes block {block} of {tenant}, which is not marked"));
            }
            _ => {}
        }
    }
}
