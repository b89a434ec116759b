//! The life of a server: its threads, its signals, its end.

use super::collection::Collections;
use super::guard::Guard;
use super::listen::listen;
use super::metrics::Metrics;
use super::model::Model;
use super::queue::Queue;
use super::server::{Limits, Server, picture_bytes};
use super::signals::Signals;
use super::studies::Studies;
use super::threads::{Memory, Threads};
use super::worker::work;
use crate::pictures::Reading;
use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::sync::Arc;
use std::thread;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};

/// The exit code that a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The bodies of all requests together may take so many times the memory of the largest.
const BODIES: usize = 8;
/// Number of clients that the system lets wait to be accepted; those beyond it try again after a second.
const BACKLOG: u32 = 4096;
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

/// An address that is listened at, and the thread that will wait for connections.
pub(in crate::app) struct Listening {
    runtime: Runtime,
    listener: TcpListener,
}

impl Listening {
    /// Begins to listen. Clients can connect from now on, and are answered once the server runs.
    ///
    /// # Errors
    /// Returns an error if the address is taken or not one of this machine.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let threads = thread::available_parallelism()?.get() + MORE_THREADS;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(threads).build()?;
        let listener = {
            let _entered = runtime.enter();
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Elsewhere than on Unix this would let others take the address too.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)?
        };
        Ok(Listening { runtime, listener })
    }

    /// Returns the address with its port, whichever was asked for.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Serves until SIGTERM or Ctrl-C. Open requests are then finished; a second signal ends the program at once. An update
/// of an index is left where it is: the next one completes it.
///
/// Returns whether all requests were finished in time.
///
/// # Errors
/// Returns an error if the system does not let the server begin.
pub(in crate::app) fn run(setup: Setup, listening: Listening) -> io::Result<bool> {
    let Listening { runtime, listener } = listening;
    let Setup { model, collections, guard, limits, reading } = setup;
    let processors = thread::available_parallelism()?.get();
    let server = Arc::new(Server {
        queue: Arc::new(Queue::new(limits.queue)),
        collections,
        studies: Studies::default(),
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
    let queue = Arc::clone(&server.queue);
    let is_finished =
        runtime.block_on(async { Ok::<bool, io::Error>(listen(listener, server, ended(Signals::new()?)).await) })?;
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
