//! `barograph compact …`: what a compactor would do with the blocks of a bucket, and doing it once, for people at a shell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use bucket::{BucketConfig, Layout};
use clap::{Arg, ArgMatches, Command, value_parser};
use compactor::{Alone, Compactor, CompactorConfig, CompactorLimits, Deps, Status};
use env::{Clock, FileSystem, OsSeededRng, RealFs, Scope, SystemClock};
use model::TenantId;
use settings::{Overrides, Schema};
use telemetry::Registry;

use crate::bucket_command::{self, CommandBucket};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  barograph compact plan --config barograph.yaml
      What there is to do with the blocks of every tenant. Nothing is changed.

  barograph compact run --tenant team-a --bucket.backend filesystem
      Merges, splits and removes blocks of a tenant until there is nothing to do, in the bucket in ./data/bucket while no
      process runs on it.

A cluster has processes with the role compactor for this. A command beside them does no harm: who finishes a job second
changes nothing.";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    let with = |command: Command| {
        let command = command
            .arg(
                Arg::new("tenant")
                    .long("tenant")
                    .value_name("TENANT")
                    .help("Only this tenant; without it all of them"),
            )
            .arg(
                Arg::new("config")
                    .long("config")
                    .value_name("FILE")
                    .help("The configuration file that names the bucket"),
            )
            .arg(Arg::new("data").long("data").value_name("DIR").help(
                "The data directory that the bucket is in, where it is one of files [default: ./data]",
            ));
        Schema::new()
            .with::<BucketConfig>()
            .with::<CompactorConfig>()
            .with::<CompactorLimits>()
            .add_flags(command)
    };
    let format = Arg::new("format").long("format").value_parser(["text", "json"]).default_value("text");
    let scratch = Arg::new("scratch").long("scratch").value_name("DIR").value_parser(value_parser!(PathBuf));
    Command::new("compact")
        .about("Plan and run the compaction of a bucket's blocks")
        .after_long_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with(
            Command::new("plan")
                .about("Show what there is to do; nothing is changed")
                .arg(format.help("For people, or for programs")),
        ))
        .subcommand(with(Command::new("run").about("Do what there is to do, once").arg(
            scratch.help("Where blocks are written before they are uploaded; without it the system's folder for temporary files"),
        )))
}

/// Does a command, and says how it went.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match matches.subcommand() {
            Some(("plan", asked)) => Session::open(asked)?.plan(asked).await,
            Some(("run", asked)) => Session::open(asked)?.run().await,
            _ => Ok((String::new(), ExitCode::from(2))),
        }
    });
    match done {
        Ok((text, code)) => {
            let printed = output::out(&text);
            if code == ExitCode::SUCCESS { printed } else { code }
        }
        Err(message) => {
            output::error(&message);
            ExitCode::FAILURE
        }
    }
}

/// A compactor for one command.
struct Session {
    compactor: Compactor,
    tenants: Option<TenantId>,
    opened: CommandBucket,
}

impl Session {
    fn open(asked: &ArgMatches) -> Result<Self, String> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let opened = bucket_command::open(&fs, asked, Arc::clone(&clock))?;
        if opened.bucket.config().layout == Layout::Thanos {
            return Err("bucket.layout is thanos: its blocks are compacted by Thanos alone".to_owned());
        }
        let tenant =
            asked.get_one::<String>("tenant").map(|name| TenantId::new(name).map_err(|e| e.to_string()));
        let scratch = asked.try_get_one::<PathBuf>("scratch").ok().flatten().cloned();
        let dir = scratch
            .unwrap_or_else(std::env::temp_dir)
            .join(format!("barograph-compact-{}", std::process::id()));
        let deps = Deps {
            fs,
            clock,
            rng: Arc::new(OsSeededRng::new()),
            scope: Scope::new("compact"),
            registry: Registry::new(),
            dir,
            bucket: opened.bucket.clone(),
            limits: Overrides::fixed(opened.config.compactor_limits.clone()),
            replicas: u32::from(opened.config.process.replication_factor),
            owners: Arc::new(Alone),
        };
        let compactor = Compactor::build(opened.config.compactor.clone(), deps);
        Ok(Self { compactor, tenants: tenant.transpose()?, opened })
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, String> {
        match &self.tenants {
            Some(tenant) => Ok(vec![tenant.clone()]),
            None => self.opened.bucket.tenants().await.map_err(|error| output::chain(&error)),
        }
    }

    async fn plan(&self, asked: &ArgMatches) -> Result<(String, ExitCode), String> {
        let mut tenants = BTreeMap::new();
        for tenant in self.tenants().await? {
            let planned = self.compactor.plan(&tenant).await;
            let planned = planned.map_err(|error| format!("tenant {tenant}: {}", output::chain(&error)))?;
            tenants.insert(tenant.to_string(), planned);
        }
        let status = Status { last_round_ms: None, tenants };
        let text = match asked.get_one::<String>("format").map(String::as_str) {
            Some("json") => format!("{:#}\n", serde_json::json!(status)),
            _ => status.to_text(),
        };
        Ok((text, ExitCode::SUCCESS))
    }

    async fn run(&self) -> Result<(String, ExitCode), String> {
        let (mut text, mut code) = (String::new(), ExitCode::SUCCESS);
        for tenant in self.tenants().await? {
            let looked = self.compactor.look(&tenant).await;
            let looked = looked.map_err(|error| format!("tenant {tenant}: {}", output::chain(&error)))?;
            text.push_str(&format!(
                "{tenant}: {} blocks merged into {}, {} dropped, {} set aside, {} jobs failed\n",
                looked.merged.len(),
                looked.written.len(),
                looked.dropped.len(),
                looked.set_aside.len(),
                looked.failed_jobs
            ));
            if looked.failed_jobs > 0 || !looked.set_aside.is_empty() {
                code = ExitCode::FAILURE;
            }
        }
        let status = self.compactor.status();
        for (tenant, of) in &status.tenants {
            for (block, why) in &of.excluded {
                text.push_str(&format!("{tenant}: set aside: {block}: {why}\n"));
            }
            for job in of.jobs.iter().filter_map(|job| job.failure.as_ref()) {
                text.push_str(&format!("{tenant}: failed: {job}\n"));
            }
        }
        Ok((text, code))
    }
}
