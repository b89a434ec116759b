//! Answers that take long: the one that is being made, and those that are kept until their indexes change.

use super::collection::{Collection, Collections};
use super::reply::{Answer, Fault, JSON};
use crate::app::map::Words;
use crate::index::Index;
use crate::progress::{Progress, Stopped};
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long nobody may have asked for an answer that is being made.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most answers that are kept.
const MAX_KEPT: usize = 8;

/// An index that is asked about, with its number.
pub(super) type Chosen = (usize, Arc<Index>);

/// What is asked, of which states of which indexes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    what: String,
    /// The number of each index, its generation, its rows, and how many of them are dropped.
    of: Vec<(usize, u64, usize, usize)>,
}

impl Key {
    pub fn new(what: String, chosen: &[Chosen]) -> Self {
        Key { what, of: chosen.iter().map(|(place, index)| state(*place, index)).collect() }
    }

    /// Whether the indexes are still what they were.
    fn is_of_now(&self, collections: &Collections) -> bool {
        let now = collections.iter().map(Collection::index).enumerate();
        let now: Vec<_> = now.map(|(place, index)| state(place, &index)).collect();
        self.of.iter().all(|of| now[of.0] == *of)
    }
}

fn state(place: usize, index: &Index) -> (usize, u64, usize, usize) {
    let manifest = index.manifest();
    (place, manifest.generation, manifest.rows, manifest.dropped.len())
}

/// The answers that are kept, and the one that is being made.
#[derive(Default)]
pub(super) struct Studies {
    state: Mutex<State>,
    /// Tells that an answer has been made or given up.
    pub changed: Notify,
    /// What regions of maps are named by, once somebody has asked for a map.
    pub words: OnceLock<Words>,
}

#[derive(Default)]
struct State {
    kept: Vec<(Key, Result<Bytes, Fault>)>,
    current: Option<Current>,
}

struct Current {
    key: Key,
    asked: Instant,
    progress: Progress,
}

impl Studies {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics here")
    }

    /// Returns the answer if there is one, and otherwise notes that somebody waits for it.
    pub fn ask(&self, key: &Key) -> Option<Result<Answer, Fault>> {
        let mut state = self.lock();
        let found = state.find(key);
        if let Some(current) = state.current.as_mut().filter(|current| current.key == *key) {
            current.asked = Instant::now();
        }
        found
    }

    /// Begins an answer, unless one is being made.
    pub fn begin(&self, key: &Key) -> bool {
        let mut state = self.lock();
        let is_free = state.current.is_none();
        let progress = Progress { what: "pictures", done: 0, todo: 0 };
        state.current.get_or_insert_with(|| Current { key: key.clone(), asked: Instant::now(), progress });
        is_free
    }

    /// Returns how far the answer is. Another one may have to be finished before it.
    pub fn told(&self, key: &Key) -> Answer {
        let state = self.lock();
        let own = state.current.as_ref().filter(|current| current.key == *key).map(|current| current.progress);
        let Progress { what, done, todo } = own.unwrap_or(Progress { what: "waiting", done: 0, todo: 0 });
        let told = Answer::json(&json!({"running": true, "what": what, "done": done, "todo": todo}));
        Answer { status: StatusCode::ACCEPTED, ..told }
    }

    /// Notes how far the work is, and stops it if nobody waits for it.
    pub fn watch(&self, progress: Progress) -> Result<(), Stopped> {
        let mut state = self.lock();
        let current = state.current.as_mut().expect("work is under way");
        current.progress = progress;
        if current.asked.elapsed() > PATIENCE { Err(Stopped) } else { Ok(()) }
    }

    /// Ends the work. An answer that nobody waits for leaves nothing.
    pub fn end(&self, collections: &Collections, outcome: Option<Result<Bytes, Fault>>) {
        let mut state = self.lock();
        let key = state.current.take().expect("work is under way").key;
        state.kept.retain(|(key, _)| key.is_of_now(collections));
        state.kept.extend(outcome.map(|outcome| (key, outcome)));
        let too_many = state.kept.len().saturating_sub(MAX_KEPT);
        state.kept.drain(..too_many);
        drop(state);
        self.changed.notify_waiters();
    }
}

impl State {
    /// Returns the answer if there is one. A fault is told once; the next request tries again.
    fn find(&mut self, key: &Key) -> Option<Result<Answer, Fault>> {
        let place = self.kept.iter().position(|(kept, _)| kept == key)?;
        match &self.kept[place].1 {
            Ok(bytes) => Some(Ok(Answer::bytes(JSON, bytes.clone()))),
            Err(_) => self.kept.remove(place).1.err().map(Err),
        }
    }
}
