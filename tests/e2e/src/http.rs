//! HTTP/1.1 over a bare socket, so that a test decides every byte, also the wrong ones.
//!
//! One connection per request. An answer that comes before the body was sent is read all the same.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a silent peer is waited for; longer than the proxy's own patience with the server.
const SILENCE: Duration = Duration::from_secs(90);

/// How a body is framed.
#[derive(Debug, Clone)]
pub enum Body {
    /// None, and no `Content-Length`.
    None,
    /// With its `Content-Length`.
    Sized(Vec<u8>),
    /// With a `Content-Length` that need not be true. After the bytes, the sending side is closed.
    Declared {
        /// What the header says.
        length: u64,
        /// What is sent.
        bytes: Vec<u8>,
    },
    /// `Transfer-Encoding: chunked`, one chunk each, then the trailers.
    Chunked {
        /// The chunks.
        chunks: Vec<Vec<u8>>,
        /// The trailers.
        trailers: Vec<(String, String)>,
    },
    /// `Transfer-Encoding: chunked`, ending in the middle of a chunk: the sending side is closed.
    CutOff(Vec<u8>),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its target, as it goes on the wire.
    pub target: String,
    /// Its headers; `Host` is added unless it is here.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Body,
    /// Whether headers go as `name:value`, without the blank that most clients put there.
    pub compact: bool,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, whole.
    pub body: Vec<u8>,
    /// Whether `100 Continue` came first.
    pub continued: bool,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Body::None, compact: false }
    }

    /// With one header more.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With `bytes` as its body, and their length.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Sized(bytes.into());
        self
    }

    /// With a body framed in a way of its own.
    pub fn framed(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sends it to `address` and reads the answer; panics where there is none.
    #[track_caller]
    pub fn send(&self, address: SocketAddr) -> Response {
        match self.try_send(address) {
            Ok(response) => response,
            Err(error) => panic!("{} {}: {error}", self.method, self.target),
        }
    }

    /// Sends it to `address`; an error is a connection that failed, or an answer that did not end properly.
    pub fn try_send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut stream = self.open(address)?;
        // A refusal may arrive while the body is still being sent: go on to read it.
        let _ = self.write_body(&mut stream);
        read_response(&mut BufReader::new(stream), &self.method)
    }

    /// Connects and sends the head only.
    pub fn open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = connect(address)?;
        self.write_head(&mut stream, address)?;
        Ok(stream)
    }

    fn write_head(&self, stream: &mut TcpStream, address: SocketAddr) -> io::Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            let colon = if self.compact { ":" } else { ": " };
            head += &format!("{name}{colon}{value}\r\n");
        }
        match &self.body {
            Body::None => {}
            Body::Sized(bytes) => head += &format!("Content-Length: {}\r\n", bytes.len()),
            Body::Declared { length, .. } => head += &format!("Content-Length: {length}\r\n"),
            Body::Chunked { .. } | Body::CutOff(_) => head += "Transfer-Encoding: chunked\r\n",
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())
    }

    /// Sends the body on a connection that [`Request::open`] has made.
    pub fn write_body(&self, stream: &mut TcpStream) -> io::Result<()> {
        match &self.body {
            Body::None => Ok(()),
            Body::Sized(bytes) => stream.write_all(bytes),
            Body::Declared { bytes, .. } => {
                stream.write_all(bytes)?;
                stream.shutdown(std::net::Shutdown::Write)
            }
            Body::Chunked { chunks, trailers } => {
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                    stream.write_all(chunk)?;
                    stream.write_all(b"\r\n")?;
                }
                let trailers: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                stream.write_all(format!("0\r\n{trailers}\r\n").as_bytes())
            }
            Body::CutOff(bytes) => {
                stream.write_all(format!("{:x}\r\n", bytes.len() + 1).as_bytes())?;
                stream.write_all(bytes)?;
                stream.shutdown(std::net::Shutdown::Write)
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One connection, kept for one request after another.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address, reader: BufReader::new(connect(address)?) })
    }

    /// Sends a request on it and reads the answer; an error when the peer has closed it, among others.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        request.write_head(self.reader.get_mut(), self.address)?;
        request.write_body(self.reader.get_mut())?;
        read_response(&mut self.reader, &request.method)
    }
}

impl Response {
    /// The first header called `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON: {error}: {self}"))
    }

    /// The S3 error code of its body; empty where there is none.
    pub fn code(&self) -> String {
        crate::s3::xml_values(&self.text(), "Code").into_iter().next().unwrap_or_default()
    }

    /// Itself, after checking its status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Itself, after checking its status and S3 error code.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self}");
        self
    }
}

impl std::fmt::Display for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text();
        let shown: String = text.chars().take(2000).collect();
        write!(f, "{} {:?}\n{shown}", self.status, self.headers)
    }
}

/// Reads one answer: interim answers are skipped, a body that ends early is an error.
pub fn read_response(reader: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let mut continued = false;
    loop {
        let (status, headers) = read_head(reader)?;
        if status == 100 {
            continued = true;
        } else if status >= 200 {
            let body = read_body(reader, method, status, &headers)?;
            return Ok(Response { status, headers, body, continued });
        }
    }
}

type Head = (u16, Vec<(String, String)>);

/// Reads a status line and headers.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Head> {
    let line = read_line(reader)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("not a header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if !line.ends_with(b"\r\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_body(
    reader: &mut impl BufRead,
    method: &str,
    status: u16,
    headers: &[(String, String)],
) -> io::Result<Vec<u8>> {
    let header = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if method == "HEAD" || status == 204 || status == 304 {
        return Ok(body);
    }
    if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| io::Error::other("bad content-length"))?;
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(reader)?;
            let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                .map_err(|_| io::Error::other(format!("bad chunk size {line:?}")))?;
            if length == 0 {
                while !read_line(reader)?.is_empty() {}
                break;
            }
            let start = body.len();
            body.resize(start + length, 0);
            reader.read_exact(&mut body[start..])?;
            read_line(reader)?;
        }
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}

/// Sends `bytes` as they are and returns whatever comes back until the peer closes or goes silent.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has timeouts");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}
