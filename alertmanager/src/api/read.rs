//! Bodies of requests: JSON, and what the specification asks of it, with the words of the library that upstream uses.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use rpc::{BodyLimits, error_response, read_body};
use serde_json::{Map, Value};

use super::answer::{Refused, fault};
use super::time;
use crate::moment::Moment;

/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The numbers that the library gives to what is wrong.
const INVALID_TYPE: u16 = 601;
const REQUIRED: u16 = 602;
const TOO_FEW: u16 = 612;

/// The JSON of a body; `name` is what the specification calls it. Nothing at all is `None`.
pub(super) async fn json(body: Body, max_bytes: u64, name: &str) -> Result<Option<Value>, Refused> {
    let limits = BodyLimits { max_bytes, read_timeout: READ_TIMEOUT };
    let bytes = read_body(body, limits).await.map_err(|error| Box::new(error_response(&error)))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(name, &error.to_string()))
}

/// A body that cannot be read.
pub(super) fn unreadable(name: &str, why: &str) -> Refused {
    let message = format!("parsing {name} body from \"\" failed, because {why}");
    Box::new(fault(StatusCode::BAD_REQUEST, 400, &message))
}

/// Something has to be given and is not.
pub(super) fn required(what: &str) -> Refused {
    Box::new(fault(StatusCode::UNPROCESSABLE_ENTITY, REQUIRED, &format!("{what} in body is required")))
}

/// There are too few of something.
pub(super) fn too_few(what: &str) -> Refused {
    let message = format!("{what} in body should have at least 1 items");
    Box::new(fault(StatusCode::UNPROCESSABLE_ENTITY, TOO_FEW, &message))
}

/// A text is not of its kind.
pub(super) fn invalid_type(what: &str, kind: &str, text: &str) -> Refused {
    let message = format!("{what} must be of type {kind}: {}", gotemplate::quote(text));
    Box::new(fault(StatusCode::UNPROCESSABLE_ENTITY, INVALID_TYPE, &message))
}

/// What a JSON value is called in Go.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value of another type than it has to be.
fn mismatch(value: &Value, field: &str, wanted: &str) -> String {
    let kind = kind(value);
    format!("json: cannot unmarshal {kind} into Go struct field {field} of type {wanted}")
}

/// A value of another type than it has to be, where no field is meant.
pub(super) fn mismatch_whole(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", kind(value))
}

/// Fields of an object. A field that is null is not given.
pub(super) struct Fields<'a> {
    entries: &'a Map<String, Value>,
    /// What the object is called in Go.
    go_type: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, go_type: &'static str) -> Result<Self, String> {
        match value {
            Value::Object(entries) => Ok(Self { entries, go_type }),
            other => Err(mismatch_whole(other, &format!("models.{go_type}"))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        // Go takes names as they come, in whatever case.
        let exact = self.entries.get(name);
        let found = exact.or_else(|| {
            self.entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(mismatch(other, &format!("{}.{name}", self.go_type), "string")),
        }
    }

    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => Err(mismatch(other, &format!("{}.{name}", self.go_type), "bool")),
        }
    }

    /// A time, and whether it was given at all.
    pub(super) fn time(&self, name: &str) -> Result<(bool, Option<Moment>), String> {
        match self.text(name)? {
            None => Ok((false, None)),
            Some(text) => Ok((true, time::parse(text)?)),
        }
    }

    /// Names and texts.
    pub(super) fn texts(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, String> {
        let field = |key: &str| format!("{}.{name}.{key}", self.go_type);
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(entries)) => {
                let mut texts = BTreeMap::new();
                for (key, value) in entries {
                    match value {
                        Value::String(text) => texts.insert(key.clone(), text.clone()),
                        Value::Null => texts.insert(key.clone(), String::new()),
                        other => return Err(mismatch(other, &field(key), "string")),
                    };
                }
                Ok(Some(texts))
            }
            Some(other) => Err(mismatch(other, &format!("{}.{name}", self.go_type), "models.LabelSet")),
        }
    }
}
