//! Bodies of requests: JSON, and what the specification asks of it, with the words of the library that upstream uses.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
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

/// The JSON of a body; `name` is what the specification calls it. Nothing at all is `None`; what stands behind the first value is
/// not looked at, as upstream has it.
pub(super) async fn json(
    request: Request<Body>,
    max_bytes: u64,
    name: &str,
) -> Result<Option<Value>, Refused> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits { max_bytes, read_timeout: READ_TIMEOUT };
    let bytes = read_body(body, limits).await.map_err(|error| Box::new(error_response(&error)))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    check_type(&parts.headers)?;
    let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
    let unreadable = |error: serde_json::Error| match error.is_eof() {
        true => unreadable(name, "unexpected EOF"),
        false => unreadable(name, &error.to_string()),
    };
    values.next().transpose().map_err(unreadable)
}

/// Refuses a body that is said to be something else than JSON.
fn check_type(headers: &HeaderMap) -> Result<(), Refused> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.is_empty() {
        // Upstream refuses this, too; whoever says nothing is taken to mean what alone there is.
        return Ok(());
    }
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" {
        return Ok(());
    }
    if !kind.contains('/') {
        let given = gotemplate::quote(given);
        let why = format!("mediatype: malformed: {given} has no subtype");
        let message = format!("parsing Content-Type header from {given} failed, because {why}");
        return Err(Box::new(fault(StatusCode::BAD_REQUEST, 400, &message)));
    }
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    let quoted = gotemplate::quote(&kind);
    let message = format!("unsupported media type {quoted}, only [application/json] are allowed");
    Err(Box::new(fault(status, status.as_u16(), &message)))
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
    /// What fields of the object are told of in Go: `Matcher.matchers`.
    path: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, go_type: &str, path: &'static str) -> Result<Self, String> {
        match value {
            Value::Object(entries) => Ok(Self { entries, path }),
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
            Some(other) => Err(mismatch(other, &self.name(name), "string")),
        }
    }

    /// A field of another type than it has to be.
    pub(super) fn mismatch(&self, value: &Value, name: &str, wanted: &str) -> String {
        mismatch(value, &self.name(name), wanted)
    }

    /// A field as messages name it.
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(other) => Err(mismatch(other, &self.name(name), "bool")),
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
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(entries)) => {
                let mut texts = BTreeMap::new();
                for (key, value) in entries {
                    match value {
                        Value::String(text) => texts.insert(key.clone(), text.clone()),
                        Value::Null => texts.insert(key.clone(), String::new()),
                        other => return Err(mismatch(other, &self.name(&format!("{name}.{key}")), "string")),
                    };
                }
                Ok(Some(texts))
            }
            Some(other) => Err(mismatch(other, &self.name(name), "models.LabelSet")),
        }
    }
}
