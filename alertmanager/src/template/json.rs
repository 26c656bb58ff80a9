//! `toJson`: values as Go writes them into JSON.

use gotemplate::time::GoTime;
use gotemplate::{Object, Underlying, Value, format_float};

/// The longest JSON that is made, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// The value in JSON.
pub(crate) fn to_json(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value)?;
    Ok(out)
}

fn write(out: &mut String, value: &Value) -> Result<(), String> {
    if out.len() > MAX_BYTES {
        return Err(format!("JSON longer than {MAX_BYTES} bytes"));
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) if value.is_finite() => out.push_str(&float(*value)),
        Value::Float(value) => {
            return Err(format!("json: unsupported value: {}", format_float(*value, 'g', None)));
        }
        Value::Text(text) | Value::Safe(_, text) => write_text(out, text),
        Value::Object(object) => return write_object(out, &**object, value),
        Value::Function(_) => return Err("json: unsupported type: func".to_owned()),
        Value::List(_) | Value::Map(_) => return write_collection(out, value),
    }
    Ok(())
}

fn write_collection(out: &mut String, value: &Value) -> Result<(), String> {
    if let Some(list) = value.as_list() {
        out.push('[');
        for (index, item) in list.items().iter().enumerate() {
            out.push_str(if index > 0 { "," } else { "" });
            write(out, item)?;
        }
        out.push(']');
    } else if let Some(map) = value.as_map() {
        out.push('{');
        for (index, (key, item)) in map.entries().iter().enumerate() {
            out.push_str(if index > 0 { "," } else { "" });
            write_text(out, key);
            out.push(':');
            write(out, item)?;
        }
        out.push('}');
    }
    Ok(())
}

fn write_object(out: &mut String, object: &(dyn Object + 'static), value: &Value) -> Result<(), String> {
    if let Some(time) = object.downcast::<GoTime>() {
        write_text(out, &time.rfc3339());
        return Ok(());
    }
    match object.underlying() {
        Underlying::Int(int) => out.push_str(&int.to_string()),
        Underlying::List(_) | Underlying::Map(_) => write_collection(out, value)?,
        Underlying::Struct => {
            out.push('{');
            let told = object.fields().iter().filter(|name| name.starts_with(char::is_uppercase));
            for (index, name) in told.enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_text(out, field_name(object.type_name(), name));
                out.push(':');
                write(out, &object.field(name).unwrap_or_default())?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// What a field is called in JSON: upstream gives names of their own to all but those of pairs.
fn field_name(type_name: &str, field: &'static str) -> &'static str {
    if type_name == "template.Pair" {
        return field;
    }
    match field {
        "Receiver" => "receiver",
        "Status" => "status",
        "Alerts" => "alerts",
        "NotificationReason" => "notification_reason",
        "GroupLabels" => "groupLabels",
        "CommonLabels" => "commonLabels",
        "CommonAnnotations" => "commonAnnotations",
        "RouteLabels" => "routeLabels",
        "ExternalURL" => "externalURL",
        "Labels" => "labels",
        "Annotations" => "annotations",
        "StartsAt" => "startsAt",
        "EndsAt" => "endsAt",
        "GeneratorURL" => "generatorURL",
        "Fingerprint" => "fingerprint",
        other => other,
    }
}

/// A float: with an exponent where it is very small or very large, of as few digits as that needs.
fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        return format_float(value, 'e', None).replace("e-0", "e-");
    }
    format_float(value, 'f', None)
}

/// A text; what means something in HTML is escaped too.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
