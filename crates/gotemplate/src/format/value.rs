//! Values under verbs: what `%v`, `%s`, `%d` and the others make of them.

use super::MAX_FORMATTED_BYTES;
use super::float::format_float;
use super::quote::{quote, quote_ascii};
use crate::object::{Object, Underlying};
use crate::value::{List, Map, Value};

/// A verb of a format and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verb {
    pub(super) letter: char,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`: fields with their names.
    pub(super) names: bool,
    /// `%#v`: as Go's syntax has it.
    pub(super) syntax: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Verb {
    /// `%v`
    pub(super) fn plain() -> Self {
        Self {
            letter: 'v',
            plus: false,
            minus: false,
            sharp: false,
            space: false,
            zero: false,
            names: false,
            syntax: false,
            width: None,
            precision: None,
        }
    }
}

/// What is printed so far. It stops growing at [`MAX_FORMATTED_BYTES`].
pub(super) struct Printer {
    out: String,
    full: bool,
}

impl Printer {
    pub(super) fn new() -> Self {
        Self { out: String::new(), full: false }
    }

    pub(super) fn finish(self) -> Result<String, String> {
        if self.full {
            return Err(format!("text longer than {MAX_FORMATTED_BYTES} bytes"));
        }
        Ok(self.out)
    }

    pub(super) fn push(&mut self, text: &str) {
        if self.full || self.out.len() + text.len() > MAX_FORMATTED_BYTES {
            self.full = true;
            return;
        }
        self.out.push_str(text);
    }

    /// A run of one character, no longer than what may be printed at all.
    pub(super) fn repeated(&mut self, c: char, count: usize) -> String {
        if count > MAX_FORMATTED_BYTES {
            self.full = true;
            return String::new();
        }
        std::iter::repeat_n(c, count).collect()
    }

    /// A text, filled up to the width.
    pub(super) fn pad(&mut self, text: &str, verb: &Verb) {
        let missing = verb.width.unwrap_or(0).saturating_sub(text.chars().count());
        if missing == 0 {
            return self.push(text);
        }
        let filler = self.repeated(if verb.zero && !verb.minus { '0' } else { ' ' }, missing);
        let parts = if verb.minus { [text, &filler] } else { [&filler, text] };
        parts.iter().for_each(|part| self.push(part));
    }

