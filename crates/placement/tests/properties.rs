//! What a placement promises: the same everywhere, even, and nothing moves that need not.

use std::collections::BTreeMap;
use std::sync::Arc;

use placement::{HashPlacement, Placement as _, Tracker, Unit};
use proptest::prelude::*;

fn members(names: &[String]) -> Vec<Arc<str>> {
    names.iter().map(|name| name.as_str().into()).collect()
}

fn numbered(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|n| format!("ruler-{n}").into()).collect()
}

fn groups(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("tenant-{}/group-{}", n % 97, n)).collect()
}

fn owners(placement: &HashPlacement, groups: &[String]) -> Vec<Arc<str>> {
    groups.iter().map(|name| placement.owner(Unit::new("rules", name)).expect("there are members")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_members_come_to_the_same_result(
        names in prop::collection::btree_set("[a-z]{1,6}(-[0-9]{1,3})?", 1..20),
        order in any::<prop::sample::Index>(),
        unit in "[a-z/]{0,20}",
    ) {
        let mut names: Vec<String> = names.into_iter().collect();
        let one = HashPlacement::new(1, members(&names));
        let turn = order.index(names.len());
        names.rotate_left(turn);
        names.push(names[0].clone());
        let other = HashPlacement::new(7, members(&names));
        let all = |placement: &HashPlacement| placement.candidates(Unit::new("rules", &unit), usize::MAX, &|_| true);
        prop_assert_eq!(all(&one), all(&other));
        let mut everybody = all(&one);
        everybody.sort();
        prop_assert_eq!(&everybody[..], one.members());
    }

    #[test]
    fn who_goes_leaves_its_units_to_the_next_and_nothing_else_moves(
        count in 2_usize..20,
        gone in any::<prop::sample::Index>(),
    ) {
        let all = numbered(count);
        let gone = Arc::clone(&all[gone.index(count)]);
        let before = HashPlacement::new(1, all.clone());
        let after = HashPlacement::new(2, all.into_iter().filter(|member| *member != gone));
        for name in groups(500) {
            let unit = Unit::new("rules", &name);
            let order = before.candidates(unit, 2, &|_| true);
            let expected = if order[0] == gone { &order[1] } else { &order[0] };
            prop_assert_eq!(after.owner(unit), Some(Arc::clone(expected)));
            // And so does whoever only thinks that it is gone.
            let among = before.owner_among(unit, &|member| *member != *gone);
            prop_assert_eq!(among, Some(Arc::clone(expected)));
        }
    }
}

#[test]
fn a_member_more_takes_its_share_and_no_more() {
    let groups = groups(20_000);
    let before = owners(&HashPlacement::new(1, numbered(10)), &groups);
    let after = owners(&HashPlacement::new(2, numbered(11)), &groups);
    let moved: Vec<&Arc<str>> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, to)| to).collect();
    assert!(moved.iter().all(|to| &***to == "ruler-10"), "it moves to the newcomer alone");
    let share = moved.len() as f64 / groups.len() as f64;
    assert!((0.07..0.11).contains(&share), "{share} of all, where an eleventh is fair");
}

#[test]
fn units_are_spread_evenly_and_kinds_independently() {
    for count in [3, 10, 50] {
        let groups = groups(count * 2_000);
        let placement = HashPlacement::new(1, numbered(count));
        let mut owned: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        owners(&placement, &groups).into_iter().for_each(|owner| *owned.entry(owner).or_default() += 1);
        assert_eq!(owned.len(), count);
        let (least, most) = (owned.values().min().copied(), owned.values().max().copied());
        assert!(least >= Some(1_500) && most <= Some(2_500), "{count} members: {owned:?}");
    }
    let placement = HashPlacement::new(1, numbered(10));
    let same = groups(2_000).into_iter().filter(|name| {
        placement.owner(Unit::new("rules", name)) == placement.owner(Unit::new("alerts", name))
    });
    let same = same.count();
    assert!((120..280).contains(&same), "{same} of 2000, where a tenth is chance");
}

#[test]
fn the_hash_is_frozen() {
    // Processes of two versions must agree. If this fails, units move while a cluster is being upgraded.
    let placement = HashPlacement::new(1, numbered(5));
    let owner = |kind, name| placement.owner(Unit::new(kind, name)).map(|owner| owner.to_string());
    let found: Vec<Option<String>> =
        ["a", "tenant-1/group", "ü", ""].iter().map(|name| owner("rules", name)).collect();
    let expected = FROZEN.map(|name| Some(name.to_owned()));
    assert_eq!(found, expected);
}

const FROZEN: [&str; 4] = ["ruler-2", "ruler-4", "ruler-2", "ruler-2"];

#[test]
fn a_placement_is_made_anew_only_for_other_members() {
    let mut tracker = Tracker::default();
    assert_eq!(tracker.current().owner(Unit::new("rules", "a")), None);
    assert_eq!(tracker.see(4, numbered(2)).map(|made| made.number()), Some(4));
    assert!(tracker.see(9, numbered(2).into_iter().rev()).is_none());
    assert_eq!(tracker.current().number(), 4);
    assert_eq!(tracker.see(10, numbered(3)).map(|made| made.number()), Some(10));
}
