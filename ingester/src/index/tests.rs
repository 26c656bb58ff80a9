//! The index against a plain filter over label sets.

use std::collections::BTreeMap;

use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use super::{LabelIds, Postings, Symbols};

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::vec(("[abc]", "[xyz]{0,2}"), 0..4).prop_map(Labels::from_pairs)
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual)];
    let regex = prop_oneof![Just(MatchOp::Regex), Just(MatchOp::NotRegex)];
    let patterns = prop_oneof![
        Just("x|y"),
        Just(".*"),
        Just(".+"),
        Just("x.*"),
        Just("|z"),
        Just("[xy]z?"),
        Just(""),
        Just("x|y.+"),
        Just(".?x"),
        Just("(x|y)+z*"),
        Just("nothing"),
        Just("|x.*")
    ];
    prop_oneof![
        ("[abcd]", op, "[xyz]{0,2}").prop_map(|(n, op, v)| Matcher::new(&n, op, &v).unwrap()),
        ("[abcd]", regex, patterns).prop_map(|(n, op, v)| Matcher::new(&n, op, v).unwrap()),
    ]
}

proptest! {
    #[test]
    fn selects_what_a_filter_selects(
        sets in proptest::collection::vec(labels(), 0..40),
        gone in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        matchers in proptest::collection::vec(matcher(), 0..4),
    ) {
        let (mut symbols, mut postings) = (Symbols::default(), Postings::default());
        let mut series: BTreeMap<u32, LabelIds> = BTreeMap::new();
        // Mostly in order; some later than their successors, as a replay may have them.
        let mut order: Vec<usize> = (0..sets.len()).collect();
        order.chunks_mut(3).for_each(<[usize]>::reverse);
        for id in order {
            let labels = &sets[id];
            let ids = LabelIds::acquire(&mut symbols, labels.iter());
            postings.add(id as u32, &ids);
            let bytes: Vec<_> = labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            prop_assert!(ids.are(&symbols, &bytes));
            series.insert(id as u32, ids);
        }
        let mut gone: Vec<u32> =
            gone.iter().filter(|_| !sets.is_empty()).map(|i| i.index(sets.len()) as u32).collect();
        gone.sort_unstable();
        gone.dedup();
        let removed: Vec<LabelIds> = gone.iter().filter_map(|id| series.remove(id)).collect();
        postings.remove(&gone, &removed);
        removed.iter().for_each(|ids| ids.release(&mut symbols));

        let expected: Vec<u32> = series
            .keys()
            .copied()
            .filter(|id| matchers.iter().all(|m| m.matches(sets[*id as usize].get_or_empty(m.name()))))
            .collect();
        prop_assert_eq!(postings.select(&symbols, &matchers), expected);
        for (id, ids) in &series {
            prop_assert_eq!(&ids.to_labels(&symbols), &sets[*id as usize]);
        }
        if series.is_empty() {
            prop_assert_eq!((symbols.len(), postings.names().count()), (0, 0));
        }
    }
}

/// Series as exporters have them: ten labels, some values shared by all, some by few, some unique.
fn population(series: usize) -> impl Iterator<Item = Labels> {
    (0..series).map(|i| {
        let (target, metric) = (i / 400, i % 400);
        Labels::from_pairs([
            ("__name__", format!("node_metric_number_{}_total", metric / 4)),
            ("cluster", "eu-west-1".to_owned()),
            ("container", format!("container-{}", target % 40)),
            ("device", format!("device-{}", metric % 4)),
            ("instance", format!("10.0.{}.{}:9100", target / 250, target % 250)),
            ("job", format!("job-{}", target % 12)),
            ("namespace", format!("namespace-{}", target % 60)),
            ("node", format!("node-{}", target / 4)),
            ("pod", format!("application-{target}-{:x}", target * 7919)),
            ("uid", if i % 5 == 0 { format!("{i:016x}") } else { "shared".to_owned() }),
        ])
    })
}

#[test]
fn ten_labels_cost_sixty_bytes() {
    const SERIES: usize = 40_000;
    let (mut symbols, mut postings) = (Symbols::default(), Postings::default());
    for (id, labels) in population(SERIES).enumerate() {
        let ids = LabelIds::acquire(&mut symbols, labels.iter());
        postings.add(id as u32, &ids);
    }
    let bytes = postings.heap_bytes() as f64 / SERIES as f64;
    eprintln!("{bytes:.1} bytes a series");
    assert!(bytes <= 60.0, "{bytes} bytes a series");
}

#[test]
fn what_is_removed_leaves_little_behind() {
    let (mut symbols, mut postings) = (Symbols::default(), Postings::default());
    let ids: Vec<_> = population(8000).map(|labels| LabelIds::acquire(&mut symbols, labels.iter())).collect();
    for (id, labels) in ids.iter().enumerate() {
        postings.add(id as u32, labels);
    }
    let (before, half) = (postings.heap_bytes(), ids.len() as u32 / 2);
    let gone: Vec<u32> = (0..half).collect();
    postings.remove(&gone, &ids[..half as usize]);
    assert_eq!(postings.all(), (half..half * 2).collect::<Vec<_>>());
    assert!(postings.heap_bytes() < before * 3 / 4, "{} of {before}", postings.heap_bytes());
    postings.remove(&(half..half * 2).collect::<Vec<_>>(), &ids[half as usize..]);
    ids.iter().for_each(|labels| labels.release(&mut symbols));
    assert_eq!((symbols.len(), postings.names().count(), postings.all().len()), (0, 0, 0));
}
