//! A compactor over a bucket in memory that fails when it is told to, and a disk that forgets what was not synced.

mod broken;
mod cleaning;
mod crashes;
mod flips;
mod jobs;
mod many;
mod rivals;
mod support;
