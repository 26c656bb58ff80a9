//! The dispatcher where notifications fail, hang, or are too many; time intervals; reloads.

use std::time::Duration;

use alertmanager::dispatch::{DispatchLimits, Dispatcher, Flushed, Notification, Outcome};
use alertmanager::matcher::Language;
use alertmanager::notification_log::Reason;
use alertmanager::silence::Silence;
use alertmanager::{Alert, Fingerprint, Moment};
use model::Labels;
use proptest::prelude::*;

use crate::support::{alert, config, seconds};

const CONFIG: &str = r#"
route:
  receiver: r
  group_by: [g]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 1h
  routes:
  - {match: {quiet: night}, mute_time_intervals: [night]}
  - {match: {quiet: day}, active_time_intervals: [night]}
time_intervals: [{name: night, time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]}]
receivers: [{name: r, webhook_configs: [{url: 'http://x'}]}]
"#;

fn dispatcher() -> Dispatcher {
    Dispatcher::new(&config(CONFIG), DispatchLimits::default())
}

fn group(name: &str) -> Labels {
    Labels::from_pairs([("g", name)])
}

fn one(dispatcher: &mut Dispatcher, at: f64) -> Notification {
    let mut notifications = dispatcher.flush(seconds(at)).notifications;
    assert_eq!(notifications.len(), 1, "{notifications:?}");
    notifications.remove(0)
}

#[test]
fn an_end_that_another_process_was_told_holds_also_where_the_clock_is_behind() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), Some(seconds(500.0))), seconds(0.0));
    let fires = one(&mut dispatcher, 10.0);
    dispatcher.done(&fires, Outcome::Sent, seconds(10.0));
    // It ended at 100 and that was posted at once, when it is not yet 100 here.
    let ended = Alert { updated_at: seconds(100.1), ..alert(group("a"), seconds(0.0), Some(seconds(100.0))) };
    dispatcher.hear(ended, seconds(99.8));
    let told = one(&mut dispatcher, 130.0);
    assert_eq!((told.reason, told.alerts[0].ends_at), (Reason::AllResolved, Some(seconds(100.0))));
}

#[test]
fn what_is_told_with_a_clock_that_is_behind_counts_all_the_same() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), None), seconds(0.0));
    let first = one(&mut dispatcher, 10.0);
    // Whoever told it has a clock that is five minutes ahead, and has gone.
    let (key, entry) = dispatcher.log_entry(&first, seconds(310.0));
    dispatcher.done(&first, Outcome::Failed, seconds(11.0));
    dispatcher.heard_told(key, entry.clone(), seconds(12.0));
    let labels = Labels::from_pairs([("g", "a"), ("name", "other")]);
    dispatcher.push(alert(labels, seconds(60.0), None), seconds(60.0));
    let told = one(&mut dispatcher, 70.0);
    assert_eq!((told.reason, told.alerts.len()), (Reason::NewAlerts, 2));
    let (_, noted) = dispatcher.log_entry(&told, seconds(70.0));
    assert!(noted.at > entry.at, "it was told in the knowledge of the other");
    dispatcher.done(&told, Outcome::Sent, seconds(70.0));
    for at in [130.0, 190.0, 250.0] {
        assert!(dispatcher.flush(seconds(at)).notifications.is_empty(), "it is told again at {at}");
    }
}

#[test]
fn labels_of_routes_know_all_alerts_of_the_group() {
    let labelled = CONFIG.replace("receiver: r\n", "receiver: r\n  labels: {count: '{{ len .Alerts }}'}\n");
    assert_ne!(labelled, CONFIG);
    let mut dispatcher = Dispatcher::new(&config(&labelled), DispatchLimits::default());
    for name in ["a", "b"] {
        let labels = Labels::from_pairs([("g", "x"), ("name", name)]);
        dispatcher.push(alert(labels, seconds(0.0), None), seconds(0.0));
    }
    dispatcher.silences_mut().store(Silence {
        id: "1".to_owned(),
        matchers: vec![Language::Fallback.matchers("name=a").expect("a matcher")],
        starts_at: seconds(0.0),
        ends_at: seconds(1e6),
        updated_at: seconds(0.0),
        created_by: String::new(),
        comment: String::new(),
        annotations: Default::default(),
    });
    let told = one(&mut dispatcher, 10.0);
    assert_eq!((told.alerts.len(), told.group_alerts.len()), (1, 2));
}

