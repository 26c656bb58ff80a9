//! Random histories of records: what is kept from one view to the next changes no answer, and nothing is told twice.

use std::sync::Arc;

use model::TenantId;
use proptest::prelude::*;
use proto::Stored;
use proto::metastore::{Instance, InstanceState, Lease, LostRange, Record, ShardSize, Tenant};
use ring::{InstanceId, Quorum, RingView, State};

use super::Members;
use crate::records::{self, Instances, Tenants};
use crate::view::View;

const RING: &str = "ingester";
const STATES: [InstanceState; 5] = [
    InstanceState::Pending,
    InstanceState::Joining,
    InstanceState::Active,
    InstanceState::Leaving,
    InstanceState::Left,
];

/// Something that happens in the metastore.
#[derive(Debug, Clone)]
enum Event {
    Place {
        who: u8,
        state: usize,
        zone: u8,
        tokens: u8,
        lost: bool,
        at: i64,
    },
    Removed {
        who: u8,
    },
    Registered {
        who: u8,
        at: i64,
    },
    Expired {
        who: u8,
    },
    Sized {
        tenant: u8,
        at: i64,
        size: u32,
    },
    /// Of no concern here.
    Other,
    /// A restore: the same records, other revisions.
    AnotherCluster,
}

fn event() -> impl Strategy<Value = Event> {
    let at = 0..50_i64;
    prop_oneof![
        4 => (0..4_u8, 0..5_usize, 0..3_u8, 0..5_u8, any::<bool>(), at.clone()).prop_map(
            |(who, state, zone, tokens, lost, at)| Event::Place { who, state, zone, tokens, lost, at }
        ),
        1 => (0..4_u8).prop_map(|who| Event::Removed { who }),
        3 => (0..4_u8, at.clone()).prop_map(|(who, at)| Event::Registered { who, at }),
        2 => (0..4_u8).prop_map(|who| Event::Expired { who }),
        1 => (0..3_u8, at, 2..5_u32).prop_map(|(tenant, at, size)| Event::Sized { tenant, at, size }),
        1 => Just(Event::Other),
        1 => Just(Event::AnotherCluster),
    ]
}

fn name(who: u8) -> String {
    format!("ingester-{who}")
}

fn put(view: &mut View, key: bytes::Bytes, value: bytes::Bytes) {
    let record = Record { key: key.clone(), value, mod_revision: view.revision, ..Record::default() };
    view.records.insert_mut(key, record);
}

fn lease_key(who: u8) -> bytes::Bytes {
    format!("{}{}", records::LEASES, name(who)).into()
}

fn apply(view: &mut View, event: &Event) {
    view.revision += 1;
    match *event {
        Event::Place { who, state, zone, tokens, lost, at } => {
            let mut instance = Instance {
                zone: if zone == 0 { String::new() } else { format!("zone-{zone}") },
                tokens: (0..tokens).map(|n| u64::from(n) << 40 | u64::from(who)).collect(),
                registered_ms: 1,
                changed_ms: at,
                lost_ranges: if lost { vec![LostRange { start_ms: at, end_ms: at + 9 }] } else { Vec::new() },
                ..Instance::default()
            };
            instance.set_state(STATES[state]);
            instance.addresses.insert("grpc".to_owned(), format!("{}:1", name(who)));
            let key = records::key::<Instances>(&[RING, &name(who)]);
            put(view, key, Stored::new(instance).encode());
        }
        Event::Removed { who } => {
            view.records.remove_mut(&records::key::<Instances>(&[RING, &name(who)]));
        }
        Event::Registered { who, at } => {
            let lease = Lease { instance: name(who), registered_ms: at, ..Lease::default() };
            put(view, lease_key(who), prost::Message::encode_to_vec(&lease).into());
        }
        Event::Expired { who } => {
            view.records.remove_mut(&lease_key(who));
        }
        Event::Sized { tenant, at, size } => {
            let change = ShardSize { since_ms: at, instances_per_zone: size };
            let message = Tenant { shard_sizes: vec![change], ..Tenant::default() };
            let key = records::key::<Tenants>(&[&format!("tenant-{tenant}")]);
            put(view, key, Stored::new(message).encode());
        }
        Event::Other => put(view, "leases/distributor-1".into(), bytes::Bytes::new()),
        Event::AnotherCluster => {
            view.cluster_id += 1;
            let again = |record: &Record| Record { mod_revision: view.revision % 3, ..record.clone() };
            view.records = view.records.iter().map(|(key, record)| (key.clone(), again(record))).collect();
        }
    }
}

