//! Signatures of requests to AWS (Signature Version 4), for the only kind of request that is sent: a form that is posted.

use ring_crypto::digest::{SHA256, digest};
use ring_crypto::hmac::{HMAC_SHA256, Key, sign};

use crate::moment::Moment;
use crate::notify::telling::hex;

/// What a form is sent as.
pub(in crate::notify) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Who signs.
#[derive(Clone, Default)]
pub(in crate::notify) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    /// For credentials that last for a while only; empty without.
    pub(super) session_token: String,
}

/// Where a signature counts.
pub(super) struct Place<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers that a form's request has to have: names in small letters, in order.
pub(super) fn headers(
    credentials: &Credentials,
    place: &Place<'_>,
    (host, path): (&str, &str),
    body: &[u8],
    at: Moment,
) -> Vec<(&'static str, String)> {
    let time = at.to_time().format("20060102T150405Z");
    let day = time.get(..8).unwrap_or_default().to_owned();
    let mut headers =
        vec![("content-type", FORM.to_owned()), ("host", host.to_owned()), ("x-amz-date", time.clone())];
    if !credentials.session_token.is_empty() {
        headers.push(("x-amz-security-token", credentials.session_token.clone()));
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let request = format!("POST\n{path}\n\n{lines}\n{names}\n{}", sha256(body));
    let scope = format!("{day}/{}/{}/aws4_request", place.region, place.service);
    let statement = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(request.as_bytes()));
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [day.as_str(), place.region, place.service, "aws4_request"] {
        key = hmac(&key, part);
    }
    let signature = hex(&hmac(&key, &statement));
    let access_key = &credentials.access_key;
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    headers.push(("authorization", authorization));
    headers
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What botocore signs the same form with.
    #[test]
    fn signatures_are_those_of_aws_own_clients() {
        let check = |session_token: &str, names: &str, signature: &str| {
            let credentials = Credentials {
                access_key: "AKID".to_owned(),
                secret_key: "sec/ret".to_owned(),
                session_token: session_token.to_owned(),
            };
            let place = Place { region: "eu-west-1", service: "sns" };
            let host = "sns.eu-west-1.amazonaws.com";
            let body = b"Action=Publish&Message=%C3%A4+b&Version=2010-03-31";
            // 2026-01-02T03:04:05Z
            let at = Moment::from_millis(1_767_323_045_000);
            let headers = headers(&credentials, &place, (host, "/"), body, at);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/sns/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(headers.last(), Some(&("authorization", expected)));
        };
        check(
            "",
            "content-type;host;x-amz-date",
            "39cf811cca0db7cc2b4642aa21348c9dcda3d0175eb6c89865e0f36afe65613b",
        );
        check(
            "token",
            "content-type;host;x-amz-date;x-amz-security-token",
            "4082dd9f6740acbcbffead0d1e3bc831877455f7bfd86f709ba9746e5b67fdab",
        );
    }
}
