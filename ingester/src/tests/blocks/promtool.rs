//! Prometheus' own tool reads what was cut and shipped, and finds the same samples.

use std::collections::BTreeSet;
use std::process::Command;

use env::SimFs;
use model::Value;

use super::super::support::*;
use super::random::value;
use super::support::*;

/// How many samples promtool's dump does not show at the beginning of each series: it asks for a float first, then for a histogram
/// of floats, then for one of whole numbers, and what is none of these when it is asked for is passed over.
const HIDDEN: [usize; 7] = [0, 0, 0, 2, 1, 2, 0];

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
            for (series, kind) in [(3, 6), (4, 8), (5, 9), (6, [4, 5][step as usize % 2])] {
                rows.push(Row { labels: labels("up", series), timestamp_ms: at, value: value(kind, at) });
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
        let dumped: BTreeSet<(String, i64)> = promtool(&["tsdb", "dump"]).lines().map(of_line).collect();
        let written: BTreeSet<(String, i64)> = storage
            .read("team-a", &index)
            .await
            .into_iter()
            .flat_map(|(labels, samples)| {
                let host = labels.get("instance").unwrap()[5..].to_owned();
                let hidden = HIDDEN[host.parse::<usize>().unwrap()];
                samples
                    .into_iter()
                    .skip(hidden)
                    .map(move |(at, value)| (format!("{host} {}", shown(&value)), at))
            })
            .collect();
        assert_eq!(written.len() + HIDDEN.iter().sum::<usize>(), oracle.acknowledged());
        assert_eq!(dumped, written);
        end(host).await;
    });
}

/// A line is `{name="value", ...} value time`; a histogram's value begins with count and sum.
fn of_line(line: &str) -> (String, i64) {
    let (rest, at) = line.rsplit_once(' ').unwrap();
    let (labels, value) = rest.split_once("\"} ").unwrap();
    let host = &labels.split("host-").nth(1).unwrap()[..1];
    let value = match value.strip_prefix('{').and_then(|histogram| histogram.split_once(", ")) {
        Some((count, rest)) => {
            let sum = rest.split([',', '}']).next().unwrap();
            let number = |text: &str| text.rsplit(':').next().unwrap().parse::<f64>().unwrap();
            format!("count {} sum {}", number(count), number(sum))
        }
        None => value.parse::<f64>().unwrap().to_string(),
    };
    (format!("{host} {value}"), at.parse().unwrap())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Float(value) => value.to_string(),
        Value::Histogram(h) => format!("count {} sum {}", h.count as f64, h.sum),
        Value::FloatHistogram(h) => format!("count {} sum {}", h.count, h.sum),
    }
}
