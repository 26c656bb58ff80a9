//! The flags of `barograph rules …`.

use clap::{Arg, ArgAction, ArgMatches, Command};
use promql::EngineOptions;

const EXAMPLES: &str = "\
Examples:
  barograph rules check rules/*.yml
      Is every file one that Prometheus would load? If not, all that is wrong with it, with line and column.

  barograph rules test rules/tests/*.yml
      Do alerts fire and recordings come out as unit tests in promtool's format say?

  cat rules.yml | barograph rules check --json
      The same for a program, from standard input.

  barograph rules diff --tenant team-a rules/*.yml
  barograph rules sync --tenant team-a rules/*.yml
      What a server's rules of the tenant differ in; and making them the same.";

const CHECK: &str = "\
A file is as Prometheus documents it: groups with name, interval, query_offset, limit, labels, and rules with record or
alert, expr, for, keep_firing_for, labels, annotations. Templates in labels and annotations are parsed too. Manifests of
kind PrometheusRule are looked into. Only the first document of a file counts.

Exit code: 0 where all is well; 1 where a file is wrong; 3 where rules stand twice and --lint-fatal is given.

Examples:
  barograph rules check rules.yml alerts.yml

  barograph rules check --lint none --ignore-unknown-fields rules.yml
      Rules may stand twice, and fields of other programs are passed over.";

const TEST: &str = "\
A file of tests names rule files, gives series, and says which alerts fire and what queries return at which time:
  rule_files: [rules.yml]
  tests:
    - interval: 1m
      input_series:
        - {series: 'up{job=\"api\"}', values: '1 1 0x10'}
      alert_rule_test:
        - eval_time: 8m
          alertname: Down
          exp_alerts:
            - exp_labels: {severity: page, job: api}
      promql_expr_test:
        - {expr: sum(up), eval_time: 3m, exp_samples: [{labels: '{}', value: 0}]}
Rules are evaluated every evaluation_interval (one minute) from time 0, or from start_timestamp, on. `1+2x3` is 1 3 5 7,
`_` no sample, `stale` the end of a series, `{{count:1 sum:2 buckets:[1]}}` a histogram.

Exit code: 0 where all tests pass, else 1.

Examples:
  barograph rules test tests.yml

  barograph rules test --run 'api|web' --junit report.xml tests/*.yml
      Only tests whose names match, and a report for whoever reads JUnit.";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    Command::new("rules")
        .about("Check rule files, run unit tests of rules, and take rules to a server")
        .after_long_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("check")
                .about("Say what is wrong with rule files")
                .after_long_help(CHECK)
                .arg(files("The rule files; none for standard input"))
                .arg(
                    Arg::new("lint")
                        .long("lint")
                        .value_name("WHAT")
                        .value_parser(["all", "duplicate-rules", "none"])
                        .default_value("duplicate-rules")
                        .help("What is looked for that is allowed, but hardly meant"),
                )
                .arg(switch("lint-fatal", "What is hardly meant makes exit code 3"))
                .args(shared()),
        )
        .subcommand(
            Command::new("test")
                .about("Run unit tests of rules, in promtool's format")
                .after_long_help(TEST)
                .arg(files("The files of tests").required(true))
                .arg(
                    Arg::new("run")
                        .long("run")
                        .value_name("REGEX")
                        .action(ArgAction::Append)
                        .help("Only tests in whose names this is found; given several times, any of them"),
                )
                .arg(
                    Arg::new("junit")
                        .long("junit")
                        .value_name("FILE")
                        .help("Write a report in the XML of JUnit to this file"),
                )
                .args(shared()),
        )
        .subcommands(remote())
}

const REMOTE: &str = "\
A file is a rule file. Its namespace is its name without .yml, or what it says itself under `namespace`, as files for
mimirtool do. Groups are set, changed and removed one by one: what was done before a failure stays.

The server may be Barograph or Mimir. Barograph keeps what tenants set in one process; see docs/operations/rules.md.

Exit code: 0 where all is well; 1 where `diff` has found something; 2 where something went wrong.

Examples:
  barograph rules diff --url http://barograph:9009 --tenant team-a rules/*.yml
      + team/new           a group that only the files have
      ~ team/changed       one that differs, and the lines that do
      - team/old           one that only the server has

  barograph rules sync --url http://barograph:9009 --tenant team-a rules/*.yml
      Makes it so: what the namespaces of the files have besides is removed. Other namespaces stay, but with --all.

  barograph rules get team changed
  barograph rules delete team changed";

/// The commands that talk to a server.
fn remote() -> [Command; 5] {
    let argument =
        |name: &'static str, value: &'static str, help| Arg::new(name).value_name(value).help(help);
    let namespace = |required| argument("namespace", "NAMESPACE", "The namespace").required(required);
    let group = || argument("group", "GROUP", "The group in it; without one, all of them");
    let files = || files("The rule files").required(true);
    let into = || {
        argument("in", "NAMESPACE", "The namespace of all files, rather than what they say or are called")
            .long("namespace")
    };
    let all = || switch("all", "Compare all namespaces of the server: those that no file names are to go");
    let command = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).after_long_help(REMOTE).args(server())
    };
    [
        command("load", "Set the groups of rule files on a server").arg(files()).arg(into()),
        command("get", "Print the rules of a server").arg(namespace(false)).arg(group()),
        command("diff", "Say how the rules of a server differ from rule files")
            .arg(files())
            .arg(into())
            .arg(all()),
        command("sync", "Set, change and remove groups on a server, so that it has what rule files say")
            .arg(files())
            .arg(into())
            .arg(all()),
        command("delete", "Remove a namespace, or a group of it, from a server")
            .arg(namespace(true))
            .arg(group()),
    ]
}

/// Which server, as whom, and how it is said what came of it.
fn server() -> [Arg; 6] {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    [
        text("url", "URL", "The server, up to what comes before /prometheus")
            .default_value("http://127.0.0.1:9009"),
        text("tenant", "TENANT", "Whose rules, sent as X-Scope-OrgID"),
        text(
            "header",
            "NAME: VALUE",
            "A header for requests, such as `Authorization: Bearer …`; may be repeated",
        )
        .action(ArgAction::Append),
        text(
            "ca-file",
            "FILE",
            "Certificates in PEM of the authorities to trust, rather than those of the system",
        )
        .value_parser(clap::value_parser!(std::path::PathBuf)),
        text("timeout", "DURATION", "How long to wait for each answer").default_value("30s"),
        switch("json", "Print the outcome as JSON"),
    ]
}

fn files(help: &'static str) -> Arg {
    Arg::new("file").value_name("FILE").action(ArgAction::Append).num_args(0..).help(help)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn shared() -> [Arg; 3] {
    [
        switch("ignore-unknown-fields", "Pass over fields of rule files that are not known"),
        Arg::new("enable-feature")
            .long("enable-feature")
            .value_name("FEATURE,…")
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(FEATURES)
            .help("What expressions may use besides, by Prometheus' names"),
        switch("json", "Print the outcome as JSON"),
    ]
}

/// Prometheus' names of what is experimental in expressions.
const FEATURES: [&str; 5] = [
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-duration-expr",
    "promql-delayed-name-removal",
];

/// What the command line says of expressions. Expressions for durations are always on.
pub(super) fn engine_options(asked: &ArgMatches) -> EngineOptions {
    let mut options = EngineOptions::default();
    for feature in asked.get_many::<String>("enable-feature").into_iter().flatten() {
        match feature.as_str() {
            "promql-experimental-functions" => options.experimental_functions = true,
            "promql-extended-range-selectors" => options.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => options.fill_modifiers = true,
            "promql-delayed-name-removal" => options.delayed_name_removal = true,
            _ => {}
        }
    }
    options
}

/// The texts of an argument that may stand several times.
pub(super) fn texts<'a>(asked: &'a ArgMatches, name: &str) -> Vec<&'a str> {
    asked.get_many::<String>(name).into_iter().flatten().map(String::as_str).collect()
}
