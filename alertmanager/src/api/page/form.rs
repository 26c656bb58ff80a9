//! The form of a silence: a new one, one that is changed, and what it would be about.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, Uri};
use model::TenantId;
use rpc::{BodyLimits, Tenant, error_response, read_body};

use super::html::{Page, escape, shown_time};
use super::silences::{affected, missing, why};
use super::{elsewhere, problem};
use crate::api::time;
use crate::matcher::{Language, Matcher};
use crate::moment::Moment;
use crate::service::{Alertmanager, Shared};
use crate::silence::{Silence, SilenceState};

/// The largest form, in bytes, and how long it may take to arrive.
const LIMITS: BodyLimits = BodyLimits { max_bytes: 256 << 10, read_timeout: Duration::from_secs(30) };
/// For how long a silence is, unless somebody says otherwise.
const DEFAULT_DURATION: &str = "2h";
/// Times as the form has them, in UTC.
const WRITTEN: &str = "2006-01-02T15:04:05Z";

/// What is in the form, as people wrote it.
#[derive(Default)]
struct Form {
    id: String,
    matchers: String,
    from: String,
    until: String,
    author: String,
    comment: String,
    /// Which button was pressed.
    action: String,
}

impl Form {
    fn parse(text: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(text) {
            let field = match &*name {
                "id" => &mut form.id,
                "matchers" => &mut form.matchers,
                "from" => &mut form.from,
                "until" => &mut form.until,
                "author" => &mut form.author,
                "comment" => &mut form.comment,
                "action" => &mut form.action,
                _ => continue,
            };
            // Browsers end lines in their own way.
            *field = one_line_end(value.trim());
        }
        form
    }

    fn of(silence: &Silence, now: Moment) -> Self {
        let matchers: Vec<String> = silence.matchers.iter().flatten().map(Matcher::to_string).collect();
        let form = Self {
            matchers: matchers.join("\n"),
            author: silence.created_by.clone(),
            comment: silence.comment.clone(),
            ..Self::default()
        };
        if silence.state(now) == SilenceState::Expired {
            // What is over is made again, under another name.
            return Self { until: DEFAULT_DURATION.to_owned(), ..form };
        }
        let (from, until) = (written(silence.starts_at), written(silence.ends_at));
        Self { id: silence.id.clone(), from, until, ..form }
    }

    /// The silence that it asks for; what was not touched stays as it is `known`, since a form cannot say all of it.
    fn silence(&self, language: Language, known: Option<&Silence>, now: Moment) -> Result<Silence, String> {
        let before = known.map(|known| (known, Self::of(known, now)));
        let kept = |same: fn(&Self) -> &String| {
            before
                .as_ref()
                .filter(|(_, form)| one_line_end(same(form)) == *same(self))
                .map(|(known, _)| *known)
        };
        let matchers = match kept(|form| &form.matchers) {
            Some(known) => known.matchers.clone(),
            None => vec![self.read_matchers(language)?],
        };
        let starts_at = match (kept(|form| &form.from), self.from.as_str()) {
            (Some(known), text) if !text.is_empty() => known.starts_at,
            (_, "") => now,
            (_, text) => moment(text)?,
        };
        let ends_at = match (kept(|form| &form.until), settings::duration::parse(&self.until)) {
            (_, Some(duration)) => starts_at.max(now).plus(duration),
            (Some(known), None) => known.ends_at,
            (None, None) => moment(&self.until)?,
        };
        if ends_at <= starts_at.max(now) {
            return Err("It has to end in the future, and after it begins.".to_owned());
        }
        for (text, what) in [(&self.author, "who wants it"), (&self.comment, "why")] {
            if text.is_empty() {
                return Err(format!("Say {what}, for those who wonder."));
            }
        }
        let silence = Silence {
            id: self.id.clone(),
            matchers,
            starts_at,
            ends_at,
            updated_at: now,
            created_by: self.author.clone(),
            comment: self.comment.clone(),
            annotations: known.map(|known| known.annotations.clone()).unwrap_or_default(),
        };
        silence.check(language).map_err(|error| error.to_string())?;
        Ok(silence)
    }

