//! Hosts and ports in texts such as `instance`.

use core::net::IpAddr;

/// The host without its port; the text as it is where it is no host with a port.
pub(super) fn strip_port(text: &str) -> String {
    split(text).map_or(text, |(host, _)| host).to_owned()
}

/// The host without its domain, with its port where it has one. Addresses stay as they are.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    match (port, host.contains(':')) {
        ("", _) => host.to_owned(),
        (port, true) => format!("[{host}]:{port}"),
        (port, false) => format!("{host}:{port}"),
    }
}

/// Host and port of `host:port` and `[host]:port`. A host with colons has to stand in brackets, and nothing else may.
fn split(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let (host, brackets_from) = match before.strip_prefix('[') {
        Some(inside) => (inside.strip_suffix(']').filter(|host| !host.contains(']'))?, host_start(before)),
        None if before.contains(':') => return None,
        None => (before, 0),
    };
    let rest = text.get(brackets_from..)?;
    let closing = if brackets_from == 0 { rest } else { port };
    (!rest.contains('[') && !closing.contains(']')).then_some((host, port))
}

fn host_start(bracketed: &str) -> usize {
    usize::from(bracketed.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_off_hosts() {
        for (text, host) in [
            ("[::1]:6006", "::1"),
            ("127.0.0.1:4004", "127.0.0.1"),
            ("a.b:", "a.b"),
            ("a.b", "a.b"),
            ("::1", "::1"),
            ("[::1]", "[::1]"),
            ("[a]b:1", "[a]b:1"),
            ("a[b]:1", "a[b]:1"),
            ("a:1]", "a:1]"),
            ("", ""),
        ] {
            assert_eq!(strip_port(text), host, "{text}");
        }
    }

    #[test]
    fn domains_are_taken_off_hosts() {
        for (text, host) in [
            ("test.example.com:12345", "test:12345"),
            ("test.example.com", "test"),
            ("10.1.2.3:9100", "10.1.2.3:9100"),
            ("[2001:db8::1]:9100", "[2001:db8::1]:9100"),
            ("2001:db8::1", "2001:db8::1"),
            ("localhost:1", "localhost:1"),
        ] {
            assert_eq!(strip_domain(text), host, "{text}");
        }
    }
}
