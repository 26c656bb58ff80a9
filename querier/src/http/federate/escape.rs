//! Names for scrapers that do not know that names can be any UTF-8 text.

use std::borrow::Cow;
use std::fmt::Write;

/// How names of metrics and labels are written that are not plain: letters, digits, `_` and, for metrics, `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Escaping {
    /// As they are, quoted.
    AllowUtf8,
    /// With `_` for what is not plain.
    #[default]
    Underscores,
    /// With `_dot_` for dots, and `__` for underscores and what else is not plain.
    Dots,
    /// With a prefix and codes, so that they can be read back.
    Values,
}

impl Escaping {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values].into_iter().find(|e| e.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name as it is to be written.
    pub(super) fn apply(self, name: &str) -> Cow<'_, str> {
        if name.is_empty() || self == Self::AllowUtf8 || (is_plain(name) && self != Self::Dots) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (i, c) in name.chars().enumerate() {
            match self {
                Self::Dots if c == '_' => out.push_str("__"),
                Self::Dots if c == '.' => out.push_str("_dot_"),
                Self::Values if c == '_' => out.push_str("__"),
                _ if is_plain_at(c, i == 0) => out.push(c),
                Self::Dots => out.push_str("__"),
                // Writing to a string does not fail.
                Self::Values => drop(write!(out, "_{:x}_", u32::from(c))),
                Self::Underscores | Self::AllowUtf8 => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

/// Whether a name needs no quotes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().enumerate().all(|(i, c)| is_plain_at(c, i == 0))
}

fn is_plain_at(c: char, first: bool) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && !first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What upstream's library gives.
    #[test]
    fn names() {
        for (name, underscores, dots, values) in [
            ("", "", "", ""),
            ("up", "up", "up", "up"),
            ("no:escaping_required", "no:escaping_required", "no:escaping__required", "no:escaping_required"),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            ("http.status:sum_x", "http_status:sum_x", "http_dot_status:sum__x", "U__http_2e_status:sum__x"),
            ("label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("1up", "_up", "__up", "U___31_up"),
        ] {
            assert_eq!(Escaping::AllowUtf8.apply(name), name);
            assert_eq!(Escaping::Underscores.apply(name), underscores, "{name}");
            assert_eq!(Escaping::Dots.apply(name), dots, "{name}");
            assert_eq!(Escaping::Values.apply(name), values, "{name}");
        }
    }
}
