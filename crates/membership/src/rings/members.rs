//! What a process knows of the members of a ring. What did not change from one view to the next is kept and shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{TenantId, TimeRange};
use prost::Message as _;
use proto::metastore::{InstanceState, Lease, Record, Tenant};
use proto::{KnownFields, Stored};
use ring::{Instance, InstanceId, LostRange, Quorum, Ring, RingError, RingView, ShardSize, State};

use crate::records::{Instances, Kind as _, LEASES, Tenants};
use crate::view::View;

/// Where an instance serves gRPC, among its addresses.
pub(crate) const GRPC: &str = "grpc";

/// The members of a ring, as far as views tell.
#[derive(Debug)]
pub struct Members {
    prefix: String,
    quorum: Quorum,
    cluster_id: u64,
    seats: BTreeMap<InstanceId, Read<Seat>>,
    tenants: BTreeMap<TenantId, Read<ShardSize>>,
    current: Arc<RingView>,
}

/// What was read of a record at a revision. It is what it says that counts, not when that was said again.
#[derive(Debug, Clone)]
struct Read<T> {
    mod_revision: u64,
    value: T,
}

impl<T: PartialEq> PartialEq for Read<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What the record of an instance says, and its lease.
#[derive(Debug, Clone)]
struct Seat {
    /// As its record says.
    instance: Instance,
    address: Option<Arc<str>>,
    lost: Vec<TimeRange>,
    lease: Option<Life>,
}

/// Seats are equal where the ring sees no difference.
impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.instance_now() == other.instance_now()
            && self.address == other.address
            && self.lost == other.lost
    }
}

/// A lease, as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Life {
    mod_revision: u64,
    registered_ms: i64,
}

impl Members {
    /// A ring without members so far: `name` is that under which instances have their places.
    pub fn new(name: &str, quorum: Quorum) -> Self {
        let ring = Ring::new(Vec::new(), quorum).expect("a ring of nobody has nobody twice");
        Self {
            prefix: format!("{}{name}/", Instances::PREFIX),
            quorum,
            cluster_id: 0,
            seats: BTreeMap::new(),
            tenants: BTreeMap::new(),
            current: Arc::new(RingView::fixed(ring)),
        }
    }

    /// The name under which instances have their places.
    pub fn name(&self) -> &str {
        self.prefix.strip_prefix(Instances::PREFIX).map_or("", |name| name.trim_end_matches('/'))
    }

    /// What roles are told.
    pub fn ring_view(&self) -> Arc<RingView> {
        Arc::clone(&self.current)
    }

    /// Takes what a view tells; whether that is something new. A record that cannot be read is as it was before.
    pub fn update(&mut self, view: &View) -> bool {
        if view.cluster_id() != self.cluster_id {
            // Revisions of two histories cannot be compared.
            self.cluster_id = view.cluster_id();
            for seat in self.seats.values_mut() {
                seat.mod_revision = 0;
                seat.value.lease = seat.value.lease.map(|life| Life { mod_revision: 0, ..life });
            }
            self.tenants.values_mut().for_each(|size| size.mod_revision = 0);
        }
        let seats = self.read_seats(view);
        let tenants = self.read_tenants(view);
        if seats == self.seats && tenants == self.tenants {
            (self.seats, self.tenants) = (seats, tenants);
            return false;
        }
        match self.view_of(&seats, &tenants) {
            Ok(next) => self.current = Arc::new(next),
            // More instances than a ring can have. The one that there is goes on; and so it is said each time.
            Err(error) => tracing::error!(%error, "the ring stays as it was"),
        }
        (self.seats, self.tenants) = (seats, tenants);
        true
    }

    fn read_seats(&self, view: &View) -> BTreeMap<InstanceId, Read<Seat>> {
        let mut seats = BTreeMap::new();
        for record in view.range(self.prefix.as_bytes()) {
            let Some(name) = name(record, &self.prefix) else { continue };
            let id = InstanceId::new(name);
            let lease = view.get(format!("{LEASES}{name}").as_bytes());
            let before = self.seats.get(&id);
            let seat = match before {
                Some(seat) if seat.mod_revision == record.mod_revision => Some(seat.clone()),
                _ => read_seat(&id, record).or_else(|| before.cloned()),
            };
            if let Some(mut seat) = seat {
                let life = before.and_then(|seat| seat.value.lease);
                seat.value.lease = lease.map(|lease| read_life(lease, life));
                seats.insert(id, seat);
            }
        }
        seats
    }

