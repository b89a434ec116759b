//! Damaged requests: whatever comes, the server answers what comes next, holds little memory, and gives away nothing
//! but the pictures of its indexes. The seed is fixed; with `CLIP_FUZZ_SECONDS=1800` other seeds follow for half an hour:
//!
//! ```sh
//! CLIP_FUZZ_SECONDS=1800 cargo test --release --test commands damaged_requests -- --nocapture
//! ```

use super::client::{Server, base64};
use crate::search::Bench;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// What stands in every file that must not be served.
const SECRET: &str = "nobody outside may read this";

/// How much more than at its start the server may hold, in MiB: a body of --max-body, and what it is decoded to.
const MEMORY: u64 = 200;

/// Ways out of a folder, and names that are none.
const PATHS: &[&str] = &[
    "../secret.txt",
    "..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "%252e%252e%252fsecret.txt",
    "..%5csecret.txt",
    "....//secret.txt",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "pictures/../../secret.txt",
    "0%00.png",
    "link.png",
    "%c0%ae%c0%ae/secret.txt",
    "-1",
    "18446744073709551616",
    "%",
    "%zz",
    "0-0-0",
];

/// Values that a field is not expected to have.
fn odd_values(rng: &mut Pcg64) -> Value {
    let text =
        ["", "\0", "../secret.txt", "data:image/png;base64,AAAA", "https://example.org/a.png", "file:///etc/passwd"];
    match rng.random_range(0..9) {
        0 => Value::Null,
        1 => json!(-1),
        2 => json!(1e308),
        3 => json!(u64::MAX),
        4 => json!([[[]]]),
        5 => json!({"image": "AAAA"}),
        6 => json!("x".repeat(1 << rng.random_range(1..18))),
        7 => json!(vec!["a"; 1 << rng.random_range(1..8)]),
        _ => json!(text.choose(rng)),
    }
}

/// Replaces one value somewhere in a document.
fn replace(json: &mut Value, rng: &mut Pcg64) {
    let len = json.as_array().map_or(0, Vec::len) + json.as_object().map_or(0, |fields| fields.len());
    if len == 0 || rng.random_bool(0.3) {
        *json = odd_values(rng);
        return;
    }
    let i = rng.random_range(0..len);
    let inside = match json {
        Value::Array(items) => &mut items[i],
        Value::Object(fields) => fields.values_mut().nth(i).unwrap(),
        _ => unreachable!(),
    };
    replace(inside, rng);
}

/// Sets, flips, inserts or cuts a few bytes.
fn damage(bytes: &mut Vec<u8>, rng: &mut Pcg64) {
    for _ in 0..rng.random_range(1..5) {
        let len = if rng.random() { bytes.len().min(200) } else { bytes.len() };
        let at = rng.random_range(0..len.max(1)).min(bytes.len() - 1);
        match rng.random_range(0..4) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => drop(
                bytes.splice(at..at, (0..rng.random_range(1..9)).map(|_| 32 + (at % 90) as u8).collect::<Vec<_>>()),
            ),
            _ => drop(bytes.drain(at..(at + rng.random_range(1..20)).min(bytes.len() - 1).max(at))),
        }
    }
}

/// A server with an index, beside files that are none of its business.
struct Target {
    server: Server,
    bodies: Vec<(&'static str, Value)>,
    addresses: Vec<String>,
    _bench: Bench,
}

impl Target {
    fn new() -> Target {
        let bench = Bench::new(3);
        bench.index();
        fs::write(bench.path("secret.txt"), SECRET).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(bench.path("secret.txt"), bench.path("pictures/link.png")).unwrap();
        let limits = ["--max-body", "1", "--transfer-timeout", "2", "--idle-timeout", "2"];
        let server = Server::start(&bench, &[&["pictures"], &limits[..]].concat());
        let image = base64(&bench.picture(1));
        let id = server.good("/search?q=a", None)["hits"][0]["id"].as_str().unwrap().to_owned();
        let bodies = vec![
            ("/v1/embeddings", json!({"input": ["a", {"image": image}, {"text": "b"}], "encoding_format": "base64"})),
            ("/vectorize", json!({"texts": ["a"], "images": [image]})),
            ("/rank", json!({"image": image, "texts": ["a", "b"]})),
            ("/classify", json!({"image": image, "labels": ["a", "b"], "templates": ["a {}"], "k": 1})),
            ("/search", json!({"parts": [{"like": id}, {"text": "a", "weight": -0.5}], "k": 2, "path": "**"})),
            ("/reindex", json!({})),
        ];
        let mut addresses: Vec<String> =
            ["/", "/health", "/metrics", "/meta", "/openapi.json"].map(String::from).into();
        addresses.push("/search?q=a&not=b&k=2&offset=1&path=**&after=2020-01-01&above=0.1".into());
        for route in ["item", "thumb", "picture", "page"] {
            addresses.push(format!("/{route}/{id}"));
            addresses.extend(PATHS.iter().map(|path| format!("/{route}/{path}")));
        }
        Target { server, bodies, addresses, _bench: bench }
    }

    /// Makes a request, most often a damaged one.
    fn request(&self, rng: &mut Pcg64) -> Vec<u8> {
        let kind = *["application/json", "multipart/form-data; boundary=x", "text/plain", ""].choose(rng).unwrap();
        let mut request = if rng.random() {
            let (path, mut body) = self.bodies.choose(rng).unwrap().clone();
            replace(&mut body, rng);
            let body = if kind.starts_with("multipart") {
                format!(
                    "--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"../a\"\r\n\r\n{body}\r\n--x--\r\n"
                )
            } else {
                body.to_string()
            };
            self.server.request("POST", path, &[("content-type", kind)], body.as_bytes())
        } else {
            self.server.request("GET", self.addresses.choose(rng).unwrap(), &[], b"")
        };
        if rng.random() {
            damage(&mut request, rng);
        }
        request
    }

    /// Sends a request and checks what comes back.
    fn attack(&self, request: &[u8]) {
        let start = Instant::now();
        let mut stream = self.server.connect();
        let mut answer = vec![];
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        let shown = || String::from_utf8_lossy(&request[..request.len().min(400)]).into_owned();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}: {}", start.elapsed(), shown());
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains(SECRET) && !text.contains("root:"), "{}", shown());
        if !answer.is_empty() {
            let status = text.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
            assert!(
                status.is_some_and(|status| status < 500 || status == 503 || status == 505),
                "{status:?}: {}",
                shown()
            );
        }
    }

    /// Returns the most memory that the server has held, in MiB, where the system says it.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10)
    }

    /// Sends this many requests of one seed. The server must be as well as before.
    fn round(&self, seed: u64, requests: usize) {
        let mut rng = Pcg64::seed_from_u64(seed);
        (0..requests).for_each(|_| self.attack(&self.request(&mut rng)));
        assert_eq!(self.server.good("/health", None)["status"], "ok", "seed {seed}");
    }
}

#[test]
fn damaged_requests_do_no_harm() {
    let target = Target::new();
    let before = target.peak();
    let seconds =
        std::env::var("CLIP_FUZZ_SECONDS").map_or(0, |text| text.parse().expect("CLIP_FUZZ_SECONDS: seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut seed = 1;
    target.round(seed, 300);
    while Instant::now() < end {
        seed += 1;
        target.round(seed, 300);
    }
    let after = target.peak();
    println!("{} requests, {before} MiB before and {after} after", 300 * seed);
    assert!(after <= before + MEMORY, "{before} MiB before and {after} after");
}
