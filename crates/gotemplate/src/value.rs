//! What templates compute with: values, and the types that messages and calls speak of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::object::{Function, Object, Underlying};

/// A value of a template: its data, what functions take and give, what variables hold. Cheap to clone.
#[derive(Clone, Default)]
pub enum Value {
    /// No value: Go's untyped nil, and what a lookup finds that finds nothing.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// Text of which the caller vouches that it is safe in one context of HTML.
    Safe(Safe, Arc<str>),
    /// A slice.
    List(Arc<List>),
    /// A map with text keys.
    Map(Arc<Map>),
    /// Anything with fields or methods.
    Object(Arc<dyn Object>),
    /// Something that `call` may call.
    Function(Function),
}

/// In which context of HTML a text may stand as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safe {
    /// `template.CSS`
    Css,
    /// `template.HTML`
    Html,
    /// `template.HTMLAttr`
    Attribute,
    /// `template.JS`
    Script,
    /// `template.JSStr`
    ScriptText,
    /// `template.URL`
    Url,
    /// `template.Srcset`
    Srcset,
}

impl Safe {
    /// Go's name of the type.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Css => "template.CSS",
            Self::Html => "template.HTML",
            Self::Attribute => "template.HTMLAttr",
            Self::Script => "template.JS",
            Self::ScriptText => "template.JSStr",
            Self::Url => "template.URL",
            Self::Srcset => "template.Srcset",
        }
    }
}

/// How deep slices and maps may hold each other.
pub(crate) const MAX_DEPTH: usize = 64;

/// A slice and what it is a slice of.
#[derive(Debug, Clone)]
pub struct List {
    pub(crate) element: Type,
    pub(crate) items: Vec<Value>,
    depth: usize,
}

impl List {
    /// A slice of these; its elements are [`Type::Any`] for `[]interface {}`.
    pub fn new(element: Type, items: impl IntoIterator<Item = Value>) -> Self {
        let items: Vec<Value> = items.into_iter().collect();
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        Self { element, items, depth }
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items
    }
}

/// A map with text keys and what its values are.
#[derive(Debug, Clone)]
pub struct Map {
    pub(crate) element: Type,
    pub(crate) entries: BTreeMap<Arc<str>, Value>,
    depth: usize,
}

impl Map {
    /// A map of these; its values are [`Type::Any`] for `map[string]interface {}`.
    pub fn new<K: AsRef<str>>(element: Type, entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries: BTreeMap<Arc<str>, Value> =
            entries.into_iter().map(|(key, value)| (Arc::from(key.as_ref()), value)).collect();
        let depth = 1 + entries.values().map(Value::depth).max().unwrap_or(0);
        Self { element, entries, depth }
    }

    /// The entries.
    pub fn entries(&self) -> &BTreeMap<Arc<str>, Value> {
        &self.entries
    }
}

/// A type, as far as templates tell types apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: takes everything.
    Any,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `float64`
    Float,
    /// `string`
    Text,
    /// A slice of something.
    List(Box<Type>),
    /// A map from text to something.
    Map(Box<Type>),
    /// A type of the caller's, by Go's name for it.
    Named(&'static str),
    /// A type of the caller's that is a whole number: a constant may stand for it too, as [`Value::Int`].
    Whole(&'static str),
    /// A function of any signature.
    Function,
}

impl Type {
    /// `[]string`
    pub fn texts() -> Self {
        Self::List(Box::new(Self::Text))
    }

    /// What a lookup of this type gives where there is nothing.
    pub fn zero(&self) -> Value {
        match self {
            Self::Bool => Value::Bool(false),
            Self::Int => Value::Int(0),
            Self::Float => Value::Float(0.0),
            Self::Text => Value::from(""),
            Self::List(element) => Value::list((**element).clone(), []),
            Self::Map(element) => Value::map::<&str>((**element).clone(), []),
            Self::Any | Self::Named(_) | Self::Whole(_) | Self::Function => Value::Nil,
        }
    }

    /// Whether nothing at all may stand where this type is asked for.
    pub(crate) fn nilable(&self) -> bool {
        matches!(self, Self::Any | Self::List(_) | Self::Map(_) | Self::Function)
    }

    /// Whether `value` may be passed where this type is asked for.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (_, Value::Object(object)) => match (self, object.underlying()) {
                (Self::Named(name) | Self::Whole(name), _) => *name == object.type_name(),
                (Self::List(element), Underlying::List(list)) => **element == list.element,
                (Self::Map(element), Underlying::Map(map)) => **element == map.element,
                _ => false,
            },
            (_, value) => *self == value.type_of(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("interface {}"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float64"),
            Self::Text => f.write_str("string"),
            Self::List(element) => write!(f, "[]{element}"),
            Self::Map(element) => write!(f, "map[string]{element}"),
            Self::Named(name) | Self::Whole(name) => f.write_str(name),
            Self::Function => f.write_str("func"),
        }
    }
}

impl Value {
    /// A slice of these.
    pub fn list(element: Type, items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(Arc::new(List::new(element, items)))
    }

    /// A slice of texts.
    pub fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::list(Type::Text, items.into_iter().map(|item| Self::from(item.as_ref())))
    }

    /// A map to these.
    pub fn map<K: AsRef<str>>(element: Type, entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(Arc::new(Map::new(element, entries)))
    }

    /// Something with fields or methods.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// Its type; [`Type::Any`] for [`Value::Nil`].
    pub fn type_of(&self) -> Type {
        match self {
            Self::Nil => Type::Any,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::Text(_) => Type::Text,
            Self::Safe(safe, _) => Type::Named(safe.type_name()),
            Self::List(list) => Type::List(Box::new(list.element.clone())),
            Self::Map(map) => Type::Map(Box::new(map.element.clone())),
            Self::Object(object) => Type::Named(object.type_name()),
            Self::Function(_) => Type::Function,
        }
    }

    /// The text, where it is one of whatever kind.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Safe(_, text) => Some(text),
            _ => None,
        }
    }

    /// The items, where it is a slice or an object that is one under its methods.
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Self::List(list) => Some(list),
            Self::Object(object) => match object.underlying() {
                Underlying::List(list) => Some(list),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entries, where it is a map or an object that is one under its methods.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Object(object) => match object.underlying() {
                Underlying::Map(map) => Some(map),
                _ => None,
            },
            _ => None,
        }
    }

    /// The whole number, where it is one or an object that is one under its methods.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            Self::Object(object) => match object.underlying() {
                Underlying::Int(int) => Some(int),
                _ => None,
            },
            _ => None,
        }
    }

    /// How deep slices and maps in it hold each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
            Self::Object(object) => match object.underlying() {
                Underlying::List(list) => list.depth,
                Underlying::Map(map) => map.depth,
                Underlying::Struct | Underlying::Int(_) => 0,
            },
            _ => 0,
        }
    }

    /// What `if`, `and`, `or` and `not` hold it for: false, zero, empty and nothing are false.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) | Self::Safe(_, text) => !text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Object(object) => match object.underlying() {
                Underlying::Struct => true,
                Underlying::Int(value) => value != 0,
                Underlying::List(list) => !list.items.is_empty(),
                Underlying::Map(map) => !map.entries.is_empty(),
            },
            Self::Function(_) => true,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::format::sprint_verbose(self))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Self::Text(value)
    }
}
