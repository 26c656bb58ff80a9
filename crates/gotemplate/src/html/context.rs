//! Where in HTML something stands.

/// What kind of text is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum State {
    #[default]
    Text,
    /// Inside of a tag, where an attribute's name may begin.
    Tag,
    AttributeName,
    /// Behind an attribute's name.
    AfterName,
    /// Behind the equals sign.
    BeforeValue,
    Comment,
    /// The content of a title or a textarea.
    RawText,
    Attribute,
    Url,
    /// CSS, in an attribute or an element.
    Css,
    CssDoubleQuoted,
    CssSingleQuoted,
    CssComment,
    /// `url(...)`
    CssUrl,
    /// A script, in an attribute or an element.
    Script,
    /// Nothing gets here.
    Dead,
}

/// What ends an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Delimiter {
    #[default]
    None,
    Double,
    Single,
    /// A space or the end of the tag.
    Space,
}

/// Which part of a URL was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum UrlPart {
    #[default]
    Start,
    BeforeQuery,
    Query,
    /// Before the query or in it, depending on what was executed.
    Unknown,
}

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Kind {
    #[default]
    Plain,
    Url,
    Css,
    Script,
}

/// The element that is open and whose content is no HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Element {
    #[default]
    None,
    Script,
    Style,
    Textarea,
    Title,
}

/// A place in HTML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) delimiter: Delimiter,
    pub(super) url: UrlPart,
    pub(super) kind: Kind,
    pub(super) element: Element,
}

impl Context {
    /// The state in which the value of an attribute of the kind begins.
    pub(super) fn value_state(self) -> State {
        match self.kind {
            Kind::Plain => State::Attribute,
            Kind::Url => State::Url,
            Kind::Css => State::Css,
            Kind::Script => State::Script,
        }
    }

    /// Where an action here stands: in a tag it is an attribute's name, behind an equals sign a value without quotes.
    pub(super) fn nudged(self) -> Self {
        match self.state {
            State::Tag => Self { state: State::AttributeName, ..self },
            State::BeforeValue => {
                Self { state: self.value_state(), delimiter: Delimiter::Space, kind: Kind::Plain, ..self }
            }
            State::AfterName => Self { state: State::AttributeName, kind: Kind::Plain, ..self },
            _ => self,
        }
    }

    /// The one context that follows two branches, if there is one.
    pub(super) fn joined(self, other: Self) -> Option<Self> {
        match (self.state, other.state) {
            (State::Dead, _) => return Some(other),
            (_, State::Dead) => return Some(self),
            _ => {}
        }
        if self == other {
            return Some(self);
        }
        if (Self { url: other.url, ..self }) == other {
            return Some(Self { url: UrlPart::Unknown, ..self });
        }
        let (a, b) = (self.nudged(), other.nudged());
        (a != self || b != other).then(|| a.joined(b)).flatten()
    }
}

/// What the value of an attribute of that name is.
pub(super) fn kind_of(name: &str) -> Kind {
    const URLS: [&str; 18] = [
        "action",
        "archive",
        "background",
        "cite",
        "classid",
        "codebase",
        "data",
        "formaction",
        "href",
        "icon",
        "longdesc",
        "manifest",
        "poster",
        "profile",
        "src",
        "usemap",
        "xmlns",
        "ping",
    ];
    let name = name.to_ascii_lowercase();
    let name = match name.strip_prefix("data-") {
        Some(rest) => rest,
        None => match name.split_once(':') {
            Some(("xmlns", _)) => return Kind::Url,
            Some((_, local)) => local,
            None => &name,
        },
    };
    if URLS.contains(&name) {
        return Kind::Url;
    }
    if name == "style" {
        return Kind::Css;
    }
    if name.starts_with("on") || name == "srcdoc" || name == "srcset" {
        // Sets of sources and documents in attributes are not told apart from scripts: values in them are refused.
        return Kind::Script;
    }
    if ["src", "uri", "url"].iter().any(|part| name.contains(part)) { Kind::Url } else { Kind::Plain }
}
