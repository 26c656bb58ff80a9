//! What a selection says that it covers is in it, for as long as it takes to answer it, or it fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bucket::BucketIndex;
use env::{CrashMode, SimFs};
use futures::StreamExt;
use model::{Matcher, TimeRange};
use proto::{Code, CoveringSelection, Error, IngesterRead, SelectRequest, SelectStream};
use ulid::Ulid;

use super::super::support::*;
use super::support::*;
use crate::blocks::tasks;
use crate::config::IngesterConfig;
use crate::head::open;
use crate::maintenance;

const STEP: Duration = Duration::from_secs(300);
const KEEP_MS: i64 = 4 * HOUR_MS;

/// An ingester that keeps samples as long as it does elsewhere.
async fn keeping(fs: &SimFs, storage: &mut Storage, after: Duration) -> Host {
    let config = IngesterConfig { block_keep: Duration::from_millis(KEEP_MS.unsigned_abs()), ..config() };
    let bucket = storage.reopen();
    let after_ms = i64::try_from(after.as_millis()).unwrap();
    start_with_bucket(after_ms, Arc::new(fs.clone()), config, late(), bucket).await.unwrap()
}

async fn select(host: &Host, range: TimeRange) -> CoveringSelection {
    let any = Matcher::new("__name__", model::MatchOp::Regex, ".+").unwrap();
    let request = SelectRequest {
        tenant: tenant("team-a"),
        matchers: vec![any],
        range,
        newest_only: false,
        max_series: usize::MAX,
        max_chunk_bytes: usize::MAX,
    };
    host.ingester.select_covering(request).await.unwrap()
}

async fn samples(mut series: SelectStream) -> Result<Samples, Error> {
    let mut all = Samples::new();
    while let Some(batch) = series.next().await {
        for one in batch? {
            let samples = all.entry(one.labels).or_default();
            for chunk in one.chunks {
                samples.extend(open::decode(chunk.encoding, &chunk.data).unwrap());
            }
        }
    }
    Ok(all)
}

/// The first sample in the range of some that others do not have.
fn missing(some: &Samples, others: &Samples, range: TimeRange) -> Option<String> {
    let all = some.iter().flat_map(|(labels, samples)| samples.iter().map(move |sample| (labels, sample)));
    all.filter(|(_, (at, _))| range.contains(**at)).find_map(|(labels, (at, value))| {
        let other = others.get(labels).and_then(|samples| samples.get(at));
        let same = other.is_some_and(|other| other.same_bits(value));
        (!same).then(|| format!("{labels} at {at}"))
    })
}

/// What a tenant has in each block that the bucket lists.
async fn blocks(storage: &Storage) -> Vec<(Ulid, Samples)> {
    let mut all = Vec::new();
    for entry in storage.index("team-a").await.blocks {
        let (id, mut index) = (entry.id, BucketIndex::new());
        index.add(entry);
        all.push((id, storage.read("team-a", &index).await));
    }
    all
}

/// Everything of a covered block is in the answer, hour after hour, while samples come late, series end, and windows are cut again and
/// forgotten; and not everything of all others is, so that it would be seen if one too many were covered.
#[test]
fn everything_of_a_covered_block_is_in_the_answer() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = keeping(&fs, &mut storage, Duration::ZERO).await;
        let (mut covered, mut others, mut differ) = (BTreeSet::new(), 0, 0);
        for step in 0..200i64 {
            let at = NOW_MS + step * 300_000;
            let mut rows: Vec<Row> =
                (0..3).map(|i| row(&labels("up", i), at, (step * 10 + i as i64) as f64)).collect();
            // Each of these ends after some steps.
            let ending = usize::try_from(step / 7).unwrap();
            rows.push(row(&labels("ending", ending), at, step as f64));
            if step % 9 == 5 {
                rows.push(row(&labels("up", 0), at - (step % 60) * 300_000 - 1, step as f64));
            }
            host.push(&tenant("team-a"), &rows).await.unwrap();
            maintain(&host).await;
            if step % 5 == 0 {
                let some = TimeRange::new(at - (step % 13) * HOUR_MS, at - (step % 3) * HOUR_MS);
                let range = some.filter(|_| step % 2 == 0).unwrap_or(TimeRange::ALL);
                let answer = select(&host, range).await;
                let found = samples(answer.series).await.unwrap();
                for (id, block) in blocks(&storage).await {
                    let missing = missing(&block, &found, range);
                    if answer.covered.contains(&id) {
                        assert_eq!(missing, None, "step {step}: block {id} is not covered");
                        covered.insert(id);
                    } else {
                        others += 1;
                        differ += usize::from(missing.is_some());
                    }
                }
            }
            tokio::time::advance(STEP).await;
        }
        assert!(covered.len() >= 8 && differ > 10, "{} covered; {differ} of {others}", covered.len());
        // As long as something is kept, its blocks are covered.
        let now_ms = NOW_MS + 200 * 300_000;
        let answer = select(&host, TimeRange::ALL).await;
        let kept_ms = (now_ms - KEEP_MS).div_euclid(2 * HOUR_MS) * 2 * HOUR_MS;
        for block in storage.index("team-a").await.blocks {
            let is_covered = answer.covered.contains(&block.id);
            assert_eq!(is_covered, block.min_time >= kept_ms, "{} to {}", block.min_time, block.max_time);
        }
        drop(answer);
        end(host).await;
    });
}

