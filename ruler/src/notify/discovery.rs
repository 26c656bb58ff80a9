//! Alertmanagers that are known by a name of DNS: whoever has the name is told.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use proto::Error;
use reqwest::Url;

use super::Target;
use super::alertmanager::{Connector, HttpAlertmanager, base_url};
use super::dns::NameServers;
use crate::error::StartError;

/// Who is told of alerts, by one entry of the configuration.
#[derive(Clone)]
pub enum Alertmanagers {
    /// The one that is known.
    One(Target),
    /// Those that are found, looked for again and again. Each of them is told.
    Found(Arc<dyn Discover>),
}

/// Finds Alertmanagers.
#[async_trait]
pub trait Discover: Send + Sync {
    /// Where they are looked for, without a password.
    fn name(&self) -> &str;

    /// All that there are now.
    ///
    /// # Errors
    /// When it cannot be said which there are. Those that were there before are told meanwhile.
    async fn find(&self) -> Result<Vec<Target>, Error>;
}

/// What is asked of DNS, with the words of Thanos and Mimir for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// `dns+`: each address of the host.
    Addresses,
    /// `dnssrv+`: each address of the hosts of a service, with the service's port unless the URL has one.
    Services,
    /// `dnssrvnoa+`: each host of a service, whose address is looked up when it is connected to.
    ServiceHosts,
}

/// Alertmanagers behind a name of DNS.
struct Named {
    lookup: Lookup,
    /// The URL, with the name for its host.
    url: Url,
    host: String,
    name: String,
    servers: NameServers,
    connector: Connector,
}

impl From<Target> for Alertmanagers {
    fn from(target: Target) -> Self {
        Self::One(target)
    }
}

impl Alertmanagers {
    /// The Alertmanagers at these URLs; names in those that say so are looked up with `servers`.
    ///
    /// # Errors
    /// Where one is none that requests can go to, or the machine's TLS cannot be used.
    pub fn at(urls: &[String], servers: &NameServers) -> Result<Vec<Self>, StartError> {
        if urls.is_empty() {
            return Ok(Vec::new());
        }
        let connector = Connector::new()?;
        urls.iter().map(|url| Self::of(url, &connector, servers)).collect()
    }

    fn of(text: &str, connector: &Connector, servers: &NameServers) -> Result<Self, StartError> {
        let (lookup, url) = Lookup::split(text);
        let refused = || StartError::AlertmanagerUrl { url: without_user(text) };
        let url = base_url(url).ok_or_else(refused)?;
        let Some(lookup) = lookup else {
            return connector.target(url).map(Self::One);
        };
        let host = url.host_str().ok_or_else(refused)?.trim_matches(['[', ']']).to_owned();
        let name = format!("{}+{}", lookup.word(), HttpAlertmanager::name(&url));
        let (servers, connector) = (servers.clone(), connector.clone());
        Ok(Self::Found(Arc::new(Named { lookup, url, host, name, servers, connector })))
    }
}

impl Lookup {
    const ALL: [Self; 3] = [Self::Addresses, Self::Services, Self::ServiceHosts];

    fn word(self) -> &'static str {
        match self {
            Self::Addresses => "dns",
            Self::Services => "dnssrv",
            Self::ServiceHosts => "dnssrvnoa",
        }
    }

    /// What is to be looked up, and the URL behind the word for it.
    fn split(text: &str) -> (Option<Self>, &str) {
        let found = text.split_once('+').and_then(|(word, url)| {
            let lookup = Self::ALL.into_iter().find(|lookup| lookup.word() == word)?;
            Some((Some(lookup), url))
        });
        found.unwrap_or((None, text))
    }
}

#[async_trait]
impl Discover for Named {
    fn name(&self) -> &str {
        &self.name
    }

    async fn find(&self) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::new();
        if self.lookup == Lookup::Addresses {
            let port = self.url.port_or_known_default().unwrap_or_default();
            self.add_host(&self.host, port, &mut targets).await?;
            return Ok(targets);
        }
        for service in self.servers.services(&self.host).await? {
            let port = self.url.port().unwrap_or(service.port);
            if self.lookup == Lookup::Services {
                self.add_host(&service.host, port, &mut targets).await?;
            } else {
                let url = self.with_host(&service.host, port)?;
                targets.push(self.connector.target(url).map_err(|error| made(&error))?);
            }
        }
        Ok(targets)
    }
}

impl Named {
    /// A target for each address of a host. Requests name the host, and so do certificates; only the connection goes to the
    /// address.
    async fn add_host(&self, host: &str, port: u16, targets: &mut Vec<Target>) -> Result<(), Error> {
        for ip in self.servers.addresses(host).await? {
            let (url, named) = (self.with_host(host, port)?, self.with_ip(ip, port)?);
            let way =
                self.connector.pinned(url, host, SocketAddr::new(ip, port)).map_err(|error| made(&error))?;
            targets.push(Target { name: HttpAlertmanager::name(&named), way });
        }
        Ok(())
    }

    fn with_host(&self, host: &str, port: u16) -> Result<Url, Error> {
        let mut url = self.url.clone();
        if host.parse::<IpAddr>().is_err() {
            let set = url.set_host(Some(host)).is_ok() && url.set_port(Some(port)).is_ok();
            return if set { Ok(url) } else { Err(Error::invalid(format!("{host:?} is no name of a host"))) };
        }
        url.set_port(Some(port)).map_err(|()| Error::internal("a URL with a host has a port"))?;
        Ok(url)
    }

    fn with_ip(&self, ip: IpAddr, port: u16) -> Result<Url, Error> {
        let mut url = self.url.clone();
        let set = url.set_ip_host(ip).and_then(|()| url.set_port(Some(port)));
        set.map(|()| url).map_err(|()| Error::internal("a URL with a host can have another"))
    }
}

fn made(error: &StartError) -> Error {
    Error::internal(error.to_string())
}

/// The text of what may be a URL without what is before its host.
fn without_user(text: &str) -> String {
    text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
}
