//! A server whose rules are asked for and set, as one tenant.

use std::path::PathBuf;
use std::time::Duration;

use ::rules::Tree;
use bytes::Bytes;
use clap::ArgMatches;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::{Groups, Name, shown};
use crate::query::transport::Transport;
use crate::rules::args;

/// Where the API is, below the server's URL.
const PATH: &str = "/prometheus/config/v1/rules";
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// How much of an answer that is an error is shown, in characters.
const MAX_SHOWN_CHARS: usize = 2_000;

const AGENT: &str = concat!("barograph-rules/", env!("CARGO_PKG_VERSION"));

/// The server of a command line.
pub(super) struct Server {
    base: String,
    transport: Transport,
    headers: HeaderMap,
    timeout: Duration,
    /// Whether a tenant is named.
    has_tenant: bool,
}

impl Server {
    /// Checks address and headers.
    pub(super) fn new(asked: &ArgMatches) -> Result<Self, String> {
        let one = |name: &str| asked.get_one::<String>(name).map(String::as_str);
        let base = one("url").unwrap_or_default().trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| format!("--url: {base:?} is no URL"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.host().is_none() || uri.query().is_some() {
            return Err(format!(
                "--url: {base:?} refused; http://host:port or https://host/prefix is wanted"
            ));
        }
        let ca_file = asked.get_one::<PathBuf>("ca-file").map(PathBuf::as_path);
        let transport = Transport::new(&uri, ca_file)?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
        let value = |flag: &str, text: &str| {
            HeaderValue::from_str(text).map_err(|_| format!("{flag}: {text:?} cannot stand in a header"))
        };
        if let Some(tenant) = one("tenant") {
            headers.insert("x-scope-orgid", value("--tenant", tenant)?);
        }
        for header in args::texts(asked, "header") {
            let (name, text) =
                header.split_once(':').ok_or_else(|| format!("--header: {header:?} has no colon"))?;
            let name = HeaderName::try_from(name.trim())
                .map_err(|_| format!("--header: {header:?} has no name of a header"))?;
            headers.insert(name, value("--header", text.trim())?);
        }
        let timeout = one("timeout").unwrap_or_default();
        let timeout = settings::duration::parse(timeout)
            .ok_or_else(|| format!("--timeout: {timeout:?} is no duration; 30s would be one"))?;
        Ok(Self { base, transport, has_tenant: headers.contains_key("x-scope-orgid"), headers, timeout })
    }

    /// What it has at a path of namespace and group. `None` where there is none.
    pub(super) fn get(&self, path: &[String]) -> Result<Option<Tree>, String> {
        match self.ask(&Method::GET, path, String::new())? {
            (StatusCode::OK, text) => {
                Tree::parse(&text).map_err(|error| format!("{}: the answer is no YAML: {error}", self.base))
            }
            // What Mimir said, up to some version, of tenants without rules.
            (StatusCode::NOT_FOUND, text) if is_absence(&text) => Ok(None),
            (status, text) => Err(self.refusal(status, &text)),
        }
    }

    /// All groups that it has.
    pub(super) fn all(&self) -> Result<Groups, String> {
        let namespaces = match self.get(&[])? {
            None => return Ok(Groups::new()),
            Some(Tree::Map(namespaces)) => namespaces,
            Some(_) => return Err(format!("{}: the answer is no list of namespaces", self.base)),
        };
        let mut all = Groups::new();
        for (namespace, groups) in namespaces {
            for group in groups.items() {
                let name = group.get("name").and_then(Tree::text).unwrap_or_default().to_owned();
                all.insert((namespace.clone(), name), group.clone());
            }
        }
        Ok(all)
    }

    /// Sets a group, in the place of one of its name.
    pub(super) fn set(&self, name: &Name, group: &Tree) -> Result<(), String> {
        match self.ask(&Method::POST, std::slice::from_ref(&name.0), group.to_yaml())? {
            (status, _) if status.is_success() => Ok(()),
            (status, text) => Err(format!("{}: {}", shown(name), self.refusal(status, &text))),
        }
    }

    /// Takes a group away, or a namespace.
    pub(super) fn delete(&self, path: &[String]) -> Result<(), String> {
        match self.ask(&Method::DELETE, path, String::new())? {
            (status, _) if status.is_success() => Ok(()),
            (StatusCode::NOT_FOUND, text) if is_absence(&text) => {
                let (path, text) = (path.join("/"), text.trim());
                Err(format!("{path}: {text}; `barograph rules get` shows what there is"))
            }
            (status, text) => Err(format!("{}: {}", path.join("/"), self.refusal(status, &text))),
        }
    }

    fn ask(&self, method: &Method, path: &[String], body: String) -> Result<(StatusCode, String), String> {
        let segments: String = path.iter().map(|segment| format!("/{}", escaped(segment))).collect();
        let url = format!("{}{PATH}{segments}", self.base);
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot set up the process: {error}"))?;
        let answer = runtime.block_on(async {
            let exchange = self.transport.exchange(request, MAX_ANSWER_BYTES);
            tokio::time::timeout(self.timeout, exchange).await
        });
        let timeout = self.timeout;
        let answer = answer
            .map_err(|_| format!("{}: no answer within {timeout:?}; --timeout gives it longer", self.base))?;
        let (status, body) = answer.map_err(|problem| {
            format!("{}: {problem}; --url says where the server is, which runs the role ruler", self.base)
        })?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// What an answer says that is an error, and what to do.
    fn refusal(&self, status: StatusCode, text: &str) -> String {
        let text: String = text.trim().chars().take(MAX_SHOWN_CHARS).collect();
        let next = match status {
            StatusCode::UNAUTHORIZED if !self.has_tenant => "; --tenant says whose rules",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; --header 'Authorization: …' says who asks",
            StatusCode::NOT_FOUND => {
                "; --url is the server without /prometheus, and it has to run the role ruler"
            }
            _ => "",
        };
        format!("{} answered {status}: {text}{next}", self.base)
    }
}

/// Whether a 404 is about rules, rather than about the server.
fn is_absence(text: &str) -> bool {
    text.contains("does not exist") || text.contains("no rule groups found")
}

/// A name in a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    let escaped = name.bytes().map(|byte| match plain(byte) || (byte == b'.' && name.len() > 2) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_paths() {
        assert_eq!(escaped("team-a_1.yml~"), "team-a_1.yml~");
        assert_eq!(escaped("a/b c%ü"), "a%2Fb%20c%25%C3%BC");
        assert_eq!((escaped("."), escaped("..")), ("%2E".to_owned(), "%2E%2E".to_owned()));
    }
}
