//! The life of a server: its threads, its signals, its end.

use super::collection::Collections;
use super::guard::Guard;
use super::listen::listen;
use super::metrics::Metrics;
use super::model::Model;
use super::queue::Queue;
use super::server::{Limits, Server, picture_bytes};
use super::signals::Signals;
use super::threads::{Memory, Threads};
use super::worker::work;
use crate::pictures::Reading;
use std::io;
use std::net::TcpListener;
use std::process::exit;
use std::sync::Arc;
use std::thread;
use tokio::runtime::Builder;

/// The exit code that a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The bodies of all requests together may take so many times the memory of the largest.
const BODIES: usize = 8;
/// Threads beside those that are counted, for the pieces of files that are being sent.
const MORE_THREADS: usize = 4;

/// What a server is started with.
pub(in crate::app) struct Setup {
    pub model: Model,
    pub collections: Collections,
    pub guard: Guard,
    pub limits: Limits,
    pub reading: Reading,
}

/// Serves until SIGTERM or Ctrl-C. Open requests are then finished; a second signal ends the program at once. An update
/// of an index is left where it is: the next one completes it.
///
/// Returns whether all requests were finished in time.
///
/// # Errors
/// Returns an error if the system does not let the server begin.
pub(in crate::app) fn run(setup: Setup, listener: TcpListener) -> io::Result<bool> {
    let Setup { model, collections, guard, limits, reading } = setup;
    let processors = thread::available_parallelism()?.get();
    let server = Arc::new(Server {
        queue: Arc::new(Queue::new(limits.queue)),
        collections,
        metrics: Arc::default(),
        guard,
        threads: Threads::new(processors),
        pictures: Memory::new(limits.queue.saturating_mul(picture_bytes(model.family().preprocess().size))),
        bodies: Memory::new(limits.body.saturating_mul(BODIES)),
        model: Arc::new(model),
        reading,
        limits,
    });
    let worker = worker(&server);
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(processors + MORE_THREADS).build()?;
    let queue = Arc::clone(&server.queue);
    let is_finished = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let signals = Signals::new()?;
        Ok::<bool, io::Error>(listen(listener, server, ended(signals)).await)
    })?;
    runtime.shutdown_background();
    queue.close();
    // Without open requests nobody waits for the model.
    if is_finished && worker.join().is_err() {
        return Err(io::Error::other("the thread of the model failed"));
    }
    Ok(is_finished)
}

fn worker(server: &Arc<Server>) -> thread::JoinHandle<()> {
    let (model, queue) = (Arc::clone(&server.model), Arc::clone(&server.queue));
    let (metrics, patience): (Arc<Metrics>, _) = (Arc::clone(&server.metrics), server.limits.patience);
    thread::spawn(move || work(&model, &queue, patience, &metrics))
}

/// Waits for the first signal, and leaves the second one to a task that ends the program.
async fn ended(mut signals: Signals) {
    signals.next().await;
    note!("finishing what is under way; a second signal stops at once");
    tokio::spawn(async move {
        signals.next().await;
        exit(INTERRUPTED)
    });
}
