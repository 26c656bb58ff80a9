//! Rust source with comments and texts blanked out, so that words are found only where they are code.
//!
//! A lexer of the few forms that matter, not a parser: line structure stays, everything else that is not code becomes
//! spaces.

/// `source` with comments, strings and characters replaced by spaces; line breaks stay.
pub(crate) fn code_only(source: &str) -> String {
    let mut lexer = Lexer { rest: source, out: String::with_capacity(source.len()) };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.out
}

struct Lexer<'a> {
    rest: &'a str,
    out: String,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(length) = self.raw_string().or_else(|| string(rest)).or_else(|| character(rest)) {
            self.blank(length);
        } else {
            let length = rest.chars().next().map_or(0, char::len_utf8);
            let (kept, rest) = rest.split_at(length);
            self.out.push_str(kept);
            self.rest = rest;
        }
    }

    fn blank(&mut self, length: usize) {
        let (blanked, rest) = self.rest.split_at(length);
        self.out.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    /// The length of a raw string at the start, `r"…"`, `br#"…"#` and so on.
    fn raw_string(&self) -> Option<usize> {
        if self.out.ends_with(is_word) {
            return None;
        }
        let rest = self.rest;
        let after =
            rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = after.get(hashes..)?.strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).map_or(body.len(), |at| at + close.len());
        Some(rest.len() - body.len() + end)
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(next) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if next.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if next.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += next.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of a character at the start; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let mut characters = body.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The escaped character may be a quote itself.
        characters.next();
        return characters.find(|(_, c)| *c == '\'').map(|(at, _)| at + 2);
    }
    characters.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 2)
}

/// The 1-based lines on which `word` stands in `code`, not as a part of a longer word.
pub(crate) fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines().enumerate().filter(|(_, line)| has_word(line, word)).map(|(index, _)| index + 1)
}

/// Whether `word` stands in `line`, not as a part of a longer word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let starts_as_word = word.starts_with(is_word);
    let ends_as_word = word.ends_with(is_word);
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).is_some_and(|text| text.ends_with(is_word));
        let after = line.get(at + word.len()..).is_some_and(|text| text.starts_with(is_word));
        !(starts_as_word && before || ends_as_word && after)
    })
}

/// `code` up to its test module, if it has one: tests stand last in a file.
pub(crate) fn without_tests(code: &str) -> &str {
    let test_module = code.match_indices("#[cfg(test)]").find(|(at, marker)| {
        let after = code.get(at + marker.len()..).unwrap_or("").trim_start();
        after.starts_with("mod ") && after.find('{') < after.find(';').or(Some(usize::MAX))
    });
    test_module.and_then(|(at, _)| code.get(..at)).unwrap_or(code)
}

/// A function found in code.
#[derive(Debug, PartialEq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) line: usize,
    /// How many lines it has, signature and closing brace included.
    pub(crate) lines: usize,
}

/// The functions with a body in `code` (made by [`code_only`]).
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code.get(..at).is_some_and(|before| before.ends_with(is_word)) {
            continue;
        }
        let after = code.get(at + 3..).unwrap_or("");
        let name: String = after.chars().take_while(|c| is_word(*c)).collect();
        if name.is_empty() {
            continue;
        }
        let Some(end) = body_end(after) else { continue };
        let count = |text: Option<&str>| text.map_or(0, |text| text.matches('\n').count());
        let line = count(code.get(..at)) + 1;
        found.push(Function { name, line, lines: count(after.get(..end)) + 1 });
    }
    found
}

/// Where the body of a function ends whose signature starts `text`; `None` when it has no body.
fn body_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut brackets = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        assert_eq!(code_only(source).split_whitespace().collect::<Vec<_>>().join(" "), expected, "{source}");
        assert_eq!(code_only(source).lines().count(), source.lines().count());
    }

    #[test]
    fn comments_and_texts_are_blanked() {
        check("a(); // tokio", "a();");
        check("/* x /* y */ z */ b", "b");
        check(r#"c("tokio \" // x", 'x', '\'', 'd')"#, "c( , , , )");
        check("r#\"raw \" tokio\"# e", "e");
        check("br\"x\" f", "f");
        check("fn g<'a>(x: &'a str) {}", "fn g<'a>(x: &'a str) {}");
        check("\"line\nbreak\" h", "h");
        check("'\\u{1F600}' i '\\\\' j", "i j");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("use tokio::x", "tokio"));
        assert!(!has_word("use tokio_util::x", "tokio"));
        assert!(has_word("Instant::now()", "Instant::now"));
        assert!(has_word("println!(1)", "println!"));
        assert!(!has_word("eprintln!(1)", "println!"));
    }

    #[test]
    fn tests_are_cut_off() {
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n b }"), "a\n");
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests;\nb {}"), "a\n#[cfg(test)]\nmod tests;\nb {}");
    }

    #[test]
    fn functions_are_measured() {
        let code = "impl X {\n fn a(&self) -> [u8; 3]\n where X: Y {\n  if x { y }\n }\n fn b();\n}\npub fn c() {}\n";
        let found = functions(code);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], Function { name: "a".into(), line: 2, lines: 4 });
        assert_eq!(found[1], Function { name: "c".into(), line: 8, lines: 1 });
    }
}
