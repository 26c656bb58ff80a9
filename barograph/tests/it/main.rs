//! Tests of the built program: it is started, talked to over HTTP, signalled and killed.

mod hostile;
mod process;
mod prometheus;
mod support;
