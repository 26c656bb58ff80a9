//! The binary: reads the command line, composes roles into one process, runs them, and stops them in order.
//!
//! Nothing here knows about samples or queries. What a role needs it is handed here; roles meet through `proto` traits.

mod alert_pages;
mod alerts;
mod block;
mod bucket_command;
mod cli;
mod cluster;
mod compact;
mod compaction;
mod compose;
mod config;
mod control;
mod data_dir;
mod error;
mod grpc;
mod limits_file;
mod local_blocks;
mod memory_limit;
mod metastore;
mod output;
mod pages;
mod peers;
mod planner;
mod process;
mod process_metrics;
mod query;
mod readiness;
mod ready;
mod roles;
mod rules;
mod self_monitoring;
mod signals;
mod status;
mod traces;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os(), &env::RealFs) {
        cli::Action::Run(run) => process::run(*run),
        cli::Action::Exit(code) => code,
    }
}
