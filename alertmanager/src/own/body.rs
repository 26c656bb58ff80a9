//! The body that a tenant's configuration comes and goes in: YAML with `template_files` and `alertmanager_config`.

use settings::yaml;

use super::OwnText;

impl OwnText {
    /// Reads a body. What it does not know it leaves alone, as Mimir does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn of_body(text: &str) -> Result<Self, String> {
        let node = yaml::parse("", text).map_err(|problem| problem.to_string())?;
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(Self::default()) };
        let body = node.to_json();
        let body =
            body.as_object().ok_or("expected a mapping with alertmanager_config and template_files")?;
        let yaml = match body.get("alertmanager_config") {
            None => String::new(),
            Some(value) => plain(value).ok_or("alertmanager_config: expected a text")?,
        };
        let mut own = Self { yaml, ..Self::default() };
        match body.get("template_files") {
            None | Some(serde_json::Value::Null) => {}
            Some(serde_json::Value::Object(files)) => {
                for (name, value) in files {
                    let text =
                        plain(value).ok_or_else(|| format!("template_files: {name}: expected a text"))?;
                    own.templates.insert(name.clone(), text);
                }
            }
            Some(_) => return Err("template_files: expected names and texts".to_owned()),
        }
        Ok(own)
    }

    /// The body that it is.
    pub(crate) fn to_body(&self) -> String {
        let mut body = match self.templates.is_empty() {
            true => "template_files: {}\n".to_owned(),
            false => "template_files:\n".to_owned(),
        };
        for (name, text) in &self.templates {
            body += &format!("  {}: {}\n", quoted(name), scalar(text, "    "));
        }
        body += &format!("alertmanager_config: {}\n", scalar(&self.yaml, "  "));
        body
    }
}

/// What a value says where a text is expected; nothing is an empty one.
fn plain(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => Some(String::new()),
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A text as YAML: line by line where that says the same, else in quotes.
fn scalar(text: &str, indent: &str) -> String {
    let printable = |c: char| c == '\n' || (!c.is_control() && !"\u{2028}\u{2029}\u{feff}".contains(c));
    let ends = text.ends_with('\n') && !text.ends_with("\n\n");
    // A first line that is empty, or begins with a space, would be taken for how far all are set in.
    let begins = !text.starts_with([' ', '\n', '\t']);
    if !ends || !begins || !text.chars().all(printable) {
        return quoted(text);
    }
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("\n{indent}{line}") };
    format!("|{}", text.trim_end_matches('\n').split('\n').map(line).collect::<String>())
}

/// A text in quotes. YAML reads those of JSON; what JSON leaves as it is and YAML does not read is escaped besides.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in serde_json::Value::String(text.to_owned()).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_read_as_mimirtool_writes_it() {
        let body = "template_files:\n  a.tmpl: |-\n    {{ define \"a\" }}\nalertmanager_config: |\n  route:\n    receiver: r\n";
        let own = OwnText::of_body(body).expect("a body");
        assert_eq!(own.yaml, "route:\n  receiver: r\n");
        assert_eq!(own.templates["a.tmpl"], "{{ define \"a\" }}");
        let shown = "template_files:\n  \"a.tmpl\": \"{{ define \\\"a\\\" }}\"\nalertmanager_config: |\n  route:\n    receiver: r\n";
        assert_eq!(own.to_body(), shown);
        assert_eq!(OwnText::of_body("").expect("nothing"), OwnText::default());
        for (body, why) in [
            ("[]", "expected a mapping with alertmanager_config"),
            ("alertmanager_config: {route: {}}", "alertmanager_config: expected a text"),
            ("template_files: [a]", "template_files: expected names and texts"),
            ("template_files: {a: []}", "template_files: a: expected a text"),
            ("alertmanager_config: [", ""),
        ] {
            let error = OwnText::of_body(body).expect_err(body);
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            yaml in r"[a-z \n\t:|>\-\x00\x85\u{feff}\u{2028}'\x22\\é😀\r]{0,40}",
            name in r"[a-z.:#{ \x22\n]{1,10}",
            text in r"[a-z\n {}]{0,20}",
        ) {
            let own = OwnText { yaml, templates: [(name, text)].into() };
            prop_assert_eq!(OwnText::of_body(&own.to_body()), Ok(own));
        }
    }
}
