//! The queries that are written down, in the files of `queries`.
//!
//! A line is an expression. A line that begins with `>` says how those below it are asked, with times since the start
//! of the data: `> instant 90m`, `> range 10m 100m 1m`, either followed by more parameters as they are sent; or
//! `> raw query`, for lines that are the parameters of a request. `#` begins a remark.

use std::path::Path;

use promql::text::duration::parse_ms;

use super::data::START_MS;
use super::pair::Query;

/// All of them, in the order of files and lines.
pub(super) fn queries() -> Vec<Query> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/promql_http/queries");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of queries")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Query> {
    let text = std::fs::read_to_string(file).expect("readable");
    let mut how = String::new();
    let mut queries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix('>') {
            Some(directive) => directive.trim().clone_into(&mut how),
            None if line.is_empty() || line.starts_with('#') => {}
            None => queries.push(query(&how, line).unwrap_or_else(|| {
                panic!("{}:{}: nobody knows how to ask {how:?}", file.display(), number + 1)
            })),
        }
    }
    queries
}

fn query(how: &str, line: &str) -> Option<Query> {
    let mut words = how.split(' ');
    let kind = words.next()?;
    if kind == "raw" {
        let (endpoint, expression) = (words.next()?.to_owned(), String::new());
        return Some(Query { endpoint, expression, parameters: line.to_owned() });
    }
    let mut duration = || parse_ms(words.next()?).ok();
    // What cannot be written in a line otherwise.
    let line = line.replace("\\n", "\n");
    let mut query = match kind {
        "instant" => Query::instant(&line, START_MS + duration()?),
        "range" => Query::range(&line, START_MS + duration()?, START_MS + duration()?, duration()?),
        _ => return None,
    };
    for word in words {
        query.parameters += "&";
        query.parameters += word;
    }
    Some(query)
}
