//! What outlives crashes: whatever was acknowledged, wherever the power went.

use std::collections::BTreeSet;

use env::{CrashMode, Fault, FaultKind, OpKind, SimFs};
use http::StatusCode;
use serde_json::Value as Json;

use crate::role::{Role, disk, silence};

const CONFIG: &str = "route: {receiver: r}\nreceivers: [{name: r}]\n";

/// What somebody was told of: the silences that hold, and those that are over.
#[derive(Debug, Default)]
struct Acknowledged {
    holds: BTreeSet<String>,
    over: BTreeSet<String>,
}

impl Acknowledged {
    async fn create(&mut self, role: &Role, value: &str) {
        let (status, answer) = role.ask("t", "POST", "/api/v2/silences", &silence("a", value)).await;
        if status == StatusCode::OK {
            self.holds.insert(answer["silenceID"].as_str().expect("a name").to_owned());
        }
    }

    async fn expire_one(&mut self, role: &Role) {
        let Some(id) = self.holds.pop_first() else { return };
        let (status, _) = role.ask("t", "DELETE", &format!("/api/v2/silence/{id}"), "").await;
        if status == StatusCode::OK {
            self.over.insert(id);
        }
        // Else it may hold or not: nobody was told.
    }

    /// What is missing after a restart.
    async fn missing(&self, role: &Role) -> Vec<String> {
        let (_, silences) = role.ask("t", "GET", "/api/v2/silences", "").await;
        let of_state = |state: &str| -> BTreeSet<String> {
            let all = silences.as_array().expect("a list").iter();
            let of = all.filter(|silence| silence["status"]["state"] == state);
            of.filter_map(|silence| silence["id"].as_str().map(str::to_owned)).collect()
        };
        let (active, expired) = (of_state("active"), of_state("expired"));
        let holds = self.holds.difference(&active).map(|id| format!("{id} does not hold"));
        let over = self.over.difference(&expired).map(|id| format!("{id} is not over"));
        holds.chain(over).collect()
    }
}

/// Silences come and go, over a clean restart with its snapshot, until the power goes.
async fn live(fs: &SimFs) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    for round in 0..3 {
        let Ok(role) = Role::start(fs).await else { break };
        for value in ["x", "y"] {
            acknowledged.create(&role, &format!("{value}{round}")).await;
        }
        acknowledged.expire_one(&role).await;
        // A stop takes a snapshot, which takes its time where the disk is gone.
        if !fs.has_crashed() {
            role.role.stop().await;
        }
        role.kill();
    }
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_at_every_operation() {
    let before = disk(CONFIG);
    let begun = before.op_count();
    let all = live(&before).await;
    assert_eq!((all.holds.len(), all.over.len()), (3, 3));
    let operations = before.op_count() - begun;
    assert!(operations > 30, "{operations}");
    let mut wrong = Vec::new();
    for nth in 0..operations {
        for mode in [CrashMode::LoseAll, CrashMode::KeepAll, CrashMode::Torn] {
            let fs = disk(CONFIG);
            fs.plan(Fault { op: OpKind::Change, nth, kind: FaultKind::Crash });
            let acknowledged = live(&fs).await;
            let after = fs.crash(mode);
            let role = Role::start(&after).await.expect("a start after a crash");
            let missing = acknowledged.missing(&role).await;
            if !missing.is_empty() {
                wrong.push(format!("operation {nth}, {mode:?}: {missing:?}"));
            }
            role.kill();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_silence_that_cannot_be_kept_is_not_acknowledged() {
    let fs = disk(CONFIG);
    let role = Role::start(&fs).await.expect("a start");
    fs.set_enospc(true);
    let (status, answer) = role.ask("t", "POST", "/api/v2/silences", &silence("a", "b")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let (_, silences) = role.ask("t", "GET", "/api/v2/silences", "").await;
    assert_eq!(silences, Json::Array(Vec::new()));
    fs.set_enospc(false);
    let (status, answer) = role.ask("t", "POST", "/api/v2/silences", &silence("a", "b")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test]
async fn a_damaged_snapshot_gives_what_can_be_read() {
    let fs = disk(CONFIG);
    let role = Role::start(&fs).await.expect("a start");
    let mut acknowledged = Acknowledged::default();
    for value in ["x", "y", "z"] {
        acknowledged.create(&role, value).await;
    }
    role.role.stop().await;
    role.kill();
    // In the first record, behind the header of the file and the record's own.
    fs.flip_bit(std::path::Path::new("/data/state"), 28 + 8 + 20, 3).expect("the snapshot is there");
    let role = Role::start(&fs).await.expect("a start");
    assert_eq!(acknowledged.missing(&role).await.len(), 1);
}
