//! `/silences` and `/silence/{id}`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, Uri};
use model::MatchOp;
use rpc::Tenant;
use serde::Serialize;
use serde_json::Value;

use super::answer::{Refused, bad, json, message, overloaded};
use super::params::Params;
use super::read::{self, Fields};
use super::time::show;
use crate::matcher::Matcher;
use crate::moment::Moment;
use crate::service::Alertmanager;
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::tenant::ChangeError;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    status: ShownState,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    comment: String,
    created_by: String,
    ends_at: String,
    matchers: Vec<ShownMatcher>,
    starts_at: String,
}

#[derive(Serialize)]
struct ShownState {
    state: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMatcher {
    is_equal: bool,
    is_regex: bool,
    name: String,
    value: String,
}

impl Shown {
    fn new(silence: &Silence, now: Moment) -> Self {
        let matchers = silence.matchers.first().map(Vec::as_slice).unwrap_or_default();
        let matcher = |matcher: &Matcher| ShownMatcher {
            is_equal: matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex),
            is_regex: matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex),
            name: matcher.name().to_owned(),
            value: matcher.value().to_owned(),
        };
        Self {
            id: silence.id.clone(),
            status: ShownState { state: silence.state(now).as_str() },
            updated_at: show(silence.updated_at),
            annotations: silence.annotations.clone(),
            comment: silence.comment.clone(),
            created_by: silence.created_by.clone(),
            ends_at: show(silence.ends_at),
            matchers: matchers.iter().map(matcher).collect(),
            starts_at: show(silence.starts_at),
        }
    }
}

/// Whether a silence has every one of the matchers, as it is written.
fn has(silence: &Silence, matchers: &[Matcher]) -> bool {
    let same = |a: &Matcher, b: &Matcher| a.name() == b.name() && a.op() == b.op() && a.value() == b.value();
    silence.matchers.iter().any(|set| matchers.iter().all(|wanted| set.iter().any(|has| same(has, wanted))))
}

/// Those that hold first, the next to end before the others; then those to come, then those that are over.
fn order(silence: &Silence, now: Moment) -> (u8, Moment, Reverse<Moment>) {
    let never = Reverse(Moment::from_nanos(0));
    match silence.state(now) {
        SilenceState::Active => (1, silence.ends_at, never),
        SilenceState::Pending => (2, silence.starts_at, never),
        SilenceState::Expired => (3, Moment::from_nanos(0), Reverse(silence.ends_at)),
    }
}

pub(super) async fn list(State(role): State<Alertmanager>, Tenant(id): Tenant, uri: Uri) -> Response {
    let params = Params::of(&uri);
    let matchers = match params.filter(role.0.config.language()) {
        Ok(matchers) => matchers,
        Err(refused) => return *refused,
    };
    let wanted = |state: SilenceState| params.wanted(state.as_str());
    let (tenant, now) = (role.0.shown(&id), role.0.now());
    let mut found: Vec<Silence> = {
        let dispatcher = tenant.dispatcher.lock();
        let all = dispatcher.silences().iter();
        all.filter(|silence| wanted(silence.state(now)) && has(silence, &matchers)).cloned().collect()
    };
    found.sort_by_key(|silence| order(silence, now));
    let shown: Vec<Shown> = found.iter().map(|silence| Shown::new(silence, now)).collect();
    json(StatusCode::OK, &shown)
}

/// Whether a text can be the name of a silence: a UUID.
fn is_uuid(text: &str) -> bool {
    let digits: String = text.split('-').collect();
    let plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let places = [8, 13, 18, 23];
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    plain && (dashes.is_empty() || dashes == places)
}

fn no_uuid(id: &str) -> Response {
    *read::invalid_type("silenceID in path", "uuid", id)
}

