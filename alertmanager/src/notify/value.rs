//! Structures of the configuration whose texts are templates: payloads, details, fields.

use serde_json::{Map, Value};

use super::{SendError, Telling};
use crate::template::Data;

/// The value with every key and text rendered. A text that turns out to be YAML of something else than text becomes that.
pub(crate) fn render(value: &Value, telling: &Telling, data: &Data) -> Result<Value, SendError> {
    Ok(match value {
        Value::String(text) => {
            let rendered = telling.text_of(text, data)?;
            match settings::yaml::parse("", &rendered).map(|node| node.map(|node| node.to_json())) {
                // Upstream's reader takes nothing for null.
                Ok(None) => Value::Null,
                Ok(Some(inner)) if !inner.is_string() => inner,
                _ => Value::String(rendered),
            }
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render(item, telling, data)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let mut rendered = Map::new();
            for (key, value) in entries {
                rendered.insert(telling.text_of(key, data)?, render(value, telling, data)?);
            }
            Value::Object(rendered)
        }
        plain => plain.clone(),
    })
}

/// JSON as Go writes it: what means something in HTML escaped, and a line feed behind it.
pub(crate) fn go_json(value: &impl serde::Serialize) -> Result<Vec<u8>, SendError> {
    let text = serde_json::to_string(value).map_err(|error| SendError::for_good(error.to_string()))?;
    Ok(escape_html(&text).into_bytes())
}

/// Escapes what Go's encoder escapes besides, and ends the line. Such characters stand inside of texts only.
pub(crate) fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}
