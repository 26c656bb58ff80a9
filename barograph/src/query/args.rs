//! What can be asked, and how it is written on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::time;

/// Where a process with default settings listens.
const DEFAULT_URL: &str = "http://127.0.0.1:9009/prometheus";

/// How many steps a range has, about, where no step is given: as many as a wide terminal has dots.
const DEFAULT_STEPS: i64 = 240;

const TIMES: &str = "\
Times are `now`, `now-1h30m`, `-1h` (before now), a day and a time of UTC such as 2026-03-01 or 2026-03-01T12:30:00Z,
or seconds since the Unix epoch. An expression of `-` is read from standard input.";

const EXAMPLES: &str = "\
Examples:
  barograph query instant up
      Every target that is scraped, and whether it was reachable.

  barograph query instant 'topk(5, rate(http_requests_total[5m]))' --time now-1h --format plot
      The busiest five an hour ago, as bars.

  barograph query range 'sum by (job) (rate(http_requests_total[5m]))' --start -6h --format plot
      Six hours as lines in the terminal.

  barograph query range 'node_load1' --start 2026-03-01 --end 2026-03-02 --step 5m --format csv > load.csv
      A day for a spreadsheet.

  barograph query series 'up{job=\"node\"}' --start -1d
      The series that there were since yesterday.

  barograph query labels --values job
      The values of the label job.

  echo 'sum(up)' | barograph query instant - --url http://prometheus:9090 --tenant team-a
      An expression from elsewhere, to another server, for a tenant.";

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
    Plot,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// The value of an expression at one time.
    Instant { expression: String, time_ms: i64 },
    /// The values of an expression over a time.
    Range { expression: String, start_ms: i64, end_ms: i64, step_ms: i64 },
    /// The series that match.
    Series { selectors: Vec<String>, start_ms: i64, end_ms: i64 },
    /// The names of labels, or the values of one.
    Labels { name: Option<String>, selectors: Vec<String>, start_ms: i64, end_ms: i64 },
}

/// A question, and to whom.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) question: Question,
    pub(super) url: String,
    /// Authorities for certificates of servers, in the place of those that the system trusts.
    pub(super) ca_file: Option<PathBuf>,
    pub(super) tenant: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) limit: Option<u64>,
    pub(super) lookback: Option<String>,
    pub(super) format: Format,
    pub(super) height: usize,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    let expression = || {
        Arg::new("expression")
            .value_name("EXPR")
            .required(true)
            .allow_hyphen_values(true)
            .help("The expression in PromQL; `-` reads it from standard input")
    };
    let selectors = |required: bool| {
        Arg::new("selector")
            .value_name("SELECTOR")
            .num_args(1..)
            .required(required)
            .help("Which series, such as `up` or `{job=\"node\"}`; those that match any of several")
    };
    let lookback = || {
        Arg::new("lookback")
            .long("lookback")
            .value_name("DURATION")
            .help("How far back a selector looks for a sample; the server's default is 5m mostly")
    };
    let start = |default: &'static str| time_argument("start", "The first time").default_value(default);
    let end = || time_argument("end", "The last time").default_value("now");
    let step = Arg::new("step")
        .long("step")
        .value_name("DURATION")
        .help("The distance of points; where it is left out there are about 240");
    let values = Arg::new("values")
        .long("values")
        .value_name("NAME")
        .help("The values of this label rather than the names of labels");
    let time = time_argument("time", "The time").default_value("now");
    Command::new("query")
        .about("Ask a server: values now or over a time, series, labels; as a table, CSV, JSON or a plot")
        .after_long_help(format!("{TIMES}\n\n{EXAMPLES}"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            question("instant", "The value of an expression at one time")
                .arg(expression())
                .arg(time)
                .arg(lookback()),
        )
        .subcommand(
            question("range", "The values of an expression over a time")
                .arg(expression())
                .arg(start("now-1h"))
                .arg(end())
                .arg(step)
                .arg(lookback()),
        )
        .subcommand(
            question("series", "The series that match").arg(selectors(true)).arg(start("now-1h")).arg(end()),
        )
        .subcommand(
            question("labels", "The names of labels, or the values of one")
                .arg(selectors(false))
                .arg(values)
                .arg(start("now-1h"))
                .arg(end()),
        )
}

