//! `len`, `index`, `slice`.

use crate::object::Outcome;
use crate::value::{Type, Value};

/// The type of a value, or what it points to.
fn pointed(value: &Value) -> String {
    value.type_of().to_string().trim_start_matches('*').to_owned()
}

pub(super) fn len(arguments: &[Value]) -> Outcome {
    let Some(value) = arguments.first().filter(|value| !matches!(value, Value::Nil)) else {
        return Err("len of nil pointer".to_owned());
    };
    let length = match (value.as_text(), value.as_list(), value.as_map()) {
        (Some(text), ..) => text.len(),
        (_, Some(list), _) => list.items.len(),
        (_, _, Some(map)) => map.entries.len(),
        _ => return Err(format!("len of type {}", pointed(value))),
    };
    i64::try_from(length).map(Value::Int).map_err(|_| "length overflows int".to_owned())
}

pub(super) fn index(arguments: &[Value]) -> Outcome {
    let (mut item, indexes) = match arguments.split_first() {
        Some((item, indexes)) if !matches!(item, Value::Nil) => (item.clone(), indexes),
        _ => return Err("index of untyped nil".to_owned()),
    };
    for index in indexes {
        item = element(&item, index)?;
    }
    Ok(item)
}

fn element(item: &Value, index: &Value) -> Outcome {
    if let Some(text) = item.as_text() {
        let at = position(index, text.len())?;
        return match text.as_bytes().get(at) {
            Some(byte) => Ok(Value::Int(i64::from(*byte))),
            None => Err("reflect: string index out of range".to_owned()),
        };
    }
    if let Some(list) = item.as_list() {
        let at = position(index, list.items.len())?;
        return list.items.get(at).cloned().ok_or_else(|| "reflect: slice index out of range".to_owned());
    }
    if let Some(map) = item.as_map() {
        return match index {
            Value::Text(key) => Ok(map.entries.get(key).cloned().unwrap_or_else(|| map.element.zero())),
            Value::Nil => Err("value is nil; should be of type string".to_owned()),
            other => Err(format!("value has type {}; should be {}", other.type_of(), Type::Text)),
        };
    }
    match item {
        Value::Nil => Err("index of nil pointer".to_owned()),
        item => Err(format!("can't index item of type {}", pointed(item))),
    }
}

/// An index from 0 to `bound`, both included: to an index just behind the end Go has another message.
fn position(index: &Value, bound: usize) -> Result<usize, String> {
    let number = match (index.as_int(), index) {
        (Some(number), _) => number,
        (None, Value::Nil) => return Err("cannot index slice/array with nil".to_owned()),
        (None, other) => return Err(format!("cannot index slice/array with type {}", other.type_of())),
    };
    usize::try_from(number)
        .ok()
        .filter(|at| *at <= bound)
        .ok_or_else(|| format!("index out of range: {number}"))
}

pub(super) fn slice(arguments: &[Value]) -> Outcome {
    let (item, indexes) = match arguments.split_first() {
        Some((item, indexes)) if !matches!(item, Value::Nil) => (item, indexes),
        _ => return Err("slice of untyped nil".to_owned()),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match (item.as_text(), item.as_list()) {
        (Some(_), _) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        (Some(text), _) => text.len(),
        (_, Some(list)) => list.items.len(),
        _ => return Err(format!("can't slice item of type {}", pointed(item))),
    };
    let mut at = [0, length, length];
    for (place, index) in at.iter_mut().zip(indexes) {
        *place = position(index, length)?;
    }
    let [start, end, capacity] = at;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if end > capacity {
        return Err(format!("invalid slice index: {end} > {capacity}"));
    }
    if let Some(text) = item.as_text() {
        // A text may be cut inside of a character; what is left of it is shown as a replacement.
        let part = String::from_utf8_lossy(text.as_bytes().get(start..end).unwrap_or_default());
        return Ok(Value::from(part.into_owned()));
    }
    let list = item.as_list().map(|list| (list.element.clone(), list.items.get(start..end)));
    let (element, items) = list.unwrap_or((Type::Any, None));
    Ok(Value::list(element, items.unwrap_or_default().iter().cloned()))
}
