//! OAuth2: a token that is got from a server with credentials of the client, or with a signed statement, and kept while it
//! lasts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use ring_crypto::rand::SystemRandom;
use ring_crypto::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::auth::{Source, basic};
use super::sender::Sender;
use super::{RetryOn, Surroundings, secret_value};
use crate::config::{HttpConfig, OAuth2};
use crate::notify::{BuildError, SendError};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token is used no more so long before its end.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a statement holds that is signed for a token.
const STATEMENT_LASTS: Duration = Duration::from_secs(3_600);

/// Gets tokens.
pub(super) struct OAuth2Client {
    config: OAuth2,
    sender: Sender,
    secret: Source,
    key: Source,
    token: Mutex<Option<Token>>,
}

struct Token {
    header: String,
    /// In the clock's time since its start; `None`: it lasts.
    until: Option<Duration>,
}

/// What the server answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl OAuth2Client {
    pub(super) fn new(
        config: &OAuth2,
        receiver: &HttpConfig,
        around: &Surroundings,
    ) -> Result<Self, BuildError> {
        // The token's server has its own TLS and proxy; the rest is as for the receiver.
        let http = HttpConfig {
            tls_config: config.tls_config.clone(),
            proxy_url: config.proxy_url.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_from_environment: config.proxy_from_environment,
            proxy_connect_header: config.proxy_connect_header.clone(),
            enable_http2: receiver.enable_http2,
            follow_redirects: receiver.follow_redirects,
            ..HttpConfig::default()
        };
        Ok(Self {
            sender: Sender::new(&http, around)?,
            secret: Source::new(
                config.client_secret.expose(),
                &config.client_secret_file,
                &config.client_secret_ref,
                "oauth2.client_secret_ref",
            )?,
            key: Source::new(
                config.client_certificate_key.expose(),
                &config.client_certificate_key_file,
                &config.client_certificate_key_ref,
                "oauth2.client_certificate_key_ref",
            )?,
            config: config.clone(),
            token: Mutex::new(None),
        })
    }

    /// The value of the header that requests carry.
    pub(super) async fn header(&self, around: &Surroundings) -> Result<String, SendError> {
        let mut token = self.token.lock().await;
        let now = around.clock.monotonic();
        if let Some(token) = token.as_ref().filter(|token| token.until.is_none_or(|until| now < until)) {
            return Ok(token.header.clone());
        }
        let granted = self.ask(around).await.map_err(|error| error.context("oauth2"))?;
        let kind = match granted.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer".to_owned(),
            _ => granted.token_type,
        };
        let header = format!("{kind} {}", granted.access_token);
        let until = granted
            .expires_in
            .filter(|seconds| *seconds > 0)
            .map(|seconds| now + Duration::from_secs(seconds).saturating_sub(MARGIN));
        *token = Some(Token { header: header.clone(), until });
        Ok(header)
    }

    async fn ask(&self, around: &Surroundings) -> Result<Granted, SendError> {
        let config = &self.config;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut pairs = if config.grant_type == JWT_BEARER {
            vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", self.statement(around).await?)]
        } else {
            let secret = self.secret.get(around).await?;
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let basic = basic(&encoded(&config.client_id), &encoded(&secret));
            headers.insert(AUTHORIZATION, secret_value(&basic)?);
            let mut pairs = vec![("grant_type", "client_credentials".to_owned())];
            if !config.scopes.is_empty() {
                pairs.push(("scope", config.scopes.join(" ")));
            }
            pairs
        };
        let more = config.endpoint_params.iter();
        pairs.extend(more.map(|(name, value)| (name.as_str(), value.clone())));
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let answer = self.sender.send(Method::POST, &config.token_url, headers, form.into()).await?;
        answer.check(RetryOn::TooManyRequests)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| SendError::for_now(format!("the answer of the token's server: {error}")))
    }

    /// A statement of who asks, signed with the key of the configuration: a JWT.
    async fn statement(&self, around: &Surroundings) -> Result<String, SendError> {
        let config = &self.config;
        let (name, encoding): (&str, &'static dyn RsaEncoding) = match config.signature_algorithm.as_str() {
            "RS384" => ("RS384", &RSA_PKCS1_SHA384),
            "RS512" => ("RS512", &RSA_PKCS1_SHA512),
            _ => ("RS256", &RSA_PKCS1_SHA256),
        };
        let now = around.clock.now_ms().div_euclid(1_000);
        let issuer = if config.iss.is_empty() { &config.client_id } else { &config.iss };
        let audience = if config.audience.is_empty() { &config.token_url } else { &config.audience };
        let mut header = json!({"alg": name, "typ": "JWT"});
        if !config.client_certificate_key_id.is_empty() {
            header["kid"] = config.client_certificate_key_id.as_str().into();
        }
        let mut claims = json!({
            "iss": issuer,
            "sub": config.client_id,
            "aud": audience,
            "iat": now,
            "exp": now.saturating_add(STATEMENT_LASTS.as_secs() as i64),
            "scope": config.scopes.join(" "),
        });
        if let Some(more) = &config.claims {
            for (name, value) in more {
                claims[name] = value.clone();
            }
        }
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&header), encode(&claims));
        let key = key_pair(&self.key.get(around).await?)?;
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(encoding, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| SendError::for_good("the key of the client cannot sign"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn key_pair(pem: &str) -> Result<RsaKeyPair, SendError> {
    let wrong = |error: &dyn std::fmt::Display| {
        SendError::for_good(format!("the key of the client cannot be used: {error}"))
    };
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| wrong(&error))? {
        PrivateKeyDer::Pkcs1(key) => {
            RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|error| wrong(&error))
        }
        PrivateKeyDer::Pkcs8(key) => {
            RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|error| wrong(&error))
        }
        _ => Err(wrong(&"it is no RSA key")),
    }
}
