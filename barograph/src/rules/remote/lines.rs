//! How two texts differ, line by line.

/// How many lines around a difference are shown.
const AROUND: usize = 2;
/// Texts are compared where their lines, multiplied, are not more than this: so much memory it takes, in numbers.
const MAX_CELLS: usize = 4_000_000;
/// In front of every line.
const INDENT: &str = "    ";

/// A line, and where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Both(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// The lines that only one of two texts has, with a few that are around them.
pub(super) fn differences(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let Some(lines) = compared(&old, &new) else {
        return format!("{INDENT}{} lines there, {} here\n", old.len(), new.len());
    };
    let is_near = |place: usize| {
        let around = lines.iter().skip(place.saturating_sub(AROUND)).take(AROUND + 1 + AROUND.min(place));
        around.into_iter().any(|line| !matches!(line, Line::Both(_)))
    };
    let (mut text, mut gap) = (String::new(), false);
    for (place, line) in lines.iter().enumerate() {
        if !is_near(place) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            text.push_str(&format!("{INDENT}  …\n"));
        }
        let (mark, line) = match line {
            Line::Both(line) => (' ', line),
            Line::Old(line) => ('-', line),
            Line::New(line) => ('+', line),
        };
        text.push_str(&format!("{INDENT}{mark} {line}\n"));
    }
    text
}

/// All lines of both, those that they have in common once. `None` where there are too many.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Option<Vec<Line<'a>>> {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > MAX_CELLS {
        return None;
    }
    // How many lines what is left of both has in common, from each place of the one and the other.
    let mut common = vec![0u32; (old.len() + 1) * width];
    let at = |i: usize, j: usize| i * width + j;
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[at(i, j)] = match old[i] == new[j] {
                true => common[at(i + 1, j + 1)] + 1,
                false => common[at(i + 1, j)].max(common[at(i, j + 1)]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::with_capacity(old.len() + new.len()));
    while i < old.len() || j < new.len() {
        let line = match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => Line::Both(a),
            (Some(a), Some(_)) if common[at(i + 1, j)] >= common[at(i, j + 1)] => Line::Old(a),
            (Some(a), None) => Line::Old(a),
            (_, Some(b)) => Line::New(b),
            (None, None) => break,
        };
        i += usize::from(!matches!(line, Line::New(_)));
        j += usize::from(!matches!(line, Line::Old(_)));
        lines.push(line);
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\n";
        let new = "a\nb\nc\nD\ne\nf\ng\nh\ni\nj\n";
        let expected = "      …\n      b\n      c\n    - d\n    + D\n      e\n      f\n      …\n      h\n      i\n    + j\n";
        assert_eq!(differences(old, new), expected);
        assert_eq!(differences("a\n", "b\n"), "    - a\n    + b\n");
        assert_eq!(differences("", "b\n"), "    + b\n");
        let long = "x\n".repeat(3_000);
        assert_eq!(differences(&long, &format!("{long}y\n")), "    3000 lines there, 3001 here\n");
    }
}
