//! Sections through the public API: file, environment, flags, defaults, refusals and help.

use std::net::SocketAddr;
use std::time::Duration;

use settings::{ByteSize, Schema, Secret, Shown, Values};

settings::choices! {
    /// How writes reach the disk.
    pub enum Sync {
        /// Every write.
        Always = "always",
        /// In the background.
        Never = "never",
    }
}

settings::section! {
    /// Keys at the top.
    pub struct Top ("") {
        /// Where HTTP listens.
        http: SocketAddr = "127.0.0.1:9009";
        /// Which roles run.
        target: Vec<String> = "all";
    }
}

settings::section! {
    /// What the ingester needs to know.
    pub struct IngesterConfig ("ingester") {
        /// How often a head snapshot is taken.
        ///
        /// More often means quicker restarts.
        snapshot_interval: Duration = "15m", range "1m"..="6h";
        /// Shards.
        shards: usize = "16", min "1";
        /// Buffer.
        buffer: ByteSize = "64MiB", max "1GiB";
        /// Whether to.
        early: bool = "false";
        /// A password.
        password: Secret = "";
        /// Zone, if any.
        zone: Option<String> = "";
    }
    check shards_fit_buffer;
}

settings::section! {
    /// The log.
    pub struct WalConfig ("ingester.wal") {
        /// How writes reach the disk.
        sync: Sync = "always";
    }
}

fn shards_fit_buffer(config: &IngesterConfig) -> Result<(), String> {
    let shards = config.shards as u64;
    if shards > config.buffer.bytes() {
        Err("ingester: more shards than bytes of buffer".to_owned())
    } else {
        Ok(())
    }
}

fn schema() -> Schema {
    Schema::new().with::<Top>().with::<IngesterConfig>().with::<WalConfig>()
}

