//! Silences: what changing one comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::matcher::{Language, Matcher};
use alertmanager::silence::{Silence, SilenceError, SilenceState, Silences};
use model::{Labels, MatchOp};

use crate::support::seconds;

fn silence(id: &str, value: &str, from: f64, to: f64) -> Silence {
    Silence {
        id: id.to_owned(),
        matchers: vec![vec![Matcher::new("a", MatchOp::Equal, value).expect("a matcher")]],
        starts_at: seconds(from),
        ends_at: seconds(to),
        updated_at: seconds(from),
        created_by: String::new(),
        comment: String::new(),
        annotations: BTreeMap::new(),
    }
}

/// Changes a silence: its name, and how many are stored for it.
fn change(
    silences: &mut Silences,
    silence: Silence,
    new: &str,
    now: f64,
) -> Result<(String, usize), SilenceError> {
    let change = silences.change(silence, new, Language::Fallback, 3, seconds(now))?;
    let count = change.store.len();
    change.store.into_iter().for_each(|silence| silences.store(silence));
    Ok((change.id, count))
}

fn silencing(silences: &Silences, value: &str, now: f64) -> Vec<String> {
    let labels = Labels::from_pairs([("a", value)]);
    silences.silencing(&labels, seconds(now)).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_silence_keeps_its_name_while_its_past_stays_true() {
    let mut all = Silences::default();
    assert_eq!(change(&mut all, silence("", "x", 5.0, 20.0), "one", 10.0), Ok(("one".into(), 1)));
    assert_eq!(all.get("one").unwrap().starts_at, seconds(10.0));
    // Its end may move; its matchers may not, and what it was stays in history.
    assert_eq!(change(&mut all, silence("one", "x", 10.0, 30.0), "no", 12.0), Ok(("one".into(), 1)));
    assert_eq!(change(&mut all, silence("one", "y", 10.0, 30.0), "two", 13.0), Ok(("two".into(), 2)));
    assert_eq!(all.get("one").unwrap().state(seconds(14.0)), SilenceState::Expired);
    assert_eq!((silencing(&all, "x", 14.0), silencing(&all, "y", 14.0)), (vec![], vec!["two".to_owned()]));
    // One that is over begins anew under another name.
    assert_eq!(change(&mut all, silence("one", "x", 10.0, 50.0), "three", 15.0), Ok(("three".into(), 1)));
    let too_many = change(&mut all, silence("", "x", 10.0, 50.0), "four", 15.0).unwrap_err();
    assert_eq!(too_many.to_string(), "exceeded maximum number of silences: 3 (limit: 3)");
    all.forget(Duration::from_secs(10), seconds(24.0));
    assert!(all.get("one").is_none() && all.get("two").is_some());
}

#[test]
fn a_silence_holds_from_its_start_to_its_end() {
    let mut all = Silences::default();
    change(&mut all, silence("", "x", 20.0, 30.0), "s", 10.0).unwrap();
    let states: Vec<usize> =
        [19.0, 20.0, 30.0, 31.0].iter().map(|now| silencing(&all, "x", *now).len()).collect();
    assert_eq!(states, [0, 1, 1, 0]);
    // One that is ended before its start never begins.
    let ended = all.expire("s", seconds(12.0)).unwrap().unwrap();
    assert_eq!((ended.starts_at, ended.ends_at), (seconds(12.0), seconds(12.0)));
    all.store(ended);
    assert!(silencing(&all, "x", 20.0).is_empty());
    assert_eq!(all.expire("s", seconds(13.0)), Ok(None));
    assert_eq!(all.expire("t", seconds(13.0)), Err(SilenceError::NotFound));
    // An older word does not undo a newer one.
    all.store(silence("s", "x", 5.0, 100.0));
    assert!(silencing(&all, "x", 20.0).is_empty());
}

#[test]
fn what_would_silence_everything_is_refused() {
    let all = Silences::default();
    let message = |silence: Silence| {
        all.change(silence, "n", Language::Fallback, 3, seconds(0.0)).unwrap_err().to_string()
    };
    let with = |matchers: Vec<Vec<Matcher>>| Silence { matchers, ..silence("", "x", 0.0, 1.0) };
    let matcher = |op, value: &str| Matcher::new("a", op, value).unwrap();
    assert_eq!(message(with(vec![])), "invalid silence: at least one matcher set required");
    assert_eq!(message(with(vec![vec![]])), "invalid silence: matcher set 0 is empty");
    let everything = "invalid silence: matcher set 0: at least one matcher must not match the empty string";
    assert_eq!(
        message(with(vec![vec![matcher(MatchOp::Regex, ".*"), matcher(MatchOp::Equal, "")]])),
        everything
    );
    assert_eq!(
        message(silence("", "x", 2.0, 1.0)),
        "invalid silence: end time must not be before start time"
    );
    assert_eq!(message(silence("unknown", "x", 0.0, 1.0)), "silence not found");
    // Inequality says something of the label.
    assert!(
        all.change(
            with(vec![vec![matcher(MatchOp::NotEqual, "b")]]),
            "n",
            Language::Fallback,
            3,
            seconds(0.0)
        )
        .is_ok()
    );
}