#[test]
fn what_failed_is_told_again_and_resolved_alerts_stay_until_they_were_told() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), Some(seconds(1e6))), seconds(0.0));
    let first = one(&mut dispatcher, 10.0);
    assert_eq!(first.reason, Reason::FirstNotification);
    assert_eq!(first.key.group, r#"{}:{g="a"}"#);
    assert_eq!(first.deadline, seconds(70.0));
    dispatcher.done(&first, Outcome::Failed, seconds(11.0));
    let again = one(&mut dispatcher, 70.0);
    assert_eq!(again.reason, Reason::FirstNotification);
    dispatcher.done(&again, Outcome::Sent, seconds(71.0));
    let mut resolved = alert(group("a"), seconds(0.0), Some(seconds(100.0)));
    resolved.updated_at = seconds(100.0);
    dispatcher.push(resolved, seconds(100.0));
    let resolved = one(&mut dispatcher, 130.0);
    assert_eq!((resolved.reason, resolved.alerts[0].ends_at), (Reason::AllResolved, Some(seconds(100.0))));
    dispatcher.done(&resolved, Outcome::Failed, seconds(131.0));
    assert_eq!(dispatcher.group_count(), 1);
    let resolved = one(&mut dispatcher, 190.0);
    dispatcher.done(&resolved, Outcome::Sent, seconds(191.0));
    assert_eq!((dispatcher.group_count(), dispatcher.next_due()), (0, None));
}

#[test]
fn a_group_waits_for_its_notification_and_others_do_not() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("slow"), seconds(0.0), None), seconds(0.0));
    dispatcher.push(alert(group("quick"), seconds(0.0), None), seconds(5.0));
    let slow = one(&mut dispatcher, 10.0);
    let quick = one(&mut dispatcher, 15.0);
    dispatcher.done(&quick, Outcome::Sent, seconds(15.0));
    dispatcher
        .push(alert(Labels::from_pairs([("g", "slow"), ("more", "x")]), seconds(20.0), None), seconds(20.0));
    dispatcher
        .push(alert(Labels::from_pairs([("g", "quick"), ("more", "x")]), seconds(20.0), None), seconds(20.0));
    let quick = one(&mut dispatcher, 200.0);
    assert_eq!((quick.key.group.as_str(), quick.reason), (r#"{}:{g="quick"}"#, Reason::NewAlerts));
    // What came meanwhile is told as soon as the first notification is through.
    dispatcher.done(&slow, Outcome::Sent, seconds(201.0));
    assert_eq!(dispatcher.next_due(), Some(seconds(70.0)));
    assert_eq!(one(&mut dispatcher, 201.0).alerts.len(), 2);
}

#[test]
fn a_resolved_alert_that_fires_again_meanwhile_stays() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), Some(seconds(1e6))), seconds(0.0));
    let first = one(&mut dispatcher, 10.0);
    dispatcher.done(&first, Outcome::Sent, seconds(10.0));
    let mut resolved = alert(group("a"), seconds(0.0), Some(seconds(20.0)));
    resolved.updated_at = seconds(20.0);
    dispatcher.push(resolved, seconds(20.0));
    let told = one(&mut dispatcher, 70.0);
    dispatcher.push(alert(group("a"), seconds(71.0), Some(seconds(1e6))), seconds(71.0));
    dispatcher.done(&told, Outcome::Sent, seconds(72.0));
    let fires = one(&mut dispatcher, 130.0);
    assert_eq!((fires.reason, fires.alerts[0].starts_at), (Reason::FirstNotification, seconds(71.0)));
}

#[test]
fn intervals_mute_and_activate_routes() {
    let quiet = |when| Labels::from_pairs([("g", when), ("quiet", when)]);
    let told = |hour: f64| {
        let mut dispatcher = dispatcher();
        let start = hour * 3_600.0;
        dispatcher.push(alert(quiet("night"), seconds(start), None), seconds(start));
        dispatcher.push(alert(quiet("day"), seconds(start), None), seconds(start));
        let Flushed { notifications, suppressed, .. } = dispatcher.flush(seconds(start + 10.0));
        let groups: Vec<String> =
            notifications.iter().map(|told| told.group_labels.get_or_empty("g").to_owned()).collect();
        (groups, suppressed.muted, suppressed.inactive)
    };
    assert_eq!(told(3.0), (vec!["day".to_owned()], 1, 0));
    assert_eq!(told(12.0), (vec!["night".to_owned()], 0, 1));
}

#[test]
fn an_old_alert_does_not_wait() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("old"), seconds(0.0), None), seconds(100.0));
    dispatcher.push(alert(group("new"), seconds(95.0), None), seconds(100.0));
    assert_eq!(dispatcher.next_due(), Some(seconds(100.0)));
    assert_eq!(one(&mut dispatcher, 100.0).group_labels, group("old"));
    assert_eq!(dispatcher.next_due(), Some(seconds(110.0)));
}

