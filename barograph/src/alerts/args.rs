//! The flags of `barograph alerts …`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

/// Where a process with all roles and default settings has its Alertmanager.
const DEFAULT_URL: &str = "http://127.0.0.1:9009/alertmanager";

const EXAMPLES: &str = "\
Examples:
  barograph alerts list severity=page 'cluster=~\"eu-.*\"'
      What fires and is told to somebody, of these.

  barograph alerts silence add --comment 'disk is being replaced' --duration 4h instance=db-3
      No notifications of it for four hours; the name of the silence is printed.

  barograph alerts silence expire 0f5c2f3e-…
      Notifications again.

  barograph alerts silence list --format json > silences.json
  barograph alerts silence import silences.json --url http://other:9093
      Silences taken elsewhere.

  barograph alerts config load --tenant team-a alertmanager.yml templates/*.tmpl
      The configuration of a tenant.

  barograph alerts config check alertmanager.yml
  barograph alerts routes test --config alertmanager.yml severity=page team=db
  barograph alerts template render --config alertmanager.yml '{{ template \"__subject\" . }}'
      A configuration tried before it is used: what is wrong with it, who would be told, and what.

An Alertmanager that runs alone (--target=alertmanager, or upstream's) is at the root:
  --url http://host:9093";

const MATCHERS: &str = "\
Matchers are those of Alertmanager: name=value, name!=value, name=~regex, name!~regex; values may be quoted. Of several,
all have to match.";

const ROUTES: &str = "\
Each route that an alert with these labels ends in, in order: who is told, what makes a group, and how long groups wait.

Exit code: 0; 1 where --expect names other receivers than those that would be told.

Examples:
  barograph alerts routes test --config alertmanager.yml alertname=DiskFull severity=page
  barograph alerts routes test --config alertmanager.yml --expect db-pager,archive team=db severity=page
      For CI: the routes end in these receivers, in this order.";

const RENDER: &str = "\
The template sees one firing alert, made of --label and --annotation, or the message of a webhook in --data. Templates of the
configuration's files and the default ones can be called.

Examples:
  barograph alerts template render '{{ .Status | toUpper }}: {{ .CommonLabels.alertname }}' --label alertname=DiskFull
  barograph alerts template render --config alertmanager.yml --html '{{ template \"email.default.html\" . }}' > mail.html
  echo '{{ len .Alerts }} alerts' | barograph alerts template render - --data webhook.json";

/// The command with its subcommands.
pub(crate) fn command() -> Command {
    group("alerts", "Ask an Alertmanager, silence alerts, and try configurations of one")
        .after_long_help(EXAMPLES)
        .subcommand(list())
        .subcommand(
            group("silence", "See, make, end and take over silences")
                .subcommand(silence_list())
                .subcommand(silence_add())
                .subcommand(silence_expire())
                .subcommand(silence_import()),
        )
        .subcommand(group("routes", "Try the routes of a configuration").subcommand(routes_test()))
        .subcommand(
            group("config", "Check a configuration; set, show and remove that of a tenant")
                .subcommand(config_check())
                .subcommand(config_load())
                .subcommand(asking("get", "Show the configuration that a tenant has set, as it was set"))
                .subcommand(asking("delete", "Remove it: the tenant has that of the process then")),
        )
        .subcommand(group("template", "Try templates").subcommand(template_render()))
}

fn group(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).subcommand_required(true).arg_required_else_help(true)
}

fn list() -> Command {
    asking("list", "Alerts that fire, with what becomes of them")
        .after_help(MATCHERS)
        .arg(matchers(false, "Which alerts"))
        .arg(switch("silenced", "Those too that are silenced"))
        .arg(switch("inhibited", "Those too that are inhibited"))
        .arg(
            Arg::new("receiver")
                .long("receiver")
                .value_name("REGEX")
                .help("Only those that receivers of such a name are told of"),
        )
        .arg(format())
}

fn silence_list() -> Command {
    asking("list", "Silences that hold or will hold")
        .after_help(MATCHERS)
        .arg(matchers(false, "Which silences: those that have these matchers"))
        .arg(switch("expired", "Those too that are over"))
        .arg(format())
}

fn silence_add() -> Command {
    asking("add", "Silence alerts from now on, for a while")
        .after_help(MATCHERS)
        .arg(matchers(true, "Which alerts"))
        .arg(
            Arg::new("duration")
                .long("duration")
                .short('d')
                .value_name("DURATION")
                .default_value("1h")
                .help("For how long"),
        )
        .arg(
            Arg::new("author")
                .long("author")
                .short('a')
                .value_name("NAME")
                .env("USER")
                .required(true)
                .help("Who wants it"),
        )
        .arg(
            Arg::new("comment")
                .long("comment")
                .short('c')
                .value_name("TEXT")
                .required(true)
                .help("Why, for whoever wonders"),
        )
}

fn silence_expire() -> Command {
    asking("expire", "End silences").arg(
        Arg::new("id")
            .value_name("ID")
            .required(true)
            .num_args(1..)
            .help("The names of the silences, as `list` shows them"),
    )
}

fn silence_import() -> Command {
    asking("import", "Make the silences of a file")
        .after_help("Silences that are over are passed over; one whose name is known is changed, others are made anew.")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .help("What `silence list --format json` printed; `-` is standard input"),
        )
}

fn routes_test() -> Command {
    Command::new("test")
        .about("Say where an alert would go")
        .after_help(ROUTES)
        .arg(config().required(true))
        .arg(matcher_mode())
        .arg(
            Arg::new("expect")
                .long("expect")
                .value_name("RECEIVER,…")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("The receivers that there have to be"),
        )
        .arg(format())
        .arg(Arg::new("label").value_name("NAME=VALUE").num_args(1..).help("The labels of the alert"))
}

fn config_check() -> Command {
    Command::new("check")
        .about("Say what is wrong with a configuration and its templates, or what it has")
        .arg(Arg::new("file").value_name("FILE").required(true).num_args(1..).help("The configurations"))
        .arg(matcher_mode())
}

fn config_load() -> Command {
    asking("load", "Set the configuration of a tenant, in the place of that of the process")
        .after_help(
            "It names its templates by the names of these files, without a path, and no other files of the machine: secrets \
             stand in it.",
        )
        .arg(Arg::new("file").value_name("FILE").required(true).help("The configuration"))
        .arg(Arg::new("template").value_name("TEMPLATE").num_args(0..).help("Files of templates"))
}

fn template_render() -> Command {
    let pair = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("NAME=VALUE").action(ArgAction::Append).help(help)
    };
    Command::new("render")
        .about("Say what a template becomes")
        .after_help(RENDER)
        .arg(
            Arg::new("template")
                .value_name("TEMPLATE")
                .required(true)
                .help("The template; `-` is standard input"),
        )
        .arg(config())
        .arg(matcher_mode())
        .arg(switch("html", "As HTML: what alerts say is escaped for where it stands"))
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .conflicts_with_all(["label", "annotation"])
                .help("What the template sees, as webhooks get it, in JSON"),
        )
        .arg(pair("label", "A label of the alert"))
        .arg(pair("annotation", "An annotation of the alert"))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn matchers(required: bool, help: &'static str) -> Arg {
    Arg::new("matcher").value_name("MATCHER").num_args(1..).required(required).help(help)
}

fn config() -> Arg {
    Arg::new("config").long("config").value_name("FILE").help("The configuration of the Alertmanager")
}

fn matcher_mode() -> Arg {
    Arg::new("matchers")
        .long("matchers")
        .value_name("LANGUAGE")
        .default_value("fallback")
        .value_parser(["fallback", "classic", "utf8"])
        .help("Which language matchers are read in, as --alertmanager.matchers")
}

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .short('f')
        .value_name("FORMAT")
        .default_value("table")
        .value_parser(["table", "json"])
        .help("How the answer is printed")
}

/// A subcommand that asks a server.
fn asking(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).args([
        Arg::new("url")
            .long("url")
            .value_name("URL")
            .default_value(DEFAULT_URL)
            .help("The Alertmanager, up to what comes before /api/v2"),
        Arg::new("ca-file")
            .long("ca-file")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Certificates in PEM of the authorities to trust, rather than those of the system"),
        Arg::new("tenant").long("tenant").value_name("TENANT").help("Whose alerts, sent as X-Scope-OrgID"),
        Arg::new("header")
            .long("header")
            .value_name("NAME: VALUE")
            .action(ArgAction::Append)
            .help("A header for the request, such as `Authorization: Bearer …`; may be repeated"),
        Arg::new("timeout")
            .long("timeout")
            .value_name("DURATION")
            .default_value("30s")
            .help("How long to wait for an answer"),
    ])
}
