//! A cluster of so many ingesters and tenants as the metastore has it: each ingester with its lease and its watch, calm,
//! and while ingesters restart and tenants grow.

use std::sync::Arc;
use std::time::Duration;

use env::{OsSeededRng, RealFs, Rng as _};
use membership::records::{Instances, Tenants, key, put};
use membership::{Client, LeaseHolder, Watcher, WatcherDeps, rings};
use prost::Message as _;
use proto::Stored;
use proto::metastore::{Instance, InstanceState, Lease, Op, ShardSize, Tenant, Txn, WatchRequest};

use crate::nodes::{NAMES, Nodes};
use crate::rings::{members, size, tenant};
use crate::spread;

/// How long each state of the cluster is looked at.
const LOOK: Duration = Duration::from_secs(20);
/// Records of one transaction.
const BATCH: usize = 256;
const RING: &str = "ingester";

pub(crate) async fn run(ingesters: usize, tenants: usize) {
    let nodes = Nodes::start(None).await;
    let client = nodes.client(&[0, 1, 2]);
    let begun = nodes.clock.monotonic();
    fill(&client, ingesters, tenants).await;
    println!("records written in {:.1?}", nodes.clock.monotonic().saturating_sub(begun));
    let fleet = Fleet::start(&nodes, ingesters).await;
    println!(
        "{ingesters} leases and watches, {:.1?} since the start",
        nodes.clock.monotonic().saturating_sub(begun)
    );
    nodes.clock.sleep(Duration::from_secs(10)).await;

    look(&nodes, "calm", async { nodes.clock.sleep(LOOK).await }).await;
    let churn = churn(&nodes, &client, &fleet, tenants);
    look(&nodes, "an ingester restarts and ten tenants change every second", churn).await;
    let view = fleet.watchers.first().unwrap().view();
    let behind = fleet.watchers.iter().filter(|watcher| watcher.view().revision() < view.revision()).count();
    println!("views that are behind the first one at the end: {behind} of {}", fleet.watchers.len());
}

/// Every ingester's client, lease and watch.
struct Fleet {
    watchers: Vec<Watcher>,
    leases: Vec<LeaseHolder>,
}

impl Fleet {
    async fn start(nodes: &Nodes, ingesters: usize) -> Self {
        let (mut watchers, mut leases) = (Vec::new(), Vec::new());
        for (n, (id, zone)) in members(ingesters).enumerate() {
            let client = nodes.client(&[0, 1, 2]);
            let lease = Lease {
                instance: id.to_string(),
                roles: vec!["ingester".to_owned()],
                zone: zone.as_deref().unwrap_or_default().to_owned(),
                ..Lease::default()
            };
            leases.push(LeaseHolder::start(client.clone(), lease, &nodes.scope));
            let path = nodes.path(&format!("view-{n}"));
            let deps = WatcherDeps { fs: Arc::new(RealFs), path, scope: nodes.scope.clone() };
            watchers.push(Watcher::start(client, rings::prefixes(RING), deps).await.unwrap());
        }
        for (watcher, lease) in watchers.iter().zip(&leases) {
            watcher.known().await;
            lease.registered().await;
        }
        Self { watchers, leases }
    }
}

async fn fill(client: &Client, ingesters: usize, tenants: usize) {
    let rng = OsSeededRng::new();
    let instances = members(ingesters).map(|(id, zone)| {
        let message = Instance {
            zone: zone.as_deref().unwrap_or_default().to_owned(),
            state: InstanceState::Active.into(),
            tokens: (0..512).map(|_| rng.next_u64()).collect(),
            registered_ms: 1,
            addresses: [("grpc".to_owned(), format!("{id}.example:9095"))].into(),
            ..Instance::default()
        };
        put::<Instances>(key::<Instances>(&[RING, id.as_str()]), &Stored::new(message))
    });
    let tenants = (0..tenants).map(|n| resized(n, size(n)));
    let all: Vec<Op> = instances.chain(tenants).collect();
    for ops in all.chunks(BATCH) {
        client.txn(Txn { then: ops.to_vec(), ..Txn::default() }).await.unwrap();
    }
}

