//! The functions of notification templates.

use gotemplate::functions::{self, humanize};
use gotemplate::time::GoTime;
use gotemplate::{Function, Outcome, Safe, Templates, Type, Value, text_argument};

use super::json::to_json;
use crate::interval::TimeZone;
use crate::moment::Moment;

const TIME: Type = Type::Named("time.Time");

/// Adds all of them. `now` and `since` take the time from here.
pub(super) fn add(templates: &mut Templates, now: Moment) {
    let texts = [
        ("toUpper", of_text(functions::to_upper)),
        ("toLower", of_text(functions::to_lower)),
        ("title", of_text(functions::title)),
        ("trimSpace", of_text(|text| text.trim().to_owned())),
        ("safeHtml", Function::new([Type::Text], |args| Ok(safe(Safe::Html, args)))),
        ("safeUrl", Function::new([Type::Text], |args| Ok(safe(Safe::Url, args)))),
        ("urlUnescape", Function::new([Type::Text], |args| unescape(text_argument(args, 0)))),
        ("base64encode", of_text(|text| base64(text.as_bytes()))),
        ("base64decode", Function::new([Type::Text], |args| unbase64(text_argument(args, 0)))),
        ("match", functions::matches()),
        ("reReplaceAll", functions::replace_all()),
        ("join", Function::new([Type::Text, Type::texts()], join)),
    ];
    let collections = [
        (
            "stringSlice",
            Function::variadic([], Type::Text, |args| Ok(Value::list(Type::Text, args.to_vec()))),
        ),
        ("list", Function::variadic([], Type::Any, |args| Ok(Value::list(Type::Any, args.to_vec())))),
        ("append", Function::variadic([Type::List(Box::new(Type::Any))], Type::Any, append)),
        ("dict", Function::variadic([], Type::Any, dict)),
        ("toJson", Function::new([Type::Any], |args| to_json(first(args)).map(Value::from))),
        (
            "humanizeDuration",
            Function::new([Type::Any], |args| humanize::duration(first(args)).map(Value::from)),
        ),
    ];
    let times = [
        (
            "date",
            Function::new([Type::Text, TIME], |args| {
                Ok(Value::from(time(args, 1).format(text_argument(args, 0))))
            }),
        ),
        (
            "tz",
            Function::new([Type::Text, TIME], |args| {
                let zone = TimeZone::named(text_argument(args, 0)).map_err(|error| error.to_string())?;
                Ok(Value::object(zone.at(time(args, 1))))
            }),
        ),
        ("now", Function::new([], move |_| Ok(Value::object(now.to_time())))),
        ("since", Function::new([TIME], move |args| Ok(Value::object(now.to_time().since(&time(args, 0)))))),
        (
            "toDate",
            Function::new([Type::Text, Type::Text], |args| {
                let parsed = GoTime::parse(text_argument(args, 0), text_argument(args, 1));
                Ok(Value::object(parsed.unwrap_or_else(|_| GoTime::zero())))
            }),
        ),
        (
            "mustToDate",
            Function::new([Type::Text, Type::Text], |args| {
                let parsed = GoTime::parse(text_argument(args, 0), text_argument(args, 1));
                parsed.map(Value::object).map_err(|error| error.to_string())
            }),
        ),
    ];
    for (name, function) in texts.into_iter().chain(collections).chain(times) {
        templates.add_function(name, function);
    }
}

fn first(arguments: &[Value]) -> &Value {
    arguments.first().unwrap_or(&Value::Nil)
}

fn time(arguments: &[Value], index: usize) -> GoTime {
    arguments.get(index).and_then(GoTime::of_value).unwrap_or_else(GoTime::zero)
}

fn of_text(body: fn(&str) -> String) -> Function {
    Function::of_text(body)
}

fn safe(safe: Safe, arguments: &[Value]) -> Value {
    Value::Safe(safe, text_argument(arguments, 0).into())
}

fn join(arguments: &[Value]) -> Outcome {
    let items = arguments.get(1).and_then(Value::as_list).map(gotemplate::List::items).unwrap_or_default();
    let items: Vec<&str> = items.iter().filter_map(Value::as_text).collect();
    Ok(Value::from(items.join(text_argument(arguments, 0))))
}

fn append(arguments: &[Value]) -> Outcome {
    let (list, more) = arguments.split_first().unwrap_or((&Value::Nil, &[]));
    let items = list.as_list().map(gotemplate::List::items).unwrap_or_default();
    Ok(Value::list(Type::Any, items.iter().chain(more).cloned()))
}

fn dict(arguments: &[Value]) -> Outcome {
    if !arguments.len().is_multiple_of(2) {
        return Err("dict requires an even number of arguments".to_owned());
    }
    let mut entries = Vec::with_capacity(arguments.len() / 2);
    for pair in arguments.chunks_exact(2) {
        let [Value::Text(key), value] = pair else { return Err("dict keys must be strings".to_owned()) };
        entries.push((key.clone(), value.clone()));
    }
    Ok(Value::map(Type::Any, entries))
}

/// A value out of the query of a URL.
fn unescape(text: &str) -> Outcome {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c != '%' {
            let shown = if c == '+' { ' ' } else { c };
            bytes.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let digits = rest.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            let cut: String = rest.chars().take(3).collect();
            return Err(format!("invalid URL escape {}", gotemplate::quote(&cut)));
        };
        bytes.push(byte);
        rest = &rest[3..];
    }
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE.encode(bytes)
}

fn unbase64(text: &str) -> Outcome {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol};
    use base64::Engine;
    let text = text.replace(['\r', '\n'], "");
    let bytes = base64::engine::general_purpose::URL_SAFE.decode(&text).map_err(|error| {
        let at = match error {
            InvalidByte(at, _) | InvalidLastSymbol(at, _) => at,
            // Go tells where the part that is too short begins.
            _ => text.len() - text.len() % 4,
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}
