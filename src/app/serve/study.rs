//! Answers that take long: each is made on a thread of its own, one at a time, and kept until its indexes change.
//!
//! Whoever asks waits a moment, and is told how far the answer is if it is not there by then (202). Asking again is waiting
//! on. An answer that nobody has asked for in a while is given up, so that the next one can begin. Half of the processors
//! work on it; the others are left to searches.

use super::collection::{Collection, broken};
use super::reply::{Answer, Fault, JSON};
use super::server::Server;
use crate::app::map::Words;
use crate::index::{Index, IndexError};
use crate::progress::{Progress, Stopped, Watch};
use hyper::StatusCode;
use hyper::body::Bytes;
use rayon::ThreadPoolBuilder;
use serde::Serialize;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// How long a request waits for an answer.
const WAIT: Duration = Duration::from_secs(1);
/// How long nobody may have asked for an answer that is being made.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most answers that are kept.
const MAX_KEPT: usize = 8;

/// An index that is asked about, with its number.
pub(super) type Chosen = (usize, Arc<Index>);

/// What is asked, of which states of which indexes.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    what: String,
    /// The number of each index, its generation, its rows, and how many of them are dropped.
    of: Vec<(usize, u64, usize, usize)>,
}

impl Key {
    fn new(what: String, chosen: &[Chosen]) -> Self {
        Key { what, of: chosen.iter().map(|(place, index)| state(*place, index)).collect() }
    }

    /// Whether the indexes are still what they were.
    fn is_of_now(&self, server: &Server) -> bool {
        let now: Vec<_> = server
            .collections
            .iter()
            .map(Collection::index)
            .enumerate()
            .map(|(place, index)| state(place, &index))
            .collect();
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
    changed: Notify,
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
    fn ask(&self, key: &Key) -> Option<Result<Answer, Fault>> {
        let mut state = self.lock();
        let found = state.find(key);
        if let Some(current) = state.current.as_mut().filter(|current| current.key == *key) {
            current.asked = Instant::now();
        }
        found
    }

    /// Begins an answer, unless one is being made.
    fn begin(&self, key: &Key) -> bool {
        let mut state = self.lock();
        let is_free = state.current.is_none();
        let progress = Progress { what: "pictures", done: 0, todo: 0 };
        state.current.get_or_insert_with(|| Current { key: key.clone(), asked: Instant::now(), progress });
        is_free
    }

    /// Notes how far the work is, and stops it if nobody waits for it.
    fn watch(&self, progress: Progress) -> Result<(), Stopped> {
        let mut state = self.lock();
        let current = state.current.as_mut().expect("work is under way");
        current.progress = progress;
        if current.asked.elapsed() > PATIENCE { Err(Stopped) } else { Ok(()) }
    }

    /// Ends the work. An answer that nobody waits for leaves nothing.
    fn end(&self, server: &Server, outcome: Option<Result<Bytes, Fault>>) {
        let mut state = self.lock();
        let key = state.current.take().expect("work is under way").key;
        state.kept.retain(|(key, _)| key.is_of_now(server));
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

    /// Returns how far the answer is. Another one may have to be finished before it.
    fn told(&self, key: &Key) -> Answer {
        let own = self.current.as_ref().filter(|current| current.key == *key).map(|current| current.progress);
        let Progress { what, done, todo } = own.unwrap_or(Progress { what: "waiting", done: 0, todo: 0 });
        let told = Answer::json(&json!({"running": true, "what": what, "done": done, "todo": todo}));
        Answer { status: StatusCode::ACCEPTED, ..told }
    }
}

/// Answers with what `work` returns, which is called unless its answer is kept. `what` names the question.
pub(super) async fn study<R: Serialize + Send>(
    server: Arc<Server>,
    what: String,
    chosen: Vec<Chosen>,
    work: impl FnOnce(&Server, &[Chosen], Watch) -> Result<R, IndexError> + Send + 'static,
) -> Result<Answer, Fault> {
    let (key, deadline) = (Key::new(what, &chosen), Instant::now() + WAIT);
    let mut work = Some((chosen, work));
    loop {
        let changed = server.studies.changed.notified();
        if let Some(answer) = server.studies.ask(&key) {
            return answer;
        }
        if let Some((chosen, work)) = work.take_if(|_| server.studies.begin(&key)) {
            let server = Arc::clone(&server);
            thread::spawn(move || make(&server, &chosen, work));
        }
        if timeout_at(deadline.into(), changed).await.is_err() {
            return Ok(server.studies.lock().told(&key));
        }
    }
}

/// Makes an answer.
fn make<R: Serialize + Send>(
    server: &Server,
    chosen: &[Chosen],
    work: impl FnOnce(&Server, &[Chosen], Watch) -> Result<R, IndexError> + Send,
) {
    let watch = |progress| server.studies.watch(progress);
    let pool = ThreadPoolBuilder::new().num_threads((server.threads.count() / 2).max(1)).build();
    let made = || pool.expect("threads can be started").install(|| work(server, chosen, &watch));
    let outcome = match catch_unwind(AssertUnwindSafe(made)) {
        Ok(Ok(answer)) => Some(Ok(serde_json::to_vec(&answer).expect("maps have texts for keys").into())),
        Ok(Err(IndexError::Stopped(_))) => None,
        Ok(Err(error)) => Some(Err(broken(error))),
        Err(_) => Some(Err(Fault::internal("the server failed at this request, and goes on"))),
    };
    server.studies.end(server, outcome);
}
