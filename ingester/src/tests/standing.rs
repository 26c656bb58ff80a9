//! What an ingester says of itself to its cluster: replaced disks, damage, power failures, and whom it answers meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{CrashMode, FileSystem, SimFs};
use model::TimeRange;
use proto::{Code, IngesterRead};
use ring::State;

use super::support::*;
use crate::config::{IngesterConfig, WalSync};

const MINUTE_MS: i64 = 60_000;

async fn up(fs: &SimFs) -> Host {
    start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap()
}

async fn push_at(host: &Host, at_ms: i64) {
    host.push(&tenant("a"), &[row(&labels("up", 1), at_ms, 1.0)]).await.unwrap();
}

#[test]
fn an_incarnation_is_that_of_the_directory_and_a_new_one_has_lost_nothing_of_its_own() {
    run(async {
        let fs = SimFs::new(1);
        let host = up(&fs).await;
        let identity = host.ingester.identity();
        assert_eq!(identity.lost, []);
        let retention_ms = 15 * 24 * 60 * MINUTE_MS;
        let all = identity.everything;
        assert!(all.contains(NOW_MS - retention_ms) && all.contains(NOW_MS + MINUTE_MS), "{all:?}");
        end(host).await;
        let host = up(&fs.crash(CrashMode::LoseAll)).await;
        assert_eq!(host.ingester.identity(), identity);
        end(host).await;
        let other = start_seeded(2, Arc::new(SimFs::new(1))).await;
        assert_ne!(other.ingester.identity().incarnation, identity.incarnation);
        end(other).await;
    });
}

#[test]
fn a_damaged_log_is_a_lost_range_and_stays_one() {
    run(async {
        let fs = SimFs::new(5);
        let host = up(&fs).await;
        for minute in 0..60 {
            push_at(&host, NOW_MS - (60 - minute) * MINUTE_MS).await;
        }
        end(host).await;
        let dir = Path::new("/data/ingester/wal");
        let segment = fs.read_dir(dir).unwrap().remove(0);
        let damaged = fs.crash(CrashMode::KeepAll);
        damaged.flip_bit(&dir.join(&segment.name), segment.len / 2, 0).unwrap();
        for round in 0..2 {
            let host = up(&damaged).await;
            // A snapshot, so that the next start does not meet the damage again.
            assert!(host.snapshot().await && host.snapshot().await);
            let lost = host.ingester.identity().lost;
            let [range] = lost[..] else { panic!("round {round}: {lost:?}") };
            let found = host.read_all(&tenant("a")).await;
            let there = |at: i64| found.values().any(|samples| samples.contains_key(&at));
            let missing: Vec<_> =
                (0..60).map(|m| NOW_MS - (60 - m) * MINUTE_MS).filter(|at| !there(*at)).collect();
            assert!(
                !missing.is_empty() && missing.iter().all(|at| range.contains(*at)),
                "{range:?} {missing:?}"
            );
            end(host).await;
        }
    });
}

/// With `wal_sync: interval` the last of what was acknowledged may go with the power; a clean stop loses nothing.
#[test]
fn power_that_fails_before_a_sync_is_a_lost_range() {
    run(async {
        let config = IngesterConfig { wal_sync: WalSync::Interval, ..IngesterConfig::default() };
        let fs = SimFs::new(1);
        let up = async |fs: &SimFs, config: &IngesterConfig| {
            start_configured(Arc::new(fs.clone()), config.clone(), State::Active).await.unwrap()
        };
        let host = up(&fs, &config).await;
        push_at(&host, NOW_MS).await;
        host.ingester.stop().await;
        end(host).await;

        let host = up(&fs, &config).await;
        assert_eq!(host.ingester.identity().lost, [], "it was stopped cleanly");
        push_at(&host, NOW_MS + MINUTE_MS).await;
        end(host).await;

        let fs = fs.crash(CrashMode::LoseAll);
        let host = up(&fs, &IngesterConfig::default()).await;
        let lost = host.ingester.identity().lost;
        let [range] = lost[..] else { panic!("{lost:?}") };
        assert!(range.contains(NOW_MS + MINUTE_MS), "{range:?}");
        assert!(!range.contains(NOW_MS - 180 * MINUTE_MS), "what is old was synced long ago: {range:?}");
        end(host).await;

        let host = up(&fs.crash(CrashMode::LoseAll), &IngesterConfig::default()).await;
        assert_eq!(
            host.ingester.identity().lost,
            lost,
            "that run synced everything, and brought nothing back"
        );
        end(host).await;
    });
}

