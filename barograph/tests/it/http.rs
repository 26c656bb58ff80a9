//! HTTP as bytes over TCP: requests right and wrong, and answers taken apart. No client library stands between the test
//! and the process, so that what no library would send can be sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::support::PATIENCE;

/// The most that is read of one answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub(crate) body: String,
}

impl Response {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A connection that lasts for several requests.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    addr: SocketAddr,
}

impl Connection {
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), addr })
    }

    /// Sends a request with a body of this length, and reads the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\r\n",
            self.addr
        )
        .into_bytes();
        request.extend_from_slice(body);
        // A server that refuses a body may answer and close before it has read all of it.
        let sent = self.send(&request);
        let answer = if method == "HEAD" { self.head() } else { self.response() };
        answer?.ok_or_else(|| sent.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that no more will come.
    pub(crate) fn finish(&mut self) {
        // A peer that is gone needs no telling.
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// The next answer; `None` where the connection was closed instead.
    pub(crate) fn response(&mut self) -> io::Result<Option<Response>> {
        let Some(mut response) = self.head()? else { return Ok(None) };
        let body = self.body(&response)?;
        response.body = String::from_utf8_lossy(&body).into_owned();
        Ok(Some(response))
    }

    /// The next answer up to its body.
    fn head(&mut self) -> io::Result<Option<Response>> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => return Ok(None),
            Err(error) if closed(&error) => return Ok(None),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("status line {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(Response { status, headers, body: String::new() }))
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        if response.header("transfer-encoding") == Some("chunked") {
            return self.chunks();
        }
        let length = match response.header("content-length") {
            Some(length) => length.parse().map_err(|_| broken(&format!("content-length {length:?}")))?,
            None if response.status == 204 => 0,
            None => MAX_ANSWER_BYTES,
        };
        let mut body = Vec::new();
        self.stream.by_ref().take(length).read_to_end(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = u64::from_str_radix(&line, 16).map_err(|_| broken(&format!("chunk {line:?}")))?;
            self.stream.by_ref().take(length).read_to_end(&mut body)?;
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP answer: {what}"))
}

/// Whether an error says that the other side has closed, rather than that it does not answer.
fn closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

/// Status and body of a GET request; status 0 where there is no answer.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    request(addr, path, &[])
}

/// Status and body of a GET request with these headers; status 0 where there is no answer.
pub(crate) fn request(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = Connection::open(addr).and_then(|mut c| c.request("GET", path, headers, b""));
    answer.map(|response| (response.status, response.body)).unwrap_or_default()
}

/// `text` as a value in a query string.
pub(crate) fn query_value(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
