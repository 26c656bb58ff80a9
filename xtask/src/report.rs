//! What the checks found.

use std::fmt;

/// Findings, which fail the check, and notes, which do not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    /// Something that must be mended: where, what, and what to do.
    pub(crate) fn find(&mut self, path: &str, line: usize, what: impl fmt::Display, mend: &str) {
        self.findings.push(format!("{path}:{line}: {what}; {mend}"));
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Whether nothing must be mended.
    pub(crate) fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn findings(&self) -> &[String] {
        &self.findings
    }

    #[cfg(test)]
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        match self.findings.len() {
            0 => writeln!(f, "xtask: nothing to mend"),
            1 => writeln!(f, "xtask: 1 thing to mend"),
            n => writeln!(f, "xtask: {n} things to mend"),
        }
    }
}
