//! Tests of the built program: it is started, talked to over HTTP, signalled and killed.

mod alertmanager;
mod api;
mod bad_input;
mod block_command;
mod bucket;
mod cluster;
mod compact_command;
mod ha;
mod http;
mod metastore;
mod process;
mod prometheus;
mod promql_http;
mod query_command;
mod remote_write_cases;
mod ruler;
mod rules_command;
mod running_queries;
mod start_timestamps;
mod support;
mod tools;
mod tracing;
