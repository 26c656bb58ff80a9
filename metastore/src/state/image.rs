//! The whole state as bytes: snapshots between nodes, and backups. The format is in `docs/formats/metastore.md`.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use proto::metastore::{DoneTxn, Event, Record, StateHeader};

use super::done::Done;
use super::history::{self, History};
use super::{MAX_STATE_BYTES, State};

/// What an image begins with; the last byte is the format's version.
const MAGIC: &[u8] = b"barograph metastore state\n\x01";
const CHECKSUM_BYTES: usize = 4;

/// The largest image that is read: records, as many bytes of history, and what is around them.
pub const MAX_IMAGE_BYTES: usize = 2 * MAX_STATE_BYTES;

/// Why bytes are not an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// They begin with something else.
    #[error("this is not an image of a metastore's state, or one of a newer version")]
    Magic,
    /// They were damaged.
    #[error("the checksum does not match: {stored:#010x} is stored, {computed:#010x} computed")]
    Checksum {
        /// What the image says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A message in it cannot be read.
    #[error("cannot read {what} {index} of the image")]
    Message {
        /// Which kind of message.
        what: &'static str,
        /// Which one of its kind, from 0.
        index: u64,
    },
    /// There is more than there should be.
    #[error("{bytes} bytes follow the last message")]
    Trailing {
        /// How many bytes.
        bytes: usize,
    },
}

impl State {
    /// The state as bytes. Equal states give equal bytes.
    pub fn to_image(&self) -> Bytes {
        let header = self.header();
        let mut image = Vec::with_capacity(MAGIC.len() + 2 * self.bytes + 64);
        image.put_slice(MAGIC);
        write(&header, &mut image);
        self.records.values().for_each(|record| write(&**record, &mut image));
        self.history.events().for_each(|event| write(&**event, &mut image));
        self.done.iter().for_each(|done| write(&**done, &mut image));
        let checksum = crc32c::crc32c(&image);
        image.put_u32_le(checksum);
        image.into()
    }

    /// The state that the bytes hold.
    ///
    /// # Errors
    /// Where they are damaged, or something else.
    pub fn from_image(image: &Bytes) -> Result<Self, ImageError> {
        let body_len = image.len().checked_sub(CHECKSUM_BYTES).ok_or(ImageError::Magic)?;
        if !image.starts_with(MAGIC) || body_len < MAGIC.len() {
            return Err(ImageError::Magic);
        }
        let stored = image.slice(body_len..).get_u32_le();
        let computed = crc32c::crc32c(&image.slice(..body_len));
        if stored != computed {
            return Err(ImageError::Checksum { stored, computed });
        }
        let mut rest = image.slice(MAGIC.len()..body_len);
        let header: StateHeader = read(&mut rest, "header", 0)?;
        let mut records = Vec::new();
        for index in 0..header.records {
            records.push(read::<Record>(&mut rest, "record", index)?);
        }
        let mut events = Vec::new();
        for index in 0..header.events {
            events.push(read::<Event>(&mut rest, "event", index)?);
        }
        let mut done = Vec::new();
        for index in 0..header.done {
            done.push(read::<DoneTxn>(&mut rest, "remembered transaction", index)?);
        }
        if !rest.is_empty() {
            return Err(ImageError::Trailing { bytes: rest.len() });
        }
        Ok(Self::from_parts(&header, records, events, done))
    }

    /// The state whose parts were stored one by one.
    pub(crate) fn from_parts(
        header: &StateHeader,
        records: Vec<Record>,
        events: Vec<Event>,
        done: Vec<DoneTxn>,
    ) -> Self {
        let mut state = Self {
            cluster_id: header.cluster_id,
            revision: header.revision,
            time_ms: header.time_ms,
            done: Done::restore(done, header.forgotten_revision),
            ..Self::default()
        };
        records.into_iter().for_each(|record| state.remember(Arc::new(record)));
        let remembered =
            events.into_iter().filter(|event| history::revision(event) > header.compacted_revision);
        state.history = History::restore(remembered.map(Arc::new).collect(), header.compacted_revision);
        state
    }

    /// What is stored beside records, events and remembered transactions. The counts are of this moment.
    pub(crate) fn header(&self) -> StateHeader {
        StateHeader {
            cluster_id: self.cluster_id,
            revision: self.revision,
            compacted_revision: self.history.compacted(),
            time_ms: self.time_ms,
            records: self.records.len() as u64,
            events: self.history.events().len() as u64,
            forgotten_revision: self.done.forgotten(),
            done: self.done.iter().len() as u64,
        }
    }

    /// Makes it the state of another cluster, whose revisions nobody compares with this one's.
    pub(crate) fn refound(&mut self, cluster_id: u64) {
        self.cluster_id = cluster_id;
    }
}

fn write(message: &impl Message, image: &mut Vec<u8>) {
    message.encode_length_delimited(image).expect("a vector grows");
}

fn read<M: Message + Default>(rest: &mut Bytes, what: &'static str, index: u64) -> Result<M, ImageError> {
    M::decode_length_delimited(rest).map_err(|_| ImageError::Message { what, index })
}
