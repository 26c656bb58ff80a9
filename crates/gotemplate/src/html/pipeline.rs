//! Appending to a pipeline what escapes its value for where it stands.

use super::context::{Context, Delimiter, State, UrlPart};
use super::escapers::{
    ATTRIBUTE, ATTRIBUTE_NAME, COMMENT, CSS_TEXT, CSS_VALUE, EVALUATED, NO_SPACE, RAW_TEXT, TEXT, URL_FILTER,
    URL_NORMALIZED, URL_QUERY,
};
use crate::syntax::{Command, Pipe, Term, TermKind};

/// Appends the escapers of a context; where the value leaves off.
pub(super) fn append(pipe: &mut Pipe, context: Context) -> Result<Context, String> {
    let mut names = Vec::new();
    let mut end = context;
    match context.state {
        State::Text => names.push(TEXT),
        State::RawText => names.push(RAW_TEXT),
        State::AttributeName | State::Tag => {
            names.push(ATTRIBUTE_NAME);
            end.state = State::AttributeName;
        }
        State::Url => {
            match context.url {
                UrlPart::Start => names.extend([URL_FILTER, URL_NORMALIZED]),
                UrlPart::BeforeQuery => names.push(URL_NORMALIZED),
                UrlPart::Query => names.push(URL_QUERY),
                UrlPart::Unknown => {
                    let pipe = pipe.to_string();
                    return Err(format!("{{{{{pipe}}}}} appears in an ambiguous context within a URL"));
                }
            }
            if context.url == UrlPart::Start {
                end.url = UrlPart::BeforeQuery;
            }
        }
        State::Css => names.push(CSS_VALUE),
        State::CssDoubleQuoted | State::CssSingleQuoted => names.push(CSS_TEXT),
        State::CssUrl => return Err(format!("{{{{{pipe}}}}} in a URL of CSS: values are not put there")),
        State::Script => return Err(format!("{{{{{pipe}}}}} in a script: values are not put there")),
        State::Attribute | State::Dead => {}
        State::Comment | State::CssComment => names.push(COMMENT),
        State::BeforeValue | State::AfterName => {}
    }
    match context.delimiter {
        Delimiter::None => {}
        Delimiter::Space => names.push(NO_SPACE),
        Delimiter::Double | Delimiter::Single => names.push(ATTRIBUTE),
    }
    if replace_own_escaper(pipe)? {
        names.retain(|name| !matches!(*name, URL_QUERY | URL_NORMALIZED));
    }
    let position = pipe.position;
    pipe.commands.extend(names.into_iter().map(|name| Command {
        position,
        arguments: vec![Term { position, kind: TermKind::Function(name.to_owned()) }],
    }));
    Ok(end)
}

/// `html` and `urlquery` at the end of a pipeline give way to what the context asks for; elsewhere they would escape too
/// early, and are refused. Whether `urlquery` ends the pipeline.
fn replace_own_escaper(pipe: &mut Pipe) -> Result<bool, String> {
    let mut encodes = false;
    let last = pipe.commands.len().saturating_sub(1);
    for (index, command) in pipe.commands.iter_mut().enumerate() {
        let Some(TermKind::Function(name)) = command.arguments.first_mut().map(|term| &mut term.kind) else {
            continue;
        };
        if !matches!(name.as_str(), "html" | "urlquery") {
            continue;
        }
        if index < last {
            let name = crate::format::quote(name);
            return Err(format!("predefined escaper {name} disallowed in template"));
        }
        if name == "html" {
            EVALUATED.clone_into(name);
        } else {
            encodes = true;
        }
    }
    Ok(encodes)
}
