//! A server of canned replies, on a thread of its own; it ends with the test's process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use crate::case::Reply;

pub struct Stub {
    url: String,
}

impl Stub {
    pub fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(replies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, replies) = (stream.unwrap(), Arc::clone(&replies));
                std::thread::spawn(move || serve(stream, &replies));
            }
        });
        Self { url }
    }

    /// One reply to everything.
    pub fn always(body: &str) -> Self {
        Self::start(vec![Reply { request: String::new(), status: 200, body: body.to_owned() }])
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

fn serve(stream: TcpStream, replies: &[Reply]) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut request = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            if request.is_empty() {
                request.clone_from(&line);
            }
            if line == "\r\n" {
                break;
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).unwrap();
        let fallback = Reply { request: String::new(), status: 404, body: "{}".to_owned() };
        let reply = replies.iter().find(|reply| request.starts_with(&reply.request)).unwrap_or(&fallback);
        let (status, body) = (reply.status, &reply.body);
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let head = if status == 204 { "HTTP/1.1 204 X\r\n\r\n".to_owned() } else { head };
        if reader.get_mut().write_all((head + body).as_bytes()).is_err() {
            return;
        }
    }
}
