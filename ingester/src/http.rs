//! What an operator asks of an ingester over HTTP: the paths and answers that Mimir's have, so that rollout operators and
//! runbooks work as they are. They are not for tenants.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use proto::Error;
use rpc::error_response;
use serde_json::json;

use crate::identity::Wishes;
use crate::maintenance;
use crate::service::Ingester;

/// `/ingester/prepare-shutdown`, `/ingester/prepare-instance-ring-downscale` and `/ingester/flush`. `find` gives the
/// ingester, or says why it is not there (yet).
pub fn router<F>(find: F) -> Router
where
    F: Fn() -> Result<Ingester, Error> + Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/ingester/prepare-shutdown", get(is_prepared::<F>).post(prepare::<F>).delete(unprepare::<F>))
        .route(
            "/ingester/prepare-instance-ring-downscale",
            get(is_read_only::<F>).post(read_only::<F>).delete(read_write::<F>),
        )
        .route("/ingester/flush", get(flush::<F>).post(flush::<F>))
        .with_state(find)
}

/// The ingester, or why it is not there.
type Found = Result<Ingester, Error>;

fn answer(answer: Result<Response, Error>) -> Response {
    answer.unwrap_or_else(|error| error_response(&error))
}

async fn is_prepared<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(find().map(|ingester| {
        let prepared = ingester.wishes().borrow().shutdown_prepared;
        if prepared { "set\n" } else { "unset\n" }.into_response()
    }))
}

async fn prepare<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(set_prepared(find(), true).await)
}

async fn unprepare<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(set_prepared(find(), false).await)
}

async fn set_prepared(ingester: Found, prepared: bool) -> Result<Response, Error> {
    ingester?.wish(move |wishes| wishes.shutdown_prepared = prepared).await?;
    tracing::info!(prepared, "whether the next stop hands over and leaves was set");
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn is_read_only<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(find().map(|ingester| since(ingester.wishes().borrow().read_only_since_ms)))
}

async fn read_only<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(set_read_only(find(), true).await)
}

async fn read_write<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(set_read_only(find(), false).await)
}

async fn set_read_only(ingester: Found, read_only: bool) -> Result<Response, Error> {
    let ingester = ingester?;
    let now_ms = ingester.inner.clock.now_ms();
    let change = move |wishes: &mut Wishes| {
        // Whoever asks again is told since when it has been so.
        wishes.read_only_since_ms = read_only.then(|| wishes.read_only_since_ms.unwrap_or(now_ms));
    };
    let wishes = ingester.wish(change).await?;
    tracing::info!(read_only, "whether new series are taken was set");
    Ok(since(wishes.read_only_since_ms))
}

/// Seconds since the Unix epoch; 0 where it takes new series.
fn since(read_only_since_ms: Option<i64>) -> Response {
    let seconds = read_only_since_ms.map_or(0, |ms| ms.div_euclid(1000));
    Json(json!({ "timestamp": seconds })).into_response()
}

async fn flush<F: Fn() -> Found>(State(find): State<F>) -> Response {
    answer(flushed(find()).await)
}

/// What is in memory goes to the disk, so that a restart is quick; where there is a bucket, all of it goes there, too.
async fn flushed(ingester: Found) -> Result<Response, Error> {
    let ingester = ingester?;
    let taken = maintenance::snapshot(&ingester.inner).await;
    taken.map_err(|error| Error::internal(format!("nothing was flushed: {error}")))?;
    ingester.flush().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
