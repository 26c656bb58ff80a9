//! Clusters of processes: what one of them is told is there for all, whoever dies.

pub(crate) mod harness;
mod rulers;
mod scale_down;
pub(crate) mod way;

use harness::Cluster;
use wire::encode::Rw1Writer;

use crate::http::{Connection, get, query_value};
use crate::support::{now_ms, wait_until};

/// Series of every round; enough for all ingesters to own some.
const SERIES: usize = 40;
const STEP_MS: i64 = 1_000;

/// What was written, and so has to be read.
struct Written {
    first_ms: i64,
    rounds: i64,
}

impl Written {
    fn nothing() -> Self {
        Self { first_ms: now_ms() - 600_000, rounds: 0 }
    }

    /// Writes a sample of every series; as a sender does, it tries again where too few ingesters are there at the moment.
    fn write(&mut self, cluster: &Cluster, distributor: &str) {
        wait_until("a write", || self.try_write(cluster, distributor));
    }

    /// Writes a sample of every series; each has the number of its round as value.
    fn try_write(&mut self, cluster: &Cluster, distributor: &str) -> Result<(), String> {
        let mut writer = Rw1Writer::default();
        for series in 0..SERIES {
            writer.label("__name__", "rounds");
            writer.label("series", &series.to_string());
            writer.sample(self.first_ms + self.rounds * STEP_MS, self.rounds as f64);
            writer.end_series();
        }
        let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];
        let body = wire::snappy::compress(writer.message());
        let mut connection = Connection::open(cluster.http(distributor)).expect("connected");
        let response = connection.request("POST", "/api/v1/push", &headers, &body).expect("an answer");
        if response.status / 100 != 2 {
            return Err(format!("round {}: {response:?}", self.rounds));
        }
        self.rounds += 1;
        Ok(())
    }

    /// What is wrong with the answer that a querier gives.
    fn check(&self, cluster: &Cluster, querier: &str) -> Result<(), String> {
        let last_ms = self.first_ms + (self.rounds - 1) * STEP_MS;
        let query = format!("rounds[{}ms]", self.rounds * STEP_MS);
        let path =
            format!("/prometheus/api/v1/query?query={}&time={}", query_value(&query), last_ms as f64 / 1e3);
        let (status, body) = get(cluster.http(querier), &path);
        if status != 200 {
            return Err(format!("{status} {body}"));
        }
        let answer: serde_json::Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let series = answer.pointer("/data/result").and_then(|all| all.as_array()).ok_or("no result")?;
        if series.len() != SERIES {
            // A short answer is never given: whoever is missed made the query fail.
            panic!("{} series of {SERIES}: {body}", series.len());
        }
        for one in series {
            let values = one.get("values").and_then(|values| values.as_array()).ok_or("no values")?;
            let values: Vec<_> = values.iter().filter_map(|pair| pair.get(1)?.as_str()).collect();
            let expected: Vec<String> = (0..self.rounds).map(|round| round.to_string()).collect();
            assert_eq!(values, expected, "{one}");
        }
        Ok(())
    }

    /// Waits until a querier answers; what it answers is whole.
    fn read(&self, cluster: &Cluster, querier: &str) {
        wait_until("an answer", || self.check(cluster, querier));
    }
}

/// Writes and reads through all front doors.
fn both_ways(cluster: &Cluster, written: &mut Written) {
    for n in ["1", "2"] {
        written.write(cluster, &format!("distributor-{n}"));
        written.read(cluster, &format!("querier-{n}"));
    }
}

#[test]
fn a_cluster_goes_on_without_an_ingester_and_without_its_metastore() {
    let mut cluster = Cluster::started();
    let mut written = Written::nothing();
    written.write(&cluster, "distributor-1");
    written.read(&cluster, "querier-2");
    roles_serve_their_paths_only(&cluster);

    // One ingester dies, comes back, and then another, so that what the first missed comes from others.
    cluster.kill("ingester-2");
    both_ways(&cluster, &mut written);
    cluster.start("ingester-2");
    both_ways(&cluster, &mut written);
    cluster.kill("ingester-1");
    both_ways(&cluster, &mut written);
    cluster.start("ingester-1");

    // One stops in order: others know at once.
    cluster.stop("ingester-3");
    both_ways(&cluster, &mut written);
    cluster.start("ingester-3");
    // What has not been heard of by then is not known without the metastore.
    for name in ["distributor-1", "distributor-2", "querier-1", "querier-2", "ingester-1", "ingester-2"] {
        wait_until("three ingesters", || {
            cluster.sees(name, "ACTIVE", 3).map_err(|seen| format!("{name}: {seen}"))
        });
    }

    // Nobody of the metastore is there, and everybody else starts anew meanwhile, one after the other.
    cluster.names("metastore").iter().for_each(|name| cluster.kill(name));
    both_ways(&cluster, &mut written);
    for name in ["distributor-1", "querier-1", "ingester-1"] {
        cluster.stop(name);
        cluster.start(name);
        both_ways(&cluster, &mut written);
    }
    cluster.kill("ingester-2");
    written.write(&cluster, "distributor-1");
    cluster.start("ingester-2");
    both_ways(&cluster, &mut written);

    cluster.names("metastore").iter().for_each(|name| cluster.launch(name));
    cluster.names("metastore").iter().for_each(|name| cluster.await_ready(name));
    both_ways(&cluster, &mut written);
    for name in cluster.names("").iter().rev() {
        cluster.stop(name);
    }
}

fn roles_serve_their_paths_only(cluster: &Cluster) {
    let (status, text) = get(cluster.http("querier-1"), "/api/v1/push");
    assert_eq!(
        (status, text.contains("served by processes with the role distributor")),
        (404, true),
        "{text}"
    );
    for other in ["distributor-1", "ingester-1", "metastore-1"] {
        let (status, text) = get(cluster.http(other), "/prometheus/api/v1/query?query=1");
        assert_eq!((status, text.contains("with the role querier")), (404, true), "{other}: {text}");
        assert_eq!(get(cluster.http(other), "/metrics").0, 200, "{other}");
    }
}

#[test]
fn who_never_knew_the_cluster_waits_for_its_metastore() {
    let mut cluster = Cluster::new();
    for (name, expected) in [
        ("distributor-1", "no view was saved and the metastore does not answer"),
        ("ingester-1", "waits for the metastore to give it its place in the ring"),
    ] {
        cluster.launch(name);
        let addr = cluster.http(name);
        wait_until("the reason", || match get(addr, "/ready") {
            (503, text) if text.contains(expected) => Ok(()),
            answer => Err(format!("{name}: {answer:?}")),
        });
        cluster.stop(name);
    }
}
