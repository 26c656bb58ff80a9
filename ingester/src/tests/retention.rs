//! What the retention does: old samples are refused, expired series and files go, and nothing else does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{FileSystem, SimFs};
use model::Labels;
use proto::RejectReason;

use super::support::*;
use crate::maintenance;

const DAY_MS: i64 = 86_400_000;

#[test]
fn expired_series_are_released_and_others_stay() {
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        let team = tenant("team-a");
        let (old, live) = (labels("old", 1), labels("live", 1));
        for minute in 0..300 {
            let at = NOW_MS + minute * 60_000;
            host.push(&team, &[row(&old, at, 1.0), row(&live, at, 2.0)]).await.unwrap();
        }
        host.ingester.inner.head.store().sync().unwrap();
        tokio::time::advance(Duration::from_secs(14 * 86_400)).await;
        host.push(&team, &[row(&live, NOW_MS + 14 * DAY_MS, 3.0)]).await.unwrap();
        maintenance::expire(&host.ingester.inner).await;
        assert_eq!(host.read_all(&team).await.len(), 2, "within the retention both are there");

        tokio::time::advance(Duration::from_secs(2 * 86_400)).await;
        maintenance::expire(&host.ingester.inner).await;
        let left = host.read_all(&team).await;
        assert_eq!(left.keys().collect::<Vec<_>>(), [&live]);

        // A series that comes back begins anew, also after a restart that replays both.
        host.push(&team, &[row(&old, NOW_MS + 16 * DAY_MS, 4.0)]).await.unwrap();
        assert_eq!(host.read_all(&team).await[&old].len(), 1);
        let now = NOW_MS + 16 * DAY_MS;
        end(host).await;
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        tokio::time::advance(Duration::from_secs(16 * 86_400)).await;
        assert!(host.read_all(&team).await[&old].contains_key(&now));
        end(host).await;
    });
}

#[test]
fn only_series_that_get_nothing_give_up_their_buffers() {
    run(async {
        let host = start(Arc::new(SimFs::new(1)), limits(Duration::ZERO)).await.unwrap();
        let team = tenant("team-a");
        let (idle, filled) = (labels("idle", 1), labels("filled", 1));
        let old = NOW_MS - DAY_MS;
        let rows = |at| [row(&idle, at, 1.0), row(&filled, at, 1.0)];
        host.push(&team, &rows(old)).await.unwrap();
        let closed_bytes = || host.ingester.inner.head.store().buffered_bytes();
        maintenance::expire(&host.ingester.inner).await;
        assert_eq!(closed_bytes(), 0, "both were written just now, though with old samples");

        assert!(host.snapshot().await);
        host.push(&team, &rows(old + 1_000)[1..]).await.unwrap();
        maintenance::expire(&host.ingester.inner).await;
        let one = closed_bytes();
        assert!((1..100).contains(&one), "the idle one is closed: {one} bytes");
        let read = host.read_all(&team).await;
        assert_eq!((read[&idle].len(), read[&filled].len()), (1, 2));

        assert!(host.snapshot().await);
        assert_eq!(closed_bytes(), 0);
        maintenance::expire(&host.ingester.inner).await;
        assert!(closed_bytes() > 0, "now the other one is idle too");
        end(host).await;
    });
}

