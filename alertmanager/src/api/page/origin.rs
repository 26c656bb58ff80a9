//! Whether a form was sent by a page of ours: else any page that somebody visits could silence their alerts.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderName, Request};

/// Where browsers say how the page that sends something and the one it goes to belong together.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request comes from a page of ours. Browsers say where it comes from; what says nothing at all is no browser,
/// and asks in nobody else's name. `external_url` is where people reach the process if a proxy stands in between.
pub(super) fn is_own<B>(request: &Request<B>, external_url: &str) -> bool {
    let text = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text(SEC_FETCH_SITE) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(ORIGIN) else { return true };
    let Some(host) = host(origin) else { return false };
    let asked = text(HOST).or_else(|| request.uri().authority().map(Authority::as_str));
    let is = |own: Option<&str>| own.is_some_and(|own| own.eq_ignore_ascii_case(host));
    is(asked) || is(self::host(external_url))
}

/// Host and port of a URL; nothing of what has none, as `null`.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_others_are_told_apart() {
        let own = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/ui/silences");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            is_own(&request.body(()).expect("a request"), "https://alerts.example/am")
        };
        assert!(own(&[]) && own(&[("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("sec-fetch-site", "cross-site")]) && !own(&[("sec-fetch-site", "same-site")]));
        // What the browser says of the site counts for more than what it says of the origin.
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "http://h:1"), ("host", "h:1")]));
        assert!(own(&[("origin", "http://h:1"), ("host", "h:1")]));
        assert!(own(&[("origin", "https://alerts.example"), ("host", "10.0.0.1:9093")]));
        for origin in ["http://evil", "null", "", "http://h:12", "http://", "http://evil/h:1", "\u{e9}"] {
            assert!(!own(&[("origin", origin), ("host", "h:1")]), "{origin}");
        }
    }

    #[test]
    fn http_2_has_the_host_in_its_uri() {
        let request = |origin: &str| {
            let request = Request::builder().uri("http://h:1/ui/silences").header("origin", origin);
            is_own(&request.body(()).expect("a request"), "")
        };
        assert!(request("http://h:1") && !request("http://evil"));
    }
}
