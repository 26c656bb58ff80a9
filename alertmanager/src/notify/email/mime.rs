//! Messages as they travel: headers, parts in quoted-printable, and addresses taken out of lists.

/// A part of a message.
pub(super) struct Part {
    /// Its `Content-Type`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// The longest line of quoted-printable, without its end.
const MAX_LINE: usize = 76;
/// The longest encoded word of a header.
const MAX_WORD: usize = 75;

/// The whole message.
pub(super) fn message(headers: &[(String, String)], boundary: &str, parts: &[Part]) -> Vec<u8> {
    let mut out = String::new();
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str(&format!("Content-Type: multipart/alternative;  boundary={boundary}\r\n"));
    out.push_str("MIME-Version: 1.0\r\n\r\n");
    for (index, part) in parts.iter().enumerate() {
        out.push_str(if index > 0 { "\r\n" } else { "" });
        out.push_str(&format!("--{boundary}\r\nContent-Transfer-Encoding: quoted-printable\r\n"));
        out.push_str(&format!("Content-Type: {}\r\n\r\n", part.kind));
        out.push_str(&quoted_printable(&part.text));
    }
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    out.into_bytes()
}

/// A header's value: as it is where it is plain, else in encoded words. It never breaks out of its header.
pub(super) fn header_value(text: &str) -> String {
    if text.chars().all(|c| c == '\t' || (' '..='~').contains(&c)) {
        return text.to_owned();
    }
    const START: &str = "=?utf-8?q?";
    const END: &str = "?=";
    let mut words = vec![String::from(START)];
    for c in text.chars() {
        let mut encoded = String::new();
        let mut bytes = [0; 4];
        for byte in c.encode_utf8(&mut bytes).bytes() {
            match byte {
                b' ' => encoded.push('_'),
                b'!'..=b'~' if !matches!(byte, b'=' | b'?' | b'_') => encoded.push(char::from(byte)),
                byte => encoded.push_str(&format!("={byte:02X}")),
            }
        }
        let fits = words.last().is_some_and(|word| word.len() + encoded.len() + END.len() <= MAX_WORD);
        if !fits {
            words.push(String::from(START));
        }
        if let Some(word) = words.last_mut() {
            word.push_str(&encoded);
        }
    }
    words.iter().map(|word| format!("{word}{END}")).collect::<Vec<_>>().join("\r\n ")
}

/// A text in quoted-printable, as Go's writer breaks its lines.
pub(super) fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let line = if last { line } else { line.strip_suffix('\r').unwrap_or(line) };
        encode_line(&mut out, line);
        if !last {
            out.push_str("\r\n");
        }
    }
    out
}

fn encode_line(out: &mut String, line: &str) {
    let mut width = 0;
    let length = line.len();
    for (at, byte) in line.bytes().enumerate() {
        let at_end = at + 1 == length;
        let plain = match byte {
            b'=' => false,
            b' ' | b'\t' => !at_end,
            b'!'..=b'~' => true,
            _ => false,
        };
        let needed = if plain { 1 } else { 3 };
        if width + needed > MAX_LINE - 1 {
            out.push_str("=\r\n");
            width = 0;
        }
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("={byte:02X}"));
        }
        width += needed;
    }
}

/// The addresses of a list such as `"A, B" <a@x>, b@y`.
pub(super) fn addresses(list: &str) -> Result<Vec<String>, String> {
    let (mut parts, mut part, mut quoted, mut angled) = (Vec::new(), String::new(), false, false);
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => part.extend([Some(c), chars.next()].into_iter().flatten()),
            '"' => {
                quoted = !quoted;
                part.push(c);
            }
            '<' | '>' if !quoted => {
                angled = c == '<';
                part.push(c);
            }
            ',' if !quoted && !angled => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts.iter().map(|part| address(part.trim())).collect()
}

fn address(text: &str) -> Result<String, String> {
    let bare = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').ok_or("mail: unclosed angle-addr")?,
        None => text,
    };
    let well_formed =
        bare.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if text.contains(char::is_control) {
        return Err(format!("mail: {} has characters that no address has", gotemplate::quote(text)));
    }
    if bare.is_empty() {
        return Err("mail: no address".to_owned());
    }
    if !well_formed || bare.contains(|c: char| c.is_control() || c.is_whitespace() || "<>".contains(c)) {
        return Err(format!("mail: {} is no address", gotemplate::quote(bare)));
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_addresses_are_taken_apart() {
        let check =
            |list: &str, expected: &[&str]| assert_eq!(addresses(list).expect(list), expected, "{list}");
        check("a@x", &["a@x"]);
        check("\"A, B\" <a@x>, b@y", &["a@x", "b@y"]);
        check("A <a@x>,B<b@y>", &["a@x", "b@y"]);
        for wrong in ["", "a", "a@x,", "<a@x", "a@x\r\nRCPT TO:<b@y>", "a b@x"] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_cannot_be_broken_out_of() {
        assert_eq!(header_value("[FIRING:1] a"), "[FIRING:1] a");
        assert_eq!(header_value("ä b"), "=?utf-8?q?=C3=A4_b?=");
        assert_eq!(header_value("a\r\nBcc: b"), "=?utf-8?q?a=0D=0ABcc:_b?=");
        assert!(header_value(&"ü".repeat(100)).split("\r\n ").all(|word| word.len() <= MAX_WORD));
    }

    #[test]
    fn lines_of_quoted_printable_are_short() {
        assert_eq!(quoted_printable("a = ä \nb"), "a =3D =C3=A4=20\r\nb");
        let encoded = quoted_printable(&"x".repeat(200));
        assert!(encoded.split("\r\n").all(|line| line.len() <= MAX_LINE), "{encoded}");
        assert_eq!(encoded.replace("=\r\n", ""), "x".repeat(200));
    }
}
