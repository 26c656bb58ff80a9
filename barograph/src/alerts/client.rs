//! Requests to an Alertmanager's API, and their answers in JSON.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::ArgMatches;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use serde_json::Value;

use super::{text, texts};
use crate::query::transport::Transport;

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 512 << 20;
/// How much of an answer that is an error is shown, in characters.
const MAX_SHOWN_CHARS: usize = 500;

const AGENT: &str = concat!("barograph-alerts/", env!("CARGO_PKG_VERSION"));

/// A client of the Alertmanager that a command line names.
pub(super) struct Client {
    base: String,
    transport: Transport,
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    /// Checks address and headers.
    pub(super) fn new(asked: &ArgMatches) -> Result<Self, String> {
        let base = text(asked, "url").trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| format!("--url: {base:?} is no URL"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.host().is_none() || uri.query().is_some() {
            return Err(format!(
                "--url: {base:?} refused; http://host:port/prefix or https://host/prefix is wanted"
            ));
        }
        let authorities = asked.get_one::<PathBuf>("ca-file");
        let transport = Transport::new(&uri, authorities.map(PathBuf::as_path))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(tenant) = asked.get_one::<String>("tenant") {
            headers.insert("x-scope-orgid", value("--tenant", tenant)?);
        }
        for header in texts(asked, "header") {
            let (name, text) =
                header.split_once(':').ok_or_else(|| format!("--header: {header:?} has no colon"))?;
            let name = HeaderName::try_from(name.trim())
                .map_err(|_| format!("--header: {name:?} is no name of a header"))?;
            headers.insert(name, value("--header", text.trim())?);
        }
        let timeout = text(asked, "timeout");
        let timeout = settings::duration::parse(timeout)
            .ok_or_else(|| format!("--timeout: {timeout:?} is no duration; 30s would be one"))?;
        Ok(Self { base, transport, headers, timeout })
    }

    /// A client of what is at the root of the process whose Alertmanager a command line names.
    pub(super) fn at_root(asked: &ArgMatches) -> Result<Self, String> {
        let mut client = Self::new(asked)?;
        if let Some(root) = client.base.strip_suffix("/alertmanager") {
            client.base = root.to_owned();
        }
        Ok(client)
    }

    /// What comes before the path.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for JSON; `None` where there is no such thing.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, String> {
        match self.send(Method::GET, path, String::new())? {
            (StatusCode::NOT_FOUND, body) if body.is_empty() => Ok(None),
            (StatusCode::OK, body) => self.json(path, &body).map(Some),
            (status, body) => Err(self.refused(path, status, &body)),
        }
    }

    /// Sends JSON: what was answered.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        match self.send(Method::POST, path, body.to_string())? {
            (StatusCode::OK, body) => self.json(path, &body),
            (status, body) => Err(self.refused(path, status, &body)),
        }
    }

    /// Takes something away.
    pub(super) fn delete(&self, path: &str) -> Result<(), String> {
        match self.send(Method::DELETE, path, String::new())? {
            (StatusCode::OK, _) => Ok(()),
            (status, body) => Err(self.refused(path, status, &body)),
        }
    }

    fn json(&self, path: &str, body: &str) -> Result<Value, String> {
        serde_json::from_str(body)
            .map_err(|error| format!("{}{path}: the answer is no JSON: {error}", self.base))
    }

    /// What an answer that is an error says: texts and messages in JSON without what they are wrapped in.
    pub(super) fn refused(&self, path: &str, status: StatusCode, body: &str) -> String {
        let said = match serde_json::from_str(body) {
            Ok(Value::String(text)) => text,
            Ok(Value::Object(fields)) => match fields.get("message").and_then(Value::as_str) {
                Some(message) => message.to_owned(),
                None => body.to_owned(),
            },
            _ => body.to_owned(),
        };
        let said: String = said.trim().chars().take(MAX_SHOWN_CHARS).collect();
        let place = path.split('?').next().unwrap_or_default();
        format!("{}{place}: {status}: {said}", self.base).trim_end_matches([' ', ':']).to_owned()
    }

    /// Sends a request: status and body of the answer.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(StatusCode, String), String> {
        let url = format!("{}{path}", self.base);
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot set up the process: {error}"))?;
        runtime.block_on(async {
            let exchange = self.transport.exchange(request, MAX_ANSWER_BYTES);
            let timeout = self.timeout;
            match tokio::time::timeout(timeout, exchange).await {
                Ok(Ok((status, body))) => Ok((status, String::from_utf8_lossy(&body).into_owned())),
                Ok(Err(problem)) => Err(format!("{}: {problem}", self.base)),
                Err(_) => {
                    Err(format!("{}: no answer within {timeout:?}; --timeout gives it longer", self.base))
                }
            }
        })
    }
}

fn value(flag: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("{flag}: {text:?} cannot stand in a header"))
}
