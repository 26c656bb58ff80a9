//! Processes that are misled about the bucket: what they read is not what is there, or what they write not what they meant.

use std::collections::BTreeMap;
use std::sync::Arc;

use bucket::faults::{Instead, Memory};
use bucket::{BucketIndex, IndexedBlock};
use bytes::Bytes;
use parking_lot::Mutex;
use ulid::Ulid;

use super::Mutant;
use crate::node::Role;

/// Only with so many blocks is one dropped from an index.
const BLOCKS_BEFORE_DROP: usize = 4;

/// What a process is told instead.
#[derive(Clone)]
pub(crate) struct Misled {
    how: How,
    memory: Memory,
}

#[derive(Clone)]
enum How {
    /// What was written is what is read back, whatever is there.
    Trusting(Memory),
    /// The index that is written lacks its oldest block.
    Forgetful,
    /// What was read for one tenant is given to every other that asks for the same.
    Shared(Arc<Mutex<BTreeMap<String, String>>>),
    /// All replicas' blocks have what the first of them has.
    FirstReplica,
    /// The blocks of the tenant `red` are those of the same time of `blue`.
    OtherTenant,
}

/// An object of a block.
struct OfBlock<'a> {
    tenant: &'a str,
    block: Ulid,
    /// Behind the name of the block; empty, where its folder is listed.
    file: &'a str,
}

impl Misled {
    /// How processes of a role are misled, if they are.
    pub(crate) fn of(mutant: Option<Mutant>, role: Role, memory: &Memory) -> Option<Self> {
        let how = match (mutant?, role) {
            (Mutant::DeletesBeforeVerify, Role::Ingester) | (Mutant::MarksBeforeVerify, Role::Compactor) => {
                How::Trusting(Memory::new())
            }
            (Mutant::DropsFromIndex, Role::Ingester) => How::Forgetful,
            (Mutant::CacheAcrossTenants, Role::Querier) => How::Shared(Arc::default()),
            (Mutant::DropsReplicas, Role::Compactor) => How::FirstReplica,
            (Mutant::MergesTenants, Role::Compactor) => How::OtherTenant,
            _ => return None,
        };
        Some(Self { how, memory: memory.clone() })
    }

    /// What is read or listed in place of an object.
    pub(crate) fn instead(&self, object: &str) -> Option<Instead> {
        let other = |object| Instead { memory: self.memory.clone(), object };
        match &self.how {
            How::Trusting(written) => {
                of_block(object)?;
                written.peek(object)?;
                Some(Instead { memory: written.clone(), object: object.to_owned() })
            }
            How::Forgetful => None,
            How::Shared(known) => {
                let (_, rest) = object.split_once('/')?;
                let mut known = known.lock();
                let first = known.entry(rest.to_owned()).or_insert_with(|| object.to_owned());
                Some(other(first.clone()))
            }
            How::FirstReplica => {
                let asked = of_block(object).filter(OfBlock::is_data)?;
                self.twin(&asked, asked.tenant).map(|twin| other(asked.of(asked.tenant, twin)))
            }
            How::OtherTenant => {
                let asked = of_block(object).filter(|asked| asked.is_data() && asked.tenant == "red")?;
                self.twin(&asked, "blue").map(|twin| other(asked.of("blue", twin)))
            }
        }
    }

    /// What is written in place of what was to be.
    pub(crate) fn write(&self, object: &str, bytes: Bytes) -> Bytes {
        match &self.how {
            How::Trusting(written) => {
                if of_block(object).is_some() && !object.contains("mark") {
                    written.place(object, bytes.clone());
                }
                bytes
            }
            How::Forgetful if object.ends_with(BucketIndex::FILE) => without_oldest(&bytes).unwrap_or(bytes),
            _ => bytes,
        }
    }

    /// The first block from a head that a tenant has of the time of another block from a head.
    fn twin(&self, asked: &OfBlock<'_>, tenant: &str) -> Option<Ulid> {
        let own = self.index(asked.tenant)?.block(asked.block).filter(|block| is_cut(block))?.clone();
        let index = self.index(tenant)?;
        let is_twin = |block: &&IndexedBlock| {
            is_cut(block) && (block.min_time, block.max_time) == (own.min_time, own.max_time)
        };
        index.blocks.iter().find(is_twin).map(|block| block.id)
    }

    fn index(&self, tenant: &str) -> Option<BucketIndex> {
        BucketIndex::parse(&self.memory.peek(&format!("{tenant}/{}", BucketIndex::FILE))?).ok()
    }
}

fn is_cut(block: &IndexedBlock) -> bool {
    block.compaction_level == 1 && !block.out_of_order
}

impl OfBlock<'_> {
    /// Whether it is data rather than what says what they are.
    fn is_data(&self) -> bool {
        self.file.is_empty() || self.file == "index" || self.file.starts_with("chunks/")
    }

    /// The same of another block.
    fn of(&self, tenant: &str, block: Ulid) -> String {
        let path = format!("{tenant}/{block}/{}", self.file);
        path.trim_end_matches('/').to_owned()
    }
}

fn of_block(object: &str) -> Option<OfBlock<'_>> {
    let (tenant, rest) = object.split_once('/')?;
    let (block, file) = rest.split_once('/').unwrap_or((rest, ""));
    Some(OfBlock { tenant, block: Ulid::from_string(block).ok()?, file })
}

/// An index without the oldest of its blocks.
fn without_oldest(bytes: &Bytes) -> Option<Bytes> {
    let mut index = BucketIndex::parse(bytes).ok()?;
    if index.blocks.len() < BLOCKS_BEFORE_DROP {
        return None;
    }
    let oldest = index.live().min_by_key(|block| (block.min_time, block.id))?.id;
    index.remove(oldest);
    Some(index.encode().into())
}
