//! One request to a server, and its answer.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request as HttpRequest, Uri};
use http_body_util::Full;

use super::args::{Question, Request};
use super::time;
use super::transport::Transport;

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 512 << 20;

const AGENT: &str = concat!("barograph-query/", env!("CARGO_PKG_VERSION"));

/// A client of the server that a request names.
pub(super) struct Client {
    base: String,
    transport: Transport,
    headers: HeaderMap,
}

impl Client {
    /// Checks address and headers.
    pub(super) fn new(request: &Request) -> Result<Self, String> {
        let base = request.url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| format!("--url: {base:?} is no URL"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.host().is_none() || uri.query().is_some() {
            return Err(format!(
                "--url: {base:?} refused; http://host:port/prefix or https://host/prefix is wanted"
            ));
        }
        let transport = Transport::new(&uri, request.ca_file.as_deref())?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(tenant) = &request.tenant {
            headers.insert("x-scope-orgid", value("--tenant", tenant)?);
        }
        for (name, text) in &request.headers {
            let parsed = HeaderName::try_from(name.as_str());
            let name = parsed.map_err(|_| format!("--header: {name:?} is no name of a header"))?;
            headers.insert(name, value("--header", text)?);
        }
        Ok(Self { base, transport, headers })
    }

    /// Sends the question and gives the body of the answer, whatever its status: errors have one too.
    pub(super) fn ask(&self, request: &Request) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot set up the process: {error}"))?;
        let timeout = request.timeout;
        runtime.block_on(async {
            match tokio::time::timeout(timeout, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    Err(format!("{}: no answer within {timeout:?}; --timeout gives it longer", self.base))
                }
            }
        })
    }

    async fn exchange(&self, request: &Request) -> Result<String, String> {
        let answer = self.transport.exchange(self.http_request(request)?, MAX_ANSWER_BYTES).await;
        let (status, body) = answer.map_err(|problem| format!("{}: {problem}", self.base))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let is_json = text.trim_start().starts_with('{');
        if is_json {
            return Ok(text);
        }
        let start: String = text.trim().chars().take(300).collect();
        Err(format!("{}: {status}: {start}", self.base))
    }

    fn http_request(&self, request: &Request) -> Result<HttpRequest<Full<Bytes>>, String> {
        let (path, form) = parameters(request);
        // Values of labels are read only; the others may be too long for an address.
        let (method, path, body) = match &request.question {
            Question::Labels { name: Some(_), .. } => (Method::GET, format!("{path}?{form}"), String::new()),
            _ => (Method::POST, path, form),
        };
        let url = format!("{}/api/v1/{path}", self.base);
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let mut http = HttpRequest::new(Full::new(Bytes::from(body)));
        *http.method_mut() = method;
        *http.uri_mut() = uri;
        *http.headers_mut() = self.headers.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        http.headers_mut().insert(CONTENT_TYPE, form);
        Ok(http)
    }
}

/// The path below `/api/v1/` and the parameters, encoded.
fn parameters(request: &Request) -> (String, String) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let path = match &request.question {
        Question::Instant { expression, time_ms } => {
            form.append_pair("query", expression).append_pair("time", &time::rfc3339(*time_ms));
            "query".to_owned()
        }
        Question::Range { expression, start_ms, end_ms, step_ms } => {
            form.append_pair("query", expression).append_pair("step", &format!("{step_ms}ms"));
            form.append_pair("start", &time::rfc3339(*start_ms)).append_pair("end", &time::rfc3339(*end_ms));
            "query_range".to_owned()
        }
        Question::Series { selectors, start_ms, end_ms }
        | Question::Labels { selectors, start_ms, end_ms, .. } => {
            for selector in selectors {
                form.append_pair("match[]", selector);
            }
            form.append_pair("start", &time::rfc3339(*start_ms)).append_pair("end", &time::rfc3339(*end_ms));
            match &request.question {
                Question::Labels { name: Some(name), .. } => {
                    format!("label/{}/values", escaped_label(name))
                }
                Question::Labels { .. } => "labels".to_owned(),
                _ => "series".to_owned(),
            }
        }
    };
    if let Some(limit) = request.limit {
        form.append_pair("limit", &limit.to_string());
    }
    if matches!(request.question, Question::Instant { .. } | Question::Range { .. }) {
        let timeout = settings::duration::print(request.timeout);
        form.append_pair("timeout", &timeout);
        if let Some(lookback) = &request.lookback {
            form.append_pair("lookback_delta", lookback);
        }
    }
    (path, form.finish())
}

/// A label's name in a path: any character that is not plain as its code, as Prometheus reads it.
fn escaped_label(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with("U__") {
        return name.to_owned();
    }
    let escaped = name.chars().map(|c| match c {
        '_' => "__".to_owned(),
        c if plain(c) => c.to_string(),
        c => format!("_{:x}_", u32::from(c)),
    });
    format!("U__{}", escaped.collect::<String>())
}

fn value(flag: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("{flag}: {text:?} cannot stand in a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labels_in_paths() {
        for (name, escaped) in
            [("job", "job"), ("http.status_code", "U__http_2e_status__code"), ("U__a", "U__U____a")]
        {
            assert_eq!(escaped_label(name), escaped);
        }
    }
}
