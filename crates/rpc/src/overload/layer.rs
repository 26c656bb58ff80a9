//! The governor in front of routes.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::response::Response;
use futures::future::Either;
use http::Request;
use tower::{Layer, Service};

use super::{Class, Governor};
use crate::response::error_response;

/// Refuses the requests of a router, which are all of one class, while the governor says so.
#[derive(Debug, Clone)]
pub struct ShedLayer {
    governor: Governor,
    class: Class,
}

impl ShedLayer {
    /// A layer for requests of this class.
    pub fn new(governor: Governor, class: Class) -> Self {
        Self { governor, class }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = ShedService<S>;

    fn layer(&self, inner: S) -> ShedService<S> {
        ShedService { layer: self.clone(), inner }
    }
}

/// The service of [`ShedLayer`].
#[derive(Debug, Clone)]
pub struct ShedService<S> {
    layer: ShedLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for ShedService<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.governor.admit(self.layer.class) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(error) => Either::Right(ready(Ok(error_response(&error)))),
        }
    }
}
