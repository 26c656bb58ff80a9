//! A log that version 2 of the format was written with, committed as it was, must be readable for ever.

use crate::fixtures::{check_loads, check_written};

#[test]
fn the_fixture_still_loads() {
    check_loads(2);
}

/// Where this fails on purpose, the format needs a new version and the fixture stays.
#[test]
fn the_fixture_is_what_is_written() {
    check_written(2);
}
