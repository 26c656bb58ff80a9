//! From our own OpenMetrics text to the older Prometheus text format, and to samples.
//!
//! The client library renders OpenMetrics only and offers no structured view, so both are derived from its text.
//! This reads what that library writes, not any exposition there is: `wire` has the parser for those.

/// A text format that a scraper may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4, which every scraper reads.
    Prometheus,
}

impl Format {
    /// The format for a request's `Accept` header: OpenMetrics where it is named, otherwise Prometheus text.
    pub fn negotiate(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// One sample of the process' own metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct GatheredSample {
    /// The metric name with its suffix, for example `barograph_requests_total`.
    pub name: String,
    /// Label names and values in the order of the exposition; the name is not among them.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The type of the family: `counter`, `gauge`, `histogram`, `info` or `unknown`.
    pub kind: String,
    /// The help text of the family.
    pub help: String,
    /// The name of the family, for metadata: as Prometheus names it, so with `_total` for counters.
    pub family: String,
}

/// A family as its `# HELP` and `# TYPE` lines give it.
#[derive(Default, Clone)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
}

impl Family<'_> {
    /// In the older format, and in Prometheus' metadata, counters and infos carry their suffix in the family name.
    fn prometheus_name(&self) -> String {
        match self.kind {
            "counter" => format!("{}_total", self.name),
            "info" => format!("{}_info", self.name),
            _ => self.name.to_owned(),
        }
    }

    fn prometheus_kind(&self) -> &str {
        match self.kind {
            "info" | "stateset" => "gauge",
            "unknown" => "untyped",
            kind => kind,
        }
    }
}

enum Line<'a> {
    /// The type of a family, which the client library writes after its help.
    Family(Family<'a>),
    /// A sample, without its exemplar.
    Sample(&'a str),
}

/// `openmetrics` in Prometheus text format 0.0.4: without units, exemplars and the end marker.
pub fn to_prometheus_text(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    for line in lines(openmetrics) {
        match line {
            Line::Family(family) => {
                let (name, kind) = (family.prometheus_name(), family.prometheus_kind());
                out.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
            }
            Line::Sample(sample) => {
                out.push_str(sample);
                out.push('\n');
            }
        }
    }
    out
}

/// The samples of `openmetrics`.
pub fn samples(openmetrics: &str) -> Vec<GatheredSample> {
    let mut family = Family::default();
    let mut samples = Vec::new();
    for line in lines(openmetrics) {
        match line {
            Line::Family(next) => family = next,
            Line::Sample(text) => samples.extend(sample(text, &family)),
        }
    }
    samples
}

fn lines(openmetrics: &str) -> impl Iterator<Item = Line<'_>> {
    let mut help = ("", "");
    openmetrics.lines().filter_map(move |line| {
        let Some(comment) = line.strip_prefix("# ") else {
            return Some(Line::Sample(without_exemplar(line)));
        };
        let mut words = comment.splitn(3, ' ');
        let (keyword, name, rest) = (words.next()?, words.next().unwrap_or(""), words.next().unwrap_or(""));
        match keyword {
            "HELP" => help = (name, rest),
            "TYPE" => {
                let help = if help.0 == name { help.1 } else { "" };
                return Some(Line::Family(Family { name, help, kind: rest }));
            }
            _ => {}
        }
        None
    })
}

fn without_exemplar(line: &str) -> &str {
    // The marker may stand inside a label value too, so only what follows the labels is searched.
    let after_labels = match line.split_once('{') {
        Some((name, rest)) if !name.contains(' ') => labels(rest).map_or("", |(_, after)| after),
        _ => line,
    };
    match after_labels.find(" # ") {
        Some(at) => line.get(..line.len() - after_labels.len() + at).unwrap_or(line),
        None => line,
    }
}

fn sample(text: &str, family: &Family<'_>) -> Option<GatheredSample> {
    let name_end = text.find(['{', ' '])?;
    let (name, rest) = text.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(GatheredSample {
        name: name.to_owned(),
        labels,
        value,
        kind: family.kind.to_owned(),
        help: family.help.to_owned(),
        family: family.prometheus_name(),
    })
}

/// Label pairs with their values unescaped, and what follows the closing brace.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = unescape(value)?;
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// The text up to the closing quote, unescaped, and what follows the quote.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
