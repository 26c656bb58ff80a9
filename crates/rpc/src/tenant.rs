//! Whose request it is: the `X-Scope-OrgID` header becomes a [`Tenant`] in the request's extensions.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::FromRequestParts;
use axum::response::Response;
use futures::future::Either;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request};
use model::TenantId;
use proto::{Code, Error};
use tower::{Layer, Service};

use crate::response::error_response;

/// The header that names the tenant, as in Mimir, Cortex and Loki.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("x-scope-orgid");

/// What several tenants are joined by.
const TENANT_SEPARATOR: char = '|';

/// The tenant of a request; an extension that [`TenantLayer`] sets, and an extractor for handlers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(pub TenantId);

/// How the tenant of a request is found.
#[derive(Debug, Clone)]
pub struct TenantResolver {
    /// The tenant of every request, with multi-tenancy off.
    sole: Option<TenantId>,
}

impl TenantResolver {
    /// Multi-tenancy is on: every request has to name its tenant.
    pub fn multi_tenant() -> Self {
        Self { sole: None }
    }

    /// Multi-tenancy is off: every request is `anonymous`, whatever its header says.
    pub fn single_tenant() -> Self {
        Self { sole: Some(TenantId::anonymous()) }
    }

    /// The tenant that a request with these headers belongs to.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] without a tenant where one is needed; [`Code::InvalidArgument`] where it is not a
    /// tenant ID, or several are given.
    pub fn resolve(&self, headers: &HeaderMap) -> Result<Tenant, Error> {
        if let Some(sole) = &self.sole {
            return Ok(Tenant(sole.clone()));
        }
        let mut values = headers.get_all(TENANT_HEADER).iter();
        let Some(value) = values.next().filter(|v| !v.is_empty()) else {
            return Err(Error::new(Code::Unauthenticated, "no org id"));
        };
        if values.next().is_some() {
            return Err(Error::invalid("header X-Scope-OrgID is given more than once; name one tenant"));
        }
        let id = value
            .to_str()
            .map_err(|_| Error::invalid("header X-Scope-OrgID is not ASCII text; tenant IDs are"))?;
        if id.contains(TENANT_SEPARATOR) {
            return Err(Error::invalid(format!(
                "header X-Scope-OrgID names several tenants ({id:?}); queries over several tenants are not \
                 available in this version, name one"
            )));
        }
        TenantId::new(id).map(Tenant).map_err(|e| Error::invalid(format!("header X-Scope-OrgID: {e}")))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            error_response(&Error::internal(
                "the route has no tenant: it is served outside of the tenant layer",
            ))
        })
    }
}

/// Puts the [`Tenant`] into the extensions of every request, or answers in place of the handler.
#[derive(Debug, Clone)]
pub struct TenantLayer(TenantResolver);

impl TenantLayer {
    /// A layer that finds tenants this way.
    pub fn new(resolver: TenantResolver) -> Self {
        Self(resolver)
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = TenantService<S>;

    fn layer(&self, inner: S) -> TenantService<S> {
        TenantService { resolver: self.0.clone(), inner }
    }
}

/// The service of [`TenantLayer`].
#[derive(Debug, Clone)]
pub struct TenantService<S> {
    resolver: TenantResolver,
    inner: S,
}

impl<S, B> Service<Request<B>> for TenantService<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // A browser asks what it may send before it sends the tenant: that question touches nobody's data.
        if request.method() == Method::OPTIONS {
            return Either::Left(self.inner.call(request));
        }
        match self.resolver.resolve(request.headers()) {
            Ok(tenant) => {
                request.extensions_mut().insert(tenant);
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(error_response(&error)))),
        }
    }
}
