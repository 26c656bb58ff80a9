//! The data and functions of the recorded cases: what Go had, in our terms.

use std::sync::Arc;

use gotemplate::time::{GoDuration, GoTime};
use gotemplate::{
    Function, Map, MissingKey, Object, Safe, Templates, Type, Underlying, Value, text_argument,
};

/// A map with methods, like the label sets of alerts.
#[derive(Debug)]
struct Kv(Map);

fn kv<const N: usize>(pairs: [(&str, &str); N]) -> Value {
    Value::object(Kv(Map::new(Type::Text, pairs.map(|(name, value)| (name, Value::from(value))))))
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "main.KV"
    }

    fn underlying(&self) -> Underlying<'_> {
        Underlying::Map(&self.0)
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        match name {
            "Keys" => Some(Function::new([], move |_| Ok(Value::texts(self.0.entries().keys())))),
            "Without" => Some(Function::new([Type::texts()], move |args| {
                let names: Vec<&str> = args
                    .first()
                    .and_then(Value::as_list)
                    .map(|list| list.items().iter().filter_map(Value::as_text).collect())
                    .unwrap_or_default();
                let kept = self.0.entries().iter().filter(|(name, _)| !names.contains(&&***name));
                let kept: Vec<_> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
                Ok(Value::object(Kv(Map::new(Type::Text, kept))))
            })),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Item {
    name: &'static str,
    size: i64,
    tags: Value,
}

impl Object for Item {
    fn type_name(&self) -> &'static str {
        "main.Item"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "Size", "Tags", "Start"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::from(self.name)),
            "Size" => Some(Value::Int(self.size)),
            "Tags" => Some(self.tags.clone()),
            "Start" => Some(Value::object(time())),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Data;

fn time() -> GoTime {
    GoTime::from_unix(1_704_164_645, 678_000_000)
}

impl Object for Data {
    fn type_name(&self) -> &'static str {
        "*main.Data"
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Name", "Count", "Ratio", "On", "Labels", "List", "Any", "Items", "Time", "Took", "Nil"]
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Name" => Value::from("O'Neil <b>&\"x\""),
            "Count" => Value::Int(42),
            "Ratio" => Value::Float(1.5),
            "On" => Value::Bool(true),
            "Labels" => kv([("alertname", "Hot"), ("job", "node"), ("instance", "a:1")]),
            "List" => Value::texts(["a", "b", "c"]),
            "Any" => Value::map(
                Type::Any,
                [
                    ("n", Value::Int(1)),
                    ("f", Value::Float(2.5)),
                    ("s", Value::from("text")),
                    ("l", Value::list(Type::Any, [Value::Int(1), Value::from("two"), Value::Nil])),
                    ("m", Value::map(Type::Any, [("k", Value::from("v"))])),
                    ("nil", Value::Nil),
                ],
            ),
            "Items" => Value::list(
                Type::Named("main.Item"),
                [
                    Value::object(Item { name: "one", size: 1, tags: kv([("a", "b")]) }),
                    Value::object(Item { name: "two", size: 2, tags: kv([]) }),
                ],
            ),
            "Time" => Value::object(time()),
            "Took" => Value::object(GoDuration(3_723_500_000_000)),
            "Nil" => Value::Nil,
            _ => return None,
        })
    }

    fn method(self: Arc<Self>, name: &str) -> Option<Function> {
        match name {
            "Greet" => Some(Function::of_text(|name| format!("hello {name}"))),
            "Fail" => Some(Function::new([], |_| Err("it failed".to_owned()))),
            "Sum" => Some(Function::variadic([Type::Int], Type::Int, |args| {
                Ok(Value::Int(args.iter().filter_map(Value::as_int).sum()))
            })),
            _ => None,
        }
    }
}

/// The data of the cases.
pub(crate) fn data() -> Value {
    Value::object(Data)
}

/// Templates with the functions of the cases.
pub(crate) fn templates(missing_key: MissingKey) -> Templates {
    let mut templates = Templates::new(missing_key);
    let time_type = || Type::Named("time.Time");
    let functions: [(&str, Function); 10] = [
        ("upper", Function::of_text(str::to_uppercase)),
        (
            "join",
            Function::new([Type::Text, Type::texts()], |args| {
                let items = args[1].as_list().expect("checked arguments").items();
                let items: Vec<&str> = items.iter().filter_map(Value::as_text).collect();
                Ok(Value::from(items.join(text_argument(args, 0))))
            }),
        ),
        ("fail", Function::new([], |_| Err("no luck".to_owned()))),
        (
            "half",
            Function::new([Type::Float], |args| match args[0] {
                Value::Float(float) => Ok(Value::Float(float / 2.0)),
                _ => Err("no float".to_owned()),
            }),
        ),
        ("list", Function::variadic([], Type::Any, |args| Ok(Value::list(Type::Any, args.to_vec())))),
        (
            "date",
            Function::new([Type::Text, time_type()], |args| {
                Ok(Value::from(
                    GoTime::of_value(&args[1]).expect("checked arguments").format(text_argument(args, 0)),
                ))
            }),
        ),
        (
            "parse",
            Function::new([Type::Text, Type::Text], |args| {
                GoTime::parse(text_argument(args, 0), text_argument(args, 1))
                    .map(Value::object)
                    .map_err(|error| error.to_string())
            }),
        ),
        ("nothing", Function::new([], |_| Ok(Value::Nil))),
        (
            "safe",
            Function::new([Type::Text], |args| Ok(Value::Safe(Safe::Html, text_argument(args, 0).into()))),
        ),
        (
            "safeurl",
            Function::new([Type::Text], |args| Ok(Value::Safe(Safe::Url, text_argument(args, 0).into()))),
        ),
    ];
    for (name, function) in functions {
        templates.add_function(name, function);
    }
    let inner = Function::of_text(|text| format!("f({text})"));
    templates.add_function("getf", Function::new([], move |_| Ok(Value::Function(inner.clone()))));
    templates
}
