//! URLs as Go reads them: what is none, and why, in its words.

/// A URL's parts that matter here.
pub(crate) struct Parts {
    /// In small letters; empty if there is none.
    pub(crate) scheme: String,
    /// The host, with its port.
    pub(crate) host: String,
}

/// The parts of a text that is a URL of any scheme, or of none.
pub(crate) fn parts(text: &str) -> Result<Parts, String> {
    read(text).map_err(|why| format!("parse {}: {why}", gotemplate::quote(text)))
}

fn read(text: &str) -> Result<Parts, String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = scheme(before)?;
    let (path, _) = rest.split_once('?').unwrap_or((rest, ""));
    if scheme.is_empty() && !path.starts_with('/') {
        let segment = path.split('/').next().unwrap_or_default();
        if segment.contains(':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut parts = Parts { scheme, host: String::new() };
    let opaque = !parts.scheme.is_empty() && !path.starts_with('/');
    let mut below = if opaque { "" } else { path };
    if let Some(behind) = path.strip_prefix("//").filter(|_| !path.starts_with("///")) {
        let end = behind.find('/').unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(end);
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        check_escapes(user)?;
        check_host(host)?;
        host.clone_into(&mut parts.host);
        below = rest;
    }
    check_escapes(below)?;
    check_escapes(fragment)?;
    Ok(parts)
}

/// The scheme, and what stands behind its colon.
fn scheme(text: &str) -> Result<(String, &str), String> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(text.len());
    let Some(rest) = text[end..].strip_prefix(':') else { return Ok((String::new(), text)) };
    if end == 0 {
        return Err("missing protocol scheme".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok((String::new(), text));
    }
    Ok((text[..end].to_ascii_lowercase(), rest))
}

fn check_host(host: &str) -> Result<(), String> {
    let port = if host.starts_with('[') {
        let close = host.rfind(']').ok_or("missing ']' in host")?;
        &host[close + 1..]
    } else {
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let digits = port.strip_prefix(':').map(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !port.is_empty() && digits != Some(true) {
        return Err(format!("invalid port {} after host", gotemplate::quote(port)));
    }
    for (at, c) in host.char_indices() {
        if c == '%' {
            let shown: String = host[at..].chars().take(3).collect();
            // Only what is not ASCII may be escaped in a host.
            let byte = shown.get(1..).filter(|digits| digits.len() == 2);
            let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            if byte.is_none_or(|byte| byte < 0x80 && shown != "%25") {
                return Err(format!("invalid URL escape {}", gotemplate::quote(&shown)));
            }
        } else if " \"<>^`{|}\\".contains(c) && !(host.starts_with('[') && "<>\"".contains(c)) {
            return Err(format!("invalid character {} in host name", gotemplate::quote(&c.to_string())));
        }
    }
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        let digits: String = text[at..].chars().take(3).collect();
        let valid = digits.len() == 3 && digits.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit());
        if !valid {
            return Err(format!("invalid URL escape {}", gotemplate::quote(&digits)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_refused_in_gos_words() {
        let cases = [
            ("http://[::1", "missing ']' in host"),
            ("http://x:port", "invalid port \":port\" after host"),
            ("[::1]:25", "first path segment in URL cannot contain colon"),
            (":25", "missing protocol scheme"),
            ("http://x/%zz", "invalid URL escape \"%zz\""),
            ("http://a%b/", "invalid URL escape \"%b\""),
            ("http://x y/", "invalid character \" \" in host name"),
            ("http://x\n", "net/url: invalid control character in URL"),
        ];
        for (text, why) in cases {
            let quoted = gotemplate::quote(text);
            assert_eq!(parts(text).err(), Some(format!("parse {quoted}: {why}")), "{text}");
        }
        for text in
            ["http://x/?a=%zz", "http://u:p@[::1]:25/a#b", "//x", "", "x/y:z", "mailto:a@b", "x-y+1.z:/"]
        {
            assert!(parts(text).is_ok(), "{text}");
        }
        assert_eq!(
            parts("HTTPS://u@x:1/a").map(|parts| (parts.scheme, parts.host)),
            Ok(("https".to_owned(), "x:1".to_owned()))
        );
    }
}
