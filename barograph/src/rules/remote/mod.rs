//! `barograph rules load|get|diff|sync|delete`: the rules that a tenant has set on a server, by the API that Mimir has for them.

mod changes;
mod lines;
mod local;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use ::rules::Tree;
use clap::ArgMatches;
use env::FileSystem;
use serde_json::{Value, json};

use self::changes::{Change, changes};
use self::local::local;
use self::server::Server;
use crate::output;

/// Exit code where something went wrong. It is 1 where `diff` has found something.
const WRONG: u8 = 2;

/// What a group is called: its namespace and its name.
type Name = (String, String);

/// Groups by namespace and name.
type Groups = BTreeMap<Name, Tree>;

/// What files say.
#[derive(Debug, Default)]
struct Files {
    groups: Groups,
    /// Their namespaces, also those without groups.
    namespaces: BTreeSet<String>,
}

/// What a command came to: what is printed, and whether server and files are the same.
struct Outcome {
    text: String,
    same: bool,
}

impl Outcome {
    fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), same: true }
    }

    fn json(value: &Value) -> Self {
        Self::good(format!("{value:#}\n"))
    }
}

/// Does one of these commands; what is wrong is said, and makes exit code 2.
pub(super) fn run(fs: &dyn FileSystem, command: &str, asked: &ArgMatches) -> ExitCode {
    let done = Server::new(asked).and_then(|server| match command {
        "load" => load(fs, asked, &server),
        "get" => get(asked, &server),
        "diff" => diff(fs, asked, &server),
        "sync" => sync(fs, asked, &server),
        _ => delete(asked, &server),
    });
    match done {
        Err(why) => {
            output::error(&why);
            ExitCode::from(WRONG)
        }
        Ok(Outcome { text, same }) => match output::out(&text) == ExitCode::SUCCESS {
            true if same => ExitCode::SUCCESS,
            true => ExitCode::FAILURE,
            false => ExitCode::from(WRONG),
        },
    }
}

fn load(fs: &dyn FileSystem, asked: &ArgMatches, server: &Server) -> Result<Outcome, String> {
    let all = local(fs, asked)?.groups;
    for (done, (name, group)) in all.iter().enumerate() {
        server.set(name, group).map_err(|why| halfway(&why, done, all.len()))?;
    }
    if wants_json(asked) {
        let loaded: Vec<Value> = all.keys().map(as_json).collect();
        return Ok(Outcome::json(&json!({ "loaded": loaded })));
    }
    Ok(Outcome::good(all.keys().map(|name| format!("{}: loaded\n", shown(name))).collect::<String>()))
}

fn get(asked: &ArgMatches, server: &Server) -> Result<Outcome, String> {
    let path = named(asked);
    let found = server.get(&path)?;
    let is_nothing = found.as_ref().is_none_or(|tree| *tree == Tree::Map(Vec::new()));
    match (path.as_slice(), is_nothing) {
        ([], true) if !wants_json(asked) => {
            output::note("no rules are set; `barograph rules load FILE...` sets some");
            Ok(Outcome::good(""))
        }
        ([_, ..], true) => Err(format!(
            "{}: there is no such thing; `barograph rules get` shows what there is",
            path.join("/")
        )),
        _ => {
            let tree = found.unwrap_or(Tree::Map(Vec::new()));
            Ok(if wants_json(asked) { Outcome::json(&tree.to_json()) } else { Outcome::good(tree.to_yaml()) })
        }
    }
}

fn diff(fs: &dyn FileSystem, asked: &ArgMatches, server: &Server) -> Result<Outcome, String> {
    let all = local(fs, asked)?;
    let changes = changes(&all, &server.all()?, asked.get_flag("all"));
    let same = changes.is_empty();
    if wants_json(asked) {
        let changes: Vec<Value> = changes.iter().map(Change::to_json).collect();
        return Ok(Outcome { same, ..Outcome::json(&json!({ "changes": changes })) });
    }
    match same {
        true => output::note(&format!("no differences in {} groups", all.groups.len())),
        false => output::note("`barograph rules sync` with the same arguments makes it so"),
    }
    let text = changes.iter().map(|change| format!("{change}\n{}", change.lines())).collect::<String>();
    Ok(Outcome { text, same })
}

fn sync(fs: &dyn FileSystem, asked: &ArgMatches, server: &Server) -> Result<Outcome, String> {
    let all = local(fs, asked)?;
    let changes = changes(&all, &server.all()?, asked.get_flag("all"));
    let mut order: Vec<&Change> = changes.iter().collect();
    // What goes makes room, within a tenant's limits, for what comes.
    order.sort_by_key(|change| match change {
        Change::Replace(..) => 0,
        Change::Remove(..) => 1,
        Change::Add(..) => 2,
    });
    for (done, change) in order.into_iter().enumerate() {
        let made = match change {
            Change::Add(name, group) | Change::Replace(name, _, group) => server.set(name, group),
            Change::Remove((namespace, group), _) => server.delete(&[namespace.clone(), group.clone()]),
        };
        made.map_err(|why| halfway(&why, done, changes.len()))?;
    }
    if wants_json(asked) {
        let changes: Vec<Value> = changes.iter().map(Change::to_json).collect();
        return Ok(Outcome::json(&json!({ "changes": changes })));
    }
    if changes.is_empty() {
        output::note(&format!("nothing to do: {} groups are as the files say", all.groups.len()));
    }
    Ok(Outcome::good(changes.iter().map(|change| format!("{change}\n")).collect::<String>()))
}

fn delete(asked: &ArgMatches, server: &Server) -> Result<Outcome, String> {
    let path = named(asked);
    server.delete(&path)?;
    if wants_json(asked) {
        let deleted = json!({ "namespace": path.first(), "group": path.get(1) });
        return Ok(Outcome::json(&json!({ "deleted": deleted })));
    }
    Ok(Outcome::good(format!("{}: deleted\n", path.join("/"))))
}

/// Something went wrong when so much was done already.
fn halfway(why: &str, done: usize, all: usize) -> String {
    format!("{why}\n{done} of {all} groups were done before; the same command again does the rest")
}

fn shown((namespace, group): &Name) -> String {
    format!("{namespace}/{group}")
}

fn as_json((namespace, group): &Name) -> Value {
    json!({ "namespace": namespace, "group": group })
}

/// The namespace and group of the command line.
fn named(asked: &ArgMatches) -> Vec<String> {
    let one = |name: &str| asked.get_one::<String>(name).cloned();
    one("namespace").into_iter().chain(one("group")).collect()
}

fn wants_json(asked: &ArgMatches) -> bool {
    asked.get_flag("json")
}
