//! The configuration as it is shown to people: YAML, with what is secret hidden.

/// A value as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shown {
    /// Text, quoted where it could be taken for something else.
    Text(String),
    /// A number, a duration, a truth.
    Plain(String),
    /// A list.
    List(Vec<Shown>),
    /// A mapping.
    Map(Vec<(String, Shown)>),
}

impl Shown {
    /// What stands where there is nothing to show but something has to stand.
    pub(crate) fn empty() -> Self {
        Self::Text(String::new())
    }

    /// Nothing, where nothing means something.
    pub(crate) fn null() -> Self {
        Self::Plain("null".to_owned())
    }

    /// The document.
    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Map(entries) => write_map(&mut out, entries, 0),
            Self::List(items) => write_list(&mut out, items, 0),
            Self::Text(text) => out.push_str(&scalar(text)),
            Self::Plain(text) => out.push_str(text),
        }
        out
    }
}

/// Adds an entry, if there is anything to show: some numbers and truths upstream leaves out where they are zero and false.
pub(crate) fn keep(entries: &mut Vec<(String, Shown)>, key: &str, shown: Option<Shown>) {
    const ZEROS: [&str; 2] = ["chat_id", "message_thread_id"];
    const FALSEHOODS: [&str; 9] = [
        "disable_notifications",
        "enabled",
        "html",
        "insecure",
        "monospace",
        "proxy_from_environment",
        "update_alerts",
        "use_aws_http_client",
        "use_fips_sts_endpoint",
    ];
    let left_out = match &shown {
        None => true,
        Some(Shown::Plain(text)) => {
            (text == "false" && FALSEHOODS.contains(&key)) || (text == "0" && ZEROS.contains(&key))
        }
        Some(Shown::Map(entries)) => key == "threading" && entries.is_empty(),
        Some(Shown::Text(text)) => key == "smtp_smarthost" && text.is_empty(),
        Some(Shown::List(_)) => false,
    };
    entries.extend(shown.filter(|_| !left_out).map(|shown| (key.to_owned(), shown)));
}

fn write_map(out: &mut String, entries: &[(String, Shown)], indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        // The first key of a map in a list stands behind the dash.
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            Shown::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Shown::Map(entries) => {
                out.push('\n');
                write_map(out, entries, indent + 2);
            }
            Shown::List(items) if items.is_empty() => out.push_str(" []\n"),
            Shown::List(items) => {
                out.push('\n');
                write_list(out, items, indent);
            }
            value => {
                out.push(' ');
                write_single(out, value);
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Shown], indent: usize) {
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str("- ");
        match item {
            Shown::Map(entries) if entries.is_empty() => out.push_str("{}\n"),
            Shown::Map(entries) => write_map(out, entries, indent + 2),
            Shown::List(items) if items.is_empty() => out.push_str("[]\n"),
            Shown::List(items) => {
                out.push('\n');
                write_list(out, items, indent + 2);
            }
            value => write_single(out, value),
        }
    }
}

fn write_single(out: &mut String, value: &Shown) {
    match value {
        Shown::Text(text) => out.push_str(&scalar(text)),
        Shown::Plain(text) => out.push_str(text),
        Shown::List(_) | Shown::Map(_) => {}
    }
    out.push('\n');
}

/// A text that YAML reads as this text: bare where that is safe, else in double quotes.
fn scalar(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./<>:@ ".contains(c);
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/<".contains(c))
        && text.chars().all(safe)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" | "null"
        );
    if bare {
        return text.to_owned();
    }
    // YAML's double quotes know what JSON's do.
    serde_json::Value::from(text).to_string()
}
