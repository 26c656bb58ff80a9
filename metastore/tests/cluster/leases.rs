//! Processes that are alive, and those that are not.

use std::time::Duration;

use env::Scope;
use membership::LeaseHolder;
use membership::records::{take_job, while_holding};
use proto::Code;
use proto::metastore::Lease;

use crate::support::{Cluster, put};

fn lease(instance: &str) -> Lease {
    Lease {
        instance: instance.to_owned(),
        roles: vec!["ingester".to_owned()],
        zone: "a".to_owned(),
        addresses: [("grpc".to_owned(), "127.0.0.1:1".to_owned())].into(),
        incarnation: 7,
        ttl_ms: 700,
        ..Lease::default()
    }
}

fn alive(cluster: &Cluster, at: usize, instance: &str) -> bool {
    cluster.view(at).read(|state| state.lease(instance).is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_renews_lives_and_who_does_not_ends_without_renewals_in_the_log() {
    let cluster = Cluster::new(3).await;
    let client = cluster.client();
    let scope = Scope::new("process");
    let holder = LeaseHolder::start(client.clone(), lease("kept"), &scope);
    let held = holder.registered().await;
    let dead = client.register(lease("dead")).await.unwrap();
    assert!(dead.token > held.token);
    let leader = cluster.leader().await;
    assert!(alive(&cluster, leader, "dead") && alive(&cluster, leader, "kept"));
    cluster.until("the dead lease ends", |c| !alive(c, leader, "dead")).await;
    let before = client.status().await.unwrap().last_log_index;
    cluster.clock.sleep(Duration::from_secs(3)).await;
    assert!(alive(&cluster, leader, "kept"));
    assert_eq!(holder.held().token, held.token);
    assert!(holder.held().is_valid(cluster.clock.monotonic(), Duration::ZERO));
    assert_eq!(client.status().await.unwrap().last_log_index, before, "renewals are not in the log");
    let error = client.renew("dead", dead.token, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    holder.release().await;
    cluster.until("the released lease ends", |c| !alive(c, leader, "kept")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_with_one_name_the_first_waits_for_the_end_of_the_second() {
    let cluster = Cluster::new(1).await;
    let (client, scope) = (cluster.client(), Scope::new("process"));
    let at = |port: &str| Lease {
        addresses: [("grpc".to_owned(), format!("127.0.0.1:{port}"))].into(),
        ..lease("same")
    };
    let first = LeaseHolder::start(client.clone(), at("1"), &scope);
    let held = first.registered().await;
    let second = LeaseHolder::start(client.clone(), at("2"), &scope);
    let taken = second.registered().await;
    assert!(taken.token > held.token);
    cluster.until("the first knows", |_| first.held().displaced).await;
    cluster.clock.sleep(Duration::from_secs(3)).await;
    assert_eq!((second.held().token, second.held().displaced), (taken.token, false), "nobody takes it back");
    assert!(!first.held().is_valid(cluster.clock.monotonic(), Duration::ZERO));
    second.release().await;
    cluster.until("the first is the instance again", |_| first.held().token > taken.token).await;
    assert!(!first.held().displaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_ends_nobody_before_it_has_led_for_a_full_lease() {
    let mut cluster = Cluster::new(3).await;
    let client = cluster.client();
    let leader = cluster.leader().await;
    let long = Lease { ttl_ms: 4_000, ..lease("quiet") };
    let registered = client.register(long).await.unwrap();
    cluster.clock.sleep(Duration::from_secs(2)).await;
    cluster.kill(leader);
    let next = cluster.leader().await;
    let elected = cluster.clock.monotonic();
    // The former leader would have ended it in about two seconds, less the election.
    cluster.clock.sleep(Duration::from_millis(3_000)).await;
    assert!(alive(&cluster, next, "quiet"), "a renewal may have reached the former leader");
    cluster.until("it ends", |c| !alive(c, next, "quiet")).await;
    let waited = cluster.clock.monotonic().saturating_sub(elected);
    assert!(waited >= Duration::from_millis(3_600), "{waited:?}");
    assert!(client.renew("quiet", registered.token, Duration::from_secs(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_its_holders_while_the_holders_lease_lives() {
    let cluster = Cluster::new(1).await;
    let client = cluster.client();
    let first = client.register(lease("first")).await.unwrap();
    let second = client.register(Lease { ttl_ms: 60_000, ..lease("second") }).await.unwrap();
    let take = |instance: &str, token| take_job("compact", "tenant-1", instance, token, 0);
    let taken = client.txn(take("first", first.token)).await.unwrap();
    assert!(taken.result.unwrap().succeeded);
    let fence = taken.header.unwrap().revision;
    let refused = client.txn(take("second", second.token)).await.unwrap().result.unwrap();
    assert!(!refused.succeeded);
    assert_eq!(refused.results[0].record.as_ref().unwrap().create_revision, fence);
    let write = || while_holding("compact", "tenant-1", fence, put("blocks/1", "by the first").then);
    assert!(client.txn(write()).await.unwrap().result.unwrap().succeeded);

    cluster.until("the first one's lease ends", |c| !alive(c, 0, "first")).await;
    let taken = client.txn(take("second", second.token)).await.unwrap();
    assert!(taken.result.unwrap().succeeded);
    assert!(taken.header.unwrap().revision > fence);
    assert!(!client.txn(write()).await.unwrap().result.unwrap().succeeded, "the first is fenced off");
    assert!(!client.txn(take("first", first.token)).await.unwrap().result.unwrap().succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_again_takes_over_at_once() {
    let cluster = Cluster::new(1).await;
    let client = cluster.client();
    let former = client.register(Lease { ttl_ms: 60_000, ..lease("same") }).await.unwrap();
    let next = client.register(Lease { ttl_ms: 60_000, incarnation: 8, ..lease("same") }).await.unwrap();
    assert!(next.token > former.token);
    let error = client.renew("same", former.token, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    client.renew("same", next.token, Duration::from_secs(1)).await.unwrap();
}
