//! How an answer that takes long is given: it is made on a thread of its own, one at a time.
//!
//! Whoever asks waits a moment, and is told how far the answer is if it is not there by then (202). Asking again is waiting
//! on. An answer that nobody has asked for in a while is given up, so that the next one can begin. Half of the processors
//! work on it; the others are left to searches.

use super::collection::broken;
use super::reply::{Answer, Fault};
use super::server::Server;
use super::studies::{Chosen, Key};
use crate::index::IndexError;
use crate::progress::Watch;
use rayon::ThreadPoolBuilder;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// How long a request waits for an answer.
const WAIT: Duration = Duration::from_secs(1);

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
            return Ok(server.studies.told(&key));
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
    server.studies.end(&server.collections, outcome);
}
