//! From settings to a bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{FileSystem, Scope};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use thiserror::Error;

use crate::backing::Backing;
use crate::config::{Addressing, BackendKind, BucketConfig, Encryption};
use crate::http::Connect;

/// The largest file with a secret.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Why a bucket cannot be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder of a bucket of files cannot be made.
    #[error("bucket.directory {}: cannot be made or used", path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file with a secret cannot be read.
    #[error("{key} {}: cannot be read", path.display())]
    Secret {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of authorities is none.
    #[error("bucket.ca_file {}: {reason}", file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS for the bucket: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// The settings contradict each other.
    #[error("bucket {name}: the settings do not describe a bucket")]
    Settings {
        /// The bucket.
        name: String,
        /// What is wrong with them.
        #[source]
        source: Box<object_store::Error>,
    },
}

impl Backing {
    /// What settings describe; `None` where that is no bucket at all. A bucket of files without a folder of its own is in `directory`. Nothing is asked of a
    /// server yet. `scope` has the connections.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        config: &BucketConfig,
        directory: &Path,
        fs: &Arc<dyn FileSystem>,
        scope: &Scope,
    ) -> Result<Option<Self>, OpenError> {
        let connect = || Connect::new(scope, &**fs, config.ca_file.as_deref());
        let backing = match config.backend {
            BackendKind::None => return Ok(None),
            BackendKind::Memory => Self::memory(),
            BackendKind::Filesystem => {
                Self::files(fs, config.directory.as_deref().unwrap_or(directory), scope.clone())?
            }
            BackendKind::S3 => s3(config, &**fs, connect()?)?,
            BackendKind::Gcs => gcs(config, connect()?)?,
            BackendKind::Azure => azure(config, connect()?)?,
        };
        Ok(Some(backing))
    }
}

/// The libraries' own repetitions are off: ours would multiply them.
fn never_again() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() }
}

fn is_plain(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

fn unusable(name: String) -> impl FnOnce(object_store::Error) -> OpenError {
    move |source| OpenError::Settings { name, source: Box::new(source) }
}

fn s3(config: &BucketConfig, fs: &dyn FileSystem, connect: Connect) -> Result<Backing, OpenError> {
    let name = format!("s3://{}", config.name);
    let given = !config.access_key_id.is_empty();
    // Keys that are given are the whole truth: half of them from the environment would be a riddle.
    let builder = if given { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
    let virtual_host = match config.addressing {
        Some(addressing) => addressing == Addressing::Virtual,
        None => config.endpoint.is_none(),
    };
    let mut builder = builder
        .with_bucket_name(&config.name)
        .with_region(&config.region)
        .with_virtual_hosted_style_request(virtual_host)
        .with_retry(never_again())
        .with_http_connector(connect);
    if let Some(endpoint) = &config.endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        builder = builder.with_allow_http(is_plain(endpoint)).with_endpoint(s3_endpoint(
            endpoint,
            &config.name,
            virtual_host,
        ));
    }
    if given {
        let secret = secret(fs, config)?;
        builder = builder.with_access_key_id(&config.access_key_id).with_secret_access_key(secret);
        if !config.session_token.expose().is_empty() {
            builder = builder.with_token(config.session_token.expose());
        }
    }
    builder = match config.encryption {
        Encryption::Bucket => builder,
        Encryption::S3 => encrypted(builder, "AES256"),
        Encryption::Kms => match &config.kms_key_id {
            Some(key) => builder.with_sse_kms_encryption(key),
            None => encrypted(builder, "aws:kms"),
        },
    };
    let store = Arc::new(builder.build().map_err(unusable(name.clone()))?);
    Ok(Backing::remote(name, store.clone(), store))
}

/// Asks for a kind of encryption by the protocol's own name for it.
fn encrypted(builder: AmazonS3Builder, kind: &str) -> AmazonS3Builder {
    let key: AmazonS3ConfigKey = "aws_server_side_encryption".parse().expect("the library knows this name");
    builder.with_config(key, kind)
}

/// With the bucket in the name of the host, the library wants it in the endpoint, too.
fn s3_endpoint(endpoint: &str, bucket: &str, virtual_host: bool) -> String {
    match endpoint.split_once("://").filter(|_| virtual_host) {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => endpoint.to_owned(),
    }
}

fn secret(fs: &dyn FileSystem, config: &BucketConfig) -> Result<String, OpenError> {
    let Some(path) = &config.secret_access_key_file else {
        return Ok(config.secret_access_key.expose().to_owned());
    };
    let failed =
        |source| OpenError::Secret { key: "bucket.secret_access_key_file", path: path.clone(), source };
    let bytes = env::read_file(fs, path, MAX_SECRET_BYTES).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(text.trim_end().to_owned())
}

fn gcs(config: &BucketConfig, connect: Connect) -> Result<Backing, OpenError> {
    let name = format!("gs://{}", config.name);
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&config.name)
        .with_retry(never_again())
        .with_http_connector(connect);
    if let Some(endpoint) = &config.endpoint {
        let options = ClientOptions::new().with_allow_http(is_plain(endpoint));
        builder = builder.with_base_url(endpoint).with_client_options(options);
    }
    if let Some(file) = &config.service_account_file {
        builder = builder.with_service_account_path(file.to_string_lossy());
    }
    let store = Arc::new(builder.build().map_err(unusable(name.clone()))?);
    Ok(Backing::remote(name, store.clone(), store))
}

fn azure(config: &BucketConfig, connect: Connect) -> Result<Backing, OpenError> {
    let name = format!("azure://{}/{}", config.account, config.name);
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_account(&config.account)
        .with_container_name(&config.name)
        .with_retry(never_again())
        .with_http_connector(connect);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_allow_http(is_plain(endpoint)).with_endpoint(endpoint.clone());
    }
    if !config.account_key.expose().is_empty() {
        builder = builder.with_access_key(config.account_key.expose());
    }
    let store = Arc::new(builder.build().map_err(unusable(name.clone()))?);
    Ok(Backing::remote(name, store.clone(), store))
}
