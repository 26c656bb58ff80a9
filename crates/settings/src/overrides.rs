//! Per-tenant limits: one file for all roles, read again while the process runs.
//!
//! The file has the form that Mimir and Cortex users know:
//!
//! ```yaml
//! overrides:
//!   team-a:
//!     ingestion_rate: 100000
//!     max_label_names_per_series: 40
//! ```
//!
//! Each role declares the limits it knows with [`limits!`](crate::limits!) and asks [`Overrides::of`] for those of a tenant.
//! [`LimitsLoader`] parses the file once for all of them, and refuses a limit that none of them knows. A file with any
//! problem changes nothing: every tenant keeps the limits it had.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::TenantId;

use crate::problem::{Location, Problem, Problems, nearest};
use crate::section::{Input, Lookup, Section};
use crate::yaml::{self, Key, Kind, Node};

/// How many tenants an overrides file may name.
pub const MAX_TENANTS: usize = 1_000_000;

/// The limits of every tenant, as one role knows them. Clones see the same limits, also after a reload.
#[derive(Debug)]
pub struct Overrides<L> {
    table: Arc<ArcSwap<Table<L>>>,
}

#[derive(Debug)]
struct Table<L> {
    default: Arc<L>,
    tenants: HashMap<TenantId, Arc<L>>,
    generation: u64,
}

impl<L> Clone for Overrides<L> {
    fn clone(&self) -> Self {
        Self { table: Arc::clone(&self.table) }
    }
}

impl<L> Overrides<L> {
    /// Limits that are `default` for every tenant, until a loader that knows of them says otherwise.
    pub fn fixed(default: L) -> Self {
        let table = Table { default: Arc::new(default), tenants: HashMap::new(), generation: 0 };
        Self { table: Arc::new(ArcSwap::from_pointee(table)) }
    }

    /// The limits of `tenant`. Cheap enough for every request: no lock, no copy.
    pub fn of(&self, tenant: &TenantId) -> Arc<L> {
        let table = self.table.load();
        Arc::clone(table.tenants.get(tenant).unwrap_or(&table.default))
    }

    /// The limits of tenants that the file does not name.
    pub fn default_limits(&self) -> Arc<L> {
        Arc::clone(&self.table.load().default)
    }

    /// Counts reloads, so that what is derived from limits can be kept until they change.
    pub fn generation(&self) -> u64 {
        self.table.load().generation
    }

    /// Replaces what tenants have of their own; tenants not named get the default.
    pub fn replace(&self, tenants: HashMap<TenantId, L>) {
        let old = self.table.load();
        let tenants = tenants.into_iter().map(|(tenant, limits)| (tenant, Arc::new(limits))).collect();
        let table = Table { default: Arc::clone(&old.default), tenants, generation: old.generation + 1 };
        self.table.store(Arc::new(table));
    }
}

/// Parses the overrides file for all roles of a process.
#[derive(Default)]
pub struct LimitsLoader {
    roles: Vec<Box<dyn Role>>,
}

/// What a load found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// How many tenants the file names.
    pub tenants: usize,
}

impl LimitsLoader {
    /// A loader that knows no limits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the limits of a role; `default` holds for tenants that the file does not name, and for limits that it
    /// leaves out.
    pub fn register<L: Section>(&mut self, default: L) -> Overrides<L> {
        let overrides = Overrides::fixed(default);
        self.roles.push(Box::new(overrides.clone()));
        overrides
    }

    /// Reads the file with this name and text, and gives every role its limits. With any problem nothing changes.
    pub fn load(&self, file: &str, text: &str) -> Result<Loaded, Problems> {
        let tenants = self.parse(file, text)?;
        let mut problems = Problems::default();
        let mut ready = Vec::new();
        for role in &self.roles {
            match role.prepare(&tenants) {
                Ok(apply) => ready.push(apply),
                Err(found) => problems.extend(found),
            }
        }
        let loaded = Loaded { tenants: tenants.0.len() };
        problems.into_result(())?;
        ready.into_iter().for_each(|apply| apply());
        Ok(loaded)
    }

    fn parse(&self, file: &str, text: &str) -> Result<Tenants, Problems> {
        let mut tenants = Tenants::default();
        let mut problems = Problems::default();
        let Some(root) = yaml::parse(file, text)?.filter(|root| !root.is_null()) else {
            return Ok(tenants);
        };
        for (key, value) in mapping(file, "the file", root)? {
            match key.text.as_str() {
                "overrides" if value.is_null() => {}
                "overrides" => self.parse_tenants(file, value, &mut tenants, &mut problems)?,
                other => problems.push(Problem::new(
                    at(file, &key),
                    format!("{other}: no such key; an overrides file has one key, overrides"),
                )),
            }
        }
        problems.into_result(tenants)
    }

