//! How tests went, for people and programs.

use gotemplate::escape_html;

/// How a file of tests went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub file: String,
    /// Why none of its tests ran, where none did.
    pub errors: Vec<String>,
    /// Its tests.
    pub tests: Vec<TestReport>,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// What is wrong; nothing if it passes.
    pub failures: Vec<String>,
}

impl FileReport {
    /// Whether all is well.
    pub fn passed(&self) -> bool {
        self.errors.is_empty() && self.tests.iter().all(|test| test.failures.is_empty())
    }

    /// All that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().chain(self.tests.iter().flat_map(|test| &test.failures)).map(String::as_str)
    }
}

/// The reports in the XML of JUnit; `timestamp` is when they were made, as `2006-01-02T15:04:05`.
pub fn junit(reports: &[FileReport], timestamp: &str) -> String {
    let mut out = String::from("<testsuites>");
    for report in reports {
        let failures: usize = report.tests.iter().map(|test| test.failures.len()).sum();
        let (cases, errors) = match report.errors.is_empty() {
            true => (report.tests.len(), 0),
            // What has no test has a case of its own.
            false => (report.tests.len() + 1, 1),
        };
        out.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{cases}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&report.file),
            escaped(timestamp)
        ));
        if !report.errors.is_empty() {
            let errors = escaped(&report.errors.join("\n"));
            out.push_str(&format!("<testcase name=\"unknown\"><error>{errors}</error></testcase>"));
        }
        for test in &report.tests {
            out.push_str(&format!("<testcase name=\"{}\">", escaped(&test.name)));
            for failure in &test.failures {
                out.push_str(&format!("<failure>{}</failure>", escaped(failure)));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Text in XML, without what XML cannot have.
fn escaped(text: &str) -> String {
    let allowed: String =
        text.chars().filter(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r')).collect();
    escape_html(&allowed)
}
