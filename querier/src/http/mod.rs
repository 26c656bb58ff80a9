//! The Prometheus query API over HTTP: parameters in, upstream's JSON out.

mod answer;
mod float;
mod histogram;
mod json;
mod params;
mod query;
mod series;
mod stats;
mod status;
mod time;
mod tree;

use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use rpc::{BodyLimits, read_body};

use crate::error::ApiError;
use crate::service::Querier;

use params::{MAX_FORM_BYTES, Params};

/// Where the API is found: the second is what Prometheus itself has.
const PREFIXES: [&str; 2] = ["/prometheus/api/v1", "/api/v1"];

/// How long a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(30);

/// The routes of the API.
pub(crate) fn router(querier: Querier) -> Router {
    let api = Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(series::exemplars).post(series::exemplars))
        .route("/format_query", get(query::format).post(query::format))
        .route("/parse_query", get(query::parse).post(query::parse))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::label_names).post(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(series::metadata))
        .route("/status/buildinfo", get(status::build_info))
        .with_state(querier);
    let api = rpc::api::prometheus_api(api);
    PREFIXES.iter().fold(Router::new(), |router, prefix| router.nest(prefix, api.clone()))
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let query = request.uri().query().unwrap_or("").to_owned();
        let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            value.as_bytes().to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
        });
        if !is_form {
            return Ok(Self::parse(&query, b""));
        }
        let limits = BodyLimits { max_bytes: MAX_FORM_BYTES, read_timeout: FORM_TIMEOUT };
        match read_body(request.into_body(), limits).await {
            Ok(form) => Ok(Self::parse(&query, &form)),
            Err(error) => Err(ApiError::from(error).into_response()),
        }
    }
}
