//! Series by matchers, from the index and from its header alone: as a look at all labels tells.

use std::sync::Arc;

use block::{ChunkRef, InMemory, Index};
use model::{Labels, MatchOp, Matcher};
use proptest::prelude::*;

use crate::random::{data, run};
use crate::support::{Data, read, write};

fn matcher() -> impl Strategy<Value = Matcher> {
    let name = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("no_such"), Just("__name__")];
    let exact = prop_oneof![Just(MatchOp::Equal), Just(MatchOp::NotEqual)];
    let value = prop_oneof![Just(""), Just("a"), Just("b"), Just("cc"), Just("zz")];
    let regex = prop_oneof![Just(MatchOp::Regex), Just(MatchOp::NotRegex)];
    let pattern = prop_oneof![
        Just(""),
        Just(".*"),
        Just(".+"),
        Just("a|b"),
        Just("a.*"),
        Just("[ab]{2}"),
        Just("|a"),
        Just(".")
    ];
    let exact = (name.clone(), exact, value).prop_map(|(name, op, value)| Matcher::new(name, op, value));
    let regex = (name, regex, pattern).prop_map(|(name, op, pattern)| Matcher::new(name, op, pattern));
    prop_oneof![exact, regex].prop_map(|matcher| matcher.expect("it is right"))
}

async fn check(index: &Index, data: &Data, matchers: &[Matcher]) {
    let selected = index.select(matchers).await.expect("it is as written");
    let series = index.series_of(&selected.series).await.expect("it is as written");
    let found: Vec<Labels> =
        series.into_iter().map(|series| series.labels).filter(|labels| selected.matches(labels)).collect();
    let all = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
    let expected: Vec<Labels> = data.iter().map(|(labels, _)| labels.clone()).filter(all).collect();
    assert_eq!(found, expected, "{matchers:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn matchers_select_what_they_match(data in data(), matchers in prop::collection::vec(matcher(), 0..4)) {
        let files = write(&data, 1 << 20, 1 << 20);
        run(async {
            let (index, _) = read(&files).await.expect("it is as written");
            check(&index, &data, &matchers).await;
            let header = index.header().into();
            let file = Arc::new(InMemory::new("index", files.index.clone()));
            let again = Index::open_with_header(file, &header).expect("it is as written");
            assert_eq!(again.header(), &header[..]);
            assert!(again.symbols().eq(index.symbols()) && again.label_names().eq(index.label_names()));
            check(&again, &data, &matchers).await;
        });
    }

    #[test]
    fn chunks_come_in_the_order_that_is_asked_for(data in data(), places in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        for segment_bytes in [64, 1 << 20] {
            let files = write(&data, segment_bytes, 1 << 20);
            run(async {
                let (index, chunks) = read(&files).await.expect("it is as written");
                let (mut all, mut scan) = (Vec::<ChunkRef>::new(), index.scan());
                while let Some((_, series)) = scan.next().await.expect("it is as written") {
                    all.extend(series.chunks.iter().map(|chunk| chunk.reference));
                }
                let asked: Vec<ChunkRef> = places.iter().filter_map(|at| all.get(at.index(all.len().max(1)))).copied().collect();
                let found = chunks.read_many(&asked).await.expect("it is as written");
                assert_eq!(found.len(), asked.len());
                for (reference, chunk) in asked.iter().zip(found) {
                    assert_eq!(chunk, chunks.read(*reference).await.expect("it is as written"));
                }
            });
        }
    }
}

#[test]
fn a_header_is_that_of_one_index() {
    let data: Data = vec![(Labels::from_pairs([("a", "b")]), vec![vec![(1, 2.0)]])];
    let files = write(&data, 1 << 20, 1 << 20);
    let (index, _) = run(read(&files)).unwrap();
    let header = index.header();
    assert!(index.heap_bytes() > 0 && index.heap_bytes() < header.len() + 1000);
    let open = |header: Vec<u8>, index: Vec<u8>| {
        Index::open_with_header(Arc::new(InMemory::new("index", index)), &header.into()).map(drop)
    };
    open(header.clone(), files.index.clone()).unwrap();
    let longer = [files.index.clone(), vec![0]].concat();
    let error = open(header.clone(), longer).unwrap_err().to_string();
    assert!(error.contains("that of an index of"), "{error}");
    for bit in 0..header.len() * 8 {
        let mut damaged = header.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(damaged, files.index.clone()).is_err(), "bit {bit}");
    }
    for length in 0..header.len() {
        assert!(open(header[..length].to_vec(), files.index.clone()).is_err(), "{length} bytes");
    }
}

#[test]
fn a_long_list_is_not_read_where_few_series_are_left() {
    let series = |i: i64| {
        let pairs =
            [("instance", format!("{i:04}")), ("job", "api".to_owned()), ("odd", (i % 2).to_string())];
        (Labels::from_pairs(pairs), vec![vec![(i, 1.0)]])
    };
    let data: Data = (0..2000).map(series).collect();
    let files = write(&data, 1 << 20, 1 << 20);
    let matcher = |name, op, value| Matcher::new(name, op, value).expect("it is right");
    run(async {
        let (index, _) = read(&files).await.expect("it is as written");
        let few = matcher("instance", MatchOp::Regex, "000[1-4]");
        let (long, not) = (Matcher::equal("job", "api"), matcher("odd", MatchOp::NotEqual, "1"));
        let matchers = [long.clone(), not.clone(), few];
        let selected = index.select(&matchers).await.expect("it is as written");
        assert_eq!((selected.series.len(), &selected.unchecked[..]), (4, &[long.clone(), not.clone()][..]));
        check(&index, &data, &matchers).await;
        // Where many are left, it is.
        let selected = index.select(&[long, not]).await.expect("it is as written");
        assert_eq!((selected.series.len(), selected.unchecked.len()), (1000, 0));
    });
}
