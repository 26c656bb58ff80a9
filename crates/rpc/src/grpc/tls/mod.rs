//! TLS between the processes of a cluster: each side shows a certificate, and verifies the other's.
//!
//! The files are read again while the process runs. New connections use what was read last; open ones go on. Files that
//! cannot be used, as while they are being replaced, are reported, and those before them stay in use.

mod connect;
mod files;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, FileSystem, Scope};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server};

pub use files::TlsError;

use files::{Contents, Paths, Sides};

pub(super) use connect::TlsConnect;

settings::section! {
    /// TLS between the processes of a cluster. With certificates, calls are encrypted and both sides are verified; without,
    /// calls are neither.
    pub struct GrpcTlsConfig ("grpc.tls") {
        /// The certificate of this process and those between it and the authority's, in PEM. It is shown to callers and to
        /// callees.
        cert_file: Option<PathBuf> = "";
        /// The key of the certificate, in PEM.
        key_file: Option<PathBuf> = "";
        /// The certificates of the authorities that peers' certificates must be signed by, in PEM.
        ca_file: Option<PathBuf> = "";
        /// The name that the certificates of callees must bear. Without one it is the host of the address that is called.
        server_name: Option<String> = "";
        /// How often the files are looked at for being replaced.
        reload_interval: Duration = "30s", range "10ms"..="1h";
    }
    check tls_is_consistent;
}

fn tls_is_consistent(config: &GrpcTlsConfig) -> Result<(), String> {
    let given = [&config.cert_file, &config.key_file, &config.ca_file].map(Option::is_some);
    if given.contains(&true) && given.contains(&false) {
        return Err("grpc.tls: give all of cert_file, key_file and ca_file, or none of them".to_owned());
    }
    match &config.server_name {
        Some(name) if given.contains(&false) => Err(format!(
            "grpc.tls.server_name is {name:?}, but there is no grpc.tls.cert_file; give both or none"
        )),
        Some(name) => server_name(name).map(drop).map_err(|error| format!("grpc.tls.server_name: {error}")),
        None => Ok(()),
    }
}

/// Certificates in use. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    paths: Paths,
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    server_name: Option<ServerName<'static>>,
    interval: Duration,
    sides: Mutex<Sides>,
}

impl Tls {
    /// The certificates that the configuration names; `None` where it names none.
    ///
    /// # Errors
    /// Where a file cannot be read or used.
    pub fn load(
        config: &GrpcTlsConfig,
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, TlsError> {
        let GrpcTlsConfig { cert_file, key_file, ca_file, server_name: name, reload_interval } = config;
        let (Some(cert), Some(key), Some(authorities)) = (cert_file, key_file, ca_file) else {
            return Ok(None);
        };
        let paths = Paths { cert: cert.clone(), key: key.clone(), authorities: authorities.clone() };
        let sides = paths.read(&*fs)?.sides(&paths, &clock)?;
        let server_name = name.as_deref().map(server_name).transpose()?;
        let (interval, sides) = (*reload_interval, Mutex::new(sides));
        Ok(Some(Self { shared: Arc::new(Shared { paths, fs, clock, server_name, interval, sides }) }))
    }

    /// Keeps reading the files, in a task of `scope`.
    pub fn watch(&self, scope: &Scope) {
        let shared = Arc::clone(&self.shared);
        let (cancelled, tasks) = (scope.cancelled(), scope.clone());
        let watch = async move {
            let mut refused = None;
            loop {
                shared.clock.sleep(shared.interval).await;
                let again = Arc::clone(&shared);
                let read = tasks.run_blocking(move || again.paths.read(&*again.fs)).await;
                match read.unwrap_or_else(|error| Err(TlsError::interrupted(&error))) {
                    Ok(contents) => shared.replace(contents, &mut refused),
                    Err(error) => report(&error, &mut refused),
                }
            }
        };
        drop(scope.spawn("grpc certificates", async move {
            tokio::select! {
                biased;
                () = cancelled => {}
                () = watch => {}
            }
        }));
    }

    /// Takes part in the handshake of a connection that came in.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let config = Arc::clone(&self.shared.sides.lock().server);
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Shared {
    fn replace(&self, contents: Contents, refused: &mut Option<String>) {
        if self.sides.lock().contents == contents {
            *refused = None;
            return;
        }
        match contents.sides(&self.paths, &self.clock) {
            Ok(sides) => {
                *self.sides.lock() = sides;
                *refused = None;
                tracing::info!(file = %self.paths.cert.display(), "gRPC uses the new certificates");
            }
            Err(error) => report(&error, refused),
        }
    }
}

/// Logs an error once as long as it stays the same.
fn report(error: &TlsError, refused: &mut Option<String>) {
    let text = crate::server::chain(error);
    if refused.as_ref() != Some(&text) {
        tracing::error!(error = text, "new gRPC certificates cannot be used, the ones before stay in use");
        *refused = Some(text);
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name { name: name.to_owned() })
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("cert", &self.shared.paths.cert).finish_non_exhaustive()
    }
}
