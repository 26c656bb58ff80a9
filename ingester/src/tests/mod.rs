//! The ingester as a whole, on a disk that forgets what was not synced: what it acknowledged it must give back.

mod blocks;
mod cardinality;
mod checksums;
mod crash;
mod faults;
mod hand_over;
mod http;
mod random;
mod retention;
mod slow_disk;
mod standing;
mod start_timestamps;
mod support;
mod version_two;
mod zone;