/// So many series that an answer is not read at once.
const MANY: usize = 17_000;

/// A host with a window that has been cut and shipped, and is about to be forgotten, of series that have ended.
async fn about_to_forget(fs: &SimFs, storage: &mut Storage) -> Host {
    let host = keeping(fs, storage, Duration::ZERO).await;
    let rows: Vec<Row> = (0..MANY).map(|i| row(&labels("many", i), NOW_MS - 3 * HOUR_MS, i as f64)).collect();
    host.push(&tenant("team-a"), &rows).await.unwrap();
    tasks::cut_all(&host.ingester.inner).await;
    tasks::ship_all(&host.ingester.inner).await;
    tokio::time::advance(3 * REFRESH).await;
    tasks::ship_all(&host.ingester.inner).await;
    assert_eq!(select(&host, TimeRange::ALL).await.covered.len(), 1);
    host
}

async fn forget(host: &Host, after: Duration) {
    tokio::time::advance(after).await;
    maintenance::expire(&host.ingester.inner).await;
}

#[test]
fn what_an_answer_covers_is_not_forgotten_while_it_is_read() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = about_to_forget(&fs, &mut storage).await;
        let answer = select(&host, TimeRange::ALL).await;
        forget(&host, Duration::from_secs(4 * 3_600)).await;
        let later = select(&host, TimeRange::ALL).await;
        assert!(later.covered.is_empty(), "who asks now has to read the block");
        assert_eq!(samples(later.series).await.unwrap().len(), MANY);
        assert_eq!(samples(answer.series).await.unwrap().len(), MANY);
        forget(&host, Duration::from_secs(60)).await;
        assert!(samples(select(&host, TimeRange::ALL).await.series).await.unwrap().is_empty());
        end(host).await;
    });
}

#[test]
fn an_answer_that_takes_too_long_fails() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = about_to_forget(&fs, &mut storage).await;
        let answer = select(&host, TimeRange::ALL).await;
        forget(&host, Duration::from_secs(4 * 3_600)).await;
        forget(&host, Duration::from_secs(400)).await;
        assert_eq!(samples(select(&host, TimeRange::ALL).await.series).await.unwrap().len(), 0);
        let error = samples(answer.series).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "{error}");
        assert!(error.retry_after.is_some());
        end(host).await;
    });
}

/// An answer that covers nothing may miss what is forgotten while it is read: blocks have that.
#[test]
fn an_answer_that_covers_nothing_holds_up_nobody() {
    run(async {
        let fs = SimFs::new(1);
        let mut storage = Storage::new(1);
        let host = about_to_forget(&fs, &mut storage).await;
        let none = TimeRange::new(NOW_MS, NOW_MS + 1).unwrap();
        let answer = select(&host, none).await;
        assert!(answer.covered.is_empty());
        forget(&host, Duration::from_secs(4 * 3_600)).await;
        assert!(samples(select(&host, TimeRange::ALL).await.series).await.unwrap().is_empty());
        assert!(samples(answer.series).await.unwrap().is_empty());
        end(host).await;
    });
}

/// Who has restarted does not know for sure that it has what it had, and covers what it has cut since.
#[test]
fn a_restart_covers_nothing_that_was_cut_before() {
    run(async {
        for mode in [CrashMode::LoseAll, CrashMode::KeepAll] {
            let fs = SimFs::new(1);
            let mut storage = Storage::new(1);
            let host = keeping(&fs, &mut storage, Duration::ZERO).await;
            let push = async |host: &Host, from: i64, to: i64| {
                for step in from..to {
                    let rows = [row(&labels("up", 0), NOW_MS + step * 300_000, step as f64)];
                    host.push(&tenant("team-a"), &rows).await.unwrap();
                }
            };
            push(&host, -40, -24).await;
            maintain(&host).await;
            assert!(!select(&host, TimeRange::ALL).await.covered.is_empty());
            end(host).await;
            let fs = fs.crash(mode);
            let host = keeping(&fs, &mut storage, Duration::ZERO).await;
            assert!(select(&host, TimeRange::ALL).await.covered.is_empty());
            push(&host, -24, 0).await;
            maintain(&host).await;
            let before = storage.index("team-a").await.blocks.len();
            tokio::time::advance(Duration::from_secs(7_200)).await;
            maintain(&host).await;
            let answer = select(&host, TimeRange::ALL).await;
            let found = samples(answer.series).await.unwrap();
            let all = blocks(&storage).await;
            let new = all.iter().filter(|(id, _)| answer.covered.contains(id)).count();
            assert!(new > 0 && all.len() > before, "{new} of {}", all.len());
            for (id, block) in all.iter().filter(|(id, _)| answer.covered.contains(id)) {
                assert_eq!(missing(block, &found, TimeRange::ALL), None, "{id}");
            }
            end(host).await;
        }
    });
}
