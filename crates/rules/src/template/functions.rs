//! The functions of templates in rules.

use gotemplate::functions::{self, humanize};
use gotemplate::time::GoDuration;
use gotemplate::{Function, List, Outcome, Safe, Templates, Type, Value, escape_query, text_argument};
use promql::text::duration::parse_ms;

use super::data::{QueryResult, RESULT, SAMPLE, Sample};
use super::{Context, hosts};

/// Adds all of them.
pub(super) fn add(templates: &mut Templates, context: &Context) {
    let all = queries(context).into_iter().chain(texts()).chain(numbers()).chain(surroundings(context));
    for (name, function) in all {
        templates.add_function(name, function);
    }
}

type Named = (&'static str, Function);

fn queries(context: &Context) -> Vec<Named> {
    let (asked, now_ms) = (context.queries.clone(), context.now_ms);
    let query = Function::new([Type::Text], move |args| {
        asked.query(text_argument(args, 0), now_ms).map(QueryResult::of_samples)
    });
    let first = Function::new([RESULT], |args| {
        items(args, 0).first().cloned().ok_or_else(|| "first() called on vector with no elements".to_owned())
    });
    let sorted = Function::new([Type::Text, RESULT], |args| {
        let label = |item: &Value| {
            let samples = std::slice::from_ref(item);
            Sample::of(samples, 0).map(|sample| sample.label(text_argument(args, 0)))
        };
        let mut sorted: Vec<(Option<String>, Value)> = items(args, 1)
            .iter()
            .map(|item| (label(item).and_then(|value| value.as_text().map(str::to_owned)), item.clone()))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(QueryResult::of_items(sorted.into_iter().map(|(_, item)| item)))
    });
    let label = Function::new([Type::Text, SAMPLE], |args| {
        of_sample(args, 1, |sample| sample.label(text_argument(args, 0)))
    });
    vec![
        ("query", query),
        ("first", first),
        ("sortByLabel", sorted),
        ("label", label),
        ("value", Function::new([SAMPLE], |args| of_sample(args, 0, Sample::value))),
        ("strvalue", Function::new([SAMPLE], |args| of_sample(args, 0, |sample| sample.label("__value__")))),
    ]
}

fn texts() -> Vec<Named> {
    let args = Function::variadic([], Type::Any, |args| {
        let named = args.iter().enumerate().map(|(index, value)| (format!("arg{index}"), value.clone()));
        Ok(Value::map(Type::Any, named))
    });
    let safe = Function::new([Type::Text], |args| Ok(Value::Safe(Safe::Html, text_argument(args, 0).into())));
    vec![
        ("args", args),
        ("safeHtml", safe),
        ("match", functions::matches()),
        ("reReplaceAll", functions::replace_all()),
        ("title", Function::of_text(functions::title_keeping)),
        ("toUpper", Function::of_text(functions::to_upper)),
        ("toLower", Function::of_text(functions::to_lower)),
        ("graphLink", Function::of_text(|expr| format!("/graph?g0.expr={}&g0.tab=0", escape_query(expr)))),
        ("tableLink", Function::of_text(table_link)),
        ("stripPort", Function::of_text(hosts::strip_port)),
        ("stripDomain", Function::of_text(hosts::strip_domain)),
        ("urlQueryEscape", Function::of_text(escape_query)),
    ]
}

fn numbers() -> Vec<Named> {
    let text = |body: fn(&Value) -> Result<String, String>| {
        Function::new([Type::Any], move |args| body(argument(args)).map(Value::from))
    };
    let to_time = Function::new([Type::Any], |args| {
        humanize::moment(humanize::float(argument(args))?).map(Value::object)
    });
    let to_duration = Function::new([Type::Any], |args| {
        let seconds = humanize::float(argument(args))?;
        Ok(Value::object(GoDuration((seconds * 1e9) as i64)))
    });
    vec![
        ("humanize", text(humanize::metric)),
        ("humanize1024", text(humanize::binary)),
        ("humanizeDuration", text(humanize::duration)),
        ("humanizePercentage", text(humanize::percentage)),
        ("humanizeTimestamp", text(humanize::timestamp)),
        ("toTime", to_time),
        ("toDuration", to_duration),
        ("parseDuration", Function::new([Type::Text], |args| parse_duration(text_argument(args, 0)))),
    ]
}

fn surroundings(context: &Context) -> Vec<Named> {
    let constant = |value: Value| Function::new([], move |_| Ok(value.clone()));
    vec![
        ("now", constant(Value::Float(context.now_ms as f64 / 1_000.0))),
        ("pathPrefix", constant(Value::from(path_of(&context.external_url)))),
        ("externalURL", constant(Value::from(&*context.external_url))),
    ]
}

/// The link to the table of an expression, below the URL of the server.
pub(crate) fn table_link(expr: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=1", escape_query(expr))
}

fn argument(arguments: &[Value]) -> &Value {
    arguments.first().unwrap_or(&Value::Nil)
}

fn items(arguments: &[Value], index: usize) -> &[Value] {
    arguments.get(index).and_then(Value::as_list).map(List::items).unwrap_or_default()
}

fn of_sample(arguments: &[Value], index: usize, get: impl Fn(&Sample) -> Value) -> Outcome {
    match Sample::of(arguments, index) {
        Some(sample) => Ok(get(sample)),
        None => Err("runtime error: invalid memory address or nil pointer dereference".to_owned()),
    }
}

/// Seconds; the duration may be negative.
fn parse_duration(text: &str) -> Outcome {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1.0, unsigned),
        None => (1.0, text),
    };
    Ok(Value::Float(sign * (parse_ms(unsigned)? as f64 / 1_000.0)))
}

/// The path of a URL.
fn path_of(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind_scheme.find('/').map_or("", |start| &behind_scheme[start..]);
    path.find(['?', '#']).map_or(path, |end| &path[..end])
}
