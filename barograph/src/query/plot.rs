//! Series over a time as lines in a terminal, drawn in braille dots.

use unicode_width::UnicodeWidthStr;

use super::Screen;
use super::answer::{Series, series_name};
use super::bars::cut;
use super::table::visible;
use super::time;

/// How many series are drawn at most: more cannot be told apart.
const MAX_SERIES: usize = 8;

/// Colours of the series, as numbers of ANSI.
const COLOURS: [u8; MAX_SERIES] = [36, 33, 35, 32, 31, 34, 96, 93];

/// What stands for the series where there are several and no colours.
const LETTERS: [char; MAX_SERIES] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

/// The bits of a braille character by column and row of its dots.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Characters of the braille block begin here.
const BRAILLE: u32 = 0x2800;

/// A point to be drawn: time in milliseconds, value.
type Dot = (i64, f64);

/// Cells of two by four dots each.
struct Canvas {
    columns: usize,
    rows: usize,
    dots: Vec<u32>,
    /// The series that drew into each cell last.
    owners: Vec<usize>,
}

/// What the canvas shows.
#[derive(Debug, Clone, Copy)]
struct Frame {
    start_ms: i64,
    end_ms: i64,
    low: f64,
    high: f64,
}

/// Series, whose points are `step_ms` apart, as a plot with axes and a legend.
pub(super) fn render(series: &[Series], step_ms: i64, screen: Screen) -> String {
    let drawn: Vec<(&Series, Vec<Dot>)> = series
        .iter()
        .map(|s| {
            (
                s,
                s.points
                    .iter()
                    .filter_map(|p| Some((p.time_ms, p.number.filter(|v| v.is_finite())?)))
                    .collect(),
            )
        })
        .filter(|(_, dots): &(_, Vec<Dot>)| !dots.is_empty())
        .take(MAX_SERIES)
        .collect();
    let Some(frame) = Frame::around(&drawn) else {
        return "nothing to draw\n".to_owned();
    };
    let labels: Vec<String> = (0..screen.height).map(|row| frame.label(row, screen.height)).collect();
    let left = labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let columns = screen.width.saturating_sub(left + 2).max(8);
    let mut canvas = Canvas::new(columns, screen.height);
    for (owner, (_, dots)) in drawn.iter().enumerate() {
        canvas.draw(dots, owner, frame, step_ms);
    }
    let plain_letters = drawn.len() > 1 && !screen.colour;
    let mut out = String::new();
    for (row, label) in labels.iter().enumerate() {
        let axis = if label.is_empty() { '│' } else { '┤' };
        out.push_str(&format!("{label:>left$} {axis}"));
        out.push_str(&canvas.row(row, screen.colour, plain_letters));
        out.push('\n');
    }
    push_time_axis(&mut out, frame, left, columns);
    push_legend(&mut out, &drawn, series.len(), screen);
    out
}

impl Frame {
    fn around(drawn: &[(&Series, Vec<Dot>)]) -> Option<Self> {
        let dots = || drawn.iter().flat_map(|(_, dots)| dots);
        let (start_ms, end_ms) = (dots().map(|d| d.0).min()?, dots().map(|d| d.0).max()?);
        let low = dots().map(|d| d.1).fold(f64::INFINITY, f64::min);
        let high = dots().map(|d| d.1).fold(f64::NEG_INFINITY, f64::max);
        // A flat line lies in the middle.
        let margin = if low == high { (low.abs() / 2.0).max(1.0) } else { 0.0 };
        Some(Self { start_ms, end_ms: end_ms.max(start_ms + 1), low: low - margin, high: high + margin })
    }

    /// What stands left of a row: a value at the top, at the bottom and every few rows between.
    fn label(&self, row: usize, rows: usize) -> String {
        const EVERY: usize = 4;
        let last = rows - 1;
        if row != last && (!row.is_multiple_of(EVERY) || last - row < EVERY / 2) {
            return String::new();
        }
        let share = (last - row) as f64 / last as f64;
        let value = self.low * (1.0 - share) + self.high * share;
        short(value, (self.high / 2.0 - self.low / 2.0) * 2.0)
    }