    /// An argument under its verb.
    pub(super) fn print(&mut self, value: &Value, verb: &Verb) {
        match (value, verb.letter) {
            (Value::Nil, 'T' | 'v') => self.pad("<nil>", verb),
            (Value::Nil, _) => self.bad(value, verb),
            (_, 'T') => {
                let name = value.type_of().to_string();
                self.text(&name, &Verb { letter: 's', ..*verb });
            }
            _ => self.value(value, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: &Verb, depth: usize) {
        if self.full {
            return;
        }
        let known = match value {
            Value::Nil => {
                self.push("<nil>");
                true
            }
            Value::Bool(value) => {
                let fits = matches!(verb.letter, 't' | 'v');
                if fits {
                    self.pad(if *value { "true" } else { "false" }, verb);
                }
                fits
            }
            Value::Int(value) => self.integer(*value, verb),
            Value::Float(value) => self.float(*value, verb),
            Value::Text(text) | Value::Safe(_, text) => self.text(text, verb),
            Value::List(list) => {
                self.list(list, value, verb, depth);
                true
            }
            Value::Map(map) => {
                self.map(map, value, verb, depth);
                true
            }
            Value::Object(object) => return self.object(&**object, value, verb, depth),
            Value::Function(_) => false,
        };
        if !known {
            self.bad(value, verb);
        }
    }

    /// What a verb makes that is none for the value: `%!d(string=x)`.
    fn bad(&mut self, value: &Value, verb: &Verb) {
        self.push(&format!("%!{}(", verb.letter));
        match value {
            Value::Nil => self.push("<nil>"),
            Value::Function(_) => self.push(&value.type_of().to_string()),
            value => {
                self.push(&format!("{}=", value.type_of()));
                self.value(value, &Verb { letter: 'v', ..*verb }, 0);
            }
        }
        self.push(")");
    }

    fn text(&mut self, text: &str, verb: &Verb) -> bool {
        let cut = match verb.precision {
            Some(precision) => text.char_indices().nth(precision).map_or(text, |(at, _)| &text[..at]),
            None => text,
        };
        match verb.letter {
            'v' if verb.syntax => self.quoted(cut, verb),
            'v' | 's' => self.pad(cut, verb),
            'q' => self.quoted(cut, verb),
            'x' | 'X' => self.hexadecimal(text, verb),
            _ => return false,
        }
        true
    }

    fn quoted(&mut self, text: &str, verb: &Verb) {
        let raw = verb.sharp
            && text
                .chars()
                .all(|c| c != '`' && c != '\u{feff}' && (c == '\t' || (c >= ' ' && c != '\u{7f}')));
        let quoted = match (raw, verb.plus) {
            (true, _) => format!("`{text}`"),
            (false, true) => quote_ascii(text),
            (false, false) => quote(text),
        };
        self.pad(&quoted, verb);
    }

    fn hexadecimal(&mut self, text: &str, verb: &Verb) {
        let bytes = text.as_bytes();
        let bytes = &bytes[..verb.precision.unwrap_or(bytes.len()).min(bytes.len())];
        let upper = verb.letter == 'X';
        let prefix = match (verb.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut out = String::with_capacity(bytes.len() * 2 + 2);
        for (index, byte) in bytes.iter().enumerate() {
            if verb.space && index > 0 {
                out.push(' ');
            }
            if index == 0 || verb.space {
                out.push_str(prefix);
            }
            out.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(&out, verb);
    }

    fn float(&mut self, value: f64, verb: &Verb) -> bool {
        let (format, precision) = match verb.letter {
            'v' => ('g', None),
            'g' | 'G' => (verb.letter, None),
            'e' | 'E' => (verb.letter, Some(6)),
            'f' | 'F' => ('f', Some(6)),
            _ => return false,
        };
        let precision = verb.precision.or(precision);
        // More decimals than can be printed are not worked out.
        if precision.is_some_and(|precision| precision > MAX_FORMATTED_BYTES) {
            self.full = true;
            return true;
        }
        let number = format_float(value, format, precision.map(|precision| precision.min(MAX_PRECISION)));
        let (sign, digits) = match number.split_at_checked(1) {
            Some((sign @ ("-" | "+"), digits)) => (sign, digits),
            _ => ("+", number.as_str()),
        };
        let sign = match sign {
            "+" if verb.plus => "+",
            "+" if verb.space => " ",
            "+" => "",
            sign => sign,
        };
        if !value.is_finite() {
            let sign = if value == f64::INFINITY && sign.is_empty() { "+" } else { sign };
            self.pad(&format!("{sign}{digits}"), &Verb { zero: false, ..*verb });
            return true;
        }
        let digits = if verb.sharp { with_point(digits, format, precision) } else { digits.to_owned() };
        if verb.zero && !verb.minus {
            // The zeros stand between the sign and the digits.
            self.push(sign);
            let width = verb.width.map(|width| width.saturating_sub(sign.len()));
            self.pad(&digits, &Verb { width, ..*verb });
        } else {
            self.pad(&format!("{sign}{digits}"), verb);
        }
        true
    }

    fn list(&mut self, list: &List, value: &Value, verb: &Verb, depth: usize) {
        let (start, space, end) = if verb.syntax { ("{", ", ", "}") } else { ("[", " ", "]") };
        if verb.syntax {
            self.push(&value.type_of().to_string());
        }
        self.push(start);
        for (index, item) in list.items.iter().enumerate() {
            if index > 0 {
                self.push(space);
            }
            self.value(item, verb, depth + 1);
        }
        self.push(end);
    }

    fn map(&mut self, map: &Map, value: &Value, verb: &Verb, depth: usize) {
        let (start, space, end) = if verb.syntax { ("{", ", ", "}") } else { ("map[", " ", "]") };
        if verb.syntax {
            self.push(&value.type_of().to_string());
        }
        self.push(start);
        for (index, (key, item)) in map.entries.iter().enumerate() {
            if index > 0 {
                self.push(space);
            }
            self.value(&Value::Text(key.clone()), verb, depth + 1);
            self.push(":");
            self.value(item, verb, depth + 1);
        }
        self.push(end);
    }

    fn object(&mut self, object: &dyn Object, value: &Value, verb: &Verb, depth: usize) {
        if !verb.syntax
            && matches!(verb.letter, 'v' | 's' | 'x' | 'X' | 'q')
            && let Some(text) = object.text()
        {
            self.text(&text, verb);
            return;
        }
        match object.underlying() {
            Underlying::Int(int) => {
                if !self.integer(int, verb) {
                    self.bad(value, verb);
                }
            }
            Underlying::List(list) => self.list(list, value, verb, depth),
            Underlying::Map(map) => self.map(map, value, verb, depth),
            Underlying::Struct => self.fields(object, verb, depth),
        }
    }

    fn fields(&mut self, object: &dyn Object, verb: &Verb, depth: usize) {
        let name = object.type_name();
        let pointer = name.strip_prefix('*');
        if pointer.is_some() {
            self.push("&");
        }
        if verb.syntax {
            self.push(pointer.unwrap_or(name));
        }
        self.push("{");
        for (index, name) in object.fields().iter().enumerate() {
            if index > 0 {
                self.push(if verb.syntax { ", " } else { " " });
            }
            if verb.names || verb.syntax {
                self.push(name);
                self.push(":");
            }
            self.value(&object.field(name).unwrap_or_default(), verb, depth + 1);
        }
        self.push("}");
    }
}

/// More decimals than this no float has; the rest would be zeros.
const MAX_PRECISION: usize = 1_100;

/// The number with a decimal point and, in the general format, with all its digits: the flag `#`.
fn with_point(digits: &str, format: char, precision: Option<usize>) -> String {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let wanted = if matches!(format, 'g' | 'G') { precision.unwrap_or(6) } else { 0 };
    let significant = mantissa.trim_start_matches(['0', '.']).bytes().filter(u8::is_ascii_digit).count();
    let significant = if mantissa == "0" { 1 } else { significant };
    let point = if mantissa.contains('.') { "" } else { "." };
    let zeros: String = std::iter::repeat_n('0', wanted.saturating_sub(significant)).collect();
    format!("{mantissa}{point}{zeros}{exponent}")
}
