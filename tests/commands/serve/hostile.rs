//! Requests that are wrong, large, slow, or from elsewhere.

use super::client::{Server, answer};
use crate::search::Bench;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The server still answers.
#[track_caller]
fn is_well(server: &Server) {
    assert_eq!(server.good("/health", None)["status"], "ok");
}

#[test]
fn bodies_that_are_wrong_are_refused() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let deep = "[".repeat(100_000);
    let nested = format!("{{\"input\": {}{}}}", "[".repeat(200), "]".repeat(200));
    let huge = format!("{{\"input\": \"a\", \"dimensions\": {}}}", "9".repeat(400));
    for body in [
        "{\"input\": \"a",
        "{\"input\": \"a\"} trailing",
        "nothing",
        "[]",
        "null",
        "{\"input\": null}",
        "{\"input\": true}",
        "{\"input\": {\"image\": 7}}",
        "{\"input\": {\"image\": \"%%%\"}}",
        "{\"input\": \"a\", \"input\": \"b\"}",
        "{\"input\": \"a\", \"dimensions\": -1}",
        "{\"input\": \"a\", \"dimensions\": 1e400}",
        "{\"input\": \"\\ud800\"}",
        &deep,
        &nested,
        &huge,
    ] {
        for path in ["/v1/embeddings", "/vectorize", "/rank", "/classify", "/search"] {
            let answer = server.ask("POST", path, &[], body.as_bytes());
            assert!(answer.status == 400, "{path} {}: {answer:?}", &body[..body.len().min(60)]);
            assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty());
        }
    }
    assert_eq!(server.ask("POST", "/v1/embeddings", &[], b"{\"input\": \"\xff\"}").status, 400);
    is_well(&server);
}

/// A PNG of 30,000 × 30,000 pixels of one colour takes little space.
#[test]
fn picture_bombs_are_refused() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, 30_000, 30_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    (0..30_000).for_each(|_| stream.write_all(&[0; 3750]).unwrap());
    stream.finish().unwrap();
    drop(writer);
    assert!(file.len() < 1 << 20);
    let said = server.post("/v1/embeddings", &json!({"input": {"image": STANDARD.encode(&file)}})).fault(400);
    assert!(said.starts_with("input[0]: not a picture that can be read"), "{said}");
    let svg = STANDARD.encode("<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    assert_eq!(server.post("/vectorize", &json!({"images": [svg]})).status, 400);
    is_well(&server);
}

#[test]
fn bodies_have_limits_of_size_and_time() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model", "--max-body", "1", "--transfer-timeout", "1"]);
    let head =
        |rest: &str| format!("POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{rest}\r\n\r\n");
    // A gigabyte that is only promised is refused before any of it is sent.
    let start = Instant::now();
    let refused = answer(&server.raw(head("content-length: 1073741824").as_bytes()));
    assert!(refused.fault(413).contains("--max-body") && start.elapsed() < Duration::from_secs(1));
    for length in ["99999999999999999999999999", "-1", "x", "1, 2"] {
        let refused = server.raw(head(&format!("content-length: {length}")).as_bytes());
        assert!(refused.is_empty() || refused.starts_with(b"HTTP/1.1 400"), "{length}");
    }
    // Pieces without end.
    let mut stream = server.connect();
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).unwrap();
    let piece = [b"10000\r\n".to_vec(), vec![b' '; 1 << 16], b"\r\n".to_vec()].concat();
    let sent = (0..1000).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 1000, "64 MB were taken");
    // A body that does not come.
    let mut stream = server.connect();
    stream.write_all(head("content-length: 100").as_bytes()).unwrap();
    let (start, mut bytes) = (Instant::now(), vec![]);
    stream.read_to_end(&mut bytes).unwrap();
    answer(&bytes).fault(408);
    assert!((1..10).contains(&start.elapsed().as_secs()));
    is_well(&server);
}

