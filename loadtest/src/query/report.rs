//! What queries cost: for people, for programs, and several servers side by side.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::QueryCost;

/// Result of one `loadtest query`.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueryReport {
    /// What was measured, such as `10,000 series, 1 h`; runs of the same name are compared.
    pub name: String,
    /// Whose answers.
    pub server: String,
    /// Each query's cost.
    pub queries: Vec<QueryCost>,
}

impl QueryReport {
    /// CPU milliseconds of one execution of each query.
    pub fn cpu_ms(&self) -> f64 {
        self.queries.iter().map(|query| query.cpu_ms).sum()
    }

    /// The most memory that was seen, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.queries.iter().map(|query| query.peak_bytes).max().unwrap_or(0)
    }

    /// For people.
    pub fn readable(&self) -> String {
        let mut text = format!("{}, {}\n", self.name, self.server);
        // Writing to a String cannot fail.
        for query in &self.queries {
            let _ = writeln!(
                text,
                "  {:<26}{:>10.2} ms CPU {:>10.2} ms {:>8} series {:>10} bytes, {} times; first {:.0} ms CPU {:.0} ms",
                query.name,
                query.cpu_ms,
                query.latency_ms,
                query.series,
                query.answer_bytes,
                query.executions,
                query.first_cpu_ms,
                query.first_ms
            );
        }
        let _ = writeln!(
            text,
            "  {:<26}{:>10.2} ms CPU, memory at most {:.1} MiB",
            "in sum",
            self.cpu_ms(),
            mebibytes(self.peak_bytes())
        );
        text
    }
}

/// Markdown tables, one for each name among the reports, with a column for each server.
pub fn side_by_side(reports: &[QueryReport]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for report in reports {
        if !names.contains(&report.name.as_str()) {
            names.push(&report.name);
        }
    }
    let tables = names.iter().map(|name| {
        let compared: Vec<_> = reports.iter().filter(|report| report.name == *name).collect();
        format!("{name}, CPU ms per execution (series in the answer):\n\n{}", table(&compared))
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn table(reports: &[&QueryReport]) -> String {
    let mut text = String::from("| query |");
    // Writing to a String cannot fail.
    for report in reports {
        let _ = write!(text, " {} |", report.server);
    }
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(reports.len()));
    let rows: Vec<&str> = reports
        .first()
        .map_or(Vec::new(), |report| report.queries.iter().map(|query| query.name.as_str()).collect());
    for name in rows {
        let _ = write!(text, "| {name} |");
        for report in reports {
            let _ = match report.queries.iter().find(|query| query.name == name) {
                Some(query) => write!(text, " {:.2} ({}) |", query.cpu_ms, query.series),
                None => write!(text, " – |"),
            };
        }
        text.push('\n');
    }
    let mut total = |what: &str, value: &dyn Fn(&QueryReport) -> String| {
        let _ = write!(text, "| **{what}** |");
        for report in reports {
            let _ = write!(text, " **{}** |", value(report));
        }
        text.push('\n');
    };
    total("in sum", &|report| format!("{:.1}", report.cpu_ms()));
    total("latency in sum, ms", &|report| {
        format!("{:.1}", report.queries.iter().map(|query| query.latency_ms).sum::<f64>())
    });
    total("memory peak, MiB", &|report| format!("{:.1}", mebibytes(report.peak_bytes())));
    text
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(server: &str, cpu_ms: f64) -> QueryReport {
        let cost = QueryCost {
            name: "load".to_owned(),
            executions: 3,
            cpu_ms,
            first_ms: 0.0,
            first_cpu_ms: 0.0,
            latency_ms: cpu_ms / 2.0,
            peak_bytes: 3 << 20,
            series: 7,
            answer_bytes: 100,
        };
        QueryReport { name: "1 h".to_owned(), server: server.to_owned(), queries: vec![cost] }
    }

    #[test]
    fn servers_stand_side_by_side() {
        let text = side_by_side(&[report("ours", 1.5), report("theirs", 4.25)]);
        assert!(text.contains("| query | ours | theirs |"), "{text}");
        assert!(text.contains("| load | 1.50 (7) | 4.25 (7) |"), "{text}");
        assert!(text.contains("| **in sum** | **1.5** | **4.2** |"), "{text}");
    }
}
