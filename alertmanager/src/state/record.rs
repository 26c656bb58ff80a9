//! Records: a silence, or what was told to whom, of one tenant; JSON, so that people can read them.

use std::collections::{BTreeMap, BTreeSet};

use model::{MatchOp, TenantId};
use serde::{Deserialize, Serialize};

use crate::alert::Fingerprint;
use crate::matcher::Matcher;
use crate::moment::Moment;
use crate::notification_log::{LogEntry, LogKey};
use crate::silence::Silence;

/// What is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// A silence as it is now.
    Silence(TenantId, Box<Silence>),
    /// What was told last.
    Log(TenantId, LogKey, LogEntry),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<SilenceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<ToldRecord>,
}

/// Times are nanoseconds since 1970.
#[derive(Serialize, Deserialize)]
struct SilenceRecord {
    id: String,
    /// Of the outer list any, of an inner one all: name, operator, value.
    matchers: Vec<Vec<(String, String, String)>>,
    starts: i64,
    ends: i64,
    updated: i64,
    created_by: String,
    comment: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct ToldRecord {
    group: String,
    receiver: String,
    integration: String,
    index: usize,
    at: i64,
    firing: Vec<u64>,
    resolved: Vec<u64>,
    expires: i64,
}

impl Record {
    /// The record's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let envelope = match self {
            Self::Silence(tenant, silence) => {
                Envelope { tenant: tenant.to_string(), silence: Some(SilenceRecord::of(silence)), told: None }
            }
            Self::Log(tenant, key, entry) => {
                Envelope { tenant: tenant.to_string(), silence: None, told: Some(ToldRecord::of(key, entry)) }
            }
        };
        serde_json::to_vec(&envelope).expect("maps have texts as keys, and memory does not fail")
    }

    /// The record that bytes are; `None` if they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let envelope: Envelope = serde_json::from_slice(bytes).ok()?;
        let tenant = TenantId::new(&envelope.tenant).ok()?;
        match (envelope.silence, envelope.told) {
            (Some(silence), None) => Some(Self::Silence(tenant, Box::new(silence.into_silence()?))),
            (None, Some(told)) => {
                let (key, entry) = told.into_entry();
                Some(Self::Log(tenant, key, entry))
            }
            _ => None,
        }
    }
}

impl SilenceRecord {
    fn of(silence: &Silence) -> Self {
        let matcher = |matcher: &Matcher| {
            (matcher.name().to_owned(), matcher.op().as_str().to_owned(), matcher.value().to_owned())
        };
        Self {
            id: silence.id.clone(),
            matchers: silence.matchers.iter().map(|set| set.iter().map(matcher).collect()).collect(),
            starts: silence.starts_at.nanos(),
            ends: silence.ends_at.nanos(),
            updated: silence.updated_at.nanos(),
            created_by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            annotations: silence.annotations.clone(),
        }
    }

    fn into_silence(self) -> Option<Silence> {
        let matcher = |(name, op, value): &(String, String, String)| {
            let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
            let op = ops.into_iter().find(|known| known.as_str() == op)?;
            Matcher::new(name, op, value).ok()
        };
        let matchers = self.matchers.iter().map(|set| set.iter().map(matcher).collect::<Option<Vec<_>>>());
        Some(Silence {
            id: self.id,
            matchers: matchers.collect::<Option<_>>()?,
            starts_at: Moment::from_nanos(self.starts),
            ends_at: Moment::from_nanos(self.ends),
            updated_at: Moment::from_nanos(self.updated),
            created_by: self.created_by,
            comment: self.comment,
            annotations: self.annotations,
        })
    }
}

impl ToldRecord {
    fn of(key: &LogKey, entry: &LogEntry) -> Self {
        let numbers = |set: &BTreeSet<Fingerprint>| set.iter().map(|fingerprint| fingerprint.0).collect();
        Self {
            group: key.group.clone(),
            receiver: key.receiver.clone(),
            integration: key.integration.clone(),
            index: key.index,
            at: entry.at.nanos(),
            firing: numbers(&entry.firing),
            resolved: numbers(&entry.resolved),
            expires: entry.expires_at.nanos(),
        }
    }

    fn into_entry(self) -> (LogKey, LogEntry) {
        let set = |numbers: Vec<u64>| numbers.into_iter().map(Fingerprint).collect();
        let key = LogKey {
            group: self.group,
            receiver: self.receiver,
            integration: self.integration,
            index: self.index,
        };
        let entry = LogEntry {
            at: Moment::from_nanos(self.at),
            firing: set(self.firing),
            resolved: set(self.resolved),
            expires_at: Moment::from_nanos(self.expires),
        };
        (key, entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 writes: it has to be read as long as there is such data.
    const SILENCE: &str = r#"{"tenant":"a","silence":{"id":"6f9f2ab1-7a8e-4d2e-8e0c-1fdc6aadc1a5","matchers":[[["job","=~","x|y"],["π","!=","\"z\""]]],"starts":1,"ends":2,"updated":3,"created_by":"me","comment":"c","annotations":{"k":"v"}}}"#;
    const TOLD: &str = r#"{"tenant":"a","told":{"group":"{}:{a=\"b\"}","receiver":"r","integration":"webhook","index":1,"at":5,"firing":[1,18446744073709551615],"resolved":[],"expires":9}}"#;

    #[test]
    fn records_of_the_first_version_are_read_and_written_alike() {
        for text in [SILENCE, TOLD] {
            let record = Record::decode(text.as_bytes()).expect(text);
            assert_eq!(String::from_utf8(record.encode()).expect("JSON"), text);
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in ["", "{}", "[]", r#"{"tenant":"a"}"#, &SILENCE.replace("=~", "=="), &TOLD[..40]] {
            assert_eq!(Record::decode(text.as_bytes()), None, "{text}");
        }
    }
}
