//! What is sent to Jira and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::JiraConfig;
use crate::notify::telling::truncate_chars;
use crate::notify::value::render;
use crate::notify::{SendError, Telling};

/// What Jira takes at most, in characters.
const MAX_SUMMARY_CHARS: usize = 255;
const MAX_DESCRIPTION_CHARS: usize = 32_767;

/// What is asked of issues.
#[derive(Serialize)]
pub(super) struct Search {
    pub(super) fields: [&'static str; 1],
    pub(super) jql: String,
    #[serde(rename = "maxResults")]
    pub(super) max_results: u32,
}

/// The issues that were found.
#[derive(Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub(super) issues: Vec<Issue>,
}

/// An issue, as far as it is looked at.
#[derive(Deserialize)]
pub(super) struct Issue {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) fields: Option<IssueFields>,
}

#[derive(Deserialize)]
pub(super) struct IssueFields {
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, rename = "statusCategory")]
    category: Category,
}

#[derive(Deserialize, Default)]
struct Category {
    #[serde(default)]
    key: String,
}

impl Issue {
    /// Whether it is done; `None` where Jira does not say.
    pub(super) fn is_done(&self) -> Option<bool> {
        Some(self.fields.as_ref()?.status.as_ref()?.category.key == "done")
    }
}

/// What can be done with an issue.
#[derive(Deserialize)]
pub(super) struct Transitions {
    #[serde(default)]
    pub(super) transitions: Vec<Transition>,
}

#[derive(Deserialize)]
pub(super) struct Transition {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
}

/// The label by which the issue of a group is found.
pub(super) fn label(telling: &Telling) -> String {
    format!("ALERT{{{}}}", telling.key_hash())
}

/// The fields of an issue that says what is told. `exists`: those that are not to be changed are left out.
pub(super) fn fields(config: &JiraConfig, telling: &Telling, exists: bool) -> Result<Value, SendError> {
    let text = |template: &str, what: &str| {
        telling.text(template).map_err(|error| error.context(&format!("{what} template")))
    };
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let updates = |enabled: Option<bool>| !exists || enabled.unwrap_or(true);
    let summary = truncate_chars(text(&config.summary.template, "summary")?, MAX_SUMMARY_CHARS);
    if updates(config.summary.enable_update) {
        set("summary", summary.into());
    }
    set("project", json!({"key": text(&config.project, "project")?}));
    let kind = text(&config.issue_type, "issue_type")?;
    set("issuetype", if kind.is_empty() { json!({}) } else { json!({"name": kind}) });
    let description = text(&config.description.template, "description")?;
    let description = truncate_chars(description, MAX_DESCRIPTION_CHARS);
    if updates(config.description.enable_update)
        && let Some(description) = self::description(config, &description)?
    {
        set("description", description);
    }
    let labels = config.labels.iter().enumerate();
    let labels = labels.map(|(index, label)| text(label, &format!("labels[{index}]")));
    let mut labels = labels.collect::<Result<Vec<_>, _>>()?;
    labels.push(label(telling));
    labels.sort();
    set("labels", labels.into());
    let priority = text(&config.priority, "priority")?;
    if !priority.is_empty() {
        set("priority", json!({"name": priority}));
    }
    for (name, value) in &config.fields {
        let value =
            render(value, telling, &telling.data).map_err(|error| error.context("fields template"))?;
        set(name, value);
    }
    Ok(json!({"fields": fields}))
}

/// The description: a text, or for version 3 of the API the document that it is written as.
fn description(config: &JiraConfig, text: &str) -> Result<Option<Value>, SendError> {
    let url = config.api_url.as_ref().map(crate::config::Url::as_str).unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if !path.trim_end_matches('/').ends_with("/3") {
        return Ok((!text.is_empty()).then(|| text.into()));
    }
    match text.trim() {
        "" => Ok(None),
        text => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| SendError::for_good("description template: invalid JSON for API v3")),
    }
}
