//! Tenants: who data belongs to. Nothing crosses tenants.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest tenant ID in bytes; the limit that Mimir and Cortex document.
pub const MAX_TENANT_ID_BYTES: usize = 150;

/// The tenant of requests without one when multi-tenancy is off.
pub const ANONYMOUS: &str = "anonymous";

/// A valid tenant ID: 1 to 150 bytes of letters, digits and `!-_.*'()`, neither `.` nor `..` nor the name of a folder
/// that the bucket layout uses itself. The rules are those of Mimir, so that a tenant's ID can be a folder in a bucket.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant ID.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TenantIdError {
    /// Nothing at all.
    #[error("tenant ID is empty; it needs 1 to {MAX_TENANT_ID_BYTES} characters")]
    Empty,
    /// Too long.
    #[error("tenant ID is {bytes} bytes long; at most {MAX_TENANT_ID_BYTES} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A character outside the set.
    #[error("tenant ID {tenant:?} contains {character:?}; allowed are letters, digits and !-_.*'()")]
    Character {
        /// The offending text.
        tenant: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A name with a meaning of its own.
    #[error("tenant ID {tenant:?} is reserved; choose another")]
    Reserved {
        /// The offending text.
        tenant: String,
    },
}

impl TenantId {
    /// The tenant `id`, if it is a valid one.
    pub fn new(id: &str) -> Result<Self, TenantIdError> {
        if id.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if id.len() > MAX_TENANT_ID_BYTES {
            return Err(TenantIdError::TooLong { bytes: id.len() });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(character) = id.chars().find(|c| !allowed(*c)) {
            return Err(TenantIdError::Character { tenant: id.to_owned(), character });
        }
        if matches!(id, "." | ".." | "__mimir_cluster" | "__barograph") {
            return Err(TenantIdError::Reserved { tenant: id.to_owned() });
        }
        Ok(Self(id.into()))
    }

    /// The tenant of requests that name none, when multi-tenancy is off.
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, valid: bool) {
        assert_eq!(TenantId::new(id).is_ok(), valid, "{id:?}");
    }

    #[test]
    fn valid_and_invalid_ids() {
        check("team-a_1.(x)*'!", true);
        check("", false);
        check("a/b", false);
        check("a|b", false);
        check("..", false);
        check("ü", false);
        check(&"a".repeat(150), true);
        check(&"a".repeat(151), false);
    }
}
