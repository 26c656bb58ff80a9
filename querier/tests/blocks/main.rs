//! Queries over blocks of a bucket: as if all their samples were in one place, or not answered at all.

mod covered;
mod failures;
mod foreign;
mod random;
mod standing_still;
mod support;
mod with_ingesters;
