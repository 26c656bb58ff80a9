//! Pages for people: alerts, silences, receivers. They are made here, need no script and nothing from elsewhere, and post
//! plain forms. What changes something has to come from these pages themselves.

mod alerts;
mod form;
mod html;
mod origin;
mod receivers;
mod rules;
mod silences;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, StatusCode};
use model::TenantId;

use self::html::{Page, escape};
use crate::service::Alertmanager;

/// What every page has: nothing comes from elsewhere, no script runs, forms go to where the page is from, nobody frames it,
/// nobody keeps it, and nobody else is told of where it is.
const HEADERS: [(http::HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
];
/// How many alerts or silences a page shows; it says how many more there are.
const MAX_SHOWN: usize = 500;

/// The pages, below `/ui`.
pub(super) fn router(alertmanager: &Alertmanager) -> Router<Alertmanager> {
    Router::new()
        .route("/ui", get(|| async { elsewhere("ui/alerts") }))
        .route("/ui/", get(|| async { elsewhere("alerts") }))
        .route("/ui/alerts", get(alerts::page))
        .route("/ui/silences", get(silences::list).post(form::submit))
        .route("/ui/silences/new", get(form::new))
        .route("/ui/silences/{id}", get(silences::one))
        .route("/ui/silences/{id}/edit", get(form::edit))
        .route("/ui/silences/{id}/expire", post(silences::expire))
        .route("/ui/receivers", get(receivers::page))
        .route("/ui/rules", get(rules::page))
        .layer(from_fn_with_state(alertmanager.clone(), guarded))
}

/// Refuses what others' pages send, and says of every page what browsers may do with it.
async fn guarded(State(role): State<Alertmanager>, request: Request<Body>, next: Next) -> Response {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let mut response = if reads || origin::is_own(&request, &role.0.external_url) {
        next.run(request).await
    } else {
        let parts = request.uri().path().split('/').skip_while(|part| *part != "ui");
        let level = parts.count().saturating_sub(1);
        let message = "This form was sent by a page of somebody else, and is not taken.";
        wrong(level, None, StatusCode::FORBIDDEN, message)
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Another page in the place of this one; `path` is seen from this one.
fn elsewhere(path: &str) -> Response {
    let Ok(value) = HeaderValue::from_str(path) else { return StatusCode::BAD_REQUEST.into_response() };
    (StatusCode::SEE_OTHER, [(LOCATION, value)]).into_response()
}

/// A page, so many levels below `/ui`, that says what is wrong.
fn wrong(level: usize, tenant: Option<&TenantId>, status: StatusCode, message: &str) -> Response {
    let page = Page { title: "Not done", here: "", level, tenant, body: problem(message) };
    (status, Html(page.render())).into_response()
}

/// What is wrong, as a part of a page.
fn problem(message: &str) -> String {
    format!("<p class=\"problem\" role=\"alert\">{}</p>", escape(message))
}
