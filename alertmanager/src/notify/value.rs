//! Structures of the configuration whose texts are templates: payloads, details, fields.

use serde_json::{Map, Value};
use settings::yaml::{Kind, Node};

use super::{SendError, Telling};
use crate::config::Scalar;
use crate::template::Data;

/// The value with every key and text rendered. A text that turns out to be YAML of something else than text becomes that.
pub(crate) fn render(value: &Value, telling: &Telling, data: &Data) -> Result<Value, SendError> {
    Ok(match value {
        Value::String(text) => {
            let rendered = telling.text_of(text, data)?;
            // References as HTML has them are anchors to our reader, and to upstream's they are wrong.
            let reference = rendered.trim_start().starts_with(['&', '*']);
            match settings::yaml::parse("", &rendered).map(|node| node.as_ref().map(resolved)) {
                // Upstream's reader takes nothing for null.
                Ok(None) => Value::Null,
                Ok(Some(inner)) if !inner.is_string() && !reference => inner,
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

/// YAML as upstream's reader has it: `yes` is a truth, `0x10` is 16.
fn resolved(node: &Node) -> Value {
    match &node.kind {
        _ if node.is_null() => Value::Null,
        Kind::Scalar { text, .. } => match Scalar::of(node) {
            Scalar::Bool(truth) => Value::Bool(truth),
            number => {
                whole(number).or_else(|| number.float().map(Value::from)).unwrap_or(text.as_str().into())
            }
        },
        Kind::Sequence(items) => items.iter().map(resolved).collect(),
        Kind::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.text.clone(), resolved(value))).collect())
        }
    }
}

/// A number that JSON shows without a point.
fn whole(number: Scalar) -> Option<Value> {
    /// The numbers up to which a float holds every whole one.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = match number {
        Scalar::Float(float) => (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i128),
        number => number.whole(),
    }?;
    i64::try_from(whole).map(Value::from).or_else(|_| u64::try_from(whole).map(Value::from)).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_upstreams_yaml_makes_of_them() {
        let value = |text: &str| settings::yaml::parse("", text).expect(text).as_ref().map(resolved);
        let cases = [
            ("yes", "true"),
            ("'yes'", "\"yes\""),
            ("0x10", "16"),
            ("1e3", "1000"),
            ("1.50", "1.5"),
            ("~", "null"),
            ("2024-01-01", "\"2024-01-01\""),
            ("{a: [off, 1_0, x]}", "{\"a\":[false,10,\"x\"]}"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text).map(|value| value.to_string()).as_deref(), Some(expected), "{text}");
        }
    }
}
