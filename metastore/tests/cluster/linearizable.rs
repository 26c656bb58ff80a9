//! Clients write and read one register while leaders are killed; what they saw must have one order that explains it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Scope};
use membership::Client;
use membership::records::unchanged;
use parking_lot::Mutex;
use proto::Code;
use proto::metastore::Txn;

use crate::support::{Cluster, put};

const KEY: &str = "register";
const KILLS: usize = 4;
/// Of each client.
const MAX_ROUNDS: usize = 400;

/// What a client did, with when it began and ended; times are places in one order of all beginnings and ends.
#[derive(Debug, Clone)]
struct Done {
    begun: u64,
    /// `None`: it is not known whether it was done, so it may be done at any later time, or never.
    ended: Option<u64>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Read {
        saw: Option<String>,
    },
    Write {
        value: String,
    },
    /// Written only while the register was as it had been read.
    Swap {
        expected: Option<String>,
        value: String,
        succeeded: bool,
    },
}

#[derive(Default)]
struct History {
    clock: u64,
    stop: bool,
    done: Vec<Done>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_saw_under_leader_kills_has_one_order() {
    let mut cluster = Cluster::new(3).await;
    let history = Arc::new(Mutex::new(History::default()));
    let scope = Scope::new("clients");
    let clients: Vec<_> = (0..4)
        .map(|at| {
            let (client, history) = (cluster.client(), Arc::clone(&history));
            scope.spawn("client", work(at, client, history, cluster.clock.clone()))
        })
        .collect();
    let mut kills = 0;
    while kills < KILLS {
        cluster.clock.sleep(Duration::from_millis(300)).await;
        let leader = cluster.leader().await;
        cluster.kill(leader);
        cluster.clock.sleep(Duration::from_millis(100)).await;
        cluster.start(leader).await;
        kills += 1;
    }
    cluster.leader().await;
    cluster.clock.sleep(Duration::from_millis(300)).await;
    history.lock().stop = true;
    for client in clients {
        client.await.unwrap();
    }
    let done = history.lock().done.clone();
    let unknown = done.iter().filter(|done| done.ended.is_none()).count();
    println!("{} operations, {unknown} of unknown end, {kills} leaders killed", done.len());
    assert!(done.len() >= 100);
    assert!(is_linearizable(&done), "no order explains {done:#?}");
}

async fn work(
    client_number: usize,
    client: Client,
    history: Arc<Mutex<History>>,
    client_clock: Arc<dyn Clock>,
) {
    for round in 0..MAX_ROUNDS {
        if history.lock().stop {
            return;
        }
        // Room for the leaders to die in.
        client_clock.sleep(Duration::from_millis(5)).await;
        let begun = tick(&history);
        let value = format!("{client_number}-{round}");
        let what = match (client_number + round) % 3 {
            0 => read(&client).await.map(|(saw, _)| What::Read { saw }),
            1 => write(&client, &value).await,
            _ => swap(&client, &value, &history).await,
        };
        match what {
            Ok(what) => record(&history, begun, what, true),
            Err(Some(what)) => record(&history, begun, what, false),
            Err(None) => {}
        }
    }
}

async fn read(client: &Client) -> Result<(Option<String>, u64), Option<What>> {
    let record = client.get(KEY).await.map_err(|_| None)?;
    let value = record.as_ref().map(|record| String::from_utf8(record.value.to_vec()).unwrap());
    Ok((value, record.map_or(0, |record| record.mod_revision)))
}

async fn write(client: &Client, value: &str) -> Result<What, Option<What>> {
    let what = What::Write { value: value.to_owned() };
    match client.txn(put(KEY, value)).await {
        Ok(_) => Ok(what),
        Err(error) if error.code == Code::Unavailable && never_done(&error) => Err(None),
        Err(_) => Err(Some(what)),
    }
}

async fn swap(client: &Client, value: &str, history: &Mutex<History>) -> Result<What, Option<What>> {
    let begun = tick(history);
    let (expected, revision) = read(client).await?;
    record(history, begun, What::Read { saw: expected.clone() }, true);
    let txn = Txn { compare: vec![unchanged(KEY.into(), revision)], ..put(KEY, value) };
    let swap = |succeeded| What::Swap { expected: expected.clone(), value: value.to_owned(), succeeded };
    match client.txn(txn).await {
        Ok(answer) => Ok(swap(answer.result.unwrap().succeeded)),
        Err(_) => Err(Some(swap(true))),
    }
}

/// Whether an error says that nothing was done; a connection that broke does not.
fn never_done(error: &proto::Error) -> bool {
    error.message.contains("leader")
}

fn tick(history: &Mutex<History>) -> u64 {
    let mut history = history.lock();
    history.clock += 1;
    history.clock
}

fn record(history: &Mutex<History>, begun: u64, what: What, known: bool) {
    let mut history = history.lock();
    history.clock += 1;
    let ended = known.then_some(history.clock);
    history.done.push(Done { begun, ended, what });
}

/// Looks for an order (after Wing and Gong, with the states that were tried remembered): each operation takes effect
/// between its beginning and its end, and sees what the ones before it left.
fn is_linearizable(done: &[Done]) -> bool {
    let mut order: Vec<&Done> = done.iter().collect();
    order.sort_by_key(|done| done.begun);
    let mut tried = BTreeSet::new();
    search(&order, &mut BTreeSet::new(), None, &mut tried)
}

fn search(
    all: &[&Done],
    taken: &mut BTreeSet<usize>,
    register: Option<&str>,
    tried: &mut BTreeSet<(Vec<usize>, Option<String>)>,
) -> bool {
    // Whatever ended is in the order; what is of unknown end may stay out.
    let open: Vec<usize> = (0..all.len()).filter(|at| !taken.contains(at)).collect();
    if open.iter().all(|at| all[*at].ended.is_none()) {
        return true;
    }
    // What is left tells the place; values are unique, so the register's value tells the rest.
    if !tried.insert((open.clone(), register.map(str::to_owned))) {
        return false;
    }
    let first_end = open.iter().filter_map(|at| all[*at].ended).min().unwrap_or(u64::MAX);
    // What began after another one's end comes behind it.
    let may_be_next = |at: &usize| all[*at].begun < first_end;
    let (known, unknown): (Vec<usize>, Vec<usize>) =
        open.into_iter().filter(may_be_next).partition(|at| all[*at].ended.is_some());
    let needed = needed(all, &known, &unknown, register);
    for at in known.into_iter().chain(needed) {
        let done = all[at];
        let Some(after) = effect(&done.what, register) else { continue };
        taken.insert(at);
        if search(all, taken, after, tried) {
            return true;
        }
        taken.remove(&at);
    }
    false
}

/// Those operations of unknown end that something which may come next needs to have happened. The others can as well
/// happen later, or never: nobody has seen their values, which are unique.
fn needed(all: &[&Done], known: &[usize], unknown: &[usize], register: Option<&str>) -> Vec<usize> {
    let mut wanted = BTreeSet::new();
    for at in known {
        match &all[*at].what {
            What::Read { saw: Some(value) } | What::Swap { expected: Some(value), succeeded: true, .. } => {
                wanted.insert(value.as_str());
            }
            // It has failed though the register is as it expected: anything may have come between.
            What::Swap { expected, succeeded: false, .. } if expected.as_deref() == register => {
                return unknown.to_vec();
            }
            _ => {}
        }
    }
    // A swap of unknown end may need another write of unknown end before it.
    loop {
        let before = wanted.len();
        for at in unknown {
            if let What::Swap { expected: Some(expected), value, .. } = &all[*at].what
                && wanted.contains(value.as_str())
            {
                wanted.insert(expected);
            }
        }
        if wanted.len() == before {
            break;
        }
    }
    let makes_wanted = |at: &&usize| match &all[**at].what {
        What::Write { value } | What::Swap { value, .. } => wanted.contains(value.as_str()),
        What::Read { .. } => false,
    };
    unknown.iter().filter(makes_wanted).copied().collect()
}

/// The register after an operation; `None` where it cannot have come now.
fn effect<'a>(what: &'a What, register: Option<&'a str>) -> Option<Option<&'a str>> {
    match what {
        What::Read { saw } => (saw.as_deref() == register).then_some(register),
        What::Write { value } => Some(Some(value)),
        What::Swap { expected, value, succeeded: true } => {
            (expected.as_deref() == register).then_some(Some(value.as_str()))
        }
        // A register can have the expected value again only with another revision; values are never repeated.
        What::Swap { expected, succeeded: false, .. } => {
            (expected.as_deref() != register).then_some(register)
        }
    }
}

#[test]
fn the_checker_finds_what_cannot_be() {
    let done = |begun, ended, what| Done { begun, ended: Some(ended), what };
    let write = |value: &str| What::Write { value: value.to_owned() };
    let read = |saw: Option<&str>| What::Read { saw: saw.map(str::to_owned) };
    assert!(is_linearizable(&[done(1, 4, write("a")), done(2, 3, read(None)), done(5, 6, read(Some("a")))]));
    assert!(is_linearizable(&[done(1, 4, write("a")), done(2, 3, read(Some("a")))]));
    // Read after the write had ended.
    assert!(!is_linearizable(&[done(1, 2, write("a")), done(3, 4, read(None))]));
    // Seen, then not seen.
    let back = [done(1, 9, write("a")), done(2, 3, read(Some("a"))), done(4, 5, read(None))];
    assert!(!is_linearizable(&back));
    // A write of unknown end may be seen late, and not undone.
    let mut late = vec![
        Done { begun: 1, ended: None, what: write("a") },
        done(2, 3, read(None)),
        done(4, 5, read(Some("a"))),
    ];
    assert!(is_linearizable(&late));
    late.push(done(6, 7, read(None)));
    assert!(!is_linearizable(&late));
    // Two writes of unknown end, of which the second needs the first.
    let chain = [
        Done { begun: 1, ended: None, what: write("a") },
        Done {
            begun: 2,
            ended: None,
            what: What::Swap { expected: Some("a".into()), value: "b".into(), succeeded: true },
        },
        done(3, 4, read(None)),
        done(5, 6, read(Some("b"))),
    ];
    assert!(is_linearizable(&chain));
    assert!(!is_linearizable(&chain[1..]));
    let swap = |succeeded| What::Swap { expected: None, value: "b".into(), succeeded };
    assert!(!is_linearizable(&[done(1, 2, write("a")), done(3, 4, swap(true))]));
    assert!(is_linearizable(&[done(1, 2, write("a")), done(3, 4, swap(false)), done(5, 6, read(Some("a")))]));
}
