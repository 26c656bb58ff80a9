//! Prometheus' own tool reads every block that ever was.

use std::collections::BTreeSet;
use std::process::Command;

use bucket::TenantBucket;
use tempfile::TempDir;
use ulid::Ulid;

use crate::blocks;

/// The blocks that it has read.
#[derive(Debug, Default)]
pub(crate) struct Promtool {
    read: BTreeSet<Ulid>,
}

impl Promtool {
    /// Lets it list and dump the blocks of a tenant that it has not read yet, marked ones too. How many those are.
    pub(crate) async fn accepts(&mut self, bucket: &TenantBucket) -> usize {
        let all = blocks::index(bucket).await.blocks;
        let new: Vec<Ulid> = all.iter().map(|block| block.id).filter(|id| !self.read.contains(id)).collect();
        if new.is_empty() {
            return 0;
        }
        let folder = download(bucket, &new).await;
        let list = run(&["tsdb", "list"], &folder);
        for id in &new {
            assert!(list.contains(&id.to_string()), "{id} is not in {list}");
        }
        assert!(run(&["tsdb", "dump"], &folder).lines().count() > 0);
        self.read.extend(&new);
        new.len()
    }

    /// How many blocks it has read.
    pub(crate) fn count(&self) -> usize {
        self.read.len()
    }
}

/// The floats that it dumps of the blocks of a tenant that are not marked: how many lines there are.
pub(crate) async fn floats(bucket: &TenantBucket, metric: &str) -> usize {
    let live: Vec<Ulid> = blocks::index(bucket).await.live().map(|block| block.id).collect();
    let folder = download(bucket, &live).await;
    for id in &live {
        let analysis = run_on(&["tsdb", "analyze"], &folder, &[&id.to_string()]);
        assert!(analysis.contains("Label pairs most involved in churning"), "{analysis}");
    }
    let dump = run(&["tsdb", "dump"], &folder);
    let name = format!("__name__=\"{metric}\"");
    dump.lines().filter(|line| line.contains(&name)).count()
}

async fn download(bucket: &TenantBucket, ids: &[Ulid]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for id in ids {
        for (name, listed) in bucket.files(*id).await.expect("a listing") {
            let path = folder.path().join(id.to_string()).join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            let bytes = bucket.bucket().get(&listed.name, u64::MAX).await.expect("it is there").bytes;
            std::fs::write(path, bytes).expect("there is room");
        }
    }
    // A database has a log; the tool looks for it.
    std::fs::create_dir(folder.path().join("wal")).expect("a folder");
    folder
}

fn run(arguments: &[&str], folder: &TempDir) -> String {
    run_on(arguments, folder, &[])
}

fn run_on(arguments: &[&str], folder: &TempDir, more: &[&str]) -> String {
    let mut command = Command::new(testkit::peer("promtool"));
    let output = command.args(arguments).arg(folder.path()).args(more).output().expect("promtool runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}
