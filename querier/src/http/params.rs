//! The parameters of a request: from its query and, in a POST, from its form.

use model::{Matcher, TenantId};
use promql::ParseError;
use promql::ast::Expr;
use promql::text::quote::quote;

use crate::error::ApiError;
use crate::service::Querier;

use super::time::{MAX_TIME_MS, MIN_TIME_MS, parse_duration, parse_time};

/// The largest form that a POST may send: as much as Go reads.
pub(crate) const MAX_FORM_BYTES: u64 = 10 << 20;

/// Names and values in order; those of the form come before those of the query.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of `form` and `query`, both URL-encoded.
    pub(crate) fn parse(query: &str, form: &[u8]) -> Self {
        let form = form_urlencoded::parse(form);
        let query = form_urlencoded::parse(query.as_bytes());
        Self(form.chain(query).map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
    }

    /// The first value of `name`; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let first = self.0.iter().find(|(n, _)| n == name);
        first.map_or("", |(_, value)| value)
    }

    /// All values of `name`.
    pub(crate) fn all<'a, 'n: 'a>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A time that has to be given.
    pub(crate) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|e| ApiError::invalid_parameter(name, e))
    }

    /// A time that may be left out.
    pub(crate) fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        match self.get(name) {
            "" => Ok(default_ms),
            text => parse_time(text).map_err(|e| {
                ApiError::invalid_parameter(name, format!("invalid time value for '{name}': {e}"))
            }),
        }
    }

    /// `start` and `end` of label queries, all of time by default. The end may be before the start: then nothing is
    /// selected.
    pub(crate) fn optional_range(&self) -> Result<(i64, i64), ApiError> {
        Ok((self.time_or("start", MIN_TIME_MS)?, self.time_or("end", MAX_TIME_MS)?))
    }

    /// A duration in milliseconds; `None` where it is not given.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<i64>, String> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_duration(text).map(Some),
        }
    }

    /// `limit`: how many results at most; 0 for no limit.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        let invalid = |e: String| ApiError::invalid_parameter("limit", e);
        match self.get("limit") {
            "" => Ok(0),
            text => {
                let limit = parse_int(text).map_err(invalid)?;
                usize::try_from(limit).map_err(|_| invalid("limit must be non-negative".to_owned()))
            }
        }
    }

    /// The expression of `query`; the inner error says what is wrong with it.
    pub(crate) async fn expression(
        &self,
        querier: &Querier,
        tenant: &TenantId,
    ) -> Result<Result<Expr, ParseError>, ApiError> {
        let (text, options) = (self.get("query").to_owned(), querier.parse_options(tenant));
        querier.compile(std::iter::once(self.get("query")), move || promql::parse(&text, &options)).await
    }

    /// The selectors of `match[]`; the inner error says what is wrong with them.
    pub(crate) async fn selectors(
        &self,
        querier: &Querier,
    ) -> Result<Result<Vec<Vec<Matcher>>, String>, ApiError> {
        let texts: Vec<String> = self.all("match[]").map(str::to_owned).collect();
        let parse = move || {
            let selector = |text| promql::parse_series_selector(text).map_err(|e| e.to_string());
            texts.iter().map(String::as_str).map(selector).collect()
        };
        querier.compile(self.all("match[]"), parse).await
    }

    /// As [`Self::selectors`], where each has to have at least one matcher that does not match the empty text.
    pub(crate) async fn matcher_sets(
        &self,
        querier: &Querier,
    ) -> Result<Result<Vec<Vec<Matcher>>, String>, ApiError> {
        Ok(self.selectors(querier).await?.and_then(no_empty_set))
    }
}

fn no_empty_set(sets: Vec<Vec<Matcher>>) -> Result<Vec<Vec<Matcher>>, String> {
    if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
        return Err("match[] must contain at least one non-empty matcher".to_owned());
    }
    Ok(sets)
}

/// A whole number, with upstream's words where it is none.
pub(crate) fn parse_int(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|e| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let reason = match e.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {reason}", quote(text))
    })
}

/// The label that a path means. Names that are not plain are written `U__` and then with `_` doubled and every other
/// character outside of letters, digits and `:` as its code in hexadecimal between underscores. A name that breaks
/// these rules is taken as it is.
pub(crate) fn unescape_label_name(name: &str) -> String {
    name.strip_prefix("U__").and_then(unescape).unwrap_or_else(|| name.to_owned())
}

fn unescape(escaped: &str) -> Option<String> {
    const MAX_CODE_DIGITS: usize = 6;
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('_')?;
        let code = &rest[..end];
        rest = &rest[end + 1..];
        match code {
            "" => name.push('_'),
            code if code.len() <= MAX_CODE_DIGITS && code.bytes().all(|b| b.is_ascii_hexdigit()) => {
                name.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            }
            _ => return None,
        }
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_comes_before_query() {
        let params = Params::parse("a=1&b=%2Bx+y&match[]=up", b"a=2&match%5B%5D=down");
        assert_eq!(params.get("a"), "2");
        assert_eq!(params.get("b"), "+x y");
        assert_eq!(params.get("c"), "");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["down", "up"]);
    }

    #[test]
    fn escaped_label_names() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__http_2e_status_2e_code", "http.status.code"),
            ("U__a__b", "a_b"),
            ("U___1f4a9_", "\u{1f4a9}"),
            ("U__a_", "U__a_"),
            ("U__a_xyz_", "U__a_xyz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_label_name(escaped), name, "{escaped}");
        }
    }

    #[test]
    fn limits() {
        let limit = |text: &str| Params::parse(&format!("limit={text}"), b"").limit().map_err(|e| e.message);
        assert_eq!(limit(""), Ok(0));
        assert_eq!(limit("7"), Ok(7));
        assert_eq!(
            limit("x"),
            Err("invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax".to_owned())
        );
        assert_eq!(limit("-1"), Err("invalid parameter \"limit\": limit must be non-negative".to_owned()));
        assert_eq!(
            limit("99999999999999999999"),
            Err(
                "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range"
                    .to_owned()
            )
        );
    }
}
