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
      The same for a program, from standard input.";

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
        .about("Check rule files, and run unit tests of rules")
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
