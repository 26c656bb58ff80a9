//! `http_config`: how a receiver's HTTP client presents itself, and TLS.

use std::collections::BTreeMap;

use settings::yaml::Node;

use super::decode::{Decode, Problem, section, text};
use super::show::Shown;
use super::types::Secret;
use super::url;

/// The URL of a proxy, of whatever scheme. Its password is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// The URL, with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return self.0.clone() };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((name, _)) => format!("{scheme}://{name}:xxxxx@{host}{path}"),
                None => self.0.clone(),
            },
            None => self.0.clone(),
        }
    }
}

impl std::fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Decode for ProxyUrl {
    fn decode(node: &Node) -> Result<Self, Problem> {
        let text = text(node)?;
        url::parts(&text).map_err(|message| Problem::at(node, message))?;
        Ok(Self(text))
    }

    fn show(&self) -> Option<Shown> {
        Some(Shown::Text(self.redacted()))
    }
}

section! {
    /// Basic authentication.
    BasicAuth as "config.plain" {
        username: String = String::new(), "username";
        username_file: String = String::new(), "username_file";
        username_ref: String = String::new(), "username_ref";
        password: Secret = Secret::default(), "password";
        password_file: String = String::new(), "password_file";
        password_ref: String = String::new(), "password_ref";
    }
    check |_| Ok(())
}

section! {
    /// The `Authorization` header.
    Authorization as "config.Authorization" {
        kind: String = String::new(), "type";
        credentials: Secret = Secret::default(), "credentials";
        credentials_file: String = String::new(), "credentials_file";
        credentials_ref: String = String::new(), "credentials_ref";
    }
    check |_| Ok(())
}

section! {
    /// Certificates and versions of TLS.
    TlsConfig as "config.plain" {
        ca: String = String::new(), "ca";
        cert: String = String::new(), "cert";
        key: Secret = Secret::default(), "key";
        ca_file: String = String::new(), "ca_file";
        cert_file: String = String::new(), "cert_file";
        key_file: String = String::new(), "key_file";
        ca_ref: String = String::new(), "ca_ref";
        cert_ref: String = String::new(), "cert_ref";
        key_ref: String = String::new(), "key_ref";
        server_name: String = String::new(), "server_name";
        insecure_skip_verify: bool = false, "insecure_skip_verify";
        min_version: String = String::new(), "min_version";
        max_version: String = String::new(), "max_version";
    }
    check |tls| {
        for version in [&tls.min_version, &tls.max_version] {
            if !matches!(version.as_str(), "" | "TLS10" | "TLS11" | "TLS12" | "TLS13") {
                return Err(format!("unknown TLS version: {version}"));
            }
        }
        at_most_one("at most one of ca, ca_file & ca_ref must be configured", &[
            !tls.ca.is_empty(), !tls.ca_file.is_empty(), !tls.ca_ref.is_empty(),
        ])?;
        let cert = [!tls.cert.is_empty(), !tls.cert_file.is_empty(), !tls.cert_ref.is_empty()];
        let key = [!tls.key.is_empty(), !tls.key_file.is_empty(), !tls.key_ref.is_empty()];
        at_most_one("at most one of cert, cert_file & cert_ref must be configured", &cert)?;
        at_most_one("at most one of key and key_file must be configured", &key)?;
        match (cert.contains(&true), key.contains(&true)) {
            (true, false) => Err("exactly one of key or key_file must be configured when a client certificate is configured".to_owned()),
            (false, true) => Err("exactly one of cert or cert_file must be configured when a client key is configured".to_owned()),
            _ => Ok(()),
        }
    }
}