    /// Where a value lies between 0, the low end, and 1.
    fn share(&self, value: f64) -> f64 {
        // Halves, so that the difference of the largest numbers is one.
        let range = self.high / 2.0 - self.low / 2.0;
        ((value / 2.0 - self.low / 2.0) / range).clamp(0.0, 1.0)
    }
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, dots: vec![0; columns * rows], owners: vec![0; columns * rows] }
    }

    fn draw(&mut self, dots: &[Dot], owner: usize, frame: Frame, step_ms: i64) {
        let span = (frame.end_ms - frame.start_ms) as f64;
        let place = |(time, value): Dot| {
            let x = (time - frame.start_ms) as f64 / span * (self.columns * 2 - 1) as f64;
            let y = (1.0 - frame.share(value)) * (self.rows * 4 - 1) as f64;
            (x.round() as i64, y.round() as i64)
        };
        let places: Vec<(i64, i64)> = dots.iter().map(|dot| place(*dot)).collect();
        if let Some(first) = places.first() {
            self.set(*first, owner);
        }
        for (times, ends) in dots.windows(2).zip(places.windows(2)) {
            // Where points are missing there is no line.
            let connected = times[1].0 - times[0].0 <= step_ms.saturating_mul(3) / 2;
            let from = if connected { ends[0] } else { ends[1] };
            self.line(from, ends[1], owner);
        }
    }

    fn line(&mut self, from: (i64, i64), to: (i64, i64), owner: usize) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        for i in 0..=steps {
            let along =
                |start: i64, delta: i64| start + (delta * i * 2 + delta.signum() * steps) / (steps * 2);
            self.set((along(from.0, dx), along(from.1, dy)), owner);
        }
    }

    fn set(&mut self, (x, y): (i64, i64), owner: usize) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        let cell = y / 4 * self.columns + x / 2;
        if x / 2 < self.columns && y / 4 < self.rows {
            self.dots[cell] |= DOTS[x % 2][y % 4];
            self.owners[cell] = owner;
        }
    }

    fn row(&self, row: usize, colour: bool, letters: bool) -> String {
        let mut out = String::new();
        let mut current = None;
        for cell in row * self.columns..(row + 1) * self.columns {
            let (dots, owner) = (self.dots[cell], self.owners[cell]);
            let wanted = (colour && dots != 0).then_some(owner);
            if wanted != current {
                out.push_str(&wanted.map_or("\u{1b}[0m".to_owned(), |o| format!("\u{1b}[{}m", COLOURS[o])));
                current = wanted;
            }
            out.push(match dots {
                0 => ' ',
                _ if letters => LETTERS[owner],
                dots => char::from_u32(BRAILLE + dots).unwrap_or(' '),
            });
        }
        if current.is_some() {
            out.push_str("\u{1b}[0m");
        }
        out.trim_end().to_owned()
    }
}

fn push_time_axis(out: &mut String, frame: Frame, left: usize, columns: usize) {
    let span = frame.end_ms - frame.start_ms;
    let indent = " ".repeat(left + 1);
    out.push_str(&format!("{indent}└{}\n", "─".repeat(columns)));
    let label = |ms| time::short(ms, span);
    let (first, last) = (label(frame.start_ms), format!("{} UTC", label(frame.end_ms)));
    let between = columns.saturating_sub(first.len() + last.len());
    let middle = label(frame.start_ms + span / 2);
    let gap =
        if between > middle.len() + 4 { format!("{middle:^between$}") } else { " ".repeat(between.max(1)) };
    out.push_str(&format!("{indent} {first}{gap}{last}\n"));
}

fn push_legend(out: &mut String, drawn: &[(&Series, Vec<Dot>)], all: usize, screen: Screen) {
    out.push('\n');
    for (i, (series, dots)) in drawn.iter().enumerate() {
        let mark = match (screen.colour, drawn.len()) {
            (true, _) => format!("\u{1b}[{}m⣿\u{1b}[0m", COLOURS[i]),
            (false, 1) => "⣿".to_owned(),
            (false, _) => LETTERS[i].to_string(),
        };
        let last = dots.last().map_or(f64::NAN, |d| d.1);
        let (low, high) =
            dots.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), d| (l.min(d.1), h.max(d.1)));
        let numbers = format!("last {}, {} to {}", short(last, 0.0), short(low, 0.0), short(high, 0.0));
        let name =
            cut(&visible(&series_name(&series.labels)), screen.width.saturating_sub(numbers.len() + 4));
        out.push_str(&format!("{mark} {name}  {numbers}\n"));
    }
    if all > drawn.len() {
        out.push_str(&format!("and {} more, which are not drawn\n", all - drawn.len()));
    }
}