#[test]
fn a_reload_keeps_what_was_told_and_counts_what_is_under_way() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), None), seconds(0.0));
    let under_way = one(&mut dispatcher, 10.0);
    dispatcher.reload(&config(CONFIG), seconds(12.0));
    dispatcher.done(&under_way, Outcome::Sent, seconds(13.0));
    let notifications = dispatcher.flush(seconds(13.0)).notifications;
    assert!(notifications.is_empty(), "{notifications:?}");
    assert_eq!(dispatcher.group_count(), 1);
    assert_eq!(dispatcher.log().iter().count(), 1);
    // An hour later it is repeated.
    let repeated = one(&mut dispatcher, 3_700.0);
    assert_eq!(repeated.reason, Reason::Repeat);
}

#[test]
fn groups_and_alerts_have_bounds() {
    let limits = DispatchLimits { groups: 1, alerts: 2, log_retention: Duration::from_secs(60) };
    let mut dispatcher = Dispatcher::new(&config(CONFIG), limits);
    let mut push = |name: &str| dispatcher.push(alert(group(name), seconds(0.0), None), seconds(0.0));
    assert_eq!((push("a").groups_refused, push("b").groups_refused), (0, 1));
    assert!(push("c").refused);
    assert!(!push("a").refused);
}

#[test]
fn fingerprints_do_not_depend_on_the_order_of_labels() {
    let of = |pairs: &[(&str, &str)]| Fingerprint::of(&Labels::from_pairs(pairs.to_vec())).to_string();
    assert_eq!(of(&[]), "cbf29ce484222325");
    assert_eq!(of(&[("a", "x"), ("b", "y")]), of(&[("b", "y"), ("a", "x")]));
    assert_ne!(of(&[("a", "xb"), ("c", "")]), of(&[("a", "x"), ("b", "")]));
}

proptest! {
    /// Whatever is pushed and however notifications go: every alert that fires at the end and is not told is in a group
    /// that is due or under way, and no group is told of twice at once.
    #[test]
    fn nothing_is_lost(steps in prop::collection::vec((0u64..40, 0usize..4, 0u8..4), 1..60)) {
        let mut dispatcher = dispatcher();
        let mut now = 0.0;
        let mut under_way: Vec<Notification> = Vec::new();
        for (wait, name, kind) in steps {
            now += wait as f64;
            let name = ["a", "b", "c", "d"][name];
            let at = seconds(now);
            match kind {
                0 => drop(dispatcher.push(alert(group(name), at, Some(at.plus(Duration::from_secs(100)))), at)),
                1 => drop(dispatcher.push(alert(group(name), seconds(now - 1.0), Some(at)), at)),
                2 => if let Some(notification) = under_way.pop() {
                    dispatcher.done(&notification, Outcome::Sent, at);
                },
                _ => if !under_way.is_empty() {
                    let notification = under_way.remove(0);
                    dispatcher.done(&notification, Outcome::Failed, at);
                },
            }
            let notifications = dispatcher.flush(at).notifications;
            for notification in notifications {
                prop_assert!(under_way.iter().all(|other| other.key != notification.key));
                prop_assert!(!notification.alerts.is_empty());
                under_way.push(notification);
            }
        }
        let at: Moment = seconds(now);
        for alert in dispatcher.alerts().filter(|alert| !alert.is_resolved(at)) {
            let fingerprint = alert.fingerprint();
            let told = dispatcher.log().iter().any(|(_, entry)| entry.firing.contains(&fingerprint));
            let sending = under_way.iter().any(|told| told.alerts.iter().any(|a| a.fingerprint() == fingerprint));
            prop_assert!(told || sending || dispatcher.next_due().is_some(), "{alert:?}");
            prop_assert!(dispatcher.groups(seconds(0.0)).iter().any(|group| group.alerts.iter().any(|a| a.fingerprint() == fingerprint)));
        }
    }
}

