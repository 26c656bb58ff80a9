//! An engine in memory, for simulation and tests. It outlives the node that uses it, as a disk does; a power failure
//! takes what was not synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::engine::{Batch, Durability, Engine, EngineError, Family, Pair, Write};

type Families = BTreeMap<Family, BTreeMap<Vec<u8>, Vec<u8>>>;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    current: Families,
    /// Batches that are not synced yet, in order.
    buffered: Vec<Batch>,
    synced: Families,
}

impl MemoryEngine {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A power failure: what was not synced is gone.
    pub fn lose_power(&self) {
        let mut disk = self.disk.lock();
        disk.buffered.clear();
        disk.current = disk.synced.clone();
    }
}

impl Engine for MemoryEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.disk.lock().current.get(&family).and_then(|pairs| pairs.get(key)).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), EngineError> {
        let disk = self.disk.lock();
        let Some(pairs) = disk.current.get(&family) else { return Ok(()) };
        for (key, value) in pairs.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family) -> Result<Option<Pair>, EngineError> {
        let disk = self.disk.lock();
        let last = disk.current.get(&family).and_then(BTreeMap::last_key_value);
        Ok(last.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut disk = self.disk.lock();
        change(&mut disk.current, &batch);
        disk.buffered.push(batch);
        if durability == Durability::Synced {
            let Disk { buffered, synced, .. } = &mut *disk;
            buffered.drain(..).for_each(|batch| change(synced, &batch));
        }
        Ok(())
    }
}

fn change(families: &mut Families, batch: &Batch) {
    for write in &batch.writes {
        match write {
            Write::Put(family, key, value) => {
                families.entry(*family).or_default().insert(key.clone(), value.clone());
            }
            Write::Delete(family, key) => {
                families.entry(*family).or_default().remove(key);
            }
            Write::DeleteRange(family, from, to) => {
                families.entry(*family).or_default().retain(|key, _| key < from || key >= to);
            }
        }
    }
}
