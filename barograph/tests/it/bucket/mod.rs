//! A process with a bucket, as its operator sees it: killed, cut off, lied to. What was acknowledged is answered whole, or
//! there is an error; and where the disk is lost, the bucket has what was flushed.

mod damaged;
mod faults;
mod host;
mod kills;
mod local;
mod many;
mod proxy;
mod samples;