fn resized(n: usize, per_zone: u32) -> Op {
    let sizes = vec![ShardSize { since_ms: 1_700_000_000_000, instances_per_zone: per_zone }];
    let message = Tenant { created_ms: 1_700_000_000_000, shard_sizes: sizes };
    put::<Tenants>(key::<Tenants>(&[tenant(n).as_str()]), &Stored::new(message))
}

/// Each second, an ingester goes and comes again, and ten tenants are given another size in one transaction.
async fn churn(nodes: &Nodes, client: &Client, fleet: &Fleet, tenants: usize) {
    let mut reached = Vec::new();
    for second in 0..LOOK.as_secs() as usize {
        let begun = nodes.clock.monotonic();
        let holder = &fleet.leases[second % fleet.leases.len()];
        let (id, _) = members(fleet.leases.len()).nth(second % fleet.leases.len()).unwrap();
        // Taken over, as by a process that starts again; its holder then takes it back.
        let lease = Lease {
            instance: id.to_string(),
            ttl_ms: 15_000,
            roles: vec!["ingester".to_owned()],
            ..Lease::default()
        };
        let token = client.register(lease).await.unwrap().token;
        assert!(token > holder.held().token);
        let ops = (0..10).map(|n| resized((second * 10 + n) % tenants, 3)).collect();
        let written = nodes.clock.monotonic();
        let revision =
            client.txn(Txn { then: ops, ..Txn::default() }).await.unwrap().header.unwrap().revision;
        for watcher in &fleet.watchers {
            watcher.reached(revision).await;
        }
        let now = nodes.clock.monotonic();
        reached.push(now.saturating_sub(written));
        let rest = Duration::from_secs(1).saturating_sub(now.saturating_sub(begun));
        nodes.clock.sleep(rest).await;
    }
    spread("from a write to all views", reached);
}

/// What nodes spend and a watcher hears while something goes on.
async fn look(nodes: &Nodes, what: &str, going_on: impl Future<Output = ()>) {
    let before = nodes.usage();
    let begun = nodes.clock.monotonic();
    let heard = hear(nodes);
    let bytes = tokio::select! {
        biased;
        () = going_on => None,
        never = heard.counting => Some(never),
    };
    debug_assert!(bytes.is_none());
    let seconds = nodes.clock.monotonic().saturating_sub(begun).as_secs_f64();
    let after = nodes.usage();
    println!("-- {what}, {seconds:.0} s");
    for ((name, before), after) in NAMES.iter().zip(&before).zip(&after) {
        println!(
            "metastore {name}: {:.1} % of a core, {:.0} MiB",
            (after.0 - before.0) / seconds * 100.0,
            after.1
        );
    }
    let (frames, bytes) = *heard.heard.borrow();
    println!("a watch: {:.2} frames/s, {:.0} bytes/s", frames as f64 / seconds, bytes as f64 / seconds);
}

struct Hearing<F> {
    counting: F,
    heard: tokio::sync::watch::Receiver<(usize, usize)>,
}

/// Counts frames and bytes of a watch as every ingester has it, from a moment after its snapshot on.
fn hear(nodes: &Nodes) -> Hearing<impl Future<Output = ()>> {
    let (count, heard) = tokio::sync::watch::channel((0, 0));
    let client = nodes.client(&[0, 1, 2]);
    let counting = async move {
        let newest = client.status().await.unwrap().header.unwrap();
        let request = WatchRequest {
            prefixes: rings::prefixes(RING),
            after_revision: newest.revision,
            cluster_id: newest.cluster_id,
        };
        let mut frames = client.watch(request).await.unwrap();
        while let Ok(Some(frame)) = frames.message().await {
            // Five bytes stand before each message.
            count.send_modify(|(frames, bytes)| {
                (*frames, *bytes) = (*frames + 1, *bytes + 5 + frame.encoded_len());
            });
        }
    };
    Hearing { counting, heard }
}
