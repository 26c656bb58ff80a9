//! Warnings and infos.

use std::cell::RefCell;
use std::collections::BTreeSet;

use promql::Severity;
use promql::ast::Span;

/// A warning or info, without the figures that are put behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Note {
    pub(crate) severity: Severity,
    pub(crate) text: String,
    pub(crate) position: Option<(usize, usize)>,
}

/// Notes that have to be there, and notes that may be: whether those are depends on the order in which series come.
#[derive(Default)]
pub(crate) struct Notes {
    required: RefCell<BTreeSet<Note>>,
    possible: RefCell<BTreeSet<Note>>,
}

impl Note {
    pub(crate) fn new(severity: Severity, text: &str, position: Option<Span>) -> Self {
        // Figures, and of what series an order-dependent note speaks, are not compared.
        let text = text.split(", got ").next().unwrap_or(text);
        let text = match text.split_once(" schemas for metric name ") {
            Some((before, _)) => before,
            None => text,
        };
        Self { severity, text: text.to_owned(), position: position.map(|p| (p.start, p.end)) }
    }
}

impl std::fmt::Display for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.required.borrow())
    }
}

impl Notes {
    pub(super) fn warn(&self, position: Span, text: &str) {
        self.required.borrow_mut().insert(Note::new(Severity::Warning, text, Some(position)));
    }

    pub(super) fn info(&self, position: Span, text: &str) {
        self.required.borrow_mut().insert(Note::new(Severity::Info, text, Some(position)));
    }

    pub(super) fn maybe_warn(&self, position: Span, text: &str) {
        self.possible.borrow_mut().insert(Note::new(Severity::Warning, text, Some(position)));
    }

    pub(super) fn maybe_info(&self, position: Span, text: &str) {
        self.possible.borrow_mut().insert(Note::new(Severity::Info, text, Some(position)));
    }

    /// Whether exactly what has to be there is there, apart from what may be. The same text at several positions is
    /// one note, at any of them.
    pub(crate) fn agree_with(&self, actual: &BTreeSet<Note>) -> Result<(), String> {
        let (required, possible) = (self.required.borrow(), self.possible.borrow());
        let same_text = |a: &Note, b: &Note| a.severity == b.severity && a.text == b.text;
        if let Some(missing) = required.iter().find(|r| !actual.iter().any(|a| same_text(a, r))) {
            return Err(format!("the engine does not note {missing:?}, but {actual:?}"));
        }
        if let Some(extra) = actual.iter().find(|a| !required.contains(a) && !possible.contains(a)) {
            return Err(format!("the engine notes {extra:?}; expected {required:?}, possibly {possible:?}"));
        }
        Ok(())
    }
}
