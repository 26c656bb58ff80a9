//! Messages that are read, changed and written back by programs of several versions: what the older one does not know
//! stays in them.

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost::{DecodeError, Message};

/// A message whose fields are listed, so that those of a newer version can be told apart.
pub trait KnownFields: Message + Default {
    /// The numbers of the fields that this version knows, ascending.
    const TAGS: &'static [u32];
}

/// A message as it was stored, with the fields that this version does not know.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stored<M> {
    /// What this version knows of it.
    pub message: M,
    /// The top-level fields that it does not know, as they came.
    unknown: Vec<u8>,
}

impl<M: KnownFields> Stored<M> {
    /// A new message.
    pub fn new(message: M) -> Self {
        Self { message, unknown: Vec::new() }
    }

    /// Reads a stored message.
    ///
    /// # Errors
    /// Where the bytes are not such a message.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let message = M::decode(bytes.clone())?;
        let mut unknown = Vec::new();
        let mut rest = bytes.clone();
        while rest.has_remaining() {
            let field = rest.clone();
            let (tag, wire_type) = decode_key(&mut rest)?;
            skip(wire_type, tag, &mut rest)?;
            if M::TAGS.binary_search(&tag).is_err() {
                unknown.extend_from_slice(field.get(..field.len() - rest.len()).unwrap_or_default());
            }
        }
        Ok(Self { message, unknown })
    }

    /// The message as it is to be stored: what is known, then what is not.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.message.encoded_len() + self.unknown.len());
        self.message.encode_raw(&mut bytes);
        bytes.extend_from_slice(&self.unknown);
        bytes.into()
    }
}

fn skip(wire_type: WireType, tag: u32, rest: &mut Bytes) -> Result<(), DecodeError> {
    skip_field(wire_type, tag, rest, DecodeContext::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metastore::{HaElection, Tenant};

    #[test]
    fn a_field_of_a_newer_version_survives_a_change_by_an_older_one() {
        // Field 900, a string, which no version of ours has; before and behind what is known.
        let newer = |text: &str| {
            let mut field = Vec::new();
            prost::encoding::string::encode(900, &text.to_owned(), &mut field);
            field
        };
        let known = HaElection { replica: "a".into(), elected_ms: 5, received_ms: 0 };
        let mut bytes = newer("first");
        bytes.extend(known.encode_to_vec());
        bytes.extend(newer("second"));

        let mut stored = Stored::<HaElection>::decode(&bytes.into()).unwrap();
        assert_eq!(stored.message, known);
        stored.message.replica = "b".into();
        stored.message.elected_ms = 0;
        let written = stored.encode();

        let again = Stored::<HaElection>::decode(&written).unwrap();
        assert_eq!(again.message.replica, "b");
        assert_eq!(again.message.elected_ms, 0);
        let mut kept = newer("first");
        kept.extend(newer("second"));
        assert!(written.ends_with(&kept));
    }

    #[test]
    fn every_field_is_known_of_a_message_of_ours() {
        let tenant = Tenant { created_ms: 7, shard_sizes: vec![Default::default(); 2] };
        let stored = Stored::<Tenant>::decode(&tenant.encode_to_vec().into()).unwrap();
        assert_eq!(stored, Stored::new(tenant));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        Stored::<Tenant>::decode(&Bytes::from_static(&[0xff])).unwrap_err();
    }
}
