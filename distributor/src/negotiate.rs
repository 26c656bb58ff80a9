//! Which message a request says it carries.
//!
//! Source: the Remote-Write specifications: the content type alone decides, not the version header.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use proto::{Code, Error, Version};

/// The media type of both versions.
const PROTOBUF: &str = "application/x-protobuf";

/// Reads `Content-Type` and `Content-Encoding`. Senders of 1.0 that leave either out are understood.
pub(crate) fn version(headers: &HeaderMap) -> Result<Version, Error> {
    let encoding = text(headers, &CONTENT_ENCODING)?;
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(unsupported(format!(
            "content encoding {encoding:?} is not supported; send snappy (block format)"
        )));
    }
    let content_type = text(headers, &CONTENT_TYPE)?;
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if media_type.is_empty() {
        return Ok(Version::V1);
    }
    if !media_type.eq_ignore_ascii_case(PROTOBUF) {
        return Err(unsupported(format!("content type {media_type:?} is not supported; send {PROTOBUF}")));
    }
    let message = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"))
        .map(|(_, message)| message.trim().trim_matches('"'));
    match message {
        None | Some("prometheus.WriteRequest") => Ok(Version::V1),
        Some("io.prometheus.write.v2.Request") => Ok(Version::V2),
        Some(other) => Err(unsupported(format!(
            "message {other:?} is not supported; send prometheus.WriteRequest or \
             io.prometheus.write.v2.Request"
        ))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<&'a str, Error> {
    match headers.get(name) {
        None => Ok(""),
        Some(value) => {
            value.to_str().map(str::trim).map_err(|_| unsupported(format!("header {name} is not ASCII text")))
        }
    }
}

fn unsupported(message: String) -> Error {
    Error::new(Code::UnsupportedMediaType, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, encoding: &str, expected: Option<Version>) {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        if !encoding.is_empty() {
            headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
        }
        let found = version(&headers).map_err(|error| assert_eq!(error.code.http_status(), 415));
        assert_eq!(found.ok(), expected, "{content_type} {encoding}");
    }

    #[test]
    fn content_negotiation() {
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        check("", "", Some(Version::V1));
        check("application/x-protobuf", "snappy", Some(Version::V1));
        check("application/x-protobuf", "", Some(Version::V1));
        check("Application/X-Protobuf; charset=utf-8", "Snappy", Some(Version::V1));
        check("application/x-protobuf;proto=prometheus.WriteRequest", "snappy", Some(Version::V1));
        check(v2, "snappy", Some(Version::V2));
        check(
            "application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"",
            "snappy",
            Some(Version::V2),
        );
        check(v2, "gzip", None);
        check(v2, "deflate", None);
        check("application/x-protobuf;proto=foo.Bar", "snappy", None);
        check("application/x-protobuf;proto=", "snappy", None);
        check("application/json", "snappy", None);
        check("image/png", "snappy", None);
    }
}
