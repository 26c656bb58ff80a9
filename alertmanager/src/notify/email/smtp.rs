//! The dialogue with a mail server (RFC 5321): greeting, TLS, logging in, handing a message over. The crates for it know neither
//! CRAM-MD5 nor a TLS configuration of ours, which `tls_config` asks for.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::notify::telling::hex;
use crate::notify::{Reason, SendError};

/// The longest line and the most lines of a reply.
const MAX_LINE_BYTES: u64 = 4 << 10;
const MAX_LINES: usize = 100;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// How to log in.
pub(super) enum Mechanism {
    Plain { identity: String, user: String, password: String },
    Login { user: String, password: String },
    CramMd5 { user: String, secret: String },
}

/// What a server said, line by line.
struct Reply {
    lines: Vec<String>,
}

/// A server that greeted.
pub(super) struct Smtp {
    stream: BufReader<Box<dyn Stream>>,
    /// What it offers, by lines of its answer to the greeting.
    offers: Vec<String>,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> SendError {
    SendError::for_now(format!("{what}: {error}"))
}

async fn tcp(host: &str) -> Result<TcpStream, SendError> {
    TcpStream::connect(host).await.map_err(|error| failed("establish connection to server", &error))
}

async fn secured(
    stream: impl Stream + 'static,
    name: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn Stream>, SendError> {
    let server =
        ServerName::try_from(name.to_owned()).map_err(|error| SendError::for_good(error.to_string()))?;
    let connected = TlsConnector::from(Arc::clone(tls)).connect(server, stream).await;
    Ok(Box::new(connected.map_err(|error| failed("establish TLS connection to server", &error))?))
}

impl Smtp {
    /// Connects without TLS.
    pub(super) async fn connect(host: &str, hello: &str) -> Result<Self, SendError> {
        Self::greeted(Box::new(tcp(host).await?), hello).await
    }

    /// Connects with TLS from the start.
    pub(super) async fn connect_tls(
        host: &str,
        name: &str,
        tls: &Arc<ClientConfig>,
        hello: &str,
    ) -> Result<Self, SendError> {
        Self::greeted(secured(tcp(host).await?, name, tls).await?, hello).await
    }

    async fn greeted(stream: Box<dyn Stream>, hello: &str) -> Result<Self, SendError> {
        let mut smtp = Self { stream: BufReader::new(stream), offers: Vec::new() };
        smtp.reply("create SMTP client", 2).await?;
        smtp.hello(hello).await?;
        Ok(smtp)
    }

    async fn hello(&mut self, name: &str) -> Result<(), SendError> {
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let reply = self.command("send EHLO command", &format!("EHLO {name}"), 2).await?;
        self.offers = reply.lines.into_iter().skip(1).collect();
        Ok(())
    }

    /// Goes on with TLS.
    pub(super) async fn start_tls(
        mut self,
        name: &str,
        tls: &Arc<ClientConfig>,
        hello: &str,
    ) -> Result<Self, SendError> {
        self.command("send STARTTLS command", "STARTTLS", 2).await?;
        if !self.stream.buffer().is_empty() {
            // Whoever stands in between could have put it there.
            return Err(SendError::for_now("send STARTTLS command: the server went on without TLS"));
        }
        let stream = secured(self.stream.into_inner(), name, tls).await?;
        let mut smtp = Self { stream: BufReader::new(stream), offers: Vec::new() };
        smtp.hello(hello).await?;
        Ok(smtp)
    }

    /// Whether the server offers an extension.
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.offers.iter().any(|line| {
            line.split([' ', '=']).next().is_some_and(|word| word.eq_ignore_ascii_case(extension))
        })
    }

    /// How the server lets clients log in, if it does.
    pub(super) fn mechanisms(&self) -> Option<Vec<String>> {
        let line = self.offers.iter().find(|line| line.to_ascii_uppercase().starts_with("AUTH "))?;
        Some(line.split(' ').skip(1).filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    /// Logs in.
    pub(super) async fn login(&mut self, login: &Mechanism) -> Result<(), SendError> {
        const WHAT: &str = "auth";
        let auth = |error: SendError| error.because(Reason::Auth);
        match login {
            Mechanism::Plain { identity, user, password } => {
                let token = STANDARD.encode(format!("{identity}\0{user}\0{password}"));
                self.command(WHAT, &format!("AUTH PLAIN {token}"), 2).await.map_err(auth)?;
            }
            Mechanism::Login { user, password } => {
                self.command(WHAT, "AUTH LOGIN", 3).await.map_err(auth)?;
                self.command(WHAT, &STANDARD.encode(user), 3).await.map_err(auth)?;
                self.command(WHAT, &STANDARD.encode(password), 2).await.map_err(auth)?;
            }
            Mechanism::CramMd5 { user, secret } => {
                let reply = self.command(WHAT, "AUTH CRAM-MD5", 3).await.map_err(auth)?;
                let challenge = reply.lines.first().map(String::as_str).unwrap_or_default();
                let challenge =
                    STANDARD.decode(challenge.trim()).map_err(|error| auth(failed(WHAT, &error)))?;
                let answer = format!("{user} {}", hex(&hmac_md5(secret.as_bytes(), &challenge)));
                self.command(WHAT, &STANDARD.encode(answer), 2).await.map_err(auth)?;
            }
        }
        Ok(())
    }

    /// Hands a message over.
    pub(super) async fn send(&mut self, from: &str, to: &[String], message: &[u8]) -> Result<(), SendError> {
        self.command("send MAIL command", &format!("MAIL FROM:<{from}>"), 2).await?;
        for to in to {
            self.command("send RCPT command", &format!("RCPT TO:<{to}>"), 2).await?;
        }
        self.command("send DATA command", "DATA", 3).await?;
        let mut body = Vec::with_capacity(message.len() + 8);
        let mut line_start = true;
        for byte in message {
            if line_start && *byte == b'.' {
                body.push(b'.');
            }
            body.push(*byte);
            line_start = *byte == b'\n';
        }
        body.extend(if line_start { &b".\r\n"[..] } else { &b"\r\n.\r\n"[..] });
        self.write(&body).await?;
        self.reply("delivery failure", 2).await?;
        Ok(())
    }

    /// Says goodbye; the message is delivered whatever comes of it.
    pub(super) async fn quit(mut self) {
        let _ = self.command("send QUIT command", "QUIT", 2).await;
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await.map_err(|error| failed("write to the server", &error))?;
        stream.flush().await.map_err(|error| failed("write to the server", &error))
    }

    /// Sends a command; its reply has to be of the class: 2 for done, 3 for go on.
    async fn command(&mut self, what: &str, line: &str, class: u16) -> Result<Reply, SendError> {
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply(what, class).await
    }

    async fn reply(&mut self, what: &str, class: u16) -> Result<Reply, SendError> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = (&mut self.stream).take(MAX_LINE_BYTES).read_line(&mut line).await;
            if read.map_err(|error| failed(what, &error))? == 0 {
                return Err(failed(what, &"the server closed the connection"));
            }
            let line = line.trim_end();
            let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) == Some(&b'-') && lines.len() < MAX_LINES {
                continue;
            }
            if code / 100 == class {
                return Ok(Reply { lines });
            }
            return Err(failed(what, &format!("{code} {}", lines.join(" "))));
        }
    }
}

/// HMAC with MD5, which CRAM-MD5 asks for.
fn hmac_md5(key: &[u8], message: &[u8]) -> [u8; 16] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let keyed = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Md5::new().chain_update(keyed(0x36)).chain_update(message).finalize();
    Md5::new().chain_update(keyed(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_2195() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let digest = hmac_md5(b"tanstaaftanstaaf", challenge);
        assert_eq!(hex(&digest), "b913a602c7eda7a495b4e6e7334d3890");
    }
}