/// Everything that can be asked of a view.
fn told(view: &RingView) -> impl PartialEq + std::fmt::Debug + use<> {
    let sizes: Vec<_> = (0..3)
        .map(|n| view.shard_size(&TenantId::new(&format!("tenant-{n}")).expect("a name")).clone())
        .collect();
    let addresses: Vec<_> = (0..4).map(|who| view.address(&InstanceId::new(&name(who))).cloned()).collect();
    let tokens: Vec<_> = (0..8_u64)
        .map(|n| view.ring().lookup(model::SeriesHash(n << 61)).iter().collect::<Vec<_>>())
        .collect();
    (view.ring().instances().to_vec(), addresses, view.lost().to_vec(), sizes, tokens)
}

fn fresh(view: &View) -> Members {
    let mut members = Members::new(RING, Quorum::new(3));
    members.update(view);
    members
}

proptest! {
    #[test]
    fn what_is_kept_changes_no_answer(events in prop::collection::vec(event(), 1..40)) {
        let mut view = View::whole(1, 0, crate::view::Records::default());
        let mut members = Members::new(RING, Quorum::new(3));
        for event in &events {
            let before = members.ring_view();
            apply(&mut view, event);
            let changed = members.update(&view);
            let now = members.ring_view();
            prop_assert_eq!(told(&now), told(&fresh(&view).ring_view()), "after {:?}", event);
            prop_assert_eq!(changed, told(&before) != told(&now), "after {:?}", event);
            prop_assert_eq!(changed, !Arc::ptr_eq(&before, &now));
            let same_ring = before.ring().instances() == now.ring().instances();
            prop_assert!(!same_ring || std::ptr::eq(before.ring(), now.ring()));
        }
    }

    #[test]
    fn who_has_no_lease_takes_nothing_and_keeps_its_tokens(events in prop::collection::vec(event(), 1..40)) {
        let mut view = View::whole(1, 0, crate::view::Records::default());
        events.iter().for_each(|event| apply(&mut view, event));
        for instance in fresh(&view).ring_view().ring().instances() {
            let who = instance.id.as_str();
            let lives = view.get(format!("{}{who}", records::LEASES).as_bytes()).is_some();
            let record = view.get(&records::key::<Instances>(&[RING, who])).expect("it has a record");
            let record = records::value::<Instances>(record).expect("it can be read").message;
            prop_assert_eq!(&*instance.tokens, &record.tokens[..]);
            let placed = !matches!(instance.state, State::Pending | State::Left);
            prop_assert_eq!(placed && !lives, instance.state == State::Unhealthy);
            prop_assert!(lives || !instance.takes_writes());
            prop_assert!(instance.state_since_ms >= record.changed_ms);
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_is_as_it_was() {
    let mut view = View::whole(1, 0, crate::view::Records::default());
    let place = Event::Place { who: 1, state: 2, zone: 1, tokens: 4, lost: false, at: 3 };
    apply(&mut view, &place);
    apply(&mut view, &Event::Registered { who: 1, at: 7 });
    let mut members = fresh(&view);
    view.revision += 1;
    put(&mut view, records::key::<Instances>(&[RING, "ingester-1"]), bytes::Bytes::from_static(&[0xff]));
    assert!(!members.update(&view));
    let ring = members.ring_view();
    assert_eq!(ring.ring().instances()[0].state, State::Active);
    assert_eq!(ring.ring().instances()[0].state_since_ms, 7);
}
