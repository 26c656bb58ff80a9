//! What DNS says of a name.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use proto::{Code, Error};

/// Which servers are asked about names.
#[derive(Debug, Clone)]
pub enum NameServers {
    /// Those that this machine asks: `/etc/hosts` and `/etc/resolv.conf` with its search list, read anew each time.
    OfMachine,
    /// These, over UDP, or TCP for answers that are too long for it. Names are taken as complete.
    At(Vec<SocketAddr>),
}

/// Where a service is, by a record of type SRV (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) host: String,
    pub(super) port: u16,
}

impl NameServers {
    /// The addresses of a host (A and AAAA), in their own order; none where there is no such name.
    ///
    /// # Errors
    /// When nobody answers, or answers with an error: then nothing is known about the name.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        let resolver = self.resolver().map_err(|error| failed(host, &error))?;
        match resolver.lookup_ip(host).await {
            Ok(found) => Ok(sorted(found.iter().collect())),
            Err(error) => none_or(host, &error),
        }
    }

    /// Where the services of a name are, in the order of their hosts; none where there is no such name.
    ///
    /// # Errors
    /// As with addresses.
    pub(super) async fn services(&self, name: &str) -> Result<Vec<Service>, Error> {
        let resolver = self.resolver().map_err(|error| failed(name, &error))?;
        let found = match resolver.srv_lookup(name).await {
            Ok(found) => found,
            Err(error) => return none_or(name, &error),
        };
        let services = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => {
                let host = service.target.to_utf8();
                Some(Service { host: host.trim_end_matches('.').to_owned(), port: service.port })
            }
            _ => None,
        });
        // A target of "." says that there is decidedly no such service.
        Ok(sorted(services.filter(|service| !service.host.is_empty()).collect()))
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let asking = |servers| {
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let mut builder = match self {
            // A machine without a server of names may still have names in its file of hosts.
            Self::OfMachine => TokioResolver::builder_tokio().unwrap_or_else(|_| asking(Vec::new())),
            Self::At(servers) => asking(servers.iter().map(server).collect()),
        };
        // It is asked again because something may have changed.
        builder.options_mut().cache_size = 0;
        builder.build()
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn sorted<T: Ord>(mut found: Vec<T>) -> Vec<T> {
    found.sort_unstable();
    found.dedup();
    found
}

fn none_or<T>(name: &str, error: &NetError) -> Result<Vec<T>, Error> {
    if error.is_nx_domain() || is_empty(error) { Ok(Vec::new()) } else { Err(failed(name, error)) }
}

/// Whether a server has said that the name has no such records. One that fails says that it has none, too, with its code.
fn is_empty(error: &NetError) -> bool {
    use hickory_resolver::net::DnsError;
    use hickory_resolver::proto::op::ResponseCode;
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError)
}

fn failed(name: &str, error: &NetError) -> Error {
    Error::new(Code::Unavailable, format!("{name} cannot be looked up: {error}"))
}