/// A number in a few characters, precise enough to tell values apart whose distance is a few parts of `range`.
fn short(value: f64, range: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    let magnitude = value.abs().max(range.abs());
    if !magnitude.is_finite() || magnitude >= 1e15 || (magnitude > 0.0 && magnitude < 1e-3) {
        return format!("{value:.2e}");
    }
    let (factor, unit) = UNITS.into_iter().find(|(factor, _)| magnitude >= *factor).unwrap_or((1.0, ""));
    let scaled = range.abs() / factor;
    let decimals = match scaled {
        0.0 => 3,
        scaled => (2.0 - scaled.log10().floor()).clamp(0.0, 6.0) as usize,
    };
    let text = format!("{:.decimals$}", value / factor);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    // Rounding leaves a sign where there is nothing to sign.
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Labels, Point};
    use super::*;

    fn series(name: &str, values: &[f64]) -> Series {
        let points = values.iter().enumerate().map(|(i, value)| Point {
            time_ms: 1_700_000_000_000 + i as i64 * 60_000,
            text: value.to_string(),
            number: Some(*value),
        });
        Series { labels: Labels::from([("job".to_owned(), name.to_owned())]), points: points.collect() }
    }

    const PLAIN: Screen = Screen { width: 60, height: 8, colour: false };

    #[test]
    fn a_rising_line_rises() {
        let values: Vec<f64> = (0..60).map(f64::from).collect();
        let text = render(&[series("a", &values)], 60_000, PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.width() <= 60), "{text}");
        let braille = |line: &str| line.chars().position(|c| ('\u{2801}'..='\u{28ff}').contains(&c));
        let starts: Vec<usize> = lines[..8].iter().filter_map(|line| braille(line)).collect();
        assert_eq!(starts.len(), 8, "{text}");
        assert!(starts.is_sorted_by(|a, b| a > b), "{text}");
        assert!(
            lines[0].trim_start().starts_with("59 ┤") && lines[7].trim_start().starts_with("0 ┤"),
            "{text}"
        );
        assert!(lines[9].contains("22:13") && lines[9].ends_with("23:12 UTC"), "{text}");
        assert!(text.ends_with("⣿ {job=\"a\"}  last 59, 0 to 59\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn several_series_are_told_apart() {
        let two = [series("a", &[1.0, 2.0]), series("b", &[2.0, 1.0])];
        let text = render(&two, 60_000, PLAIN);
        assert!(text.contains("\na {job=\"a\"}") && text.contains("\nb {job=\"b\"}"), "{text}");
        let colours = render(&two, 60_000, Screen { colour: true, ..PLAIN });
        assert!(colours.contains("\u{1b}[36m") && colours.contains("\u{1b}[33m"), "{colours}");
        let many: Vec<Series> = (0..11).map(|i| series(&i.to_string(), &[1.0])).collect();
        assert!(render(&many, 60_000, PLAIN).ends_with("and 3 more, which are not drawn\n"));
    }

    #[test]
    fn gaps_are_left_and_odd_values_are_not_drawn() {
        let mut gap = series("a", &[1.0, 1.0, 1.0, 1.0]);
        gap.points.drain(1..3);
        let text = render(&[gap], 60_000, PLAIN);
        let dots = text.chars().filter(|c| ('\u{2801}'..='\u{28fe}').contains(c)).count();
        assert_eq!(dots, 2, "{text}");
        assert_eq!(render(&[series("a", &[f64::NAN, f64::INFINITY])], 60_000, PLAIN), "nothing to draw\n");
        assert_eq!(render(&[], 60_000, PLAIN), "nothing to draw\n");
        render(&[series("a", &[f64::MAX, -f64::MAX, 0.0, 1e-300])], 60_000, PLAIN);
    }

    #[test]
    fn short_numbers() {
        for (value, range, text) in [
            (0.0, 0.0, "0"),
            (1234.0, 0.0, "1.234k"),
            (1_500_000.0, 3_000_000.0, "1.5M"),
            (0.25, 1.0, "0.25"),
            (1000.001, 0.01, "1.000001k"),
            (-12.5, 0.0, "-12.5"),
            (1e-9, 0.0, "1.00e-9"),
        ] {
            assert_eq!(short(value, range), text, "{value} {range}");
        }
    }
}
