//! Whole numbers in all bases, as characters and as code points.

use super::quote::{is_printable, quote_char};
use super::value::{Printer, Verb};

impl Printer {
    /// A whole number under a verb; false where the verb is none for whole numbers.
    pub(super) fn integer(&mut self, value: i64, verb: &Verb) -> bool {
        match verb.letter {
            'v' | 'd' => self.in_base(value, 10, verb),
            'b' => self.in_base(value, 2, verb),
            'o' | 'O' => self.in_base(value, 8, verb),
            'x' | 'X' => self.in_base(value, 16, verb),
            'c' => self.pad(&character(value).to_string(), verb),
            'q' => self.pad(&quote_char(character(value), verb.plus), verb),
            'U' => self.code_point(value, verb),
            _ => return false,
        }
        true
    }

    fn in_base(&mut self, value: i64, base: u32, verb: &Verb) {
        let sign = match value {
            ..0 => "-",
            _ if verb.plus => "+",
            _ if verb.space => " ",
            _ => "",
        };
        let unpadded = Verb { zero: false, ..*verb };
        let digits = match (verb.precision, verb.width) {
            (Some(0), _) if value == 0 => return self.pad("", &unpadded),
            (Some(precision), _) => precision,
            (None, Some(width)) if verb.zero && !verb.minus => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let mut text = in_base(value.unsigned_abs(), base);
        if verb.letter == 'X' {
            text = text.to_uppercase();
        }
        let zeros = digits.saturating_sub(text.len());
        let prefix = match verb.letter {
            'O' => "0o",
            'x' if verb.sharp => "0x",
            'X' if verb.sharp => "0X",
            'b' if verb.sharp => "0b",
            'o' if verb.sharp && zeros == 0 && !text.starts_with('0') => "0",
            _ => "",
        };
        let zeros = self.repeated('0', zeros);
        self.pad(&format!("{sign}{prefix}{zeros}{text}"), &unpadded);
    }

    fn code_point(&mut self, value: i64, verb: &Verb) {
        // A negative number is shown by its bits, as Go does.
        let mut text = in_base(value as u64, 16).to_uppercase();
        let zeros = self.repeated('0', verb.precision.unwrap_or(0).max(4).saturating_sub(text.len()));
        text = format!("U+{zeros}{text}");
        let c = u32::try_from(value).ok().and_then(char::from_u32);
        if let Some(c) = c.filter(|c| verb.sharp && is_printable(*c)) {
            text = format!("{text} '{c}'");
        }
        self.pad(&text, &Verb { zero: false, ..*verb });
    }
}

fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn in_base(value: u64, base: u32) -> String {
    match base {
        2 => format!("{value:b}"),
        8 => format!("{value:o}"),
        16 => format!("{value:x}"),
        _ => value.to_string(),
    }
}
