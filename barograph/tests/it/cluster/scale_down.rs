//! Scaling down: one of two ingesters of a zone leaves under load; nobody misses a sample, and nobody sees one twice.

use super::harness::Cluster;
use super::{Written, both_ways};
use crate::http::{Connection, get};
use crate::support::wait_until;

fn post(cluster: &Cluster, name: &str, path: &str) -> u16 {
    let mut connection = Connection::open(cluster.http(name)).expect("connected");
    connection.request("POST", path, &[], b"").expect("an answer").status
}

#[test]
fn an_ingester_leaves_its_zone_under_load() {
    let mut cluster = Cluster::started();
    let mut written = Written::nothing();
    // What zone c misses only a and b have.
    cluster.kill("ingester-3");
    (0..5).for_each(|_| both_ways(&cluster, &mut written));
    cluster.start("ingester-3");
    cluster.add("ingester-4", "ingester-1");
    cluster.launch("ingester-4");
    // It is asked before it takes anything, so that nobody is late to ask it.
    wait_until("a newcomer", || cluster.sees("ingester-1", "JOINING", 1));
    both_ways(&cluster, &mut written);
    cluster.await_ready("ingester-4");
    // Who leaves has to know of whom takes over.
    wait_until("four ingesters", || cluster.sees("ingester-1", "ACTIVE", 4));
    both_ways(&cluster, &mut written);

    let prepare = "/ingester/prepare-shutdown";
    assert_eq!(post(&cluster, "ingester-1", prepare), 204);
    assert_eq!(get(cluster.http("ingester-1"), prepare), (200, "set\n".to_owned()));
    cluster.terminate("ingester-1");
    while cluster.runs("ingester-1") {
        both_ways(&cluster, &mut written);
    }
    cluster.stopped("ingester-1");
    both_ways(&cluster, &mut written);

    // Without zone b, zone a is the only one that has what c missed, and who left had it.
    cluster.kill("ingester-2");
    both_ways(&cluster, &mut written);
    // It has what it took over on its disk.
    cluster.kill("ingester-4");
    cluster.start("ingester-4");
    ["querier-1", "querier-2"].iter().for_each(|querier| written.read(&cluster, querier));
}

#[test]
fn the_last_of_a_zone_stays() {
    let mut cluster = Cluster::started();
    let mut written = Written::nothing();
    both_ways(&cluster, &mut written);
    assert_eq!(post(&cluster, "ingester-1", "/ingester/prepare-shutdown"), 204);
    cluster.stop("ingester-1");
    both_ways(&cluster, &mut written);
    // Its copy of what the metastore says is a help, and not needed where the metastore is there.
    let view = cluster.data("ingester-1").join("membership/view");
    let mut bytes = std::fs::read(&view).expect("a saved view");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&view, bytes).expect("written");
    cluster.start("ingester-1");
    cluster.kill("ingester-2");
    ["querier-1", "querier-2"].iter().for_each(|querier| written.read(&cluster, querier));
}
