//! Mimir's API for the rules of a tenant: namespaces, groups, YAML.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use rpc::{BodyLimits, Tenant, read_body};
use rules::Tree;

use crate::error::ChangeError;
use crate::service::Ruler;

/// The largest group that is taken, in bytes, and how long it may take to arrive.
const LIMITS: BodyLimits = BodyLimits { max_bytes: 4 << 20, read_timeout: Duration::from_secs(30) };
/// When to come back where rules cannot be kept.
const RETRY_AFTER_WAIT: Duration = Duration::from_secs(5);
/// Where it is: as Mimir has it, and below the root as the rest of Prometheus' API is.
const PREFIXES: [&str; 2] = ["/prometheus/config/v1/rules", "/config/v1/rules"];
/// Where it was once, and where old clients look for it. The list is not among it: that place is Prometheus'.
const OLD_PREFIX: &str = "/api/v1/rules";

/// The routes.
pub(super) fn router() -> Router<Ruler> {
    let mut routes = Router::new().route("/ruler/delete_tenant_config", post(delete_tenant));
    for prefix in PREFIXES {
        routes = routes.route(prefix, get(list));
    }
    for prefix in PREFIXES.into_iter().chain([OLD_PREFIX]) {
        let of_namespace = get(namespace).post(set_group).delete(delete_namespace);
        routes = routes
            .route(&format!("{prefix}/{{namespace}}"), of_namespace)
            .route(&format!("{prefix}/{{namespace}}/{{group}}"), get(group).delete(delete_group));
    }
    routes
}

async fn list(State(ruler): State<Ruler>, Tenant(tenant): Tenant) -> Response {
    let namespaces = ruler.0.namespaces(&tenant).into_iter();
    yaml(&Tree::Map(namespaces.map(|(name, namespace)| (name, namespace.to_tree())).collect()))
}

async fn namespace(State(ruler): State<Ruler>, Tenant(tenant): Tenant, Path(name): Path<String>) -> Response {
    let found = ruler.0.namespaces(&tenant).remove(&name);
    yaml(&Tree::Map(found.map(|namespace| (name, namespace.to_tree())).into_iter().collect()))
}

async fn group(
    State(ruler): State<Ruler>,
    Tenant(tenant): Tenant,
    Path((name, group)): Path<(String, String)>,
) -> Response {
    let namespaces = ruler.0.namespaces(&tenant);
    match namespaces.get(&name).and_then(|namespace| namespace.group(&group)) {
        Some(group) => yaml(group.tree()),
        None => refused(&ChangeError::Absent),
    }
}

async fn set_group(
    State(ruler): State<Ruler>,
    Tenant(tenant): Tenant,
    Path(name): Path<String>,
    body: Body,
) -> Response {
    let body = match read_body(body, LIMITS).await {
        Ok(body) => body,
        Err(error) => return rpc::error_response(&error),
    };
    let Ok(text) = String::from_utf8(body.into()) else {
        let why = "unable to decode rule group: it is no text in UTF-8";
        return refused(&ChangeError::Refused(why.to_owned()));
    };
    changed(ruler.0.set_group(&tenant, &name, text).await)
}

async fn delete_group(
    State(ruler): State<Ruler>,
    Tenant(tenant): Tenant,
    Path((name, group)): Path<(String, String)>,
) -> Response {
    changed(ruler.0.delete_group(&tenant, &name, &group).await)
}

async fn delete_namespace(
    State(ruler): State<Ruler>,
    Tenant(tenant): Tenant,
    Path(name): Path<String>,
) -> Response {
    changed(ruler.0.delete_namespace(&tenant, &name).await)
}

async fn delete_tenant(State(ruler): State<Ruler>, Tenant(tenant): Tenant) -> Response {
    match ruler.0.delete_tenant(&tenant).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refused(&error),
    }
}

fn changed(outcome: Result<(), ChangeError>) -> Response {
    match outcome {
        // It is kept, and evaluated soon.
        Ok(()) => {
            let body = r#"{"status":"success","data":null,"errorType":"","error":""}"#;
            let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            (StatusCode::ACCEPTED, json, body).into_response()
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &ChangeError) -> Response {
    let status = match error {
        ChangeError::Absent | ChangeError::NamespaceAbsent => StatusCode::NOT_FOUND,
        ChangeError::Name
        | ChangeError::Refused(_)
        | ChangeError::Limit { .. }
        | ChangeError::TooLarge
        | ChangeError::GroupTooLarge => StatusCode::BAD_REQUEST,
        ChangeError::Unkept(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = (status, format!("{error}\n")).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_WAIT.as_secs()));
    }
    response
}

fn yaml(tree: &Tree) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/yaml"))], tree.to_yaml()).into_response()
}
