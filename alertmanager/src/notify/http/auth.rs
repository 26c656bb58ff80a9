//! How requests say who sends them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::oauth2::OAuth2Client;
use super::{Surroundings, secret_value};
use crate::config::HttpConfig;
use crate::notify::{BuildError, SendError};

/// A value that is given, or in a file.
#[derive(Clone)]
pub(super) struct Source {
    given: String,
    file: String,
}

impl Source {
    /// The one of these that is given. What only a manager of secrets knows is refused: there is none.
    pub(super) fn new(given: &str, file: &str, reference: &str, what: &str) -> Result<Self, BuildError> {
        if !reference.is_empty() {
            return Err(BuildError::new(format!(
                "{what} names a secret by reference, and there is no manager of secrets; give it inline or in a file"
            )));
        }
        Ok(Self { given: given.to_owned(), file: file.to_owned() })
    }

    /// The value as it is now.
    pub(super) async fn get(&self, around: &Surroundings) -> Result<String, SendError> {
        if self.file.is_empty() {
            return Ok(self.given.clone());
        }
        around.files.trimmed(&around.path(&self.file), "credentials").await
    }
}

/// How requests say who sends them.
pub(super) enum Auth {
    None,
    Basic { user: Source, password: Source },
    Authorization { kind: String, credentials: Source },
    OAuth2(Box<OAuth2Client>),
}

impl Auth {
    pub(super) fn new(config: &HttpConfig, around: &Surroundings) -> Result<Self, BuildError> {
        if let Some(basic) = &config.basic_auth {
            let user = Source::new(
                &basic.username,
                &basic.username_file,
                &basic.username_ref,
                "basic_auth.username_ref",
            )?;
            let password = Source::new(
                basic.password.expose(),
                &basic.password_file,
                &basic.password_ref,
                "basic_auth.password_ref",
            )?;
            return Ok(Self::Basic { user, password });
        }
        if let Some(authorization) = &config.authorization {
            let credentials = Source::new(
                authorization.credentials.expose(),
                &authorization.credentials_file,
                &authorization.credentials_ref,
                "authorization.credentials_ref",
            )?;
            return Ok(Self::Authorization { kind: authorization.kind.clone(), credentials });
        }
        match &config.oauth2 {
            Some(oauth2) => Ok(Self::OAuth2(Box::new(OAuth2Client::new(oauth2, config, around)?))),
            None => Ok(Self::None),
        }
    }

    /// Adds the header, unless the request has one of its own.
    pub(super) async fn authorize(
        &self,
        headers: &mut HeaderMap,
        around: &Surroundings,
    ) -> Result<(), SendError> {
        if headers.contains_key(AUTHORIZATION) {
            return Ok(());
        }
        let value = match self {
            Self::None => return Ok(()),
            Self::Basic { user, password } => basic(&user.get(around).await?, &password.get(around).await?),
            Self::Authorization { kind, credentials } => format!("{kind} {}", credentials.get(around).await?),
            Self::OAuth2(client) => client.header(around).await?,
        };
        headers.insert(AUTHORIZATION, secret_value(&value)?);
        Ok(())
    }
}

/// The value of the header for a name and a password.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