    fn read_tenants(&self, view: &View) -> BTreeMap<TenantId, Read<ShardSize>> {
        let mut tenants = BTreeMap::new();
        for record in view.range(Tenants::PREFIX.as_bytes()) {
            let Some(id) = name(record, Tenants::PREFIX).and_then(|name| TenantId::new(name).ok()) else {
                continue;
            };
            let size = match self.tenants.get(&id) {
                Some(size) if size.mod_revision == record.mod_revision => Some(size.clone()),
                before => read_size(record).or_else(|| before.cloned()),
            };
            tenants.extend(size.map(|size| (id, size)));
        }
        tenants
    }

    fn view_of(
        &self,
        seats: &BTreeMap<InstanceId, Read<Seat>>,
        tenants: &BTreeMap<TenantId, Read<ShardSize>>,
    ) -> Result<RingView, RingError> {
        let instances: Vec<Instance> = seats.values().map(|seat| seat.value.instance_now()).collect();
        let ring = match instances == self.current.ring().instances() {
            true => self.current.shared_ring(),
            false => Arc::new(Ring::new(instances, self.quorum)?),
        };
        let addresses = seats.iter().filter_map(|(id, seat)| Some((id.clone(), seat.value.address.clone()?)));
        let lost = seats.values().flat_map(|Read { value: seat, .. }| {
            let zone: Arc<str> = seat.instance.zone_name().into();
            seat.lost.iter().map(move |range| LostRange { zone: Arc::clone(&zone), range: *range })
        });
        let shards = tenants.iter().map(|(id, size)| (id.clone(), size.value.clone()));
        Ok(RingView::new(ring, addresses.collect(), lost.collect(), shards))
    }
}

impl Seat {
    /// What the instance may be used for, given whether it lives.
    fn instance_now(&self) -> Instance {
        let mut instance = self.instance.clone();
        match self.lease {
            // While it had no lease it was unhealthy, whatever its record says.
            Some(life) => instance.state_since_ms = instance.state_since_ms.max(life.registered_ms),
            None if instance.state.has_tokens() => instance.state = State::Unhealthy,
            None => {}
        }
        instance
    }
}

/// The part of a key behind its prefix; `None` where it is not a name.
fn name<'a>(record: &'a Record, prefix: &str) -> Option<&'a str> {
    let rest = record.key.get(prefix.len()..)?;
    std::str::from_utf8(rest).ok().filter(|name| !name.is_empty() && !name.contains('/'))
}

fn read<M: KnownFields>(record: &Record) -> Option<M> {
    Stored::<M>::decode(&record.value)
        .map(|stored| stored.message)
        .inspect_err(|error| {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            tracing::warn!(key, %error, "a record cannot be read");
        })
        .ok()
}

fn read_seat(id: &InstanceId, record: &Record) -> Option<Read<Seat>> {
    let message: proto::metastore::Instance = read(record)?;
    let state = match message.state() {
        InstanceState::Unspecified | InstanceState::Pending => State::Pending,
        InstanceState::Joining => State::Joining,
        InstanceState::Active => State::Active,
        InstanceState::Leaving => State::Leaving,
        InstanceState::Left => State::Left,
    };
    let zone = (!message.zone.is_empty()).then(|| Arc::from(message.zone.as_str()));
    let instance = Instance {
        id: id.clone(),
        zone,
        state,
        tokens: message.tokens.into(),
        read_only: message.read_only,
        member_since_ms: message.registered_ms.max(message.read_only_changed_ms),
        state_since_ms: message.changed_ms,
    };
    let lost = message.lost_ranges.iter().filter_map(|lost| TimeRange::new(lost.start_ms, lost.end_ms));
    let value = Seat {
        instance,
        address: message.addresses.get(GRPC).map(|address| Arc::from(address.as_str())),
        lost: lost.collect(),
        lease: None,
    };
    Some(Read { mod_revision: record.mod_revision, value })
}

fn read_life(record: &Record, before: Option<Life>) -> Life {
    if let Some(life) = before.filter(|life| life.mod_revision == record.mod_revision) {
        return life;
    }
    // That there is a lease is what counts most.
    let registered_ms = Lease::decode(record.value.clone()).map_or(i64::MIN, |lease| lease.registered_ms);
    Life { mod_revision: record.mod_revision, registered_ms }
}

/// A tenant has one ingester per zone until its record says more.
fn read_size(record: &Record) -> Option<Read<ShardSize>> {
    let message: Tenant = read(record)?;
    let mut size = ShardSize::new(1);
    for change in &message.shard_sizes {
        size.change(change.since_ms, change.instances_per_zone, i64::MIN);
    }
    Some(Read { mod_revision: record.mod_revision, value: size })
}