/// A querier may choose whom to ask before it hears of a loss. Who lost something tells it.
#[test]
fn for_a_time_of_which_its_record_says_that_it_is_lost_an_ingester_does_not_answer() {
    run(async {
        let fs = SimFs::new(1);
        let host = up(&fs).await;
        push_at(&host, NOW_MS).await;
        let ask = |from: i64, to: i64| {
            let range = TimeRange::new(NOW_MS + from * MINUTE_MS, NOW_MS + to * MINUTE_MS).unwrap();
            host.ingester.series(proto::SeriesRequest {
                tenant: tenant("a"),
                matcher_sets: Vec::new(),
                range,
                limit: 0,
            })
        };
        assert_eq!(ask(-10, 10).await.unwrap().len(), 1);
        let lost = TimeRange::new(NOW_MS - 60 * MINUTE_MS, NOW_MS - 5 * MINUTE_MS).unwrap();
        host.ingester.published(vec![lost]).await.unwrap();
        let refused = ask(-10, 10).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable, "others may have it: {refused}");
        assert_eq!(ask(-4, 10).await.unwrap().len(), 1, "it is whole there");
        assert!(host.ingester.stats(&tenant("a")).await.is_err(), "a count is of all times");
        push_at(&host, NOW_MS + MINUTE_MS).await;
        end(host).await;
        let host = up(&fs.crash(CrashMode::LoseAll)).await;
        assert_eq!(host.ingester.identity().lost, [lost], "it will be told again");
        end(host).await;
    });
}

#[test]
fn who_joins_answers_nobody_until_it_counts() {
    run(async {
        let config = IngesterConfig::default();
        let host = start_configured(Arc::new(SimFs::new(1)), config, State::Joining).await.unwrap();
        let rows = [row(&labels("up", 1), NOW_MS, 1.0)];
        let error = host.push(&tenant("a"), &rows).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        assert!(error.retry_after.is_some(), "{error}");
        let error = host.ingester.stats(&tenant("a")).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "nothing is no answer: {error}");
        host.ingester.set_state(State::Active);
        host.push(&tenant("a"), &rows).await.unwrap();
        assert_eq!(host.ingester.stats(&tenant("a")).await.unwrap().samples, 1);
        host.ingester.set_state(State::Left);
        assert!(
            host.push(&tenant("a"), &rows).await.is_err() && host.ingester.stats(&tenant("a")).await.is_err()
        );
        end(host).await;
    });
}

#[test]
fn wishes_survive_a_crash_and_whoever_watches_sees_them() {
    run(async {
        let fs = SimFs::new(1);
        let host = up(&fs).await;
        let mut watched = host.ingester.wishes();
        host.ingester.wish(|wishes| wishes.shutdown_prepared = true).await.unwrap();
        host.ingester.wish(|wishes| wishes.read_only_since_ms = Some(NOW_MS)).await.unwrap();
        let seen = *watched.borrow_and_update();
        assert!(seen.shutdown_prepared && seen.read_only_since_ms == Some(NOW_MS));
        end(host).await;
        let host = up(&fs.crash(CrashMode::LoseAll)).await;
        assert_eq!(*host.ingester.wishes().borrow(), seen);
        end(host).await;
    });
}

/// Minutes between clocks change nothing: the same samples are taken, refused and cut into the same chunks.
#[test]
fn replicas_whose_clocks_differ_decide_alike() {
    run(async {
        let minutes = [-12, 0, 12];
        let (team, up) = (tenant("a"), labels("up", 1));
        let mut answers = Vec::new();
        for skew in minutes {
            let host = start_skewed(skew * MINUTE_MS, Arc::new(SimFs::new(1))).await;
            let retention_ms = 15 * 24 * 60 * MINUTE_MS;
            // Just inside the retention, and as far ahead as a distributor lets it be.
            let old = [row(&labels("old", 1), NOW_MS - retention_ms + 1, 1.0)];
            let mut responses = vec![host.push(&team, &old).await.unwrap()];
            for at in [-500, -3, -2, -1, 0, 10, 9, 11] {
                let rows = [row(&up, NOW_MS + at * MINUTE_MS, at as f64)];
                responses.push(host.push(&team, &rows).await.unwrap());
            }
            answers.push((responses, host.chunks(&team).await));
            end(host).await;
        }
        let [a, b, c] = &answers[..] else { panic!("three replicas") };
        assert!(a == b && b == c, "{answers:?}");
        assert_eq!(
            a.0.iter().map(|answer| answer.rejected.len()).sum::<usize>(),
            1,
            "only what is out of order"
        );
    });
}
