//! What a compactor says of itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// What a compactor does and knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When the last round through the tenants ended, in milliseconds since the Unix epoch; `None` before the first.
    pub last_round_ms: Option<i64>,
    /// The tenants that this compactor looks after.
    pub tenants: BTreeMap<String, TenantStatus>,
}

/// What is known of a tenant's blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TenantStatus {
    /// When they were looked at, in milliseconds since the Unix epoch.
    pub looked_ms: i64,
    /// How many there are, by how often their samples were merged; those that are marked are left out.
    pub blocks_by_level: BTreeMap<u32, usize>,
    /// How many are marked to be deleted.
    pub marked: usize,
    /// How many are to be dropped: too old, or contained in others.
    pub dropped: usize,
    /// What is to be done.
    pub jobs: Vec<JobStatus>,
    /// Blocks that are set aside, and why.
    pub excluded: BTreeMap<String, String>,
    /// Why something could not be done the last time.
    pub failure: Option<String>,
}

/// A job that is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// The first time of its window, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The first time behind it, likewise.
    pub end_ms: i64,
    /// The blocks that are merged.
    pub inputs: Vec<String>,
    /// The parts that series are divided into; one part is all series.
    pub outputs: Vec<String>,
    /// Whether it is being done.
    pub running: bool,
    /// Why it was not done when it was tried.
    pub failure: Option<String>,
}

impl Status {
    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::from("Compactor\n\n");
        let round =
            self.last_round_ms.map_or_else(|| "none yet".to_owned(), |at| format!("ended at {at} ms"));
        let _ = writeln!(text, "last round: {round}");
        let _ = writeln!(text, "tenants: {}", self.tenants.len());
        for (tenant, of) in &self.tenants {
            let levels: Vec<String> =
                of.blocks_by_level.iter().map(|(level, count)| format!("{count} of level {level}")).collect();
            let blocks = if levels.is_empty() { "none".to_owned() } else { levels.join(", ") };
            let _ = writeln!(text, "\n{tenant}\n  blocks: {blocks}; {} marked to be deleted", of.marked);
            if of.dropped > 0 {
                let _ = writeln!(text, "  to be dropped: {}", of.dropped);
            }
            for job in &of.jobs {
                let hours = (job.end_ms - job.start_ms) / 3_600_000;
                let parts = if job.outputs.len() > 1 {
                    format!(" into {} parts", job.outputs.len())
                } else {
                    String::new()
                };
                let state = if job.running { "running" } else { "to be done" };
                let _ = writeln!(
                    text,
                    "  {state}: {} blocks of {hours} h from {} ms{parts}: {}",
                    job.inputs.len(),
                    job.start_ms,
                    job.inputs.join(" "),
                );
                if let Some(failure) = &job.failure {
                    let _ = writeln!(text, "    failed: {failure}");
                }
            }
            for (block, reason) in &of.excluded {
                let _ = writeln!(text, "  set aside: {block}: {reason}");
            }
            if let Some(failure) = &of.failure {
                let _ = writeln!(text, "  failed: {failure}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_there_is_to_do_and_what_is_wrong() {
        let job = JobStatus {
            start_ms: 0,
            end_ms: 7_200_000,
            inputs: vec!["A".to_owned(), "B".to_owned()],
            outputs: vec!["1_of_2".to_owned(), "2_of_2".to_owned()],
            running: false,
            failure: Some("no space".to_owned()),
        };
        let tenant = TenantStatus {
            blocks_by_level: BTreeMap::from([(1, 2), (3, 1)]),
            marked: 4,
            jobs: vec![job],
            excluded: BTreeMap::from([("C".to_owned(), "index: offset 5: broken".to_owned())]),
            ..TenantStatus::default()
        };
        let status =
            Status { last_round_ms: Some(9), tenants: BTreeMap::from([("team-a".to_owned(), tenant)]) };
        let text = status.to_text();
        for words in [
            "team-a\n  blocks: 2 of level 1, 1 of level 3; 4 marked",
            "to be done: 2 blocks of 2 h from 0 ms into 2 parts: A B",
            "failed: no space",
            "set aside: C: index: offset 5: broken",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
