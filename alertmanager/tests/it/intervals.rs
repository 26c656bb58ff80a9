//! Time intervals.

use alertmanager::Moment;
use alertmanager::config::Config;
use alertmanager::interval::TimeInterval;
use alertmanager::matcher::Language;
use gotemplate::time::GoTime;

use crate::support::{cases, list, none_wrong, plain, text};

fn intervals(text: &str) -> Result<Vec<TimeInterval>, String> {
    let indented = text.replace('\n', "\n    ");
    let config = format!(
        "route: {{receiver: r}}\nreceivers: [{{name: r}}]\ntime_intervals:\n- name: i\n  time_intervals:\n    {indented}\n"
    );
    let config = Config::parse(&config, Language::Fallback).map_err(|error| error.to_string())?;
    Ok(config.time_intervals.get("i").cloned().unwrap_or_default())
}

fn moment(text: &str) -> Moment {
    let time = GoTime::parse("2006-01-02T15:04:05Z07:00", text).expect("a moment");
    Moment::from_millis(time.unix_millis())
}

#[test]
fn times_are_inside_where_upstream_has_them() {
    let mut wrong = Vec::new();
    for case in cases("time_intervals.yml") {
        let id = text(&case, "id");
        let expected = text(&case, "error");
        let intervals = match intervals(text(&case, "intervals")) {
            Ok(intervals) => intervals,
            Err(message) if !expected.is_empty() && message.contains(expected) => continue,
            Err(message) => {
                wrong.push(format!("{id}: {message}, expected {expected:?}"));
                continue;
            }
        };
        if !expected.is_empty() {
            wrong.push(format!("{id}: accepted, expected {expected:?}"));
        }
        for (key, inside) in [("contains", true), ("excludes", false)] {
            for time in list(&case[key]) {
                let at = moment(&plain(&time));
                if intervals.iter().any(|interval| interval.contains(at)) != inside {
                    wrong.push(format!("{id}: {time} should be {key}"));
                }
            }
        }
    }
    none_wrong(&wrong);
}

#[track_caller]
fn check(interval: &str, inside: &[&str], outside: &[&str]) {
    let intervals = intervals(&format!("- {{{interval}}}")).expect("an interval");
    for (times, expected) in [(inside, true), (outside, false)] {
        for time in times {
            assert_eq!(intervals[0].contains(moment(time)), expected, "{interval}: {time}");
        }
    }
}

#[test]
fn zones_have_summer_and_winter() {
    // Nine in Berlin is seven in summer and eight in winter; the clock jumps on the 31st of March 2024 at one.
    let nine = "times: [{start_time: '09:00', end_time: '10:00'}], location: Europe/Berlin";
    check(
        nine,
        &["2024-07-01T07:30:00Z", "2024-01-01T08:30:00Z"],
        &["2024-07-01T08:30:00Z", "2024-01-01T07:30:00Z"],
    );
    let two = "times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin";
    check(two, &["2024-03-30T01:30:00Z"], &["2024-03-31T00:59:00Z", "2024-03-31T01:00:00Z"]);
    check(
        "days_of_month: ['1'], location: Pacific/Auckland",
        &["2024-01-31T12:00:00Z"],
        &["2024-01-31T10:00:00Z"],
    );
}

#[test]
fn days_count_from_the_end_of_each_month() {
    check(
        "days_of_month: ['-1']",
        &["2024-02-29T12:00:00Z", "2023-02-28T12:00:00Z", "2024-04-30T00:00:00Z"],
        &["2024-02-28T12:00:00Z", "2024-03-30T23:59:59Z"],
    );
    check("days_of_month: ['31']", &["2024-01-31T12:00:00Z"], &["2024-02-29T12:00:00Z"]);
    check("weekdays: ['Sunday']", &["2024-01-07T12:00:00Z"], &["2024-01-08T12:00:00Z"]);
    check(
        "months: ['2', 'may:june']",
        &["2024-02-01T00:00:00Z", "2024-06-30T23:59:00Z"],
        &["2024-07-01T00:00:00Z"],
    );
    check("times: []", &[], &["2024-07-01T00:00:00Z"]);
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        ("location: Europe/Atlantis", "unknown time zone Europe/Atlantis"),
        ("times: [{start_time: '9:00', end_time: '10:00'}]", "couldn't parse timestamp 9:00, invalid format"),
        ("weekdays: ['friday:monday']", "start day cannot be before end day"),
        ("years: ['x']", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("days_of_month: ['1:2:3']", "couldn't parse range 1:2:3, invalid format"),
        ("colour: red", "field colour not found in type timeinterval.TimeInterval"),
    ];
    for (interval, expected) in cases {
        let message = intervals(&format!("- {{{interval}}}")).unwrap_err();
        assert!(message.contains(expected), "{interval}: {message}");
    }
}
