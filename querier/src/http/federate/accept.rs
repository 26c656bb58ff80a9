//! Which exposition format a scraper gets, by its `Accept` header.

use super::escape::Escaping;

const PROTOBUF: &str = "application/vnd.google.protobuf";
const FAMILY: &str = "io.prometheus.client.MetricFamily";
const TEXT_VERSIONS: [&str; 2] = ["", "0.0.4"];

/// A format and how names are escaped in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    encoding: Encoding,
    /// How names are written that are not plain.
    pub(super) escaping: Escaping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    Protobuf,
}

/// One element of an `Accept` header.
struct Clause<'a> {
    media: String,
    parameters: Vec<(String, &'a str)>,
    quality: f64,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
            .collect();
        let quality = parameters.iter().find(|(name, _)| name == "q");
        let quality = quality.map_or(1.0, |(_, value)| value.parse().unwrap_or(1.0));
        Self { media, parameters, quality }
    }

    fn get(&self, name: &str) -> &str {
        self.parameters.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media.as_str() {
            PROTOBUF if self.get("proto") == FAMILY && self.get("encoding") == "delimited" => {
                Some(Encoding::Protobuf)
            }
            "text/plain" if TEXT_VERSIONS.contains(&self.get("version")) => Some(Encoding::Text),
            // People with a shell accept anything; they mean text.
            "*/*" | "text/*" => Some(Encoding::Text),
            _ => None,
        }
    }
}

impl Format {
    /// The format for these `Accept` headers: the best accepted one of the text format and delimited protobuf (the other
    /// forms of protobuf and OpenMetrics are not offered, the latter as in Prometheus), text where none is.
    pub(super) fn negotiate<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let mut clauses: Vec<_> = accept.flat_map(|value| value.split(',')).map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
        let mut escaping = Escaping::default();
        for clause in &clauses {
            // As upstream has it, a better clause that is not served still says how names are to be escaped.
            escaping = Escaping::named(clause.get("escaping")).unwrap_or(escaping);
            if let Some(encoding) = clause.encoding() {
                return Self { encoding, escaping };
            }
        }
        Self { encoding: Encoding::Text, escaping }
    }

    pub(super) fn is_protobuf(self) -> bool {
        self.encoding == Encoding::Protobuf
    }

    pub(super) fn content_type(self) -> String {
        let media = match self.encoding {
            Encoding::Text => "text/plain; version=0.0.4; charset=utf-8".to_owned(),
            Encoding::Protobuf => format!("{PROTOBUF}; proto={FAMILY}; encoding=delimited"),
        };
        format!("{media}; escaping={}", self.escaping.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_served() {
        let text = |escaping: &str| format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
        let protobuf = |escaping: &str| {
            format!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                 escaping={escaping}"
            )
        };
        for (accept, expected) in [
            ("", text("underscores")),
            ("*/*", text("underscores")),
            ("text/plain", text("underscores")),
            // What Prometheus 3 sends without and with native histograms.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                text("allow-utf-8"),
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;\
                 escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.2",
                protobuf("allow-utf-8"),
            ),
            (
                "text/plain;q=0.9,application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                 encoding=delimited;q=0.5",
                text("underscores"),
            ),
            ("application/vnd.google.protobuf;proto=other;encoding=delimited", text("underscores")),
            ("text/plain;escaping=dots", text("dots")),
            ("text/plain;escaping=nonsense", text("underscores")),
        ] {
            assert_eq!(Format::negotiate(std::iter::once(accept)).content_type(), expected, "{accept}");
        }
    }
}
