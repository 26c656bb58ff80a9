//! Parameters of requests.

use std::collections::BTreeSet;

use http::Uri;

/// The parameters of a request, in order.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; empty where it is not given.
    pub(super) fn first(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a parameter.
    pub(super) fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Of a parameter that may be given several times: everything passes if it is not given, else what was named.
    pub(super) fn wanted(&self, name: &str) -> Wanted<'_> {
        Wanted(self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect())
    }

    /// A truth value as Go reads one; false where it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.first(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(invalid(
                name,
                &format!("error converting {name}: strconv.ParseBool: parsing {other:?}: invalid syntax"),
            )),
        }
    }
}

/// Names that are wanted.
pub(super) struct Wanted<'a>(BTreeSet<&'a str>);

impl Wanted<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(name)
    }
}

/// What is wrong with a parameter, in upstream's words.
pub(super) fn invalid(name: &str, reason: &str) -> String {
    format!("invalid parameter \"{name}\": {reason}")
}