/// Series that end together, as those of a rollout do.
#[test]
fn many_that_are_idle_at_once_go_to_the_disk_in_parts() {
    const SERIES: usize = 60_000;
    const SAMPLES: i64 = 10;
    /// What waits before it is synced, and what one look at the series adds.
    const WAITING_MAX: u64 = 3 << 20;
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        let team = tenant("team-a");
        let series: Vec<Labels> = (0..SERIES).map(|i| labels("up", i)).collect();
        for sample in 0..SAMPLES {
            let at = NOW_MS - DAY_MS + sample * 15_000;
            let noise = |i: usize| (i as f64 + sample as f64 * 0.7).sin();
            let rows: Vec<Row> = series.iter().enumerate().map(|(i, s)| row(s, at, noise(i))).collect();
            host.push(&team, &rows).await.unwrap();
        }
        assert!(host.snapshot().await);
        let stored_bytes = || {
            let files = fs.read_dir(Path::new("/data/ingester/chunks")).unwrap();
            files.iter().map(|file| file.len).sum::<u64>()
        };
        let waiting = || host.ingester.inner.head.store().buffered_bytes();
        let before = stored_bytes();

        // A disk that takes nothing: what was closed waits, and nothing more is closed.
        fs.set_enospc(true);
        maintenance::expire(&host.ingester.inner).await;
        assert!((1..WAITING_MAX).contains(&waiting()), "{} bytes wait", waiting());
        assert_eq!(host.ingester.inner.metrics.chunk_failures.get(), 1);
        fs.set_enospc(false);

        maintenance::expire(&host.ingester.inner).await;
        assert!(waiting() < WAITING_MAX, "{} bytes wait", waiting());
        let closed = stored_bytes() - before + waiting();
        assert!(closed > 2 * WAITING_MAX, "{closed} bytes were closed");
        let read = host.read_all(&team).await;
        assert_eq!(read.len(), SERIES);
        assert!(read.values().all(|samples| samples.len() == SAMPLES as usize));
        end(host).await;
    });
}

#[test]
fn samples_before_the_retention_are_refused() {
    run(async {
        let host = start(Arc::new(SimFs::new(1)), limits(Duration::ZERO)).await.unwrap();
        let team = tenant("team-a");
        let up = labels("up", 1);
        let answer =
            host.push(&team, &[row(&up, NOW_MS - 16 * DAY_MS, 1.0), row(&up, NOW_MS, 1.0)]).await.unwrap();
        assert_eq!(answer.written.samples, 1);
        assert_eq!(answer.rejected[0].reason, RejectReason::TooOld);
        assert!(
            answer.rejected[0].message.contains(r#"instance="host-1""#),
            "{}",
            answer.rejected[0].message
        );
        end(host).await;
    });
}

#[test]
fn expired_chunk_files_are_removed() {
    run(async {
        let fs = SimFs::new(1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        let team = tenant("team-a");
        for minute in 0..300 {
            host.push(&team, &[row(&labels("up", 1), NOW_MS + minute * 60_000, 1.0)]).await.unwrap();
        }
        host.ingester.stop().await;
        end(host).await;
        let files = || fs.read_dir(Path::new("/data/ingester/chunks")).unwrap().len();
        assert_eq!(files(), 1);
        let host = start(Arc::new(fs.clone()), limits(Duration::ZERO)).await.unwrap();
        tokio::time::advance(Duration::from_secs(20 * 86_400)).await;
        maintenance::expire(&host.ingester.inner).await;
        assert_eq!(files(), 0);
        assert!(host.read_all(&team).await.is_empty());
        end(host).await;
    });
}

#[test]
fn the_series_limit_refuses_new_series_only() {
    run(async {
        let limits = crate::Limits { max_global_series_per_user: 2, ..crate::Limits::default() };
        let host = start(Arc::new(SimFs::new(1)), limits).await.unwrap();
        let team = tenant("team-a");
        let rows: Vec<Row> = (0..4).map(|i| row(&labels("up", i), NOW_MS, 1.0)).collect();
        let answer = host.push(&team, &rows).await.unwrap();
        assert_eq!(answer.written.samples, 2);
        assert_eq!(answer.rejected.iter().map(|r| r.series).collect::<Vec<_>>(), [2, 3]);
        assert!(
            answer.rejected.iter().all(|r| r.reason == RejectReason::SeriesLimit && r.refused.samples == 1)
        );
        let again = host.push(&team, &[row(&labels("up", 1), NOW_MS + 1, 1.0)]).await.unwrap();
        assert_eq!(again.written.samples, 1);
        let other = host.push(&tenant("team-b"), &rows[..2]).await.unwrap();
        assert_eq!(other.written.samples, 2, "limits are each tenant's own");
        end(host).await;
    });
}
