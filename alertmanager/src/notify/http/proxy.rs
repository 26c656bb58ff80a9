//! Which proxy requests go through.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{ClientBuilder, NoProxy};

use crate::config::{ProxyUrl, Secret};
use crate::notify::BuildError;

/// Which proxy requests go through.
pub(super) enum Proxy {
    None,
    /// The one that the environment names.
    Environment,
    These(Box<reqwest::Proxy>),
}

/// The proxy that a configuration asks for.
pub(super) fn proxy(
    url: Option<&ProxyUrl>,
    no_proxy: &str,
    from_environment: bool,
    connect_header: &BTreeMap<String, Vec<Secret>>,
) -> Result<Proxy, BuildError> {
    let Some(url) = url.map(ProxyUrl::expose).filter(|url| !url.is_empty()) else {
        return Ok(if from_environment { Proxy::Environment } else { Proxy::None });
    };
    let proxy = reqwest::Proxy::all(url).map_err(|_| BuildError::new("proxy_url is no URL of a proxy"))?;
    let mut headers = HeaderMap::new();
    for (name, values) in connect_header {
        let wrong = || BuildError::new(format!("proxy_connect_header: {name} cannot be sent"));
        let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
        for value in values {
            headers.append(&header, HeaderValue::from_str(value.expose()).map_err(|_| wrong())?);
        }
    }
    Ok(Proxy::These(Box::new(proxy.no_proxy(NoProxy::from_string(no_proxy)).headers(headers))))
}

impl Proxy {
    pub(super) fn apply(self, builder: ClientBuilder) -> ClientBuilder {
        match self {
            Self::None => builder.no_proxy(),
            Self::Environment => builder,
            Self::These(proxy) => builder.no_proxy().proxy(*proxy),
        }
    }
}
