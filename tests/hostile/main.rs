//! Tests of every parser of foreign bytes on hostile files: it returns a result or an error, in little time and memory,
//! and never panics.
//!
//! There are two kinds of files: valid ones with some bytes changed, cut or inserted, and well-formed ones with absurd
//! values. The seed is fixed, so that a test that passes once passes always. With `CLIP_FUZZ_SECONDS=3600` all of them go on
//! with other seeds for an hour, on all threads:
//!
//! ```sh
//! CLIP_FUZZ_SECONDS=3600 cargo test --release --test hostile as_long_as_is_asked -- --nocapture
//! ```

mod blip;
mod captions;
mod checkpoints;
mod configurations;
mod index;
mod pictures;
#[cfg(feature = "app")]
mod runs;
mod tables;
mod tokenizers;
mod word_pieces;

#[path = "../support/mod.rs"]
mod support;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that all tests of this program together may hold at a time. The largest file among them has a megabyte.
const MEMORY: usize = 1 << 30;

/// The system's allocator up to [`MEMORY`]; beyond that it ends the process with a message.
struct Bounded;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// Returns whether there is room for so many more bytes.
fn reserve(size: usize) -> bool {
    let fits = HELD.fetch_add(size, Relaxed).saturating_add(size) <= MEMORY;
    if !fits {
        HELD.fetch_sub(size, Relaxed);
    }
    fits
}

// SAFETY: what is granted is the system's allocator's; a null pointer is the contract's answer to what is refused.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract.
        if reserve(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps GlobalAlloc's contract. Unlike the default, this touches no page.
        if reserve(layout.size()) { unsafe { System.alloc_zeroed(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

thread_local! {
    /// What the cases of this thread are drawn from.
    static SEED: Cell<u64> = const { Cell::new(1) };
}

/// The number of cases that were begun.
static CASES: AtomicU64 = AtomicU64::new(0);

/// Returns a configuration of so many cases, which depend on the thread's seed alone.
fn cases(cases: u32) -> ProptestConfig {
    CASES.fetch_add(cases.into(), Relaxed);
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(SEED.get()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// An edit of a file.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u32),
    Insert(Index, Vec<u8>),
    Cut(Index, usize),
    End(Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = any::<Index>;
    let edit = prop_oneof![
        3 => (place(), prop_oneof![Just(0), Just(0xff), Just(0x7f), any::<u8>()]).prop_map(|(at, to)| Edit::Set(at, to)),
        3 => (place(), 0..8u32).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        1 => (place(), 1..20usize).prop_map(|(at, bytes)| Edit::Cut(at, bytes)),
        1 => place().prop_map(Edit::End),
    ];
    prop::collection::vec(edit, 1..5)
}

/// Applies the edits. Places near the start are likelier, since headers do more harm than data.
fn damaged(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (i, edit) in edits.iter().enumerate() {
        let len = if i % 2 == 0 { bytes.len().min(64) } else { bytes.len() };
        let (Edit::Set(at, _) | Edit::Flip(at, _) | Edit::Insert(at, _) | Edit::Cut(at, _) | Edit::End(at)) = edit;
        let at = if len == 0 { return bytes } else { at.index(len) };
        match edit {
            Edit::Set(_, to) => bytes[at] = *to,
            Edit::Flip(_, bit) => bytes[at] ^= 1 << bit,
            Edit::Insert(_, new) => drop(bytes.splice(at..at, new.iter().copied())),
            Edit::Cut(_, cut) => drop(bytes.drain(at..(at + cut).min(bytes.len()))),
            Edit::End(_) => bytes.truncate(at),
        }
    }
    bytes
}

/// Returns the pointers of all fields below this one.
fn fields(at: &str, json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(inside) => {
            inside.iter().for_each(|(name, json)| fields(&format!("{at}/{}", name.replace('/', "~1")), json, found));
        }
        Value::Array(inside) => {
            inside.iter().enumerate().for_each(|(i, json)| fields(&format!("{at}/{i}"), json, found))
        }
        _ => {}
    }
    found.push(at.into());
}

/// Runs a function and returns its result; it fails if that takes longer than anybody would wait.
#[track_caller]
fn promptly<T>(run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = run();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    outcome
}

/// The tests of all parsers, each a function of the thread's seed.
const PARSERS: &[&[fn()]] = &[
    blip::TESTS,
    captions::TESTS,
    checkpoints::TESTS,
    configurations::TESTS,
    index::TESTS,
    pictures::TESTS,
    #[cfg(feature = "app")]
    runs::TESTS,
    tables::TESTS,
    tokenizers::TESTS,
    word_pieces::TESTS,
];

#[test]
fn as_long_as_is_asked() {
    let Ok(seconds) = std::env::var("CLIP_FUZZ_SECONDS") else { return };
    let seconds = seconds.parse().expect("CLIP_FUZZ_SECONDS is a number of seconds");
    let (end, seeds) = (Instant::now() + Duration::from_secs(seconds), AtomicU64::new(2));
    let work = || {
        while Instant::now() < end {
            let seed = seeds.fetch_add(1, Relaxed);
            SEED.set(seed);
            eprintln!("seed {seed}, {} cases so far", CASES.load(Relaxed));
            PARSERS.iter().copied().flatten().for_each(|test| test());
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!("{} cases of {} seeds", CASES.load(Relaxed), seeds.load(Relaxed) - 2);
}
