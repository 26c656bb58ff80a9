//! Formats: literal text, verbs with flags, widths and precisions, and the arguments they take.

use super::value::{Printer, Verb};
use crate::value::Value;

/// Widths and precisions beyond this are errors of the format.
const MAX_WIDTH: i64 = 1_000_000;

/// Go's `fmt.Sprintf`. A format that does not suit its arguments is no error but shows in the text; an error is only a
/// text longer than [`MAX_FORMATTED_BYTES`](crate::MAX_FORMATTED_BYTES).
pub fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut printing =
        Printing { rest: format, arguments, next: 0, reordered: false, printer: Printer::new() };
    while let Some(percent) = printing.rest.find('%') {
        printing.printer.push(&printing.rest[..percent]);
        printing.rest = &printing.rest[percent + 1..];
        printing.verb();
    }
    printing.printer.push(printing.rest);
    printing.extra();
    printing.printer.finish()
}

struct Printing<'a> {
    /// What of the format is left.
    rest: &'a str,
    arguments: &'a [Value],
    /// The argument that the next verb takes.
    next: usize,
    /// Whether the format said itself which arguments it takes.
    reordered: bool,
    printer: Printer,
}

/// Whether the indexes of a verb (`[2]`) are right so far, and whether one was just read.
struct Indexes {
    good: bool,
    just: bool,
}

impl Printing<'_> {
    /// A verb, behind its percent sign.
    fn verb(&mut self) {
        let mut verb = Verb::plain();
        self.flags(&mut verb);
        let mut indexes = Indexes { good: true, just: false };
        self.index(&mut indexes);
        if self.take("*") {
            match self.number_argument() {
                Some(width) => {
                    verb.minus |= width < 0;
                    verb.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => self.printer.push("%!(BADWIDTH)"),
            }
            indexes.just = false;
        } else {
            verb.width = self.number();
            indexes.good &= !(indexes.just && verb.width.is_some());
        }
        if self.take(".") {
            indexes.good &= !indexes.just;
            self.index(&mut indexes);
            if self.take("*") {
                let given = self.number_argument();
                if given.is_none() {
                    self.printer.push("%!(BADPREC)");
                }
                // A negative precision is none.
                verb.precision = given.and_then(|precision| usize::try_from(precision).ok());
                indexes.just = false;
            } else {
                verb.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !indexes.just {
            self.index(&mut indexes);
        }
        if verb.minus {
            verb.zero = false;
        }
        self.letter(verb, &indexes);
    }

    fn letter(&mut self, mut verb: Verb, indexes: &Indexes) {
        let mut chars = self.rest.chars();
        let Some(letter) = chars.next() else { return self.printer.push("%!(NOVERB)") };
        self.rest = chars.as_str();
        verb.letter = letter;
        if letter == '%' {
            return self.printer.push("%");
        }
        if !indexes.good {
            return self.printer.push(&format!("%!{letter}(BADINDEX)"));
        }
        let Some(argument) = self.arguments.get(self.next) else {
            return self.printer.push(&format!("%!{letter}(MISSING)"));
        };
        self.next += 1;
        if letter == 'v' {
            verb.syntax = std::mem::take(&mut verb.sharp);
            verb.names = std::mem::take(&mut verb.plus);
        }
        self.printer.print(argument, &verb);
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn flags(&mut self, verb: &mut Verb) {
        while let Some(flag) = self.rest.bytes().next() {
            match flag {
                b'#' => verb.sharp = true,
                b'0' => verb.zero = true,
                b'+' => verb.plus = true,
                b'-' => verb.minus = true,
                b' ' => verb.space = true,
                _ => return,
            }
            self.rest = &self.rest[1..];
        }
    }

    /// The digits that come next, unless they are too many.
    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = self.rest[..digits].parse().ok()?;
        if number > MAX_WIDTH {
            return None;
        }
        self.rest = &self.rest[digits..];
        usize::try_from(number).ok()
    }

    /// An argument that is a width or a precision.
    fn number_argument(&mut self) -> Option<i64> {
        let number = self.arguments.get(self.next).and_then(Value::as_int);
        self.next = (self.next + 1).min(self.arguments.len());
        number.filter(|number| number.abs() <= MAX_WIDTH)
    }

    /// `[2]`: the argument to take next, from one.
    fn index(&mut self, indexes: &mut Indexes) {
        indexes.just = false;
        if !self.rest.starts_with('[') {
            return;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            indexes.good = false;
            self.rest = &self.rest[1..];
            return;
        };
        let index: Option<usize> = self.rest[1..end].parse().ok();
        self.rest = &self.rest[end + 1..];
        match index {
            Some(index @ 1..) if index <= self.arguments.len() => {
                self.next = index - 1;
                indexes.just = true;
            }
            _ => indexes.good = false,
        }
    }

    /// Arguments that no verb took.
    fn extra(&mut self) {
        if self.reordered || self.next >= self.arguments.len() {
            return;
        }
        self.printer.push("%!(EXTRA ");
        for (index, argument) in self.arguments[self.next..].iter().enumerate() {
            if index > 0 {
                self.printer.push(", ");
            }
            if !matches!(argument, Value::Nil) {
                self.printer.push(&format!("{}=", argument.type_of()));
            }
            self.printer.print(argument, &Verb::plain());
        }
        self.printer.push(")");
    }
}
