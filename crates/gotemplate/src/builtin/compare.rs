//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use crate::format::sprint_lossy;
use crate::object::Outcome;
use crate::value::Value;

const BAD_TYPE: &str = "invalid type for comparison";

/// What can be compared with its like.
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    Other,
}

fn basic(value: &Value) -> Basic<'_> {
    match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Float(value) => Basic::Float(*value),
        Value::Text(text) | Value::Safe(_, text) => Basic::Text(text),
        value => value.as_int().map_or(Basic::Other, Basic::Int),
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_of(), b.type_of())
}

/// Whether the first is equal to any of the others.
pub(super) fn equal(arguments: &[Value]) -> Outcome {
    let Some((first, others)) = arguments.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in others {
        if same(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (basic(a), basic(b)) {
        (Basic::Bool(a), Basic::Bool(b)) => a == b,
        (Basic::Int(a), Basic::Int(b)) => a == b,
        (Basic::Float(a), Basic::Float(b)) => a == b,
        (Basic::Text(a), Basic::Text(b)) => a == b,
        (Basic::Other, Basic::Other) => match (a, b) {
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            _ => return Err(format!("non-comparable type {}: {}", sprint_lossy(b), b.type_of())),
        },
        _ if matches!(a, Value::Nil) || matches!(b, Value::Nil) => false,
        _ => return Err(incompatible(a, b)),
    })
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), String> {
    match arguments {
        [a, b] => Ok((a, b)),
        _ => Err("missing argument for comparison".to_owned()),
    }
}

pub(super) fn not_equal(arguments: &[Value]) -> Outcome {
    let (a, b) = two(arguments)?;
    Ok(Value::Bool(!same(a, b)?))
}

/// The order of two values; `None` where one is not a number.
fn order(arguments: &[Value]) -> Result<Option<Ordering>, String> {
    let (a, b) = two(arguments)?;
    match (basic(a), basic(b)) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => Err(BAD_TYPE.to_owned()),
        (Basic::Int(a), Basic::Int(b)) => Ok(Some(a.cmp(&b))),
        (Basic::Float(a), Basic::Float(b)) => Ok(a.partial_cmp(&b)),
        (Basic::Text(a), Basic::Text(b)) => Ok(Some(a.cmp(b))),
        _ => Err(incompatible(a, b)),
    }
}

pub(super) fn less(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(order(arguments)? == Some(Ordering::Less)))
}

pub(super) fn less_or_equal(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(matches!(order(arguments)?, Some(Ordering::Less | Ordering::Equal))))
}

/// Not less or equal, so that what is not a number is greater: as Go has it.
pub(super) fn greater(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(!matches!(order(arguments)?, Some(Ordering::Less | Ordering::Equal))))
}

pub(super) fn greater_or_equal(arguments: &[Value]) -> Outcome {
    Ok(Value::Bool(order(arguments)? != Some(Ordering::Less)))
}
