//! How the slots divide into requests: each group is written by one request per step.

use std::ops::Range;

use crate::population::Population;

/// Slots that share a request; all of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The tenant's number.
    pub tenant: u32,
    /// The slots.
    pub slots: Range<u32>,
    /// Whether it is the tenant's first group.
    pub first_of_tenant: bool,
}

/// All groups, with at most `series_per_request` slots each, in the order of the slots.
pub fn groups(population: &Population, series_per_request: u32) -> Vec<Group> {
    let size = series_per_request.max(1) as usize;
    let mut groups = Vec::new();
    for tenant in 0..population.tenants() {
        let slots = population.tenant_slots(tenant);
        for first in slots.clone().step_by(size) {
            groups.push(Group {
                tenant,
                slots: first..slots.end.min(first.saturating_add(size as u32)),
                first_of_tenant: first == slots.start,
            });
        }
    }
    groups
}