fn time_argument(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TIME").allow_hyphen_values(true).help(help)
}

/// A subcommand with what all of them have.
fn question(name: &'static str, about: &'static str) -> Command {
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .default_value(DEFAULT_URL)
        .help("The server, up to what comes before /api/v1; with https its certificate is verified");
    let ca_file = Arg::new("ca-file")
        .long("ca-file")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Certificates in PEM of the authorities to trust, rather than those of the system or of SSL_CERT_FILE");
    let tenant = Arg::new("tenant")
        .long("tenant")
        .value_name("TENANT")
        .help("Whose data, sent as X-Scope-OrgID; several may be joined by |");
    let header = Arg::new("header")
        .long("header")
        .value_name("NAME: VALUE")
        .action(ArgAction::Append)
        .help("A header for the request, such as `Authorization: Bearer …`; may be repeated");
    let timeout = Arg::new("timeout")
        .long("timeout")
        .value_name("DURATION")
        .default_value("2m")
        .help("How long to wait for the answer");
    let limit = Arg::new("limit")
        .long("limit")
        .value_name("N")
        .value_parser(clap::value_parser!(u64))
        .help("At most so many series or values");
    let format = Arg::new("format")
        .long("format")
        .short('f')
        .value_name("FORMAT")
        .default_value("table")
        .value_parser(PossibleValuesParser::new(["table", "json", "csv", "plot"]))
        .help("How the answer is printed; plots are for `instant` and `range`");
    let height = Arg::new("height")
        .long("height")
        .value_name("LINES")
        .default_value("16")
        .value_parser(clap::value_parser!(u16).range(4..=200))
        .help("How high a plot is");
    Command::new(name)
        .about(about)
        .after_help(TIMES)
        .args([url, ca_file, tenant, header, timeout, limit, format, height])
}

impl Request {
    /// What the command line asks at `now_ms`.
    pub(super) fn from_matches(matches: &ArgMatches, now_ms: i64) -> Result<Self, String> {
        let (name, given) = matches.subcommand().ok_or("there is no question")?;
        let one = |name: &str| given.get_one::<String>(name).cloned();
        let time = |name: &str| {
            let text = one(name).unwrap_or_default();
            time::parse(&text, now_ms).map_err(|error| format!("--{name}: {error}"))
        };
        let expression = || one("expression").unwrap_or_default();
        let selectors = || given.get_many::<String>("selector").into_iter().flatten().cloned().collect();
        let question = match name {
            "instant" => Question::Instant { expression: expression(), time_ms: time("time")? },
            "range" => {
                let (start_ms, end_ms) = in_order(time("start")?, time("end")?)?;
                let step_ms = match one("step") {
                    Some(text) => step(&text)?,
                    None => default_step(end_ms - start_ms),
                };
                Question::Range { expression: expression(), start_ms, end_ms, step_ms }
            }
            name => {
                let (start_ms, end_ms) = in_order(time("start")?, time("end")?)?;
                match name {
                    "series" => Question::Series { selectors: selectors(), start_ms, end_ms },
                    _ => Question::Labels { name: one("values"), selectors: selectors(), start_ms, end_ms },
                }
            }
        };
        let headers = given.get_many::<String>("header").into_iter().flatten().map(|text| header(text));
        let timeout = one("timeout").unwrap_or_default();
        Ok(Self {
            question,
            url: one("url").unwrap_or_default(),
            ca_file: given.get_one::<PathBuf>("ca-file").cloned(),
            tenant: one("tenant"),
            headers: headers.collect::<Result<_, _>>()?,
            timeout: settings::duration::parse(&timeout)
                .filter(|timeout| !timeout.is_zero())
                .ok_or_else(|| format!("--timeout: {timeout:?} is no duration; 30s or 2m would be one"))?,
            limit: given.get_one::<u64>("limit").copied(),
            lookback: given.try_get_one::<String>("lookback").ok().flatten().cloned(),
            format: match one("format").as_deref() {
                Some("json") => Format::Json,
                Some("csv") => Format::Csv,
                Some("plot") => Format::Plot,
                _ => Format::Table,
            },
            height: given.get_one::<u16>("height").copied().map_or(16, usize::from),
        })
    }
}

