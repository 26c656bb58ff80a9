//! The way of alerts from whoever evaluates rules to an Alertmanager.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{Labels, TenantId};

use crate::Error;

/// An alert, as an Alertmanager is told of it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedAlert {
    /// Its labels, by which it is known.
    pub labels: Labels,
    /// What people are to read.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// Since when it has been firing.
    pub starts_at_ms: i64,
    /// When it ended, or when it is to be held for ended unless told again.
    pub ends_at_ms: i64,
    /// A link to what it is about.
    pub generator_url: Arc<str>,
}

/// An Alertmanager as rulers see it.
#[async_trait]
pub trait PostAlerts: Send + Sync {
    /// Tells of alerts of a tenant. An error that is not retryable means that the same alerts would be refused again.
    async fn post(&self, tenant: &TenantId, alerts: &[PostedAlert]) -> Result<(), Error>;
}
