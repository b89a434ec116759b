//! A server for a test, and a client of plain sockets.

use crate::search::Bench;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server, which ends with the test.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
    /// What it said of itself when it began.
    pub started: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Returns the message of a fault of this status.
    #[track_caller]
    pub fn fault(&self, status: u16) -> String {
        let json = self.json();
        assert_eq!(self.status, status, "{json}");
        json["error"]["message"].as_str().unwrap().into()
    }
}

impl Server {
    /// Starts a server with these arguments, at any port that is free.
    pub fn start(bench: &Bench, args: &[&str]) -> Server {
        Server::start_in(&bench.path("."), args)
    }

    /// Starts a server in this folder.
    pub fn start_in(folder: &Path, args: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipwright"));
        command.current_dir(folder).args(["serve", "--json", "--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(started) = serde_json::from_str::<Value>(&line) else {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("not started: {line} {error}");
        };
        let address = started["address"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Server { child, address, started }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads what comes until the connection ends.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // A server that has said enough may close before everything is sent.
        let _ = stream.write_all(bytes);
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// Sends a request with these header lines.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        answer(&self.raw(&self.request(method, path, headers, body)))
    }

    /// Returns a request as bytes.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: {}\r\n", self.address);
        }
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        [head.as_bytes(), b"\r\n", body].concat()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// Sends a request that must be answered well, and returns the value.
    #[track_caller]
    pub fn good(&self, path: &str, body: Option<&Value>) -> Value {
        let answer = body.map_or_else(|| self.get(path), |body| self.post(path, body));
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Asks for an answer that takes long until it is there.
    #[track_caller]
    pub fn whole(&self, path: &str) -> Value {
        let start = Instant::now();
        while self.get(path).status == 202 {
            assert!(start.elapsed() < Duration::from_secs(60), "{path}");
        }
        self.good(path, None)
    }
}

/// Parses an answer.
#[track_caller]
pub fn answer(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        (name.to_lowercase(), value.trim().to_owned())
    };
    let answer = Answer { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() };
    if let Some(length) = answer.header("content-length") {
        assert!(length == answer.body.len().to_string() || answer.body.is_empty(), "{length}: {head}");
    }
    answer
}

/// Returns a picture file in base64.
pub fn base64(path: &Path) -> String {
    STANDARD.encode(fs::read(path).unwrap())
}
