//! A real S3 server for tests: moto, in a process of its own on loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{free_address, peer};

/// How often the server is asked whether it answers, ...
const ATTEMPTS: u32 = 600;
/// ... and how long is waited in between. Python takes a second or two to start; a busy machine takes longer.
const WAIT: Duration = Duration::from_millis(100);

/// The server; it ends when this is dropped.
pub struct S3Server {
    child: Child,
    address: SocketAddr,
}

impl S3Server {
    /// Starts a server with one empty bucket. It takes any credentials.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(bucket: &str) -> Self {
        let server = Self::start_with(&[]);
        server.make_bucket(bucket);
        server
    }

    /// Starts a server without a bucket, with these in its environment.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let child = Command::new(peer("moto_server"))
            .args(["-H", &address.ip().to_string(), "-p", &address.port().to_string()])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the S3 server starts");
        let server = Self { child, address };
        let answers = (0..ATTEMPTS).any(|_| {
            std::thread::sleep(WAIT);
            server.request("GET", "/moto-api/").is_ok()
        });
        assert!(answers, "the S3 server does not answer on {address}");
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The number of its process, for signals.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// Where it refuses.
    pub fn make_bucket(&self, bucket: &str) {
        let answer = self.request("PUT", &format!("/{bucket}")).expect("the S3 server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn request(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let host = self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // One that ended by itself is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