    fn parse_tenants(
        &self,
        file: &str,
        node: Node,
        tenants: &mut Tenants,
        problems: &mut Problems,
    ) -> Result<(), Problem> {
        let known: BTreeSet<String> = self.roles.iter().flat_map(|role| role.names()).collect();
        for (key, value) in mapping(file, "overrides", node)? {
            if tenants.0.len() >= MAX_TENANTS {
                return Err(Problem::new(at(file, &key), format!("more than {MAX_TENANTS} tenants")));
            }
            let tenant = match TenantId::new(&key.text) {
                Ok(tenant) => tenant,
                Err(error) => {
                    problems.push(Problem::new(at(file, &key), format!("overrides: {error}")));
                    continue;
                }
            };
            let limits = if value.is_null() { Vec::new() } else { mapping(file, &key.text, value)? };
            for (limit, _) in &limits {
                if let Some(message) = unknown(&known, &key.text, limit) {
                    problems.push(Problem::new(at(file, limit), message));
                }
            }
            let limits = limits.into_iter().map(|(limit, value)| {
                let place = Location::file(file, value.line, value.column);
                (limit.text.replace('-', "_"), (place, value))
            });
            tenants.0.insert(tenant, limits.collect());
        }
        Ok(())
    }
}

impl std::fmt::Debug for LimitsLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitsLoader").field("roles", &self.roles.len()).finish()
    }
}

fn unknown(known: &BTreeSet<String>, tenant: &str, limit: &Key) -> Option<String> {
    let name = limit.text.replace('-', "_");
    if known.contains(&name) {
        return None;
    }
    let near = nearest(&name, known.iter().map(String::as_str));
    let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Some(format!("overrides.{tenant}.{name}: no such limit{hint}"))
}

fn at(file: &str, key: &Key) -> Location {
    Location::file(file, key.line.max(1), key.column)
}

fn mapping(file: &str, what: &str, node: Node) -> Result<Vec<(Key, Node)>, Problem> {
    let found = node.describe();
    match node.kind {
        Kind::Mapping(entries) => Ok(entries),
        _ => Err(Problem::new(
            Location::file(file, node.line, node.column),
            format!("{what}: expected a mapping, not {found}"),
        )),
    }
}

/// The file's tenants, each with its limits before they are parsed.
#[derive(Default)]
struct Tenants(BTreeMap<TenantId, BTreeMap<String, (Location, Node)>>);

/// Puts prepared limits into force.
type Apply = Box<dyn FnOnce()>;

/// One role's limits without their type.
trait Role: Send + Sync {
    /// The limits it knows.
    fn names(&self) -> Vec<String>;
    /// Parses its limits of every tenant; what it returns puts them into force.
    fn prepare(&self, tenants: &Tenants) -> Result<Apply, Problems>;
}

impl<L: Section> Role for Overrides<L> {
    fn names(&self) -> Vec<String> {
        L::keys().iter().map(|key| short_name::<L>(&key.path).to_owned()).collect()
    }

    fn prepare(&self, tenants: &Tenants) -> Result<Apply, Problems> {
        let defaults: BTreeMap<String, String> =
            self.default_limits().print().into_iter().map(|(key, value)| (key.path, value)).collect();
        let mut problems = Problems::default();
        let mut parsed = HashMap::with_capacity(tenants.0.len());
        for (tenant, limits) in &tenants.0 {
            let lookup =
                TenantLookup::<L> { tenant, limits, defaults: &defaults, section: std::marker::PhantomData };
            match L::read(&lookup) {
                Ok(limits) => drop(parsed.insert(tenant.clone(), limits)),
                Err(found) => problems.extend(found),
            }
        }
        problems.into_result(())?;
        let overrides = self.clone();
        Ok(Box::new(move || overrides.replace(parsed)))
    }
}

fn short_name<L: Section>(path: &str) -> &str {
    path.strip_prefix(L::NAME).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path)
}

/// A tenant's limits, the process' defaults behind them.
struct TenantLookup<'a, L> {
    tenant: &'a TenantId,
    limits: &'a BTreeMap<String, (Location, Node)>,
    defaults: &'a BTreeMap<String, String>,
    section: std::marker::PhantomData<L>,
}

impl<L: Section> Lookup for TenantLookup<'_, L> {
    fn find(&self, path: &str) -> Option<(Location, Input<'_>)> {
        if let Some((place, node)) = self.limits.get(short_name::<L>(path)) {
            return Some((place.clone(), Input::Node(node)));
        }
        self.defaults.get(path).map(|text| (Location::Default, Input::Text(text)))
    }

    fn name(&self, path: &str) -> String {
        format!("overrides.{}.{}", self.tenant, short_name::<L>(path))
    }
}