#[test]
fn who_takes_over_goes_on_where_the_other_was() {
    let (mut teller, mut follower) = (dispatcher(), dispatcher());
    for dispatcher in [&mut teller, &mut follower] {
        dispatcher.push(alert(group("a"), seconds(0.0), Some(seconds(1e6))), seconds(0.0));
        dispatcher.push(alert(group("b"), seconds(0.0), Some(seconds(1e6))), seconds(0.0));
    }
    let told = teller.flush(seconds(10.0)).notifications;
    assert_eq!(told.len(), 2);
    // What was told of one group is known to the other; of the second one it was never said.
    let (key, entry) = teller.log_entry(&told[0], seconds(10.5));
    follower.follow(seconds(12.0));
    follower.log_mut().record(key, entry);
    follower.take_over(seconds(12.0));
    let due = one(&mut follower, 13.0);
    assert_eq!(due.key.group, told[1].key.group);
    follower.done(&due, Outcome::Sent, seconds(13.0));
    // The first goes on as it would have: nothing is told again before it is to be repeated.
    assert!(follower.flush(seconds(70.0)).notifications.is_empty());
    let mut more = alert(Labels::from_pairs([("g", "a"), ("x", "1")]), seconds(71.0), Some(seconds(1e6)));
    if told[0].key.group.contains("\"b\"") {
        more.labels = Labels::from_pairs([("g", "b"), ("x", "1")]);
    }
    follower.push(more, seconds(71.0));
    assert_eq!(one(&mut follower, 131.0).reason, Reason::NewAlerts);
}

#[test]
fn what_others_have_told_is_forgotten_and_nothing_else() {
    let mut follower = dispatcher();
    follower.push(alert(group("a"), seconds(0.0), Some(seconds(100.0))), seconds(0.0));
    let mut teller = dispatcher();
    teller.push(alert(group("a"), seconds(0.0), Some(seconds(100.0))), seconds(0.0));
    let first = one(&mut teller, 10.0);
    let (key, entry) = teller.log_entry(&first, seconds(10.0));
    follower.log_mut().record(key, entry);
    follower.follow(seconds(11.0));
    follower.follow(seconds(200.0));
    assert_eq!(follower.group_count(), 1, "nobody was told yet that it is resolved");
    teller.done(&first, Outcome::Sent, seconds(10.0));
    let resolved = one(&mut teller, 200.0);
    assert_eq!(resolved.reason, Reason::AllResolved);
    let (key, entry) = teller.log_entry(&resolved, seconds(200.0));
    follower.log_mut().record(key, entry);
    follower.follow(seconds(300.0));
    assert_eq!(follower.group_count(), 0);
}

#[test]
fn what_is_called_off_is_told_by_whoever_is_next() {
    let mut dispatcher = dispatcher();
    dispatcher.push(alert(group("a"), seconds(0.0), Some(seconds(1e6))), seconds(0.0));
    let first = one(&mut dispatcher, 10.0);
    dispatcher.call_off();
    dispatcher.take_over(seconds(11.0));
    assert_eq!(one(&mut dispatcher, 11.0).key, first.key);
}

#[test]
fn what_another_process_has_does_not_replace_what_was_posted_later() {
    let mut dispatcher = dispatcher();
    let fires = alert(group("a"), seconds(0.0), Some(seconds(300.0)));
    let ended = Alert { ends_at: Some(seconds(20.0)), updated_at: seconds(20.0), ..fires.clone() };
    dispatcher.push(fires.clone(), seconds(0.0));
    dispatcher.hear(ended, seconds(21.0));
    dispatcher.hear(fires.clone(), seconds(22.0));
    assert!(
        dispatcher.alerts().all(|alert| alert.is_resolved(seconds(22.0))),
        "it was said before that it ended"
    );
    // Somebody whose clock is behind is posted that it fires again.
    let mut again = [Alert { starts_at: seconds(21.0), updated_at: seconds(19.0), ..fires }];
    dispatcher.date(&mut again);
    for alert in again {
        dispatcher.hear(alert, seconds(23.0));
    }
    assert!(dispatcher.alerts().all(|alert| !alert.is_resolved(seconds(23.0))));
}

#[test]
fn what_has_ended_since_it_was_told_is_told_by_whoever_takes_over() {
    let mut teller = dispatcher();
    let fires = alert(group("a"), seconds(0.0), Some(seconds(300.0)));
    teller.push(fires.clone(), seconds(0.0));
    let first = one(&mut teller, 10.0);
    let (key, entry) = teller.log_entry(&first, seconds(10.0));
    // Who does not know that it was told that it fires has nothing to tell of its end, and no group.
    let mut other = dispatcher();
    let ended = Alert { ends_at: Some(seconds(20.0)), updated_at: seconds(20.0), ..fires };
    other.push(ended, seconds(20.0));
    assert!(other.flush(seconds(40.0)).notifications.is_empty());
    assert_eq!(other.group_count(), 0);
    other.log_mut().record(key, entry);
    other.take_over(seconds(50.0));
    let last = one(&mut other, 200.0);
    assert_eq!(last.reason, Reason::AllResolved);
    other.done(&last, Outcome::Sent, seconds(200.0));
    other.take_over(seconds(201.0));
    assert_eq!(other.group_count(), 0, "it was told");
}
