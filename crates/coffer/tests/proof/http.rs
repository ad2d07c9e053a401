//! A small HTTP/1.1 client on a kept connection: what it sends and when is in the test's hands, and nothing is tried
//! twice behind its back.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// One connection, made when first needed and dropped after an error.
pub struct Client {
    address: SocketAddr,
    agent: String,
    token: Option<String>,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let agent = "proof".to_owned();
        Self { address, agent, token: None, timeout: Duration::from_secs(60), stream: None }
    }

    /// A connection of its own to the same server, with the same agent and token.
    pub fn another(&self) -> Self {
        Self { agent: self.agent.clone(), token: self.token.clone(), stream: None, ..*self }
    }

    /// Sends this token from now on.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// How long one read or write may take.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The user agent from now on: it is in the audit record, by which a test finds each of its requests.
    pub fn set_agent(&mut self, agent: &str) {
        agent.clone_into(&mut self.agent);
    }

    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, None)
    }

    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<Answer> {
        self.send("POST", path, Some(body))
    }

    pub fn delete(&mut self, path: &str) -> io::Result<Answer> {
        self.send("DELETE", path, None)
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// Where no whole answer came; the request may have been carried out all the same.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        self.send_bytes(method, path, "application/json", &body)
    }

    /// As [`Client::send`], with a body that may be anything.
    pub fn send_bytes(&mut self, method: &str, path: &str, media: &str, body: &[u8]) -> io::Result<Answer> {
        let agent = self.agent.clone();
        let token = self.token.clone();
        let mut headers = vec![("User-Agent", agent.as_str()), ("Content-Type", media)];
        headers.extend(token.as_ref().map(|token| ("X-Vault-Token", token.as_str())));
        self.send_with(method, path, &headers, body)
    }

    /// As [`Client::send`], with exactly these headers beside `Host` and `Content-Length`.
    pub fn send_with(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(self.timeout))?;
                stream.set_write_timeout(Some(self.timeout))?;
                BufReader::new(stream)
            }
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        stream.get_mut().write_all(&request)?;
        let (answer, keeps) = read_answer(&mut stream, method)?;
        if keeps {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>, method: &str) -> io::Result<(Answer, bool)> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if method == "HEAD" {
        // Its headers speak of a body that does not come.
    } else if answer.header("transfer-encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(stream)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).map_err(io::Error::other)?;
            let start = answer.body.len();
            answer.body.resize(start + size, 0);
            stream.read_exact(&mut answer.body[start..])?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().map_err(io::Error::other)?;
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body)?;
    }
    let keeps = !answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok((answer, keeps))
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
