//! Prometheus' own tool reads what was cut and shipped, and finds the same samples.

use std::collections::BTreeSet;
use std::process::Command;

use env::SimFs;
use model::Value;

use super::super::support::*;
use super::support::*;

#[test]
fn promtool_finds_what_was_written() {
    run(async {
        let mut storage = Storage::new(1);
        let host = begin(&SimFs::new(1), &mut storage).await.unwrap();
        let mut oracle = Oracle::default();
        for step in 0..300i64 {
            let at = NOW_MS - 5 * HOUR_MS + step * 60_000;
            let mut rows: Vec<Row> =
                (0..3).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64 / 8.0)).collect();
            if step % 20 == 7 {
                rows.push(row(&labels("up", 1), at - 30 * 60_000 - 1, step as f64));
            }
            let answer = host.push(&tenant("team-a"), &rows).await;
            oracle.note(&rows, &answer);
        }
        host.ingester.flush().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bucket = storage.of("team-a");
        let index = storage.index("team-a").await;
        for listed in bucket.bucket().list(None, 1000).await.unwrap() {
            let Some(path) = listed.name.as_str().strip_prefix("team-a/") else { continue };
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bucket.bucket().get(&listed.name, u64::MAX).await.unwrap().bytes).unwrap();
        }
        // A database has a log; upstream's tool looks for it.
        std::fs::create_dir(folder.path().join("wal")).unwrap();
        let promtool = |arguments: &[&str]| {
            let output = Command::new(testkit::peer("promtool"))
                .args(arguments)
                .arg(folder.path())
                .output()
                .expect("promtool runs");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let list = promtool(&["tsdb", "list"]);
        assert!(index.blocks.iter().all(|block| list.contains(&block.id.to_string())), "{list}");
        assert!(promtool(&["tsdb", "analyze"]).contains("Label pairs most involved in churning"));
        // name{...} value time
        let dumped: BTreeSet<(String, i64)> = promtool(&["tsdb", "dump"])
            .lines()
            .map(|line| {
                let mut words = line.rsplitn(3, ' ');
                let at = words.next().unwrap().parse().unwrap();
                let value: f64 = words.next().unwrap().parse().unwrap();
                let host = words.next().unwrap().split("host-").nth(1).unwrap()[..1].to_owned();
                (format!("{host} {value}"), at)
            })
            .collect();
        let written: BTreeSet<(String, i64)> = storage
            .read("team-a", &index)
            .await
            .into_iter()
            .flat_map(|(labels, samples)| {
                let host = labels.get("instance").unwrap()[5..].to_owned();
                samples.into_iter().map(move |(at, value)| match value {
                    Value::Float(value) => (format!("{host} {value}"), at),
                    other => panic!("{other:?}"),
                })
            })
            .collect();
        assert_eq!(written.len(), oracle.acknowledged());
        assert_eq!(dumped, written);
        end(host).await;
    });
}
