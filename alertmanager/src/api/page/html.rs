//! The frame of pages, and what people and alerts say as HTML: nothing of it is ever taken for markup.

use std::time::Duration;

use model::TenantId;

use crate::moment::Moment;

const STYLE: &str = include_str!("style.css");
/// The pages that every page leads to: where, and what they are called.
const LINKS: [(&str, &str); 4] =
    [("alerts", "Alerts"), ("silences", "Silences"), ("receivers", "Receivers"), ("rules", "Rules")];

/// A page.
pub(super) struct Page<'a> {
    /// What it is called.
    pub(super) title: &'a str,
    /// Which of the pages that all others lead to it is.
    pub(super) here: &'a str,
    /// How many levels below `/ui` it is: `/ui/alerts` is at 1.
    pub(super) level: usize,
    /// Whose it is.
    pub(super) tenant: Option<&'a TenantId>,
    /// What it says, in HTML.
    pub(super) body: String,
}

impl Page<'_> {
    /// All of it.
    pub(super) fn render(&self) -> String {
        let root = match self.level {
            1 => ".",
            2 => "..",
            _ => "../..",
        };
        let link = |(path, name): &(&str, &str)| {
            let current = if *path == self.here { " aria-current=\"page\"" } else { "" };
            format!("<a href=\"{root}/{path}\"{current}>{name}</a>")
        };
        let links: String = LINKS.iter().map(link).collect();
        // There is only one where nobody has a name.
        let tenant = self.tenant.filter(|tenant| **tenant != TenantId::anonymous());
        let tenant =
            tenant.map(|tenant| format!("<span class=\"tenant\">{}</span>", escape(tenant.as_str())));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title} · Barograph</title><style>\n{STYLE}</style></head>\n\
             <body><header><b>Barograph</b><nav>{links}</nav>{}</header>\n\
             <main><h1>{title}</h1>\n{}\n</main></body></html>\n",
            tenant.unwrap_or_default(),
            self.body,
            title = escape(self.title),
        )
    }
}

/// A text in HTML, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A label, or a matcher.
pub(super) fn label(text: &str) -> String {
    format!("<span class=\"label\">{}</span>", escape(text))
}

/// A label that leads somewhere.
pub(super) fn label_link(text: &str, url: &str) -> String {
    format!("<a class=\"label\" href=\"{}\">{}</a>", escape(url), escape(text))
}

/// Labels beside each other, each in HTML.
pub(super) fn labels(each: impl IntoIterator<Item = String>) -> String {
    format!("<span class=\"labels\">{}</span>", each.into_iter().collect::<String>())
}

/// A word for how something is; a word of ours, which is also its class.
pub(super) fn state(word: &'static str) -> String {
    format!("<span class=\"state {word}\">{word}</span>")
}

/// Names and texts below each other; a text that is the address of a page leads there.
pub(super) fn list<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let row = |(name, text): (&str, &str)| format!("<dt>{}</dt><dd>{}</dd>", escape(name), linked(text));
    let rows: String = pairs.into_iter().map(row).collect();
    if rows.is_empty() { rows } else { format!("<dl>{rows}</dl>") }
}

fn linked(text: &str) -> String {
    let escaped = escape(text);
    let is_link = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    if is_link && !text.contains(char::is_whitespace) {
        return format!("<a href=\"{escaped}\" rel=\"noreferrer\">{escaped}</a>");
    }
    escaped
}

/// So many of something.
pub(super) fn count(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A time in UTC, as a text.
pub(super) fn time(moment: Moment) -> String {
    moment.to_time().format("2006-01-02 15:04:05 UTC")
}

/// A time in UTC, in HTML.
pub(super) fn shown_time(moment: Moment) -> String {
    format!("<time>{}</time>", time(moment))
}

/// How long something lasts, in its two largest units.
pub(super) fn span(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let seconds = duration.as_secs();
    let Some(first) = UNITS.iter().position(|(_, unit)| seconds >= *unit) else { return "0s".to_owned() };
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (name, unit) in UNITS.iter().skip(first).take(2) {
        if rest >= *unit {
            parts.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_text() {
        assert_eq!(label("a=\"<b>\""), "<span class=\"label\">a=&quot;&lt;b&gt;&quot;</span>");
        assert_eq!(label_link("'", "x?\"&"), "<a class=\"label\" href=\"x?&quot;&amp;\">&#39;</a>");
        let shown =
            list([("url", "https://x/?a=1&b=2"), ("js", "javascript:alert(1)"), ("odd", "http://x y")]);
        assert!(shown.contains("<a href=\"https://x/?a=1&amp;b=2\" rel=\"noreferrer\">"), "{shown}");
        assert_eq!(shown.matches("<a ").count(), 1, "{shown}");
        assert!(
            list([("<script>", "\"><script>")]).starts_with("<dl><dt>&lt;script&gt;</dt><dd>&quot;&gt;&lt;")
        );
        assert_eq!(list([]), "");
    }

    #[test]
    fn a_page_says_whose_it_is_where_there_are_several() {
        let tenant = TenantId::new("team-a").expect("a tenant");
        let page =
            |tenant| Page { title: "<x>", here: "alerts", level: 2, tenant, body: String::new() }.render();
        let named = page(Some(&tenant));
        assert!(named.contains("<span class=\"tenant\">team-a</span>"), "{named}");
        assert!(named.contains("<h1>&lt;x&gt;</h1>") && !named.contains("<x>"), "{named}");
        assert!(named.contains("<a href=\"../alerts\" aria-current=\"page\">"), "{named}");
        assert!(!page(Some(&TenantId::anonymous())).contains("class=\"tenant\""));
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        let expected = ["0s", "59s", "1m", "1m 1s", "1h", "2h 5m", "1d", "400d 1h"];
        let seconds = [0, 59, 60, 61, 3_601, 7_530, 86_430, 400 * 86_400 + 3_700];
        assert_eq!(seconds.map(shown), expected);
    }
}