fn in_order(start_ms: i64, end_ms: i64) -> Result<(i64, i64), String> {
    if end_ms < start_ms {
        let (start, end) = (time::rfc3339(start_ms), time::rfc3339(end_ms));
        return Err(format!("--end: {end} is before the start, {start}"));
    }
    Ok((start_ms, end_ms))
}

fn step(text: &str) -> Result<i64, String> {
    let seconds = text.parse::<f64>().ok().map(|seconds| seconds * 1_000.0);
    let step = settings::duration::parse(text).map(|d| d.as_millis() as f64).or(seconds);
    match step {
        Some(ms) if (1.0..=1e15).contains(&ms) => Ok(ms as i64),
        _ => Err(format!("--step: {text:?} is no duration above zero; 15s or 5m would be one")),
    }
}

/// A step that divides clock times evenly, for about as many points as a terminal shows.
fn default_step(length_ms: i64) -> i64 {
    const EVEN_SECONDS: [i64; 18] =
        [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800];
    let wanted = length_ms / DEFAULT_STEPS;
    let even = EVEN_SECONDS.iter().map(|seconds| seconds * 1_000).find(|step| *step >= wanted);
    even.unwrap_or(wanted)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("--header: {text:?} has no colon; `Name: value` is wanted"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Request, String> {
        let matches = command().try_get_matches_from(line).map_err(|error| error.to_string())?;
        Request::from_matches(&matches, 1_700_000_000_000)
    }

    #[test]
    fn questions() {
        let request = parse(&["query", "instant", "-up", "--time", "-1h", "-f", "csv"]).expect("good");
        let expected = Question::Instant { expression: "-up".into(), time_ms: 1_699_996_400_000 };
        assert_eq!((request.question, request.format), (expected, Format::Csv));
        let request = parse(&["query", "range", "up", "--start", "-6h", "--header", "A: b:c"]).expect("good");
        let expected = Question::Range {
            expression: "up".into(),
            start_ms: 1_700_000_000_000 - 21_600_000,
            end_ms: 1_700_000_000_000,
            step_ms: 120_000,
        };
        assert_eq!(request.question, expected);
        assert_eq!(request.headers, [("A".to_owned(), "b:c".to_owned())]);
        let request = parse(&["query", "labels", "--values", "job", "up", "down"]).expect("good");
        let Question::Labels { name, selectors, .. } = request.question else { panic!("labels") };
        assert_eq!((name.as_deref(), selectors.len()), (Some("job"), 2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, words) in [
            (vec!["query", "range", "up", "--start", "now", "--end", "-1h"], "before the start"),
            (vec!["query", "range", "up", "--step", "0"], "--step: \"0\""),
            (vec!["query", "range", "up", "--step", "x"], "--step: \"x\""),
            (vec!["query", "instant", "up", "--time", "noon"], "--time: \"noon\""),
            (vec!["query", "instant", "up", "--timeout", "x"], "--timeout: \"x\""),
            (vec!["query", "instant", "up", "--header", "x"], "no colon"),
            (vec!["query", "instant", "up", "--format", "xml"], "table, json, csv, plot"),
            (vec!["query", "series"], "SELECTOR"),
        ] {
            let error = parse(&line).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn steps_divide_clock_times() {
        for (hours, seconds) in
            [(0, 1), (1, 15), (6, 120), (24, 600), (24 * 30, 14_400), (24 * 10_000, 3_600_000)]
        {
            assert_eq!(default_step(hours * 3_600_000), seconds * 1_000, "{hours} h");
        }
    }
}
