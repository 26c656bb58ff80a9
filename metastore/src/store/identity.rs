//! Who a data directory is. Its number is drawn when the directory is made, so a node whose disk was replaced comes
//! back as another one, which has no vote that it could have forgotten.

use prost::Message as _;
use proto::metastore::{Member, Node};

use super::engine::{Batch, Durability, Engine, EngineError, Family};
use super::keys;

/// What this version writes.
const FORMAT: &[u8] = b"barograph metastore 1";

/// A node's number and name.
pub type Identity = Member;

/// Why a directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The store fails.
    #[error("cannot read or write the metastore's directory")]
    Engine(#[from] EngineError),
    /// Another version wrote it.
    #[error(
        "the metastore's directory says {found:?}, this version knows {known:?}: start the version that wrote it"
    )]
    Format {
        /// What it says.
        found: String,
        /// What this version writes.
        known: String,
    },
    /// The identity cannot be read.
    #[error("the metastore's directory has a damaged identity")]
    Damaged,
}

/// The identity that the directory has, with the name and address that the node has now; a new one in a new directory,
/// whose number is `draw`.
///
/// # Errors
/// Where the directory is of another version, or cannot be read or written.
pub(crate) fn load(engine: &dyn Engine, draw: u64, node: &Node) -> Result<Identity, IdentityError> {
    if let Some(found) = engine.get(Family::Meta, keys::FORMAT)?
        && found != FORMAT
    {
        return Err(IdentityError::Format {
            found: String::from_utf8_lossy(&found).into_owned(),
            known: String::from_utf8_lossy(FORMAT).into_owned(),
        });
    }
    if let Some(stored) = engine.get(Family::Meta, keys::IDENTITY)? {
        let stored = Member::decode(&*stored).map_err(|_| IdentityError::Damaged)?;
        return Ok(Member { id: stored.id, node: Some(node.clone()) });
    }
    // 0 stands for nobody.
    let identity = Member { id: draw.max(1), node: Some(node.clone()) };
    let mut batch = Batch::default();
    batch.put(Family::Meta, keys::FORMAT, FORMAT);
    batch.put(Family::Meta, keys::IDENTITY, identity.encode_to_vec());
    engine.write(batch, Durability::Synced)?;
    Ok(identity)
}

/// Whether the directory has been a node's.
pub(crate) fn exists(engine: &dyn Engine) -> Result<bool, EngineError> {
    Ok(engine.get(Family::Meta, keys::IDENTITY)?.is_some())
}
