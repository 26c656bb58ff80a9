//! Remote write over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::TenantId;
use proto::{Error, Version, Written};
use rpc::{BodyLimits, Tenant, error_response, read_body};

use crate::negotiate;
use crate::service::{Distributor, Outcome};

const SAMPLES_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// `POST /api/v1/push` and `POST /api/v1/write`. To be served behind a [`rpc::TenantLayer`].
pub fn router(distributor: Arc<Distributor>) -> Router {
    Router::new().route("/api/v1/push", post(push)).route("/api/v1/write", post(push)).with_state(distributor)
}

async fn push(
    State(distributor): State<Arc<Distributor>>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let result = match negotiate::version(&headers) {
        Ok(version) => receive(&distributor, tenant, version, body).await,
        Err(error) => Err(error),
    };
    let (mut response, written) = match result {
        Ok(Outcome { response, deduplicated }) => {
            let answer = match response.error {
                Some(error) => error_response(&error),
                None if deduplicated => {
                    let why = "left out: another replica of the HA pair is elected\n";
                    (StatusCode::ACCEPTED, why).into_response()
                }
                None => StatusCode::NO_CONTENT.into_response(),
            };
            (answer, response.written)
        }
        Err(error) => (error_response(&error), Written::default()),
    };
    let counts = [
        (SAMPLES_WRITTEN, written.samples),
        (HISTOGRAMS_WRITTEN, written.histograms),
        (EXEMPLARS_WRITTEN, written.exemplars),
    ];
    for (name, count) in counts {
        response.headers_mut().insert(name, HeaderValue::from(count));
    }
    response
}

/// Takes in the body and stores it. Room for the body is set aside before it is read: as much as the client says it will
/// send, or the most that it may where it does not say.
async fn receive(
    distributor: &Distributor,
    tenant: TenantId,
    version: Version,
    body: Body,
) -> Result<Outcome, Error> {
    let config = distributor.config();
    let limits =
        BodyLimits { max_bytes: config.max_recv_msg_size.bytes(), read_timeout: config.body_read_timeout };
    let request = distributor.inflight().request()?;
    let announced = body.size_hint().upper().unwrap_or(limits.max_bytes);
    let room = distributor.inflight().bytes(announced.min(limits.max_bytes))?;
    let compressed = read_body(body, limits).await?;
    drop(room);
    let bytes = distributor.inflight().bytes(compressed.len() as u64)?;
    distributor.write_compressed(tenant, version, compressed, vec![request, bytes]).await
}