section! {
    /// A token got from an OAuth2 server.
    OAuth2 as "config.plain" {
        client_id: String = String::new(), "client_id";
        client_secret: Secret = Secret::default(), "client_secret";
        client_secret_file: String = String::new(), "client_secret_file";
        client_secret_ref: String = String::new(), "client_secret_ref";
        client_certificate_key_id: String = String::new(), "client_certificate_key_id";
        client_certificate_key: Secret = Secret::default(), "client_certificate_key";
        client_certificate_key_file: String = String::new(), "client_certificate_key_file";
        client_certificate_key_ref: String = String::new(), "client_certificate_key_ref";
        grant_type: String = String::new(), "grant_type";
        signature_algorithm: String = String::new(), "signature_algorithm";
        iss: String = String::new(), "iss";
        audience: String = String::new(), "audience";
        claims: Option<serde_json::Map<String, serde_json::Value>> = None, "claims";
        scopes: Vec<String> = Vec::new(), "scopes";
        token_url: String = String::new(), "token_url";
        endpoint_params: BTreeMap<String, String> = BTreeMap::new(), "endpoint_params";
        tls_config: Option<TlsConfig> = None, "tls_config";
        proxy_url: Option<ProxyUrl> = None, "proxy_url";
        no_proxy: String = String::new(), "no_proxy";
        proxy_from_environment: bool = false, "proxy_from_environment";
        proxy_connect_header: BTreeMap<String, Vec<Secret>> = BTreeMap::new(), "proxy_connect_header";
    }
    check |oauth| check_proxy(
        &oauth.proxy_url, &oauth.no_proxy, oauth.proxy_from_environment, &oauth.proxy_connect_header,
    )
}

section! {
    /// A header: values that may be shown, secret ones, and files that hold one.
    Header as "config.Header" {
        values: Vec<String> = Vec::new(), "values";
        secrets: Vec<Secret> = Vec::new(), "secrets";
        files: Vec<String> = Vec::new(), "files";
    }
    check |_| Ok(())
}

section! {
    /// `http_config`.
    HttpConfig as "config.plain" {
        basic_auth: Option<BasicAuth> = None, "basic_auth";
        authorization: Option<Authorization> = None, "authorization";
        oauth2: Option<OAuth2> = None, "oauth2";
        bearer_token: Secret = Secret::default(), "bearer_token";
        bearer_token_file: String = String::new(), "bearer_token_file";
        tls_config: Option<TlsConfig> = None, "tls_config";
        follow_redirects: bool = true, "follow_redirects";
        enable_http2: bool = true, "enable_http2";
        proxy_url: Option<ProxyUrl> = None, "proxy_url";
        no_proxy: String = String::new(), "no_proxy";
        proxy_from_environment: bool = false, "proxy_from_environment";
        proxy_connect_header: BTreeMap<String, Vec<Secret>> = BTreeMap::new(), "proxy_connect_header";
        http_headers: BTreeMap<String, Header> = BTreeMap::new(), "http_headers";
    }
    check HttpConfig::check
}

/// `message`, if more than one of these is given.
pub(super) fn at_most_one(message: &str, given: &[bool]) -> Result<(), String> {
    if given.iter().filter(|given| **given).count() > 1 { Err(message.to_owned()) } else { Ok(()) }
}

impl HttpConfig {
    fn check(&mut self) -> Result<(), String> {
        let bearer = [!self.bearer_token.is_empty(), !self.bearer_token_file.is_empty()];
        at_most_one("at most one of bearer_token & bearer_token_file must be configured", &bearer)?;
        let bearer = bearer.contains(&true);
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && bearer {
            let message =
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured";
            return Err(message.to_owned());
        }
        self.check_basic()?;
        self.check_authorization(bearer)?;
        self.check_oauth2()?;
        check_proxy(
            &self.proxy_url,
            &self.no_proxy,
            self.proxy_from_environment,
            &self.proxy_connect_header,
        )?;
        for name in self.http_headers.keys() {
            let name = canonical_header(name);
            if RESERVED_HEADERS.contains(&name.as_str()) {
                return Err(format!("setting header {} is not allowed", gotemplate::quote(&name)));
            }
        }
        Ok(())
    }

