//! The Prometheus query API over HTTP: parameters in, upstream's JSON out.

mod active_series;
mod answer;
mod cardinality;
mod federate;
mod float;
mod histogram;
mod json;
mod params;
mod plain;
mod query;
mod remote_read;
mod search;
mod series;
mod stats;
mod status;
mod time;
mod tree;

use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use rpc::api::CorsOrigins;
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
        .route("/status/tsdb", get(status::tsdb))
        .route("/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/search/label_names", get(search::label_names).post(search::label_names))
        .route("/search/label_values", get(search::label_values).post(search::label_values))
        .route("/cardinality/label_names", get(cardinality::label_names).post(cardinality::label_names))
        .route("/cardinality/label_values", get(cardinality::label_values).post(cardinality::label_values))
        .route("/cardinality/active_series", get(cardinality::active_series).post(cardinality::active_series))
        .route(
            "/cardinality/active_native_histogram_metrics",
            get(cardinality::active_native_histogram_metrics)
                .post(cardinality::active_native_histogram_metrics),
        )
        .route("/read", post(remote_read::read));
    let federation = get(federate::federate);
    let mut routes = Router::new();
    for prefix in PREFIXES {
        routes = routes.nest(prefix, api.clone());
    }
    let routes = routes.route("/prometheus/federate", federation.clone()).route("/federate", federation);
    // The setting has been checked; of one that is wrong no origin would match.
    let origins = CorsOrigins::matching(&querier.config().cors_origin);
    let origins = origins.unwrap_or_else(|_| CorsOrigins::none());
    rpc::api::prometheus_api(routes, origins).with_state(querier)
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
