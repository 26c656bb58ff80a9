//! The state machine against what its messages promise, and against a simple one.

use proptest::prelude::*;
use proto::metastore::compare::Condition;
use proto::metastore::{
    Compare, EndLease, KeyRevision, KeyVersion, LeaseToken, Op, Put, RegisterLease, Txn, TxnResult, op,
};

use super::*;

fn put(key: &str, value: &str) -> Op {
    put_leased(key, value, "")
}

fn put_leased(key: &str, value: &str, lease: &str) -> Op {
    let put = Put { key: key.to_owned().into(), value: value.to_owned().into(), lease: lease.to_owned() };
    Op { op: Some(op::Op::Put(put)) }
}

fn delete(key: &str) -> Op {
    Op { op: Some(op::Op::Delete(key.to_owned().into())) }
}

fn get(key: &str) -> Op {
    Op { op: Some(op::Op::Get(key.to_owned().into())) }
}

fn when(condition: Condition) -> Compare {
    Compare { condition: Some(condition) }
}

fn unchanged_since(key: &str, mod_revision: u64) -> Compare {
    when(Condition::Revision(KeyRevision { key: key.to_owned().into(), mod_revision }))
}

fn run(state: &mut State, command: command::Command) -> Applied {
    state.apply(&Command { time_ms: 1_000, command: Some(command), request: None })
}

fn txn(state: &mut State, compare: Vec<Compare>, then: Vec<Op>, otherwise: Vec<Op>) -> Applied {
    run(state, command::Command::Txn(Txn { compare, then, otherwise }))
}

fn result(applied: &Applied) -> &TxnResult {
    match &applied.outcome.outcome {
        Some(Came::Txn(result)) => result,
        other => panic!("no result of a transaction: {other:?}"),
    }
}

fn refused(applied: &Applied) -> RefusalReason {
    match &applied.outcome.outcome {
        Some(Came::Refused(refusal)) => refusal.reason(),
        other => panic!("not refused: {other:?}"),
    }
}

fn register(state: &mut State, instance: &str) -> Lease {
    let lease = Lease { instance: instance.into(), ttl_ms: 15_000, ..Lease::default() };
    let applied =
        run(state, command::Command::RegisterLease(RegisterLease { lease: Some(lease), replaces: None }));
    match applied.outcome.outcome {
        Some(Came::Lease(lease)) => lease,
        other => panic!("not registered: {other:?}"),
    }
}

fn end(state: &mut State, instance: &str, token: u64) -> bool {
    let end = EndLease { instance: instance.into(), token, released: false };
    matches!(run(state, command::Command::EndLease(end)).outcome.outcome, Some(Came::Ended(true)))
}