fn read(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Values, String> {
    let command = schema().add_flags(clap::Command::new("barograph"));
    let flags = std::iter::once("barograph").chain(flags.iter().copied());
    let matches = command.try_get_matches_from(flags).map_err(|error| error.to_string())?;
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    schema()
        .values(Some(("b.yaml", file)), environment, Some(&matches))
        .map_err(|problems| problems.to_string())
}

fn refused(file: &str, expected: &str) {
    assert_eq!(read(file, &[], &[]).expect_err(file), expected);
}

#[test]
fn later_sources_win() {
    let file = "target: [ingester, querier]\ningester:\n  snapshot_interval: 2m\n  shards: 3\n  buffer: 1MB\n  wal: {sync: never}\n";
    let environment =
        [("BAROGRAPH_INGESTER_SNAPSHOT_INTERVAL", "3m"), ("BAROGRAPH_INGESTER_SHARDS", "4"), ("HOME", "/")];
    let values = read(file, &environment, &["--ingester.snapshot-interval=4m", "--ingester.early"]).unwrap();
    let config: IngesterConfig = values.get().unwrap();
    assert_eq!(config.snapshot_interval, Duration::from_secs(240));
    assert_eq!((config.shards, config.buffer.bytes(), config.early, config.zone), (4, 1_000_000, true, None));
    assert_eq!(values.get::<Top>().unwrap().target, ["ingester", "querier"]);
    assert_eq!(values.get::<WalConfig>().unwrap().sync, Sync::Never);
    assert_eq!(values.unknown_variables(), []);
}

#[test]
fn kebab_case_is_accepted_in_files() {
    let values = read("ingester:\n  snapshot-interval: 1h30m\n", &[], &[]).unwrap();
    assert_eq!(values.get::<IngesterConfig>().unwrap().snapshot_interval, Duration::from_secs(5_400));
}

#[test]
fn wrong_values_are_refused_with_place_key_and_range() {
    refused(
        "# x\ningester:\n  snapshot_interval: 15 minutes\n",
        "b.yaml:3:22: ingester.snapshot_interval: value \"15 minutes\" refused; expected a duration such as 500ms, 15m, \
         1h30m or 2d, from 1m to 6h",
    );
    refused(
        "ingester:\n  snapshot_interval: 10s\n",
        "b.yaml:2:22: ingester.snapshot_interval: value \"10s\" refused; expected a duration, from 1m to 6h",
    );
    refused(
        "ingester: {buffer: 2GiB}\n",
        "b.yaml:1:20: ingester.buffer: value \"2GiB\" refused; expected a size, at most 1GiB",
    );
    refused(
        "ingester:\n  shards: 0\n",
        "b.yaml:2:11: ingester.shards: value \"0\" refused; expected an integer, at least 1",
    );
    refused(
        "ingester:\n  wal:\n    sync: sometimes\n",
        "b.yaml:3:11: ingester.wal.sync: value \"sometimes\" refused; expected one of always, never",
    );
    refused(
        "ingester:\n  shards: [1]\n",
        "b.yaml:2:11: ingester.shards: value refused; expected an integer, not a list, at least 1",
    );
    refused(
        "ingester:\n  early:\n",
        "b.yaml:2:8: ingester.early: value refused; expected a boolean, not nothing",
    );
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    refused(
        "ingester:\n  snapshot_intervall: 2m\n",
        "b.yaml:2:3: ingester.snapshot_intervall: no such key; did you mean ingester.snapshot_interval?",
    );
    refused("zzz: 1\n", "b.yaml:1:1: zzz: no such key; `barograph config defaults` lists all of them");
    refused(
        "ingester: 3\n",
        "b.yaml:1:11: ingester: expected a mapping of the section's keys, not a single value",
    );
    refused("- a\n", "b.yaml:1:1: expected keys and values, not a list");
}

#[test]
fn all_problems_are_reported_at_once() {
    let error = read("ingester:\n  shards: x\n  early: 1\nnope: 1\n", &[], &["--http=here"]).unwrap_err();
    assert_eq!(error.lines().count(), 4, "{error}");
    assert!(
        error.contains("flag --http: http: value \"here\" refused; expected an IP address and port"),
        "{error}"
    );
}

#[test]
fn keys_given_twice_are_refused() {
    refused("http: :1\nhttp: :2\n", "b.yaml:2:1: key \"http\" stands twice in one mapping");
    refused(
        "ingester:\n  snapshot-interval: 2m\n  snapshot_interval: 2m\n",
        "b.yaml:3:3: ingester.snapshot_interval: given twice in this file",
    );
}

#[test]
fn broken_yaml_is_refused_with_its_place() {
    let error = read("ingester:\n  shards: [1\n", &[], &[]).unwrap_err();
    assert!(error.starts_with("b.yaml:2:11: not valid YAML: "), "{error}");
}

#[test]
fn fields_are_checked_together() {
    refused(
        "ingester:\n  shards: 9\n  buffer: 8\n",
        "b.yaml:2:11: ingester: more shards than bytes of buffer",
    );
}

#[test]
fn secrets_are_not_shown() {
    let values = read("ingester:\n  password: hunter2\n", &[], &[]).unwrap();
    let config: IngesterConfig = values.get().unwrap();
    assert_eq!(config.password.expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    let mut shown = Shown::default();
    shown.add(&config);
    let yaml = shown.to_yaml();
    assert!(yaml.contains("  password: \"(hidden)\"\n") && !yaml.contains("hunter2"), "{yaml}");
}

#[test]
fn unknown_variables_are_reported_not_refused() {
    let values =
        read("", &[("BAROGRAPH_PORT", "tcp://10.0.0.1:80"), ("BAROGRAPH_INGESTER_SHARD", "2")], &[]).unwrap();
    let unknown = values.unknown_variables();
    assert_eq!(unknown.len(), 2);
    assert_eq!(unknown[1].near.as_deref(), Some("BAROGRAPH_INGESTER_SHARDS"));
}

#[test]
fn defaults_are_a_file_that_reads_back_as_defaults() {
    let text = schema().defaults();
    let expected = "\
# Where HTTP listens.
# Type: address. Flag: --http.
http: \"127.0.0.1:9009\"
# Which roles run.
# Type: list. Flag: --target.
target: all

# What the ingester needs to know.
ingester:
  # How often a head snapshot is taken.
  #
  # More often means quicker restarts.
  # Type: duration, from 1m to 6h. Flag: --ingester.snapshot-interval.
  snapshot_interval: 15m
  # Shards.
  # Type: integer, at least 1. Flag: --ingester.shards.
  shards: 16
";
    assert!(text.starts_with(expected), "{text}");
    let values = schema().values(Some(("defaults", &text)), std::iter::empty(), None).unwrap();
    assert_eq!(
        format!("{:?}", values.get::<IngesterConfig>()),
        format!("{:?}", Ok::<_, ()>(IngesterConfig::default()))
    );
}

#[test]
fn help_teaches() {
    let mut command = schema().add_flags(clap::Command::new("barograph").term_width(200));
    let help = command.render_long_help().to_string();
    assert!(help.contains("ingester.wal:\n"), "{help}");
    assert!(help.contains("--ingester.snapshot-interval <DURATION>"), "{help}");
    assert!(help.contains("[from 1m to 6h; default 15m; BAROGRAPH_INGESTER_SNAPSHOT_INTERVAL]"), "{help}");
}

#[test]
fn values_for_tests() {
    let config: IngesterConfig = settings::with_values(&[("shards", "2")]).unwrap();
    assert_eq!(config.shards, 2);
    assert!(settings::with_values::<IngesterConfig>(&[("shard", "2")]).is_err());
}
