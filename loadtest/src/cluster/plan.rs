//! Which processes a cluster has, and with which arguments: read from what starts clusters for people, so that nothing
//! is tested with other flags than those that are used.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use thiserror::Error;

/// The host of every address in a plan as it is read.
const LOOPBACK: &str = "127.0.0.1";
/// The flags whose values are addresses that the process itself listens on.
const LISTENING: [&str; 2] = ["--http", "--grpc"];

/// The processes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    processes: Vec<ProcessPlan>,
}

/// A process of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessPlan {
    /// What it is called: the role, a hyphen and a number.
    pub name: String,
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// Where it serves HTTP.
    pub http: SocketAddr,
}

/// What is wrong with a plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A process without an address.
    #[error("process {name:?} has no --http with an address on {LOOPBACK}")]
    Http {
        /// Which.
        name: String,
    },
    /// Two processes listen on one port.
    #[error("port {port} belongs to both {first:?} and {second:?}; every process needs ports of its own")]
    Port {
        /// The port.
        port: u16,
        /// Whose it is.
        first: String,
        /// Who wants it too.
        second: String,
    },
    /// A name twice.
    #[error("there are two processes {name:?}")]
    Name {
        /// The name.
        name: String,
    },
    /// Nothing.
    #[error("no process is named; one line of a name and arguments is expected for each")]
    Empty,
}

impl ProcessPlan {
    /// What its name begins with.
    pub fn role(&self) -> &str {
        self.name.rsplit_once('-').map_or(&self.name, |(role, _)| role)
    }

    /// The value of a flag, if it is given.
    pub fn value(&self, flag: &str) -> Option<&str> {
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == flag {
                return arguments.next().map(String::as_str);
            }
            if let Some(value) = argument.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value);
            }
        }
        None
    }

    /// The zone that it stands in.
    pub fn zone(&self) -> Option<&str> {
        self.value("--zone")
    }

    /// The ports that it listens on.
    fn ports(&self) -> impl Iterator<Item = u16> {
        LISTENING.iter().filter_map(|flag| Some(loopback(self.value(flag)?)?.port()))
    }
}

impl Plan {
    /// Reads one process from each line: its name and its arguments, separated by blanks. Every address is on
    /// 127.0.0.1, with a port that one process alone listens on.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let mut processes: Vec<ProcessPlan> = Vec::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            let Some(name) = words.next() else { continue };
            if processes.iter().any(|process| process.name == name) {
                return Err(PlanError::Name { name });
            }
            let placeholder = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
            let mut process = ProcessPlan { name, arguments: words.collect(), http: placeholder };
            let http = process.value("--http").and_then(loopback);
            process.http = http.ok_or_else(|| PlanError::Http { name: process.name.clone() })?;
            processes.push(process);
        }
        if processes.is_empty() {
            return Err(PlanError::Empty);
        }
        let plan = Self { processes };
        plan.owners()?;
        Ok(plan)
    }

    /// The processes, in the order in which they start.
    pub fn processes(&self) -> &[ProcessPlan] {
        &self.processes
    }

    /// The processes whose names begin with a role.
    pub fn of_role(&self, role: &str) -> impl Iterator<Item = &ProcessPlan> {
        self.processes.iter().filter(move |process| process.role() == role)
    }

    /// The names of the processes in a zone.
    pub fn zone(&self, zone: &str) -> Vec<String> {
        let inside = self.processes.iter().filter(|process| process.zone() == Some(zone));
        inside.map(|process| process.name.clone()).collect()
    }

    /// The same processes at other addresses: `place` is told whose port it is. Every mention of an address follows.
    pub fn placed(&self, mut place: impl FnMut(&str, u16) -> SocketAddr) -> Result<Self, PlanError> {
        let addresses: BTreeMap<u16, SocketAddr> =
            self.owners()?.into_iter().map(|(port, name)| (port, place(&name, port))).collect();
        let processes = self.processes.iter().map(|process| ProcessPlan {
            name: process.name.clone(),
            arguments: process.arguments.iter().map(|text| replaced(text, &addresses)).collect(),
            http: addresses.get(&process.http.port()).copied().unwrap_or(process.http),
        });
        Ok(Self { processes: processes.collect() })
    }

    /// The same processes with each one's data in a folder of its name below `folder`.
    pub fn with_data_below(&self, folder: &Path) -> Self {
        let mut plan = self.clone();
        for process in &mut plan.processes {
            let data = folder.join(&process.name).display().to_string();
            let mut kept = Vec::with_capacity(process.arguments.len() + 2);
            let mut arguments = process.arguments.drain(..);
            while let Some(argument) = arguments.next() {
                if argument == "--data" {
                    // Its value goes with it.
                    arguments.next();
                } else if !argument.starts_with("--data=") {
                    kept.push(argument);
                }
            }
            drop(arguments);
            kept.extend(["--data".to_owned(), data]);
            process.arguments = kept;
        }
        plan
    }

    /// The same processes with further arguments for those of a role.
    pub fn with_arguments(&self, role: &str, arguments: &[&str]) -> Self {
        let mut plan = self.clone();
        for process in plan.processes.iter_mut().filter(|process| process.role() == role) {
            process.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        }
        plan
    }

    /// Who listens on which port.
    fn owners(&self) -> Result<BTreeMap<u16, String>, PlanError> {
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        for process in &self.processes {
            for port in process.ports() {
                let second = process.name.clone();
                if let Some(first) = owners.insert(port, second.clone()) {
                    return Err(PlanError::Port { port, first, second });
                }
            }
        }
        Ok(owners)
    }
}

