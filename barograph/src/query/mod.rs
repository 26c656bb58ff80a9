//! `barograph query`: questions to a server from a shell, and answers for people, spreadsheets and programs.
//!
//! It speaks the Prometheus API over HTTP or HTTPS, so any server of that API answers. What the server says about the
//! query (warnings, infos, errors) goes to standard error, with a mark below the place in the expression.

mod answer;
mod args;
mod bars;
mod client;
mod csv;
mod plot;
mod problem;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod transport;

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use clap::ArgMatches;

use answer::{Answer, Data};
use args::{Format, Question, Request};
use client::Client;

pub(crate) use args::command;

use crate::output;

/// The longest expression that is read from standard input, in bytes.
const MAX_EXPRESSION_BYTES: u64 = 1 << 20;

/// How wide output is where nobody says.
const DEFAULT_WIDTH: usize = 80;

/// Where output goes, as far as its form depends on it.
#[derive(Debug, Clone, Copy)]
struct Screen {
    /// In characters.
    width: usize,
    /// Lines that a plot takes.
    height: usize,
    colour: bool,
}

impl Screen {
    fn of_process(height: usize) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let size = || rustix::termios::tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col));
        let width = columns.or_else(size).filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH);
        // See no-color.org: any value but the empty one counts.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { width: width.clamp(20, 1_000), height, colour: terminal && !refused }
    }
}

/// Asks what the command line says, and prints the answer.
pub(crate) fn run(matches: &ArgMatches, now_ms: i64) -> ExitCode {
    match try_run(matches, now_ms) {
        Ok(code) => code,
        Err(problem) => {
            output::error(&problem);
            ExitCode::FAILURE
        }
    }
}

fn try_run(matches: &ArgMatches, now_ms: i64) -> Result<ExitCode, String> {
    let mut request = Request::from_matches(matches, now_ms)?;
    if let Some(expression) = request.question.expression_mut()
        && expression == "-"
    {
        *expression = read_expression()?;
    }
    let client = Client::new(&request)?;
    let body = client.ask(&request)?;
    let answer = Answer::parse(&body)?;
    let expression = request.question.expression().unwrap_or("");
    let annotations = problem::annotations(&answer, expression);
    let mut error = std::io::stderr().lock();
    // Where standard error is closed there is nobody left to tell.
    let _ = error.write_all(annotations.as_bytes());
    let data = match answer.data {
        Ok(data) => data,
        Err(failure) => {
            let _ = error.write_all(problem::failure(&failure, expression).as_bytes());
            return Ok(ExitCode::FAILURE);
        }
    };
    drop(error);
    Ok(match request.format {
        Format::Json => output::out(&format!("{}\n", body.trim_end())),
        format => output::out(&render(&data, format, &request)),
    })
}

fn render(data: &Data, format: Format, request: &Request) -> String {
    let screen = Screen::of_process(request.height);
    match (format, data) {
        (Format::Csv, data) => csv::render(data),
        (Format::Plot, Data::Matrix(series)) => plot::render(series, request.question.step_ms(), screen),
        (Format::Plot, Data::Vector(series)) => bars::render(series, screen),
        (_, data) => table::render(data, screen),
    }
}

/// The expression on standard input.
fn read_expression() -> Result<String, String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_EXPRESSION_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| format!("standard input: {error}"))?;
    if text.len() as u64 > MAX_EXPRESSION_BYTES {
        return Err(format!("standard input: the expression is longer than {MAX_EXPRESSION_BYTES} bytes"));
    }
    Ok(text.trim_end().to_owned())
}

impl Question {
    fn expression(&self) -> Option<&str> {
        match self {
            Self::Instant { expression, .. } | Self::Range { expression, .. } => Some(expression),
            Self::Series { .. } | Self::Labels { .. } => None,
        }
    }

    fn expression_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Instant { expression, .. } | Self::Range { expression, .. } => Some(expression),
            Self::Series { .. } | Self::Labels { .. } => None,
        }
    }

    /// The distance of points of a range.
    fn step_ms(&self) -> i64 {
        match self {
            Self::Range { step_ms, .. } => *step_ms,
            _ => 1,
        }
    }
}
