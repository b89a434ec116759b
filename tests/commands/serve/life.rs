//! The beginning, many clients, those that leave, and the end.

use super::client::{Server, answer};
use crate::search::Bench;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

fn queue(server: &Server) -> u64 {
    server.good("/health", None)["queue"].as_u64().unwrap()
}

/// A request that keeps the model busy for a while.
fn long(server: &Server) -> Vec<u8> {
    let texts: Vec<String> = (0..2000).map(|i| format!("{i} {}", "words without end ".repeat(10))).collect();
    server.request("POST", "/v1/embeddings", &[], json!({"input": texts}).to_string().as_bytes())
}

fn signal(server: &Server, name: &str) {
    let status = Command::new("kill").args([name, &server.child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_start_says_what_is_served_or_what_is_wrong() {
    let bench = Bench::new(3);
    bench.index();
    let server = Server::start(&bench, &["pictures"]);
    assert_eq!((&server.started["model"], &server.started["dimensions"]), (&json!("model"), &json!(64)));
    let meta = server.good("/meta", None);
    assert_eq!((&meta["indexes"][0], &meta["dimensions"]), (&json!({"index": "pictures", "pictures": 3}), &json!(64)));
    let taken = bench.run(&["serve", "pictures", "--listen", &server.address.to_string()]);
    assert!(taken.code == 2 && taken.error.contains(&format!("--listen {}", server.address)), "{}", taken.error);
    assert!(bench.refused(&["serve", "model"]).contains("no index here"));
    assert!(bench.run(&["serve", "pictures", "--queue", "0"]).error.contains("--queue"));
}

#[test]
fn another_program_asks_whether_the_server_is_well() {
    let bench = Bench::new(0);
    let mut server = Server::start(&bench, &["--model", "model"]);
    let address = server.address.to_string();
    let well = bench.run(&["health", &address]);
    assert!(well.code == 0 && well.out.starts_with("ok, 0 waiting, clipwright "), "{} {}", well.out, well.error);
    let said = bench.run(&["health", &address, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), server.good("/health", None));
    signal(&server, "-TERM");
    server.child.wait().unwrap();
    let gone = bench.run(&["health", &address, "--timeout", "1"]);
    assert!(gone.code == 1 && gone.error.contains(&format!("error: {address}: ")), "{}", gone.error);
    // Whatever else listens there is not taken for a server that is well.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    thread::scope(|scope| {
        scope.spawn(|| other.accept().unwrap().0.write_all(b"220 ready\r\n").unwrap());
        let answered = bench.run(&["health", &address]);
        assert!(answered.code == 1 && answered.error.contains(&address), "{}", answered.error);
    });
}

#[test]
fn many_clients_and_many_requests_of_one() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    thread::scope(|scope| {
        for client in 0..32 {
            let server = &server;
            scope.spawn(move || {
                for i in 0..5 {
                    let reply = server.good("/v1/embeddings", Some(&json!({"input": format!("{client} {i}")})));
                    assert_eq!(reply["data"].as_array().unwrap().len(), 1);
                }
            });
        }
    });
    // Requests may follow each other in one connection, even before the first is answered.
    let mut stream = server.connect();
    let request = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(&request.repeat(3)).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.windows(12).filter(|window| window == b"HTTP/1.1 200").count(), 4);
}

#[test]
fn whoever_comes_when_too_much_waits_is_told_to_come_again() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model", "--queue", "2000"]);
    let mut stream = server.connect();
    stream.write_all(&long(&server)).unwrap();
    let start = Instant::now();
    while queue(&server) < 1000 {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    let refused = server.post("/v1/embeddings", &json!({"input": vec!["a"; 1500]}));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(answer(&bytes).status, 200);
    // Whoever asks for more than may ever wait need not come again.
    let refused = server.post("/v1/embeddings", &json!({"input": vec!["a"; 2001]}));
    assert!(refused.fault(400).contains("--queue"));
}

#[test]
fn what_nobody_waits_for_any_more_is_not_done() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let mut stream = server.connect();
    stream.write_all(&long(&server)).unwrap();
    let start = Instant::now();
    while queue(&server) < 1000 {
        assert!(start.elapsed() < Duration::from_secs(30));
    }
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    // At most the pass that is under way goes on, so whoever comes next does not wait for the rest.
    server.good("/v1/embeddings", Some(&json!({"input": "next"})));
    assert_eq!(queue(&server), 0);
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let sum = metrics.lines().find_map(|line| line.strip_prefix("clipwright_batch_size_sum{kind=\"text\"} ")).unwrap();
    assert!(sum.parse::<f64>().unwrap() < 2000.0, "{sum}");
}

#[test]
fn connections_beyond_the_limit_are_turned_away() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model", "--connections", "3"]);
    let held: Vec<_> = (0..3).map(|_| server.connect()).collect();
    sleep(Duration::from_millis(200));
    let mut more = server.connect();
    let mut bytes = vec![];
    let _ = more.read_to_end(&mut bytes);
    assert!(bytes.is_empty() || answer(&bytes).status == 503, "{}", String::from_utf8_lossy(&bytes));
    drop(held);
    sleep(Duration::from_millis(200));
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn idle_connections_are_in_nobodys_way() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let idle: Vec<_> = (0..400).map(|_| server.connect()).collect();
    assert_eq!(server.get("/health").status, 200);
    drop(idle);
}

#[cfg(unix)]
#[test]
fn the_first_signal_finishes_what_is_under_way() {
    for name in ["-TERM", "-INT"] {
        let bench = Bench::new(0);
        let mut server = Server::start(&bench, &["--model", "model"]);
        let (mut stream, idle) = (server.connect(), server.connect());
        stream.write_all(&long(&server)).unwrap();
        let start = Instant::now();
        while queue(&server) < 1000 {
            assert!(start.elapsed() < Duration::from_secs(30));
        }
        signal(&server, name);
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(answer(&bytes).json()["data"].as_array().unwrap().len(), 2000);
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        drop(idle);
    }
}

#[cfg(unix)]
#[test]
fn the_second_signal_ends_at_once() {
    let bench = Bench::new(0);
    let mut server = Server::start(&bench, &["--model", "model"]);
    let mut stream = server.connect();
    // A body that never comes keeps the server waiting.
    stream.write_all(b"POST /vectorize HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n").unwrap();
    sleep(Duration::from_millis(200));
    signal(&server, "-TERM");
    sleep(Duration::from_millis(200));
    assert!(server.child.try_wait().unwrap().is_none());
    signal(&server, "-TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
}
