//! Mail: a message with text and HTML, handed to a server over SMTP.

mod mime;
mod smtp;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use self::mime::{Part, addresses, message};
use self::smtp::{Mechanism, Smtp};
use super::http::{Surroundings, client_config};
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{EmailConfig, TlsConfig};

/// The port at which TLS begins with the connection, unless the configuration says otherwise.
const IMPLICIT_TLS_PORT: &str = "465";
/// The subject, unless the configuration says otherwise.
const SUBJECT: &str = "{{ template \"email.default.subject\" . }}";
/// How many digits of a group's key name its thread.
const THREAD_DIGITS: usize = 16;

pub(super) struct Email {
    config: EmailConfig,
    headers: BTreeMap<String, String>,
    tls: Arc<rustls::ClientConfig>,
    around: Surroundings,
}

impl Email {
    pub(super) fn new(config: &EmailConfig, around: &Surroundings) -> Result<Self, BuildError> {
        let tls: TlsConfig = config.tls_config.clone().unwrap_or_default();
        let mut headers = config.headers.clone();
        for (name, value) in [("Subject", SUBJECT), ("To", &config.to), ("From", &config.from)] {
            headers.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let tls = Arc::new(client_config(&tls, around)?);
        Ok(Self { config: config.clone(), headers, tls, around: around.clone() })
    }

    /// The name that the server's certificate has to be of.
    fn server_name(&self) -> &str {
        match self.config.tls_config.as_ref().map(|tls| tls.server_name.as_str()) {
            None | Some("") => &self.config.smarthost.host,
            Some(name) => name,
        }
    }

    async fn connect(&self) -> Result<Smtp, SendError> {
        let config = &self.config;
        let (host, hello) = (config.smarthost.to_string(), &config.hello);
        let implicit = config.force_implicit_tls.unwrap_or(config.smarthost.port == IMPLICIT_TLS_PORT);
        if implicit {
            return Smtp::connect_tls(&host, self.server_name(), &self.tls, hello).await;
        }
        let smtp = Smtp::connect(&host, hello).await?;
        if !config.require_tls.unwrap_or(true) {
            return Ok(smtp);
        }
        if !smtp.offers("STARTTLS") {
            let host = gotemplate::quote(&host);
            return Err(SendError::for_now(format!(
                "'require_tls' is true (default) but {host} does not advertise the STARTTLS extension"
            )));
        }
        smtp.start_tls(self.server_name(), &self.tls, hello).await
    }

    /// How to log in, by the first of the server's mechanisms that there is a secret for; `None` without a name.
    async fn login(&self, mechanisms: &[String]) -> Result<Option<Mechanism>, SendError> {
        let config = &self.config;
        if config.auth_username.is_empty() {
            return Ok(None);
        }
        let files = &self.around.files;
        let user = config.auth_username.clone();
        let mut problems = Vec::new();
        for mechanism in mechanisms {
            let plain = matches!(mechanism.as_str(), "PLAIN" | "LOGIN");
            let secret = match mechanism.as_str() {
                "CRAM-MD5" if config.auth_secret_file.is_empty() => config.auth_secret.expose().to_owned(),
                "CRAM-MD5" => files.trimmed(&config.auth_secret_file, "auth_secret_file").await?,
                _ if plain && config.auth_password_file.is_empty() => {
                    config.auth_password.expose().to_owned()
                }
                _ if plain => files.trimmed(&config.auth_password_file, "auth_password_file").await?,
                other => {
                    problems.push(format!("unknown auth mechanism: {other}"));
                    continue;
                }
            };
            if secret.is_empty() {
                let what = if plain { "password" } else { "secret" };
                problems.push(format!("missing {what} for {mechanism} auth mechanism"));
                continue;
            }
            return Ok(Some(match mechanism.as_str() {
                "CRAM-MD5" => Mechanism::CramMd5 { user, secret },
                "PLAIN" => {
                    Mechanism::Plain { identity: config.auth_identity.clone(), user, password: secret }
                }
                _ => Mechanism::Login { user, password: secret },
            }));
        }
        Err(SendError::for_now(format!("find auth mechanism: {}", problems.join("\n"))))
    }

    /// The message, headers and all.
    fn message(&self, telling: &Telling) -> Result<Vec<u8>, SendError> {
        let config = &self.config;
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            let value = telling.text(template);
            let value = value.map_err(|error| error.context(&format!("execute {name:?} header template")))?;
            headers.push((name.clone(), mime::header_value(&value)));
        }
        if !self.headers.contains_key("Message-Id") {
            let id = format!("<{}.{}@{}>", telling.now.nanos(), self.around.rng.next_u64(), config.hello);
            headers.push(("Message-Id".to_owned(), id));
        }
        if config.threading.enabled {
            let date = match config.threading.thread_by_date.as_str() {
                "none" => String::new(),
                _ => telling.now.to_time().format("2006-01-02"),
            };
            let key: String = telling.key_hash().chars().take(THREAD_DIGITS).collect();
            let root = format!("<alert-{key}-{date}@alertmanager>");
            headers.push(("References".to_owned(), root.clone()));
            headers.push(("In-Reply-To".to_owned(), root));
        }
        headers.push(("Date".to_owned(), telling.now.to_time().format("Mon, 02 Jan 2006 15:04:05 -0700")));
        let mut parts = Vec::new();
        if !config.text.is_empty() {
            let text = telling.text(&config.text).map_err(|error| error.context("execute text template"))?;
            parts.push(Part { kind: "text/plain; charset=UTF-8", text });
        }
        // The one that is preferred stands last.
        if !config.html.is_empty() {
            let text = telling.html(&config.html).map_err(|error| error.context("execute html template"))?;
            parts.push(Part { kind: "text/html; charset=UTF-8", text });
        }
        let boundary: String = (0..4).map(|_| format!("{:016x}", self.around.rng.next_u64())).collect();
        Ok(message(&headers, &boundary, &parts))
    }
}

#[async_trait]
impl Notifier for Email {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let config = &self.config;
        let from = telling.text(&config.from).map_err(|error| error.context("execute 'from' template"))?;
        let to = telling.text(&config.to).map_err(|error| error.context("execute 'to' template"))?;
        let from =
            addresses(&from).map_err(|why| SendError::for_good(format!("parse 'from' addresses: {why}")))?;
        let to = addresses(&to).map_err(|why| SendError::for_good(format!("parse 'to' addresses: {why}")))?;
        let [from] = from.as_slice() else {
            let count = from.len();
            return Err(SendError::for_good(format!("must be exactly one 'from' address (got: {count})")));
        };
        let message = self.message(telling)?;
        let mut smtp = self.connect().await?;
        if let Some(mechanisms) = smtp.mechanisms()
            && let Some(login) = self.login(&mechanisms).await?
        {
            smtp.login(&login).await?;
        }
        smtp.send(from, &to, &message).await?;
        smtp.quit().await;
        Ok(())
    }
}