#[test]
fn records_have_versions_and_revisions() {
    let mut state = State::default();
    txn(&mut state, vec![], vec![put("a", "1")], vec![]);
    txn(&mut state, vec![], vec![put("b", "1"), put("a", "2")], vec![]);
    let a = state.get(b"a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (1, 2, 2));
    assert_eq!(state.revision(), 2);
    txn(&mut state, vec![], vec![delete("a")], vec![]);
    txn(&mut state, vec![], vec![put("a", "3")], vec![]);
    let a = state.get(b"a").unwrap();
    assert_eq!((a.create_revision, a.mod_revision, a.version), (4, 4, 1));
}

#[test]
fn a_comparison_decides_between_all_and_the_other_all() {
    let mut state = State::default();
    let made = txn(&mut state, vec![unchanged_since("a", 0)], vec![put("a", "1")], vec![get("a")]);
    assert!(result(&made).succeeded);
    let lost = txn(&mut state, vec![unchanged_since("a", 0)], vec![put("a", "2")], vec![get("a")]);
    assert!(!result(&lost).succeeded);
    assert_eq!(result(&lost).results[0].record.as_ref().unwrap().value, "1");
    assert!(lost.events.is_empty());
    assert_eq!(lost.outcome.revision, 1, "what changes nothing makes no revision");

    let version = |version| when(Condition::Version(KeyVersion { key: "a".into(), version }));
    let both = vec![version(1), unchanged_since("b", 0)];
    assert!(result(&txn(&mut state, both, vec![put("a", "3")], vec![])).succeeded);
    assert!(!result(&txn(&mut state, vec![version(1)], vec![], vec![])).succeeded);
}

#[test]
fn operations_see_those_before_them() {
    let mut state = State::default();
    let ops = vec![put("p/1", "x"), put("p/2", "y"), get("p/1"), delete("p/1"), get("p/1")];
    let applied = txn(&mut state, vec![], ops, vec![]);
    let results = &result(&applied).results;
    assert_eq!(results[2].record.as_ref().unwrap().value, "x");
    assert_eq!(results[3].deleted, 1);
    assert_eq!(results[4].record, None);
    let prefix = Op { op: Some(op::Op::DeletePrefix("p/".into())) };
    assert_eq!(result(&txn(&mut state, vec![], vec![prefix], vec![])).results[0].deleted, 1);
    assert!(state.is_empty());
}

#[test]
fn what_is_wrong_anywhere_changes_nothing() {
    let mut state = State::default();
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let big = "v".repeat(MAX_VALUE_BYTES + 1);
    for wrong in [
        put("", "v"),
        put(&long, "v"),
        put("a", &big),
        put("leases/a", "v"),
        delete("leases/a"),
        Op { op: Some(op::Op::DeletePrefix("".into())) },
        Op { op: Some(op::Op::DeletePrefix("lea".into())) },
        Op { op: None },
    ] {
        let applied = txn(&mut state, vec![], vec![put("good", "v"), wrong], vec![]);
        assert_eq!(refused(&applied), RefusalReason::Invalid);
    }
    let applied = txn(&mut state, vec![], vec![put("good", "v"), put_leased("a", "v", "nobody")], vec![]);
    assert_eq!(refused(&applied), RefusalReason::NoLease);
    let many = vec![get("a"); MAX_OPS + 1];
    assert_eq!(refused(&txn(&mut state, vec![], many, vec![])), RefusalReason::Invalid);
    assert_eq!(refused(&state.apply(&Command::default())), RefusalReason::Invalid);
    assert!(state.is_empty());
    assert_eq!(state.revision(), 0);
}

#[test]
fn tokens_increase_and_fence_off_the_former_holder() {
    let mut state = State::default();
    let first = register(&mut state, "ingester-1");
    txn(&mut state, vec![], vec![put("x", "1")], vec![]);
    let second = register(&mut state, "ingester-1");
    assert!(second.token > first.token);
    let holds = |token| when(Condition::Lease(LeaseToken { instance: "ingester-1".into(), token }));
    assert!(!result(&txn(&mut state, vec![holds(first.token)], vec![put("x", "2")], vec![])).succeeded);
    assert!(result(&txn(&mut state, vec![holds(second.token)], vec![put("x", "2")], vec![])).succeeded);
    assert!(!end(&mut state, "ingester-1", first.token), "an old token ends nothing");
    assert!(end(&mut state, "ingester-1", second.token));
    assert_eq!(state.lease("ingester-1"), None);
    assert!(register(&mut state, "ingester-1").token > second.token);
}

#[test]
fn what_is_bound_to_a_lease_ends_with_it_in_one_revision() {
    let mut state = State::default();
    let lease = register(&mut state, "a");
    register(&mut state, "b");
    let ops =
        vec![put_leased("jobs/1", "a", "a"), put_leased("jobs/2", "a", "a"), put_leased("jobs/3", "b", "b")];
    txn(&mut state, vec![], ops, vec![]);
    // A record that is written again without the lease lasts.
    txn(&mut state, vec![], vec![put("jobs/2", "kept")], vec![]);
    let revision = state.revision();
    let end = EndLease { instance: "a".into(), token: lease.token, released: true };
    let applied = run(&mut state, command::Command::EndLease(end));
    let gone: Vec<&[u8]> = applied.events.iter().map(|e| &*e.record.as_ref().unwrap().key).collect();
    assert_eq!(gone, [&b"jobs/1"[..], b"leases/a"]);
    assert!(
        applied.events.iter().all(|e| e.deleted && e.record.as_ref().unwrap().mod_revision == revision + 1)
    );
    assert!(state.get(b"jobs/2").is_some() && state.get(b"jobs/3").is_some());

    // Another life of an instance does not hold what the former held.
    register(&mut state, "b");
    assert!(state.get(b"jobs/3").is_none());
}

/// The process that sent it may have the later lease, and acts on what is bound to it.
#[test]
fn a_registration_that_comes_late_takes_the_lease_from_nobody() {
    let mut state = State::default();
    let first = register(&mut state, "a");
    let again = |state: &mut State, replaces| {
        let lease = Lease { instance: "a".into(), ttl_ms: 15_000, ..Lease::default() };
        let register = RegisterLease { lease: Some(lease), replaces: Some(replaces) };
        run(state, command::Command::RegisterLease(register))
    };
    assert_eq!(refused(&again(&mut state, 0)), RefusalReason::Superseded);
    assert_eq!(state.lease("a"), Some(first.clone()), "nothing has changed");
    assert!(matches!(again(&mut state, first.token).outcome.outcome, Some(Came::Lease(_))));
    let second = state.lease("a").unwrap();
    assert!(second.token > first.token);
    assert_eq!(refused(&again(&mut state, first.token)), RefusalReason::Superseded);
    assert!(end(&mut state, "a", second.token));
    assert!(matches!(again(&mut state, first.token).outcome.outcome, Some(Came::Lease(_))), "nobody has it");
}

#[test]
fn leases_that_cannot_be_are_refused() {
    let mut state = State::default();
    for (instance, ttl_ms) in [("", 1_000), ("a/b", 1_000), ("ä", 1_000), ("a", 99), ("a", 3_600_001)] {
        let lease = Lease { instance: instance.into(), ttl_ms, ..Lease::default() };
        let register = RegisterLease { lease: Some(lease), replaces: None };
        assert_eq!(
            refused(&run(&mut state, command::Command::RegisterLease(register))),
            RefusalReason::Invalid
        );
    }
}

#[test]
fn time_never_goes_back() {
    let mut state = State::default();
    for (given, time_ms) in [(5, 5), (3, 5), (9, 9), (-1, 9)] {
        state.apply(&Command { time_ms: given, command: None, request: None });
        assert_eq!(state.time_ms(), time_ms);
    }
}

#[test]
fn only_the_first_founding_counts() {
    let mut state = State::default();
    run(&mut state, command::Command::Found(Found { cluster_id: 7 }));
    run(&mut state, command::Command::Found(Found { cluster_id: 8 }));
    assert_eq!(state.cluster_id(), 7);
}

#[test]
fn history_forgets_whole_revisions_and_says_so() {
    let mut state = State::default();
    let value = "v".repeat(1 << 20);
    let pair = vec![put("a", &value), put("b", &value)];
    let revisions = (HISTORY_BYTES >> 21) as u64 + 5;
    let mut compacted = 0;
    for _ in 0..revisions {
        compacted = txn(&mut state, vec![], pair.clone(), vec![]).compacted;
    }
    assert!((5..=7).contains(&compacted), "{compacted}");
    let history = state.history();
    assert_eq!(history.after(compacted - 1).err().map(|error| error.revision), Some(compacted));
    let events: Vec<u64> = history.after(compacted).unwrap().map(|event| history::revision(event)).collect();
    assert_eq!(events.len() as u64, 2 * (revisions - compacted));
    assert_eq!(events.first(), Some(&(compacted + 1)));
    assert_eq!(history.after(state.revision()).unwrap().count(), 0);
}

#[test]
fn ranges_are_of_a_prefix_and_go_on_behind_a_key() {
    let mut state = State::default();
    let ops = ["a", "p/1", "p/2", "p/3", "q"].map(|key| put(key, "v")).to_vec();
    txn(&mut state, vec![], ops, vec![]);
    let keys = |prefix: &str, after: &str| -> Vec<Bytes> {
        state.range(prefix.as_bytes(), after.as_bytes()).map(|record| record.key.clone()).collect()
    };
    assert_eq!(keys("p/", ""), ["p/1", "p/2", "p/3"]);
    assert_eq!(keys("p/", "p/1"), ["p/2", "p/3"]);
    assert_eq!(keys("", ""), ["a", "p/1", "p/2", "p/3", "q"]);
    assert_eq!(keys("", "p/3"), ["q"]);
    assert_eq!(keys("x", ""), [""; 0]);
}

/// A random command over few keys and instances, so that they meet.
fn any_command() -> impl Strategy<Value = command::Command> {
    let key = prop::sample::select(vec!["a", "b", "b/c", "d"]);
    let instance = prop::sample::select(vec!["i", "j"]);
    let lease = prop::sample::select(vec!["", "", "i", "j"]);
    let any_op = prop_oneof![
        4 => (key.clone(), "[a-z]{0,3}", lease).prop_map(|(k, v, l)| put_leased(k, &v, l)),
        1 => key.clone().prop_map(delete),
        1 => key.clone().prop_map(|k| Op { op: Some(op::Op::DeletePrefix(k.into())) }),
        1 => key.clone().prop_map(get),
    ];
    let any_compare = prop_oneof![
        (key.clone(), 0..6_u64).prop_map(|(key, r)| unchanged_since(key, r)),
        (key, 0..3_u64)
            .prop_map(|(key, version)| when(Condition::Version(KeyVersion { key: key.into(), version }))),
    ];
    let ops = || prop::collection::vec(any_op.clone(), 0..4);
    let txn = (prop::collection::vec(any_compare, 0..2), ops(), ops())
        .prop_map(|(compare, then, otherwise)| command::Command::Txn(Txn { compare, then, otherwise }));
    let lease = instance.clone().prop_map(|instance| Lease {
        instance: instance.into(),
        ttl_ms: 1_000,
        ..Lease::default()
    });
    prop_oneof![
        6 => txn,
        1 => lease.prop_map(|lease| command::Command::RegisterLease(RegisterLease { lease: Some(lease), replaces: None })),
        1 => (instance, 1..40_u64).prop_map(|(instance, token)| {
            command::Command::EndLease(EndLease { instance: instance.into(), token, released: false })
        }),
    ]
}

proptest! {
    /// Whoever follows the events from any revision on has the records that the state has, and an image taken on the
    /// way goes on as the state itself does.
    #[test]
    fn events_make_the_state_and_images_go_on_alike(
        commands in prop::collection::vec(any_command(), 1..40),
        cut in 0..40_usize,
    ) {
        let mut state = State::default();
        let mut followed = BTreeMap::new();
        let mut copy = None;
        for (at, command) in commands.iter().enumerate() {
            let before = state.revision();
            let applied = run(&mut state, command.clone());
            prop_assert_eq!(applied.outcome.revision, before + u64::from(!applied.events.is_empty()));
            for event in state.history().after(before).unwrap() {
                let record = event.record.clone().unwrap();
                if event.deleted {
                    followed.remove(&record.key);
                } else {
                    followed.insert(record.key.clone(), record);
                }
            }
            if let Some(copy) = &mut copy {
                let again: Applied = run(copy, command.clone());
                prop_assert_eq!(again.outcome, applied.outcome);
            }
            if at == cut {
                copy = Some(State::from_image(&state.to_image()).unwrap());
            }
        }
        let held: Vec<Record> = state.range(&[], &[]).map(|record| (**record).clone()).collect();
        prop_assert_eq!(followed.into_values().collect::<Vec<_>>(), held);
        if let Some(copy) = copy {
            prop_assert_eq!(copy.to_image(), state.to_image());
        }
        // What is remembered beside the records can be found in them.
        let bytes: usize = state.records.values().map(|record| record.key.len() + record.value.len()).sum();
        prop_assert_eq!(state.bytes, bytes);
        let bound: BTreeSet<&Bytes> = state.bound.values().flatten().collect();
        let leased: BTreeSet<&Bytes> =
            state.records.values().filter(|record| !record.lease.is_empty()).map(|record| &record.key).collect();
        prop_assert_eq!(bound, leased);
    }

    /// Bytes that are no image are refused, whatever they are.
    #[test]
    fn damaged_images_are_refused(at in 0..200_usize, bit in 0..8_u32) {
        let mut state = State::default();
        txn(&mut state, vec![], vec![put("some/key", "some value"), put("other", "value")], vec![]);
        let mut image = state.to_image().to_vec();
        let at = at % image.len();
        image[at] ^= 1 << bit;
        prop_assert!(State::from_image(&image.into()).is_err());
    }
}

#[test]
fn what_is_sent_again_is_answered_and_not_done_again() {
    let mut state = State::default();
    let send = |state: &mut State, id: u8, again, then| {
        let txn = Txn { compare: vec![unchanged_since("a", 0)], then, otherwise: vec![get("a")] };
        let request = RequestId { id: vec![id; REQUEST_ID_BYTES].into(), again, known_revision: 0 };
        let command = Some(command::Command::Txn(txn));
        state.apply(&Command { time_ms: 1_000, command, request: Some(request) })
    };
    let first = send(&mut state, 1, false, vec![put("a", "1")]);
    assert!(result(&first).succeeded && first.done.is_some());
    txn(&mut state, vec![], vec![put("b", "1")], vec![]);
    // Also by a state that was stored, and is the same.
    let mut stored = State::from_image(&state.to_image()).unwrap();
    assert_eq!(stored.to_image(), state.to_image());
    for state in [&mut state, &mut stored] {
        let again = send(state, 1, true, vec![put("a", "1")]);
        assert_eq!(again.outcome, first.outcome);
        assert!(again.events.is_empty() && again.done.is_none());
        assert_eq!((state.revision(), state.get(b"a").unwrap().version), (2, 1));
    }
    // What changed nothing is not remembered: it may as well happen now.
    assert!(!result(&send(&mut state, 2, false, vec![put("a", "2")])).succeeded);
    txn(&mut state, vec![], vec![delete("a")], vec![]);
    assert!(result(&send(&mut state, 2, true, vec![put("a", "2")])).succeeded);
}
