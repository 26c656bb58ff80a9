//! An instant vector as bars.

use unicode_width::UnicodeWidthStr;

use super::Screen;
use super::answer::{Series, series_name};
use super::table::visible;

/// A cell filled from the left by eighths.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// How many series are drawn at most.
const MAX_BARS: usize = 100;

/// A bar per series, from zero to its value; those below zero are drawn in lighter cells.
pub(super) fn render(series: &[Series], screen: Screen) -> String {
    if series.is_empty() {
        return "nothing found\n".to_owned();
    }
    let shown = series.get(..MAX_BARS).unwrap_or(series);
    let rows: Vec<(String, &str, f64)> = shown
        .iter()
        .filter_map(|s| {
            let point = s.points.last()?;
            Some((visible(&series_name(&s.labels)), point.text.as_str(), point.number.unwrap_or(f64::NAN)))
        })
        .collect();
    let largest = rows.iter().map(|(.., v)| v.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let values = rows.iter().map(|(_, text, _)| text.width()).max().unwrap_or(0);
    let longest = rows.iter().map(|(name, ..)| name.width()).max().unwrap_or(0);
    // Names get at most half of the screen, bars what is left.
    let names = longest.min(screen.width / 2);
    let bars = screen.width.saturating_sub(names + values + 4).max(8);
    let mut out = String::new();
    for (name, text, value) in &rows {
        let name = cut(name, names);
        let padding = " ".repeat(names - name.width());
        let bar = bar(*value, largest, bars);
        out.push_str(&format!("{name}{padding}  {text:>values$}  {bar}\n"));
    }
    if series.len() > shown.len() {
        out.push_str(&format!("and {} more, which are not drawn\n", series.len() - shown.len()));
    }
    out
}

fn bar(value: f64, largest: f64, width: usize) -> String {
    if !value.is_finite() || largest <= 0.0 {
        return String::new();
    }
    let eighths = ((value.abs() / largest) * (width * 8) as f64).round() as usize;
    if value < 0.0 {
        return "░".repeat(eighths.div_ceil(8));
    }
    let mut bar = "█".repeat(eighths / 8);
    if let Some(rest) = (eighths % 8).checked_sub(1) {
        bar.push(EIGHTHS[rest]);
    }
    bar
}

/// The beginning of a text, with a mark where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if format!("{out}{c}…").width() > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Labels, Point};
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let series = |name: &str, value: f64| Series {
            labels: Labels::from([("job".to_owned(), name.to_owned())]),
            points: vec![Point { time_ms: 0, text: value.to_string(), number: Some(value) }],
        };
        let screen = Screen { width: 40, height: 5, colour: false };
        let text =
            render(&[series("a", 8.0), series("b", 1.0), series("c", -4.0), series("d", f64::NAN)], screen);
        let cells: Vec<usize> =
            text.lines().map(|line| line.chars().filter(|c| "█░▏▎▍▌▋▊▉".contains(*c)).count()).collect();
        assert_eq!(cells, [24, 3, 12, 0], "{text}");
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
