//! TLS for what stands on the other side in tests: certificates of an authority made for the test, and a proxy that is the
//! host which a client asks it for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testkit::Receiver;

#[expect(clippy::disallowed_methods, reason = "a test has no scope, and the thread ends with it")]
pub(super) fn thread(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// What a server of that name is configured with, and the certificate of the authority, for its clients.
pub(super) fn certificates(name: &str) -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let authority = authority.expect("an authority");
    let own_key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let own = own.signed_by(&own_key, &authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)
        .expect("a certificate and its key");
    (Arc::new(config), authority.pem())
}

/// A proxy. Whatever host a client asks it for, it answers in that host's place, with what the receiver answers: so is tested
/// what goes to services whose address cannot be configured.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    /// The certificate of the authority that vouches for the host.
    pub(super) authority: String,
}

impl Proxy {
    /// One that is the host of that name.
    pub(super) fn start(host: &str, receiver: &Receiver) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (tls, authority) = certificates(host);
        let (asked, receiver) = (format!("CONNECT {host}:443 "), receiver.address());
        thread(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, asked) = (Arc::clone(&tls), asked.clone());
                // How a connection ends is the client's affair.
                thread(move || drop(serve(stream, &asked, tls, receiver)));
            }
        });
        Self { address, authority }
    }

    /// The lines of `http_config` for requests that go through it; the authority is in a file of that name.
    pub(super) fn http_config(&self, authority: &str) -> String {
        format!("http_config: {{proxy_url: 'http://{}', tls_config: {{ca_file: {authority}}}}}", self.address)
    }
}

fn serve(
    stream: TcpStream,
    asked: &str,
    tls: Arc<ServerConfig>,
    receiver: SocketAddr,
) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    let (head, _) = message(&mut plain)?;
    if !head.starts_with(asked) {
        return plain.get_mut().write_all(b"HTTP/1.1 502 no\r\ncontent-length: 0\r\n\r\n");
    }
    plain.get_mut().write_all(b"HTTP/1.1 200 go on\r\n\r\n")?;
    let connection = ServerConnection::new(tls).expect("a configuration");
    let mut client = BufReader::new(StreamOwned::new(connection, plain.into_inner()));
    let mut server = BufReader::new(TcpStream::connect(receiver)?);
    loop {
        let (head, body) = message(&mut client)?;
        server.get_mut().write_all(head.as_bytes())?;
        server.get_mut().write_all(&body)?;
        let (head, body) = message(&mut server)?;
        client.get_mut().write_all(head.as_bytes())?;
        client.get_mut().write_all(&body)?;
        client.get_mut().flush()?;
    }
}

/// The next message of HTTP/1: its head, and its body.
fn message(reader: &mut impl BufRead) -> std::io::Result<(String, Vec<u8>)> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok((head, body))
}
