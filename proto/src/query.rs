//! The way of a rule's query to a querier, and what a ruler asks besides.

use async_trait::async_trait;
use model::{Labels, Matcher, TenantId, TimeRange};
use promql::{ParseOptions, QueryValue};

use crate::Error;

/// An instant query.
#[derive(Debug, Clone)]
pub struct InstantQuery {
    /// Who asks: its limits hold, and its data is read where no others are named.
    pub tenant: TenantId,
    /// Whose data is read as one, each series labelled with its tenant (`__tenant_id__`); none: the tenant's own.
    pub source_tenants: Vec<TenantId>,
    /// The expression.
    pub text: String,
    /// When it is evaluated, in milliseconds since 1970.
    pub time_ms: i64,
}

/// Which series, and in which time their newest samples are looked for.
#[derive(Debug, Clone)]
pub struct NewestRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// All of these have to match; at least one.
    pub matchers: Vec<Matcher>,
    /// Where samples count.
    pub range: TimeRange,
}

/// The newest float of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct NewestSample {
    /// The series' labels.
    pub labels: Labels,
    /// When it is, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its value; a stale marker is one, too.
    pub value: f64,
}

/// A querier as rulers see it. What it is asked here waits for its turn beside what people ask, never behind it.
#[async_trait]
pub trait Query: Send + Sync {
    /// The value of an expression at a time.
    async fn instant(&self, query: InstantQuery) -> Result<QueryValue, Error>;

    /// The newest float of each series that has one in the time, in the order of labels.
    async fn newest(&self, request: NewestRequest) -> Result<Vec<NewestSample>, Error>;

    /// What expressions of a tenant may use.
    fn parse_options(&self, tenant: &TenantId) -> ParseOptions;
}
