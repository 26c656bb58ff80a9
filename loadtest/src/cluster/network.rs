//! Hosts of one machine that can be cut off from each other: a network namespace for each process, all plugged into a
//! bridge of a namespace of its own. Cut off hosts are plugged into another bridge, so that they still reach each other
//! and packets to everybody else vanish, as behind a dead switch. Needs root and iproute2.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use thiserror::Error;

/// How many networks may be on one machine, and how many numbers are tried.
const NETWORKS: u16 = 64 * 256;
const ATTEMPTS: u16 = 64;
/// The most hosts of a network: the last byte of their addresses.
const MAX_HOSTS: usize = 200;
/// The last byte of the first host's address; 1 is this machine's own.
const FIRST_HOST: u8 = 10;
/// The bridge of those that are connected.
const CONNECTED: &str = "here";
/// The bridge of those that are cut off.
const CUT_OFF: &str = "away";

/// Why there is no such network.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The program is missing.
    #[error("running ip (Debian package iproute2)")]
    Start(#[source] io::Error),
    /// It refused; most often for want of root.
    #[error("`ip {arguments}`: {message}")]
    Refused {
        /// What was asked of it.
        arguments: String,
        /// What it said.
        message: String,
    },
    /// More hosts than addresses.
    #[error("{hosts} hosts asked for; a network has at most {MAX_HOSTS}")]
    Hosts {
        /// How many.
        hosts: usize,
    },
    /// All numbers that were tried are in use.
    #[error("{ATTEMPTS} networks are there already; `ip netns` lists what was left behind")]
    Taken,
    /// Not a host of this network.
    #[error("{name:?} is no host of this network")]
    Unknown {
        /// What was named.
        name: String,
    },
}

impl NetworkError {
    /// Whether this machine or this user cannot have namespaces at all.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Start(_) => true,
            Self::Refused { message, .. } => {
                message.contains("not permitted") || message.contains("Permission denied")
            }
            _ => false,
        }
    }
}

/// A network of namespaces. Dropped, it is taken down.
#[derive(Debug)]
pub struct Network {
    number: u16,
    hosts: BTreeMap<String, Host>,
}

#[derive(Debug)]
struct Host {
    namespace: String,
    /// The plug at the bridges.
    plug: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes a network of hosts with these names. `seed` makes networks of processes that run at once different.
    pub fn create(seed: u32, names: &[String]) -> Result<Self, NetworkError> {
        if names.len() > MAX_HOSTS {
            return Err(NetworkError::Hosts { hosts: names.len() });
        }
        let first = (seed % u32::from(NETWORKS)) as u16;
        for attempt in 0..ATTEMPTS {
            let number = (first + attempt) % NETWORKS;
            match ip(&["netns", "add", &hub(number)]) {
                Ok(()) => return Self::build(number, names),
                Err(NetworkError::Refused { message, .. }) if message.contains("File exists") => {}
                Err(error) => return Err(error),
            }
        }
        Err(NetworkError::Taken)
    }

    fn build(number: u16, names: &[String]) -> Result<Self, NetworkError> {
        let mut network = Self { number, hosts: BTreeMap::new() };
        let hub = hub(number);
        for bridge in [CONNECTED, CUT_OFF] {
            ip(&["-n", &hub, "link", "add", bridge, "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", bridge, "up"])?;
        }
        let outside = outside(number);
        let own = format!("{}/24", network.address(1));
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "outside", "netns", &hub])?;
        ip(&["address", "add", &own, "dev", &outside])?;
        ip(&["link", "set", &outside, "up"])?;
        ip(&["-n", &hub, "link", "set", "outside", "master", CONNECTED, "up"])?;
        for (i, name) in names.iter().enumerate() {
            let host = Host {
                namespace: format!("{hub}-{name}"),
                plug: format!("plug{i}"),
                address: network.address(FIRST_HOST + i as u8),
            };
            let (namespace, plug) = (host.namespace.clone(), host.plug.clone());
            let address = format!("{}/24", host.address);
            ip(&["netns", "add", &namespace])?;
            network.hosts.insert(name.clone(), host);
            ip(&[
                "-n", &hub, "link", "add", &plug, "type", "veth", "peer", "name", "eth0", "netns", &namespace,
            ])?;
            ip(&["-n", &hub, "link", "set", &plug, "master", CONNECTED, "up"])?;
            ip(&["-n", &namespace, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }

    /// The address of a host.
    pub fn address_of(&self, name: &str) -> Result<Ipv4Addr, NetworkError> {
        self.host(name).map(|host| host.address)
    }

    /// A command that runs a program on a host. The process is the program's own: it can be signalled.
    pub fn command(&self, name: &str, program: &Path) -> Result<Command, NetworkError> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(name)?.namespace]).arg(program);
        Ok(command)
    }

    /// Cuts these hosts off from all others and from this machine. They still reach each other.
    pub fn cut_off(&self, names: &[String]) -> Result<(), NetworkError> {
        names.iter().try_for_each(|name| self.plug(name, CUT_OFF))
    }

    /// Connects these hosts again.
    pub fn connect(&self, names: &[String]) -> Result<(), NetworkError> {
        names.iter().try_for_each(|name| self.plug(name, CONNECTED))
    }

    fn plug(&self, name: &str, bridge: &str) -> Result<(), NetworkError> {
        ip(&["-n", &hub(self.number), "link", "set", &self.host(name)?.plug, "master", bridge])
    }

    fn host(&self, name: &str) -> Result<&Host, NetworkError> {
        self.hosts.get(name).ok_or_else(|| NetworkError::Unknown { name: name.to_owned() })
    }

    /// Private addresses that neither Docker nor home routers use.
    fn address(&self, host: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(10, 64 + high % 64, low, host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What is not there need not be removed; interfaces go with their namespaces.
        for host in self.hosts.values() {
            let _ = ip(&["netns", "delete", &host.namespace]);
        }
        let _ = ip(&["link", "delete", &outside(self.number)]);
        let _ = ip(&["netns", "delete", &hub(self.number)]);
    }
}

fn hub(number: u16) -> String {
    format!("barograph{number}")
}

/// This machine's own interface; names of interfaces have at most 15 characters.
fn outside(number: u16) -> String {
    format!("baro{number}")
}

fn ip(arguments: &[&str]) -> Result<(), NetworkError> {
    let Output { status, stderr, .. } =
        Command::new("ip").args(arguments).output().map_err(NetworkError::Start)?;
    if status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&stderr).trim().to_owned();
    Err(NetworkError::Refused { arguments: arguments.join(" "), message })
}