#[test]
fn slow_headers_and_idle_connections_are_cut_off() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model", "--idle-timeout", "1"]);
    let mut slow = server.connect();
    let idle = server.connect();
    let start = Instant::now();
    slow.write_all(b"GET /health HTTP/1.1\r\n").unwrap();
    let dripped = (0..100).take_while(|i| {
        sleep(Duration::from_millis(100));
        slow.write_all(format!("x-{i}: y\r\n").as_bytes()).is_ok()
    });
    assert!(dripped.count() < 90 && start.elapsed() < Duration::from_secs(9));
    let mut bytes = vec![];
    let _ = (&idle).read_to_end(&mut bytes);
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408"), "{bytes:?}");
    is_well(&server);
}

#[test]
fn heads_that_are_wrong_are_refused() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model"]);
    let long = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(1000));
    for (head, statuses) in [
        ("GET /health HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\nconnection: close\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n", "421"),
        ("GET http://evil.example/health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n", "421"),
        ("GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n", "400 505"),
        ("\0\x01\x02\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost : localhost\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431 400"),
    ] {
        let bytes = server.raw(head.as_bytes());
        let status = String::from_utf8_lossy(&bytes).split(' ').nth(1).unwrap_or_default().to_owned();
        // A connection may also be reset before the answer is read.
        assert!(status.is_empty() || statuses.contains(&status), "{}: {status}", &head[..head.len().min(60)]);
    }
    for (method, path, status) in
        [("GET", "/nothing", 404), ("DELETE", "/health", 405), ("GET", "/v1/embeddings", 405), ("BREW", "/meta", 405)]
    {
        assert_eq!(server.ask(method, path, &[], b"").status, status, "{method} {path}");
    }
    assert_eq!(server.ask("PUT", "/search", &[], b"").header("allow"), Some("GET, POST"));
    is_well(&server);
}

#[test]
fn pages_from_elsewhere_may_ask_only_if_they_are_named() {
    let bench = Bench::new(0);
    let server = Server::start(&bench, &["--model", "model", "--cors", "https://photos.example"]);
    let evil = server.ask("POST", "/v1/embeddings", &[("origin", "http://evil.example")], b"{\"input\": \"a\"}");
    assert_eq!((evil.status, evil.header("access-control-allow-origin")), (403, None));
    let friend = server.ask("POST", "/v1/embeddings", &[("origin", "https://photos.example")], b"{\"input\": \"a\"}");
    assert_eq!(friend.status, 200);
    assert_eq!(friend.header("access-control-allow-origin"), Some("https://photos.example"));
    let asked = server.ask("OPTIONS", "/v1/embeddings", &[("origin", "https://photos.example")], b"");
    assert_eq!((asked.status, asked.header("access-control-allow-methods")), (204, Some("POST")));
    // Every answer, good or bad, says what browsers may do with it.
    for answer in [evil, server.get("/health"), server.get("/nothing")] {
        assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
        assert!(!answer.header("content-security-policy").unwrap().contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn a_token_is_demanded_where_others_can_reach_the_server() {
    let bench = Bench::new(0);
    let refused = bench.run(&["serve", "--model", "model", "--listen", "0.0.0.0:0"]);
    assert!(refused.code == 2 && refused.error.contains("--token-file"), "{}", refused.error);
    for (token, said) in [("short", "16 or more"), ("a token with blanks in it", "visible ASCII")] {
        fs::write(bench.path("token"), token).unwrap();
        let refused = bench.run(&["serve", "--model", "model", "--token-file", "token"]);
        assert!(refused.code == 2 && refused.error.contains(said), "{}", refused.error);
    }
    fs::write(bench.path("token"), "0123456789abcdef\n").unwrap();
    let server = Server::start(&bench, &["--model", "model", "--token-file", "token"]);
    let ask = |token: &str| server.ask("GET", "/meta", &[("authorization", token)], b"");
    assert_eq!(ask("Bearer 0123456789abcdef").status, 200);
    for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcde", "Bearer ", "0123456789abcdef", "Basic x"] {
        let refused = ask(wrong);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        refused.fault(401);
    }
    assert_eq!(server.get("/v1/models").status, 401);
    assert_eq!(server.get("/nothing").status, 401);
    assert_eq!(server.get("/.well-known/ready").status, 204);
    is_well(&server);
}