    fn read_matchers(&self, language: Language) -> Result<Vec<Matcher>, String> {
        let mut matchers = Vec::new();
        for line in self.matchers.lines().map(str::trim).filter(|line| !line.is_empty()) {
            matchers.extend(language.matchers(line).map_err(|error| format!("{line}: {error}"))?);
        }
        match matchers.is_empty() {
            true => Err("It has to be about something: give at least one matcher.".to_owned()),
            false => Ok(matchers),
        }
    }

    /// The form, posted to `action`.
    fn render(&self, action: &str) -> String {
        let field = |name: &str, title: &str, value: &str, hint: &str| {
            format!(
                "<label class=\"field\"><span>{title}</span><input type=\"text\" name=\"{name}\" value=\"{}\" \
                 placeholder=\"{hint}\"></label>",
                escape(value),
            )
        };
        let area = |name: &str, title: &str, value: &str, rows: u8, class: &str| {
            format!(
                "<label class=\"field\"><span>{title}</span><textarea name=\"{name}\" rows=\"{rows}\"{class}>{}</textarea></label>",
                escape(value)
            )
        };
        format!(
            "<form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"id\" value=\"{}\">{}{}{}{}{}\
             <p><button name=\"action\" value=\"preview\">Preview</button> \
             <button class=\"main\" name=\"action\" value=\"save\">{}</button></p></form>",
            escape(&self.id),
            area(
                "matchers",
                "Matchers, one to a line; all have to match",
                &self.matchers,
                5,
                " class=\"code\" spellcheck=\"false\""
            ),
            field("from", "From (UTC)", &self.from, "now"),
            field("until", "Until (UTC), or for how long", &self.until, "2h, 3d, or a time"),
            field("author", "Who", &self.author, ""),
            area("comment", "Why", &self.comment, 2, ""),
            if self.id.is_empty() { "Silence" } else { "Change" },
        )
    }

    /// The page with the form, between what is said of it.
    fn page(&self, tenant: &TenantId, level: usize, before: &str, behind: &str) -> Html<String> {
        let title = if self.id.is_empty() { "New silence" } else { "Change a silence" };
        let action = match level {
            1 => "silences",
            2 => "../silences",
            _ => "../../silences",
        };
        let body = format!("{before}{}{behind}", self.render(action));
        Html(Page { title, here: "silences", level, tenant: Some(tenant), body }.render())
    }
}

fn one_line_end(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn written(moment: Moment) -> String {
    moment.to_time().format(WRITTEN)
}

fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || format!("{text:?} is no time; 2026-03-01T12:30:00Z or 2h would be one.");
    time::parse(text).ok().flatten().filter(|_| !text.is_empty()).ok_or_else(wrong)
}

pub(super) async fn new(Tenant(id): Tenant, uri: Uri) -> Response {
    let mut form = Form::parse(uri.query().unwrap_or_default().as_bytes());
    form.id = String::new();
    if form.until.is_empty() {
        DEFAULT_DURATION.clone_into(&mut form.until);
    }
    form.page(&id, 2, "", "").into_response()
}

pub(super) async fn edit(
    State(role): State<Alertmanager>,
    Tenant(id): Tenant,
    Path(name): Path<String>,
) -> Response {
    let tenant = role.0.shown(&id);
    let silence = tenant.dispatcher.lock().silences().get(&name).cloned();
    match silence {
        Some(silence) => Form::of(&silence, role.0.now()).page(&id, 3, "", "").into_response(),
        None => missing(3, &id),
    }
}

/// A form that was sent: what it would be about, or the silence made.
pub(super) async fn submit(State(role): State<Alertmanager>, Tenant(id): Tenant, body: Body) -> Response {
    let shared = &role.0;
    let form = match read_body(body, LIMITS).await {
        Ok(bytes) => Form::parse(&bytes),
        Err(error) => return error_response(&error),
    };
    let again = |status: StatusCode, before: &str, behind: &str| {
        (status, form.page(&id, 1, before, behind)).into_response()
    };
    let tenant = shared.shown(&id);
    let known = tenant.dispatcher.lock().silences().get(&form.id).cloned();
    let silence = match form.silence(shared.config.language(), known.as_ref(), shared.now()) {
        Ok(silence) => silence,
        Err(why) => return again(StatusCode::BAD_REQUEST, &problem(&why), ""),
    };
    if form.action != "save" {
        let (from, until) = (shown_time(silence.starts_at), shown_time(silence.ends_at));
        let when = format!("<p>It would hold from {from} until {until}. Nothing is saved yet.</p>");
        return again(StatusCode::OK, "", &format!("{when}{}", affected(shared, &tenant, &silence)));
    }
    match save(shared, &id, silence).await {
        Ok(name) => elsewhere(&format!("silences/{name}")),
        Err((status, why)) => again(status, &problem(&why), ""),
    }
}