    fn check_basic(&self) -> Result<(), String> {
        let Some(basic) = &self.basic_auth else { return Ok(()) };
        at_most_one(
            "at most one of basic_auth username, username_file & username_ref must be configured",
            &[!basic.username.is_empty(), !basic.username_file.is_empty(), !basic.username_ref.is_empty()],
        )?;
        at_most_one(
            "at most one of basic_auth password, password_file & password_ref must be configured",
            &[!basic.password.is_empty(), !basic.password_file.is_empty(), !basic.password_ref.is_empty()],
        )
    }

    /// A bearer token becomes an authorization, as upstream keeps it.
    fn check_authorization(&mut self, bearer: bool) -> Result<(), String> {
        let Some(authorization) = &mut self.authorization else {
            if bearer {
                self.authorization = Some(Authorization {
                    kind: "Bearer".to_owned(),
                    credentials: std::mem::take(&mut self.bearer_token),
                    credentials_file: std::mem::take(&mut self.bearer_token_file),
                    ..Authorization::default()
                });
            }
            return Ok(());
        };
        if bearer {
            return Err("authorization is not compatible with bearer_token & bearer_token_file".to_owned());
        }
        at_most_one(
            "at most one of authorization credentials & credentials_file must be configured",
            &[
                !authorization.credentials.is_empty(),
                !authorization.credentials_file.is_empty(),
                !authorization.credentials_ref.is_empty(),
            ],
        )?;
        let kind = authorization.kind.trim();
        authorization.kind = if kind.is_empty() { "Bearer".to_owned() } else { kind.to_owned() };
        if authorization.kind.eq_ignore_ascii_case("basic") {
            let message = "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
            return Err(message.to_owned());
        }
        if self.basic_auth.is_some() || self.oauth2.is_some() {
            return Err("at most one of basic_auth, oauth2 & authorization must be configured".to_owned());
        }
        Ok(())
    }

    fn check_oauth2(&self) -> Result<(), String> {
        const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let Some(oauth) = &self.oauth2 else { return Ok(()) };
        if self.basic_auth.is_some() {
            return Err("at most one of basic_auth, oauth2 & authorization must be configured".to_owned());
        }
        if oauth.client_id.is_empty() {
            return Err("oauth2 client_id must be configured".to_owned());
        }
        if oauth.token_url.is_empty() {
            return Err("oauth2 token_url must be configured".to_owned());
        }
        if oauth.grant_type != JWT_BEARER {
            return at_most_one(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
                &[
                    !oauth.client_secret.is_empty(),
                    !oauth.client_secret_file.is_empty(),
                    !oauth.client_secret_ref.is_empty(),
                ],
            );
        }
        at_most_one(
            "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
            &[
                !oauth.client_certificate_key.is_empty(),
                !oauth.client_certificate_key_file.is_empty(),
                !oauth.client_certificate_key_ref.is_empty(),
            ],
        )?;
        if !matches!(oauth.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
            return Err("valid signature algorithms are RS256, RS384 and RS512".to_owned());
        }
        Ok(())
    }
}

fn check_proxy(
    url: &Option<ProxyUrl>,
    no_proxy: &str,
    from_environment: bool,
    header: &BTreeMap<String, Vec<Secret>>,
) -> Result<(), String> {
    let given = url.as_ref().is_some_and(|url| !url.0.is_empty());
    let message = if !header.is_empty() && !from_environment && !given {
        "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
    } else if from_environment && given {
        "if proxy_from_environment is configured, proxy_url must not be configured"
    } else if from_environment && !no_proxy.is_empty() {
        "if proxy_from_environment is configured, no_proxy must not be configured"
    } else if url.is_none() && !no_proxy.is_empty() {
        "if no_proxy is configured, proxy_url must also be configured"
    } else {
        return Ok(());
    };
    Err(message.to_owned())
}

/// A header's name as HTTP/1 writes it: `Content-Type`.
pub(super) fn canonical_header(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let shown = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = c == '-';
            shown
        })
        .collect()
}

/// What the client sets itself.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];
