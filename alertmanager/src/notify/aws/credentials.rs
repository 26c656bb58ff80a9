//! Who asks: what the configuration, the environment or the files of AWS's tools say, in that order, and the role that is
//! taken on besides.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sign::{Credentials, Place};
use super::{Aws, element, own_url};
use crate::notify::SendError;

/// Temporary credentials are used no more so long before their end.
const MARGIN: Duration = Duration::from_secs(60);
/// As whom roles are taken on.
const SESSION: &str = "barograph-alertmanager";
/// The version of STS's API.
const STS_VERSION: &str = "2011-06-15";

/// Credentials that last until the clock's time since its start is this.
pub(super) struct Kept {
    credentials: Credentials,
    until: Duration,
}

/// A variable of the environment; empty if it is not set.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// A file of AWS's tools: where a variable says, or below the home folder.
fn file(name: &str, below_home: &str) -> String {
    let named = variable(name);
    if named.is_empty() { format!("{}/{below_home}", variable("HOME")) } else { named }
}

impl Aws {
    /// The region: the configuration's, the environment's, or the profile's.
    pub(super) async fn region(&self) -> Result<String, SendError> {
        let given = [self.config.region.clone(), variable("AWS_REGION"), variable("AWS_DEFAULT_REGION")];
        if let Some(region) = given.into_iter().find(|region| !region.is_empty()) {
            return Ok(region);
        }
        let missing = || {
            SendError::for_now("region not configured in sns.sigv4.region or in default credentials chain")
        };
        self.profile().await.get("region").cloned().ok_or_else(missing)
    }

    /// Who signs.
    pub(super) async fn credentials(&self, region: &str) -> Result<Credentials, SendError> {
        let mut kept = self.kept.lock().await;
        let now = self.monotonic();
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.until) {
            return Ok(kept.credentials.clone());
        }
        let temporary = match self.lasting().await? {
            Some(own) if self.config.role_arn.is_empty() => return Ok(own),
            Some(own) => self.role(region, own, &self.config.role_arn).await?,
            None => {
                let own = self.web_identity(region).await?;
                match self.config.role_arn.as_str() {
                    "" => own,
                    role => self.role(region, own.credentials, role).await?,
                }
            }
        };
        let credentials = temporary.credentials.clone();
        *kept = Some(temporary);
        Ok(credentials)
    }

    /// Credentials that do not end by themselves, if there are any.
    async fn lasting(&self) -> Result<Option<Credentials>, SendError> {
        let config = &self.config;
        if !config.access_key.is_empty() {
            return Ok(Some(Credentials {
                access_key: config.access_key.clone(),
                secret_key: config.secret_key.expose().to_owned(),
                session_token: String::new(),
            }));
        }
        let of_environment = Credentials {
            access_key: variable("AWS_ACCESS_KEY_ID"),
            secret_key: variable("AWS_SECRET_ACCESS_KEY"),
            session_token: variable("AWS_SESSION_TOKEN"),
        };
        // A profile that is asked for counts more than the environment.
        if config.profile.is_empty() {
            if !of_environment.access_key.is_empty() && !of_environment.secret_key.is_empty() {
                return Ok(Some(of_environment));
            }
            if !variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_empty() {
                return Ok(None);
            }
        }
        let profile = self.profile().await;
        let of_profile = |name: &str| profile.get(name).cloned().unwrap_or_default();
        let credentials = Credentials {
            access_key: of_profile("aws_access_key_id"),
            secret_key: of_profile("aws_secret_access_key"),
            session_token: of_profile("aws_session_token"),
        };
        if credentials.access_key.is_empty() {
            let message = "no credentials of AWS: give sigv4.access_key and secret_key, AWS_ACCESS_KEY_ID and \
                           AWS_SECRET_ACCESS_KEY, AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or a profile";
            return Err(SendError::for_now(message));
        }
        Ok(Some(credentials))
    }

    /// What AWS's files say of the profile; what cannot be read says nothing.
    async fn profile(&self) -> BTreeMap<String, String> {
        let named = [self.config.profile.clone(), variable("AWS_PROFILE")];
        let name = named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let mut all = BTreeMap::new();
        let files = [
            (file("AWS_CONFIG_FILE", ".aws/config"), format!("profile {name}")),
            (file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), name.clone()),
        ];
        for (path, section) in files {
            let text = self.around.files.trimmed(&path, "profile").await.unwrap_or_default();
            let sections = [section.as_str(), if name == "default" { "default" } else { "" }];
            all.extend(entries(&text, &sections));
        }
        all
    }

    /// The credentials of a role that is taken on by a token that somebody else vouches for.
    async fn web_identity(&self, region: &str) -> Result<Kept, SendError> {
        let path = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        let token = self.around.files.trimmed(&path, "AWS_WEB_IDENTITY_TOKEN_FILE").await?;
        let role = variable("AWS_ROLE_ARN");
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role.as_str()),
            ("WebIdentityToken", token.as_str()),
        ];
        self.sts(region, &Credentials::default(), &fields).await
    }

    /// The credentials of a role that is taken on.
    async fn role(&self, region: &str, own: Credentials, role: &str) -> Result<Kept, SendError> {
        let mut fields = vec![("Action", "AssumeRole"), ("RoleArn", role)];
        let external = self.config.external_id.as_str();
        fields.extend((!external.is_empty()).then_some(("ExternalId", external)));
        self.sts(region, &own, &fields).await
    }

    async fn sts(&self, region: &str, own: &Credentials, fields: &[(&str, &str)]) -> Result<Kept, SendError> {
        let named = variable("AWS_ENDPOINT_URL_STS");
        let service = if self.config.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
        let url = if named.is_empty() { own_url(service, region) } else { named };
        let mut fields = fields.to_vec();
        fields.extend([("RoleSessionName", SESSION), ("Version", STS_VERSION)]);
        let place = Place { region, service: "sts" };
        let answer = self.post(&url, &place, own, &fields).await.map_err(|error| error.context("sts"))?;
        let xml = String::from_utf8_lossy(&answer.body);
        let part = |name: &str| {
            let missing = || SendError::for_now(format!("sts: the answer has no {name}"));
            element(&xml, name).ok_or_else(missing)
        };
        let end: jiff::Timestamp = part("Expiration")?
            .parse()
            .map_err(|error| SendError::for_now(format!("sts: the answer's Expiration: {error}")))?;
        let lasts = end.as_millisecond().saturating_sub(self.around.clock.now_ms());
        let lasts = Duration::from_millis(u64::try_from(lasts).unwrap_or(0)).saturating_sub(MARGIN);
        let credentials = Credentials {
            access_key: part("AccessKeyId")?,
            secret_key: part("SecretAccessKey")?,
            session_token: part("SessionToken")?,
        };
        Ok(Kept { credentials, until: self.monotonic() + lasts })
    }
}

/// The entries of these sections of a file of AWS's tools.
fn entries(text: &str, sections: &[&str]) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let mut counts = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            counts = sections.contains(&section.trim());
        } else if let Some((name, value)) = line.split_once('=').filter(|_| counts) {
            entries.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_the_profile() {
        let text = "[default]\nregion = a\n# region = b\n[profile x]\nregion=c\n[y]\nregion=d\n";
        let region = |sections: &[&str]| entries(text, sections).remove("region");
        assert_eq!(region(&["profile x", ""]).as_deref(), Some("c"));
        assert_eq!(region(&["profile default", "default"]).as_deref(), Some("a"));
        assert_eq!(region(&["z"]), None);
    }
}