async fn save(shared: &Arc<Shared>, id: &TenantId, silence: Silence) -> Result<String, (StatusCode, String)> {
    let tenant = shared.tenant(id).map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))?;
    tenant.set_silence(shared, silence).await.map_err(|error| why(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Moment {
        Moment::from_nanos(second * 1_000_000_000 + 123)
    }

    fn form() -> Form {
        Form::parse(b"matchers=a%3D%22b%22%0D%0A+c%3D~d+%0D%0A&until=2h&author=me&comment=why&action=save")
    }

    fn read(form: &Form, known: Option<&Silence>) -> Result<Silence, String> {
        form.silence(Language::Fallback, known, at(1_000))
    }

    #[test]
    fn what_people_write_is_read() {
        let silence = read(&form(), None).expect("a silence");
        let matchers: Vec<String> = silence.matchers[0].iter().map(Matcher::to_string).collect();
        assert_eq!(matchers, ["a=\"b\"", "c=~\"d\""]);
        assert_eq!((silence.starts_at, silence.ends_at), (at(1_000), at(1_000 + 7_200)));
        // A duration counts from when it begins.
        let later = Form { from: "1970-01-01T01:00:00Z".to_owned(), ..form() };
        let later = read(&later, None).expect("a silence");
        assert_eq!(later.ends_at.since(later.starts_at), Duration::from_secs(7_200));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |form: Form| read(&form, None).expect_err("refused");
        assert!(wrong(Form { matchers: String::new(), ..form() }).contains("at least one matcher"));
        assert!(wrong(Form { matchers: "a=b\n=".to_owned(), ..form() }).starts_with("=: "));
        assert!(wrong(Form { matchers: "a=~\".*\"".to_owned(), ..form() }).contains("empty string"));
        assert!(wrong(Form { from: "x".to_owned(), ..form() }).contains("\"x\" is no time"));
        assert!(wrong(Form { until: String::new(), ..form() }).contains("is no time"));
        assert!(wrong(Form { until: "1970-01-01T00:00:05Z".to_owned(), ..form() }).contains("in the future"));
        assert!(wrong(Form { author: String::new(), ..form() }).contains("who wants it"));
        assert!(wrong(Form { comment: String::new(), ..form() }).contains("why"));
    }

    #[test]
    fn what_is_not_touched_stays() {
        let odd = Matcher::new("a", model::MatchOp::Equal, "line\rfeed").expect("a matcher");
        let annotations = [("k".to_owned(), "v".to_owned())].into();
        let known = Silence {
            id: "some".to_owned(),
            matchers: vec![vec![odd]],
            starts_at: at(500),
            ends_at: at(5_000),
            updated_at: at(500),
            created_by: "me".to_owned(),
            comment: "two\nlines".to_owned(),
            annotations,
        };
        // As a browser sends it back.
        let shown = Form::of(&known, at(1_000));
        let mut sent = form_urlencoded::Serializer::new(String::new());
        for (name, text) in [
            ("id", &shown.id),
            ("matchers", &shown.matchers),
            ("from", &shown.from),
            ("until", &shown.until),
            ("author", &shown.author),
            ("comment", &shown.comment),
        ] {
            sent.append_pair(name, &one_line_end(text).replace('\n', "\r\n"));
        }
        let sent = Form::parse(sent.finish().as_bytes());
        let same = read(&sent, Some(&known)).expect("a silence");
        assert_eq!(same, Silence { updated_at: at(1_000), ..known.clone() });
        let longer = Form { until: "3h".to_owned(), ..sent };
        let longer = read(&longer, Some(&known)).expect("a silence");
        assert_eq!(longer.ends_at, at(1_000 + 3 * 3_600));
        // One that is over is made again under another name, from now on.
        let over = Form::of(&known, at(6_000));
        assert_eq!((over.id.as_str(), over.from.as_str(), over.until.as_str()), ("", "", "2h"));
    }
}
