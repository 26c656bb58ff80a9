//! Regular expressions in Prometheus' syntax (RE2, as Go's `regexp` has it) put into that of the `regex` crate.
//!
//! The two agree on most. Translated is what differs: `\d \w \s \b` know ASCII only, `\Q…\E`, octal escapes, escaped
//! punctuation, brackets (which neither nest nor have set operators), and braces that are no repetition and stand for
//! themselves.

use std::iter::Peekable;
use std::str::Chars;

/// How often RE2 repeats something, at most.
const MAX_REPETITIONS: u32 = 1_000;

/// The named classes that brackets may hold.
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// The pattern in the syntax of the `regex` crate; the error says what is wrong.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator =
        Translator { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len() + 8) };
    translator.run()?;
    Ok(translator.out)
}

struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

/// One thing inside brackets, or one escape.
enum Item {
    /// A character that stands for itself.
    Char(char),
    /// Something in the target's syntax that may stand inside brackets too.
    Class(String),
    /// Something in the target's syntax that may not.
    Assertion(&'static str),
}

impl Translator<'_> {
    fn run(&mut self) -> Result<(), String> {
        // The repetition directly before: of two, the second has nothing to repeat.
        let mut before = String::new();
        while let Some(c) = self.rest.next() {
            if let Some(repetition) = self.repetition(c)? {
                if !before.is_empty() {
                    return Err(format!("invalid nested repetition operator: `{before}{repetition}`"));
                }
                self.out.push_str(&repetition);
                before = repetition;
                continue;
            }
            before.clear();
            match c {
                '\\' if self.rest.peek() == Some(&'Q') => self.quoted(),
                '\\' => match self.escape()? {
                    Item::Char(c) => self.push_literal(c),
                    Item::Class(class) => self.out.push_str(&class),
                    Item::Assertion(assertion) => self.out.push_str(assertion),
                },
                '[' => {
                    let start = self.rest.clone();
                    self.brackets().map_err(|unclosed| match &*unclosed {
                        "" => format!("missing closing ]: `[{}`", start.collect::<String>()),
                        _ => unclosed,
                    })?;
                }
                '{' => self.push_literal('{'),
                '(' => {
                    self.skip_group_name();
                    self.out.push('(');
                }
                _ => self.out.push(c),
            }
        }
        Ok(())
    }

    /// Behind `(`: the name of a group, `?P<name>` or `?<name>`, does not matter for matching. (It may be that of another
    /// group, too.)
    fn skip_group_name(&mut self) {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('?') {
            return;
        }
        ahead.next_if_eq(&'P');
        let name: String = ahead.by_ref().take_while(|c| *c != '>').collect();
        let word = |c: char| c == '_' || c.is_alphanumeric();
        if name.strip_prefix('<').is_some_and(|name| !name.is_empty() && name.chars().all(word)) {
            self.rest = ahead;
        }
    }

    /// The repetition that begins with `c`, whether it is lazy included; `None` where `c` begins none.
    fn repetition(&mut self, c: char) -> Result<Option<String>, String> {
        let mut out = match c {
            '*' | '+' | '?' => String::from(c),
            '{' if self.is_repetition() => {
                let inner: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
                format!("{{{inner}}}")
            }
            _ => return Ok(None),
        };
        let too_many = |n: &str| n.parse::<u32>().map_or(!n.is_empty(), |n| n > MAX_REPETITIONS);
        if out.trim_matches(['{', '}']).split(',').any(|n| c == '{' && too_many(n)) {
            return Err(format!("invalid repeat count: `{out}`"));
        }
        if self.rest.next_if_eq(&'?').is_some() {
            out.push('?');
        }
        Ok(Some(out))
    }

    fn push_literal(&mut self, c: char) {
        let mut buffer = [0; 4];
        regex_syntax::escape_into(c.encode_utf8(&mut buffer), &mut self.out);
    }