/// An address on 127.0.0.1.
fn loopback(text: &str) -> Option<SocketAddr> {
    text.strip_prefix(LOOPBACK)?.starts_with(':').then(|| text.parse().ok())?
}

/// A text with each 127.0.0.1:PORT replaced by where that port has gone.
fn replaced(text: &str, addresses: &BTreeMap<u16, SocketAddr>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let prefix = format!("{LOOPBACK}:");
    while let Some(at) = rest.find(&prefix) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let digits = &from[prefix.len()..];
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (port, after) = digits.split_at(end);
        match port.parse().ok().and_then(|port: u16| addresses.get(&port)) {
            Some(address) => out.push_str(&address.to_string()),
            None => {
                out.push_str(&prefix);
                out.push_str(port);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        metastore-1 --target metastore --metastore.voters m1=127.0.0.1:1095,m2=127.0.0.1:1096 --http 127.0.0.1:1009 --grpc 127.0.0.1:1095 --data d/m1\n\
        \n\
        ingester-1 --target=ingester --zone=a --metastore.addresses 127.0.0.1:1095 --http=127.0.0.1:1019 --grpc=127.0.0.1:10950 --data=d/i1\n";

    #[test]
    fn every_mention_of_an_address_follows_its_owner() {
        let plan = Plan::parse(TEXT).unwrap();
        let mut asked = Vec::new();
        let placed = plan
            .placed(|name, port| {
                asked.push((name.to_owned(), port));
                SocketAddr::from(([10, 0, 0, if name == "metastore-1" { 1 } else { 2 }], port))
            })
            .unwrap()
            .with_data_below(Path::new("/data"));
        let [metastore, ingester] = placed.processes() else { panic!("{placed:?}") };
        assert_eq!(metastore.http.to_string(), "10.0.0.1:1009");
        // Nobody in the plan listens on 1096.
        assert_eq!(metastore.value("--metastore.voters"), Some("m1=10.0.0.1:1095,m2=127.0.0.1:1096"));
        assert_eq!(ingester.value("--metastore.addresses"), Some("10.0.0.1:1095"));
        assert_eq!(ingester.value("--grpc"), Some("10.0.0.2:10950"));
        assert_eq!((ingester.role(), ingester.zone()), ("ingester", Some("a")));
        assert_eq!(ingester.value("--data"), Some("/data/ingester-1"));
        assert_eq!(ingester.arguments.iter().filter(|argument| argument.contains("data")).count(), 2);
        assert_eq!(placed.zone("a"), ["ingester-1"]);
        assert_eq!(asked.len(), 4);
    }

    #[test]
    fn plans_that_cannot_be() {
        assert_eq!(Plan::parse("\n"), Err(PlanError::Empty));
        assert_eq!(Plan::parse("a --http 0.0.0.0:1"), Err(PlanError::Http { name: "a".into() }));
        assert_eq!(
            Plan::parse("a --http 127.0.0.1:1\nb --http 127.0.0.1:1"),
            Err(PlanError::Port { port: 1, first: "a".into(), second: "b".into() })
        );
        assert_eq!(
            Plan::parse("a --http 127.0.0.1:1\na --http 127.0.0.1:2"),
            Err(PlanError::Name { name: "a".into() })
        );
    }
}