pub(super) async fn one(
    State(role): State<Alertmanager>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Response {
    if !is_uuid(&id) {
        return no_uuid(&id);
    }
    let (tenant, now) = (role.0.shown(&tenant), role.0.now());
    let dispatcher = tenant.dispatcher.lock();
    match dispatcher.silences().get(&id) {
        Some(silence) => json(StatusCode::OK, &Shown::new(silence, now)),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub(super) async fn expire(
    State(role): State<Alertmanager>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Response {
    if !is_uuid(&id) {
        return no_uuid(&id);
    }
    match role.0.shown(&tenant).expire_silence(&role.0, &id).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(ChangeError::Refused(SilenceError::NotFound)) => StatusCode::NOT_FOUND.into_response(),
        Err(ChangeError::Refused(error)) => bad(&error.to_string()),
        Err(ChangeError::Unkept(why)) => overloaded(&format!("the end of the silence {why}")),
    }
}

pub(super) async fn set(
    State(role): State<Alertmanager>,
    Tenant(id): Tenant,
    request: Request<Body>,
) -> Response {
    let shared = &role.0;
    let value = match read::json(request, shared.config.max_request.bytes(), "silence").await {
        Ok(Some(value)) => value,
        Ok(None) => return *read::required("silence"),
        Err(refused) => return *refused,
    };
    let silence = match posted(&value, shared.now()) {
        Ok(silence) => silence,
        Err(refused) => return *refused,
    };
    let tenant = match shared.tenant(&id) {
        Ok(tenant) => tenant,
        Err(refused) => return overloaded(&refused),
    };
    match tenant.set_silence(shared, silence).await {
        Ok(id) => json(StatusCode::OK, &Created { silence_id: id }),
        Err(ChangeError::Refused(error @ SilenceError::NotFound)) => {
            message(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(ChangeError::Refused(error)) => bad(&error.to_string()),
        Err(ChangeError::Unkept(why)) => overloaded(&format!("the silence {why}")),
    }
}

#[derive(Serialize)]
struct Created {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

/// A matcher as it was sent: each part, if it is given.
struct PostedMatcher<'a> {
    name: Option<&'a str>,
    value: Option<&'a str>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

/// The silence that was sent. Fields are looked into in the order of the specification's library, times before expressions.
fn posted(value: &Value, now: Moment) -> Result<Silence, Refused> {
    let unreadable = |why: String| read::unreadable("silence", &why);
    let fields = Fields::of(value, "PostableSilence", "Silence").map_err(unreadable)?;
    let own = Fields::of(value, "PostableSilence", "").map_err(unreadable)?;
    let matchers = match fields.get("matchers") {
        None => None,
        Some(Value::Array(items)) => {
            Some(items.iter().map(matcher).collect::<Result<Vec<_>, _>>().map_err(unreadable)?)
        }
        Some(other) => return Err(unreadable(fields.mismatch(other, "matchers", "models.Matchers"))),
    };
    let id = own.text("id").map_err(unreadable)?.unwrap_or_default();
    let comment = fields.text("comment").map_err(unreadable)?;
    let created_by = fields.text("createdBy").map_err(unreadable)?;
    let (ends_given, ends_at) = fields.time("endsAt").map_err(unreadable)?;
    let (starts_given, starts_at) = fields.time("startsAt").map_err(unreadable)?;
    let annotations = fields.texts("annotations").map_err(unreadable)?.unwrap_or_default();
    let comment = comment.ok_or_else(|| read::required("comment"))?;
    let created_by = created_by.ok_or_else(|| read::required("createdBy"))?;
    if !ends_given {
        return Err(read::required("endsAt"));
    }
    let matchers = complete(matchers.ok_or_else(|| read::required("matchers"))?)?;
    if !starts_given {
        return Err(read::required("startsAt"));
    }
    // Go's zero time is long ago.
    let moment = |time: Option<Moment>| time.unwrap_or(Moment::from_nanos(i64::MIN));
    let (starts_at, ends_at) = (moment(starts_at), moment(ends_at));
    let failed = |why: &str| Box::new(bad(&format!("Failed to create silence: {why}")));
    if starts_at >= ends_at {
        return Err(failed("start time must be before end time"));
    }
    if ends_at < now {
        return Err(failed("end time can't be in the past"));
    }
    Ok(Silence {
        id: id.to_owned(),
        matchers: vec![compiled(matchers)?],
        starts_at,
        ends_at,
        updated_at: moment(None),
        created_by: created_by.to_owned(),
        comment: comment.to_owned(),
        annotations,
    })
}

fn matcher(value: &Value) -> Result<PostedMatcher<'_>, String> {
    let fields = Fields::of(value, "Matcher", "Matcher.matchers")?;
    Ok(PostedMatcher {
        name: fields.text("name")?,
        value: fields.text("value")?,
        is_regex: fields.truth("isRegex")?,
        is_equal: fields.truth("isEqual")?,
    })
}

/// The parts of a matcher: name, value, whether it is an expression, whether it has to match.
type Parts<'a> = (&'a str, &'a str, bool, bool);

/// The matchers that were sent, of which none lacks a part.
fn complete(posted: Vec<PostedMatcher<'_>>) -> Result<Vec<Parts<'_>>, Refused> {
    if posted.is_empty() {
        return Err(read::too_few("matchers"));
    }
    posted
        .into_iter()
        .enumerate()
        .map(|(index, matcher)| {
            let required = |part: &str| read::required(&format!("matchers.{index}.{part}"));
            let is_regex = matcher.is_regex.ok_or_else(|| required("isRegex"))?;
            let name = matcher.name.ok_or_else(|| required("name"))?;
            let value = matcher.value.ok_or_else(|| required("value"))?;
            Ok((name, value, is_regex, matcher.is_equal.unwrap_or(true)))
        })
        .collect()
}

fn compiled(parts: Vec<Parts<'_>>) -> Result<Vec<Matcher>, Refused> {
    let mut matchers = Vec::with_capacity(parts.len());
    for (index, (name, value, is_regex, is_equal)) in parts.into_iter().enumerate() {
        let op = match (is_regex, is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        let wrong = |error: model::MatcherError| {
            let quoted = gotemplate::quote(value);
            Box::new(bad(&format!(
                "invalid silence: invalid label matcher {index} in set 0: invalid regular expression {quoted}: {error}"
            )))
        };
        // Upstream tells of the expression as it was sent here, and everywhere else of the anchored one.
        model::Matcher::new(name, op, value).map_err(wrong)?;
        matchers.push(Matcher::new(name, op, value).map_err(wrong)?);
    }
    Ok(matchers)
}
