//! The secret that the processes of a cluster share, so that nobody else's calls are answered.

use http::HeaderValue;
use http::header::{HeaderMap, HeaderName};
use settings::Secret;
use subtle::ConstantTimeEq as _;

/// The metadata key of the secret.
const HEADER: HeaderName = HeaderName::from_static("barograph-cluster-secret");

/// The cluster's secret, or that there is none.
#[derive(Clone, Default)]
pub struct ClusterSecret {
    value: Option<HeaderValue>,
}

/// A secret that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("grpc.cluster_secret has characters that a header cannot carry; use printable ASCII")]
pub struct InvalidSecret;

impl ClusterSecret {
    /// The secret as configured; empty means none.
    ///
    /// # Errors
    /// Where it is not printable ASCII.
    pub fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        if secret.expose().is_empty() {
            return Ok(Self::default());
        }
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| InvalidSecret)?;
        value.set_sensitive(true);
        Ok(Self { value: Some(value) })
    }

    /// Adds the secret to a call.
    pub(super) fn add(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.value {
            headers.insert(HEADER, value.clone());
        }
    }

    /// Takes the secret off a call; whether it was right. How long that takes tells nothing but the length.
    pub(super) fn take(&self, headers: &mut HeaderMap) -> bool {
        let given = headers.remove(HEADER);
        match (&self.value, given) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(value), Some(given)) => value.as_bytes().ct_eq(given.as_bytes()).into(),
        }
    }
}

impl std::fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.value.is_some() { "ClusterSecret(hidden)" } else { "ClusterSecret(none)" })
    }
}