    /// `\Q…\E`; without its end, up to that of the pattern.
    fn quoted(&mut self) {
        self.rest.next();
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.peek() == Some(&'E') {
                self.rest.next();
                return;
            }
            self.push_literal(c);
        }
    }

    /// Whether what follows `{` is `n}`, `n,}` or `n,m}`.
    fn is_repetition(&self) -> bool {
        let mut rest = self.rest.clone();
        let mut digits = 0;
        let mut commas = 0;
        loop {
            match rest.next() {
                Some('0'..='9') => digits += 1,
                Some(',') if digits > 0 && commas == 0 => commas = 1,
                Some('}') => return digits > 0,
                _ => return false,
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Item, String> {
        let Some(c) = self.rest.next() else {
            return Err("trailing backslash at end of expression: ``".to_owned());
        };
        Ok(match c {
            'd' => Item::Class("[0-9]".to_owned()),
            'D' => Item::Class("[^0-9]".to_owned()),
            's' => Item::Class(r"[\t\n\f\r ]".to_owned()),
            'S' => Item::Class(r"[^\t\n\f\r ]".to_owned()),
            'w' => Item::Class("[0-9A-Za-z_]".to_owned()),
            'W' => Item::Class("[^0-9A-Za-z_]".to_owned()),
            'p' | 'P' => Item::Class(self.unicode_class(c)?),
            'A' => Item::Assertion(r"\A"),
            'z' => Item::Assertion(r"\z"),
            'b' => Item::Assertion(r"(?-u:\b)"),
            'B' => Item::Assertion(r"\B"),
            'E' => Item::Assertion(""),
            'a' => Item::Char('\x07'),
            'f' => Item::Char('\x0c'),
            'n' => Item::Char('\n'),
            'r' => Item::Char('\r'),
            't' => Item::Char('\t'),
            'v' => Item::Char('\x0b'),
            'x' => Item::Char(self.hexadecimal()?),
            '0'..='7' => Item::Char(self.octal(c)?),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Item::Char(c),
            c => return Err(format!(r"invalid escape sequence: `\{c}`")),
        })
    }

    /// `\pN`, `\p{Greek}`, `\p{^Greek}`.
    fn unicode_class(&mut self, letter: char) -> Result<String, String> {
        let unfinished = || "an unfinished character class".to_owned();
        let first = self.rest.next().ok_or_else(unfinished)?;
        if first != '{' {
            return Ok(format!(r"\{letter}{first}"));
        }
        let name: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
        let (letter, name) = match (name.strip_prefix('^'), letter) {
            (Some(name), 'p') => ('P', name),
            (Some(name), _) => ('p', name),
            (None, _) => (letter, name.as_str()),
        };
        let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if known && !name.is_empty() { Ok(format!(r"\{letter}{{{name}}}")) } else { Err(unfinished()) }
    }

    fn hexadecimal(&mut self) -> Result<char, String> {
        let digits: String = if self.rest.next_if_eq(&'{').is_some() {
            self.rest.by_ref().take_while(|c| *c != '}').collect()
        } else {
            self.rest.by_ref().take(2).collect()
        };
        let hexadecimal =
            digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()) || digits.len() == 1;
        u32::from_str_radix(&digits, 16)
            .ok()
            .filter(|_| hexadecimal)
            .and_then(char::from_u32)
            .ok_or_else(|| format!(r"invalid escape sequence: `\x{digits}`"))
    }

    /// Up to three octal digits; one that is not 0 alone would refer back to a group, which RE2 has not.
    fn octal(&mut self, first: char) -> Result<char, String> {
        let mut value = u32::from(first) - u32::from('0');
        let mut digits = 1;
        while digits < 3
            && let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c))
        {
            value = value * 8 + u32::from(digit) - u32::from('0');
            digits += 1;
        }
        if digits == 1 && first != '0' {
            return Err(format!(r"invalid escape sequence: `\{first}`"));
        }
        char::from_u32(value).ok_or_else(|| "octal escape out of range".to_owned())
    }

    /// A class in brackets, from behind the opening one. The error is empty where the closing one is missing.
    fn brackets(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.rest.peek() {
                None => return Err(String::new()),
                Some(']') if !first => break,
                _ => self.bracket_item()?,
            }
            first = false;
        }
        self.rest.next();
        self.out.push(']');
        Ok(())
    }

    fn bracket_item(&mut self) -> Result<(), String> {
        let Some(low) = self.bracket_char()? else {
            return Ok(());
        };
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), Some(']') | None) {
            self.push_code(low);
            return Ok(());
        }
        self.rest.next();
        let escaped: String = self.rest.clone().take(2).collect();
        let high = self.bracket_char()?.ok_or_else(|| format!("invalid escape sequence: `{escaped}`"))?;
        if high < low {
            return Err(format!("invalid character class range: `{low}-{high}`"));
        }
        self.push_code(low);
        self.out.push('-');
        self.push_code(high);
        Ok(())
    }

    /// The next character inside brackets, or `None` where it was a class, which is written already.
    fn bracket_char(&mut self) -> Result<Option<char>, String> {
        match self.rest.next() {
            None => Err(String::new()),
            Some('\\') => match self.escape()? {
                Item::Char(c) => Ok(Some(c)),
                Item::Class(class) => {
                    self.out.push_str(&class);
                    Ok(None)
                }
                Item::Assertion(_) => Err("an assertion inside brackets".to_owned()),
            },
            Some('[') if self.rest.peek() == Some(&':') => self.posix_class(),
            Some(c) => Ok(Some(c)),
        }
    }

    /// `[:alpha:]`; anything else is an opening bracket that stands for itself.
    fn posix_class(&mut self) -> Result<Option<char>, String> {
        let mut ahead = self.rest.clone();
        let mut name = String::new();
        for c in ahead.by_ref() {
            name.push(c);
            if c == ']' {
                break;
            }
        }
        if !name.ends_with(":]") {
            return Ok(Some('['));
        }
        let class = name.trim_matches([':', ']']);
        if !CLASSES.contains(&class.strip_prefix('^').unwrap_or(class)) {
            return Err(format!("invalid character class range: `[{name}`"));
        }
        self.rest = ahead;
        self.out.push('[');
        self.out.push_str(&name);
        Ok(None)
    }

    /// Inside brackets a code has no second meaning.
    fn push_code(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!(r"\x{{{:x}}}", u32::from(c)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let translated = translate(pattern).unwrap();
        let regex = regex::Regex::new(&format!("^(?s:{translated})$")).unwrap();
        for value in yes {
            assert!(regex.is_match(value), "{pattern} as {translated} on {value:?}");
        }
        for value in no {
            assert!(!regex.is_match(value), "{pattern} as {translated} on {value:?}");
        }
    }

    #[test]
    fn what_differs_is_translated() {
        check(r"\d+", &["12"], &["١", ""]);
        check(r"\w", &["a", "_"], &["é"]);
        check(r"\W\S", &["éx"], &["xx"]);
        check(r"a\sb", &["a b", "a\nb"], &["a\x0bb", "a\u{a0}b"]);
        check(r"a\b.", &["aé", "a-"], &["ab"]);
        check(r"\Qa.b*\E.", &["a.b*x"], &["axb*x"]);
        check(r"\Qa+", &["a+"], &["aa"]);
        check(r"\101\x41\x{e9}\07", &["AAé\x07"], &[]);
        check(r"\<\_\-\/", &["<_-/"], &[]);
        check(r"(?P<n>a)(?<n>b)(?:c)", &["abc"], &["n"]);
        check(r"/api/{id}/{,3}", &["/api/{id}/{,3}"], &[]);
        check(r"a{2}b{1,}c{0,1}", &["aab", "aabbc"], &["ab"]);
        check(r"a\z", &["a"], &["b"]);
        check(r"\p{Greek}\pL\p{^Greek}\P{^Greek}", &["αxxα"], &["xxxx"]);
    }

    #[test]
    fn brackets_are_flat() {
        check("[[a]+", &["[a["], &["]"]);
        check("[a&&b~~]+", &["a&b~"], &[]);
        check("[+--]+", &["+,-"], &["."]);
        check("[--9]+", &["-./09"], &[","]);
        check("[a-]+", &["a-"], &["b"]);
        check("[]a]+", &["]a"], &[]);
        check("[^]a]", &["b"], &["]", "a"]);
        check("[[:digit:]x]+", &["1x"], &["d"]);
        check("[[:^digit:]]+", &["x"], &["1"]);
        check(r"[\d\-\]]+", &["1-]"], &["x"]);
        check(r"[^\d\s]", &["x"], &["1", " "]);
        check("[#é-ü]+", &["#éö"], &["a"]);
    }

    #[test]
    fn what_prometheus_refuses_is_refused() {
        for pattern in [
            r"\C",
            r"\1",
            r"\Z",
            r"\y",
            "a\\",
            "[a",
            "[b-a]",
            r"[\b]",
            r"[a-\d]",
            r"\x{110000}",
            r"\p{",
            r"\é",
        ] {
            let refused = match translate(pattern) {
                Ok(translated) => regex::Regex::new(&translated).is_err(),
                Err(_) => true,
            };
            assert!(refused, "{pattern}");
        }
    }
}
