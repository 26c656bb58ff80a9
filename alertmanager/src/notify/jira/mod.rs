//! Jira: one issue for each group, which is found again by a label, changed, resolved and opened again.

mod issue;

use ::http::header::ACCEPT_LANGUAGE;
use ::http::{HeaderMap, HeaderValue, Method};
use async_trait::async_trait;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;

use self::issue::{Found, Issue, Search, Transitions, fields, label};
use super::http::{Client, RetryOn, Surroundings};
use super::url::joined;
use super::value::go_json;
use super::{BuildError, Notifier, SendError, Telling};
use crate::config::{JiraConfig, Url};

pub(super) struct Jira {
    config: JiraConfig,
    client: Client,
}

impl Jira {
    pub(super) fn new(config: &JiraConfig, around: &Surroundings) -> Result<Self, BuildError> {
        Ok(Self { config: config.clone(), client: Client::new(config.http_config.as_ref(), around)? })
    }

    fn url(&self, path: &str) -> String {
        joined(self.config.api_url.as_ref().map(Url::as_str).unwrap_or_default(), path)
    }

    /// Where issues are searched: Jira Cloud has taken the old place away, and Data Center does not have the new one.
    fn search_url(&self) -> String {
        let old = self.url("search");
        let authority = old.split('/').nth(2).unwrap_or_default();
        let cloud = match self.config.api_type.as_str() {
            "cloud" => true,
            "auto" => authority.ends_with("atlassian.net"),
            _ => false,
        };
        if cloud { self.url("search/jql").replacen("/rest/api/2/", "/rest/api/3/", 1) } else { old }
    }

    /// Which issues are those of the group.
    fn query(&self, telling: &Telling) -> Result<String, SendError> {
        let config = &self.config;
        let quote = gotemplate::quote;
        let mut query = String::new();
        if !config.wont_fix_resolution.is_empty() {
            let resolution = quote(&config.wont_fix_resolution);
            // What is not resolved has no resolution, which is not unequal to anything.
            query.push_str(&format!("(resolution is EMPTY or resolution != {resolution}) and "));
        }
        let minutes = config.reopen_duration.unwrap_or_default().as_secs() / 60;
        if telling.is_firing() && !config.reopen_transition.is_empty() && minutes > 0 {
            query.push_str(&format!("(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and "));
        } else {
            query.push_str("statusCategory != Done and ");
        }
        let project = telling.text(&config.project);
        let project = project.map_err(|error| error.context("invalid project template or value"))?;
        let (project, label) = (quote(&project), quote(&label(telling)));
        query.push_str(&format!(
            "project={project} and labels={label} order by status ASC,resolutiondate DESC"
        ));
        Ok(query)
    }

    async fn ask(&self, method: Method, url: &str, body: Vec<u8>) -> Result<Bytes, SendError> {
        let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static("en"))]);
        let answer = self.client.request(method, url, "application/json", body.into(), headers).await?;
        answer.check(RetryOn::TooManyRequests)?;
        Ok(answer.body)
    }

    async fn existing(&self, telling: &Telling) -> Result<Option<Issue>, SendError> {
        let search = Search { fields: ["status"], jql: self.query(telling)?, max_results: 2 };
        let answer = self.ask(Method::POST, &self.search_url(), go_json(&search)?).await;
        let answer = answer.map_err(|error| error.context("HTTP request to JIRA API"))?;
        Ok(read::<Found>(&answer)?.issues.into_iter().next())
    }

    /// Resolves the issue, or opens it again.
    async fn transition(&self, issue: &Issue, firing: bool) -> Result<(), SendError> {
        let name = match (firing, issue.is_done()) {
            (true, Some(true)) => &self.config.reopen_transition,
            (false, Some(false)) => &self.config.resolve_transition,
            _ => return Ok(()),
        };
        if name.is_empty() || issue.key.is_empty() {
            return Ok(());
        }
        let url = self.url(&format!("issue/{}/transitions", issue.key));
        let known: Transitions = read(&self.ask(Method::GET, &url, Vec::new()).await?)?;
        let Some(transition) = known.transitions.into_iter().find(|known| known.name == *name) else {
            let key = &issue.key;
            return Err(SendError::for_good(format!("can't find transition {name} for issue {key}")));
        };
        let body = go_json(&json!({"transition": {"id": transition.id}}))?;
        self.ask(Method::POST, &url, body).await.map(drop)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SendError> {
    serde_json::from_slice(body)
        .map_err(|error| SendError::for_good(format!("the answer is not what the API documents: {error}")))
}

#[async_trait]
impl Notifier for Jira {
    async fn send(&self, telling: &Telling) -> Result<(), SendError> {
        let existing = self.existing(telling).await;
        let existing = existing.map_err(|error| error.context("failed to look up existing issues"))?;
        let (method, path) = match &existing {
            Some(issue) => (Method::PUT, format!("issue/{}", issue.key)),
            None if telling.is_firing() => (Method::POST, "issue".to_owned()),
            // There is nothing that could be resolved.
            None => return Ok(()),
        };
        let body = go_json(&fields(&self.config, telling, existing.is_some())?)?;
        let context = format!("failed to {method} request to {}", gotemplate::quote(&path));
        let sent = self.ask(method, &self.url(&path), body).await;
        sent.map_err(|error| error.context(&context))?;
        match existing {
            Some(issue) => self.transition(&issue, telling.is_firing()).await,
            None => Ok(()),
        }
    }
}
