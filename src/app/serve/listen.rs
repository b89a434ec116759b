//! Connections: how many, how long, and what becomes of them at the end.

use super::answer::answer;
use super::server::Server;
use super::stall::Stall;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

/// Largest header of a request in bytes, and the largest number of its lines.
const MAX_HEADER: usize = 1 << 14;
const MAX_HEADER_LINES: usize = 64;
/// How long nothing is accepted after the system refused a connection, for example for want of file descriptors.
const REST: Duration = Duration::from_millis(50);
/// What a client reads for whom there is no connection left.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves until `end` is there. Open requests are then finished, for as long as the limits say.
///
/// Returns whether all of them were.
pub(super) async fn listen(listener: TcpListener, server: Arc<Server>, end: impl Future<Output = ()>) -> bool {
    let connections = GracefulShutdown::new();
    {
        let (mut accepting, mut end) = (pin!(accept(listener, &server, &connections)), pin!(end));
        poll_fn(|cx| if end.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { accepting.as_mut().poll(cx) })
            .await;
        // The listener goes with what accepts, so that new clients are refused at once.
    }
    timeout(server.limits.drain, connections.shutdown()).await.is_ok()
}

async fn accept(listener: TcpListener, server: &Arc<Server>, connections: &GracefulShutdown) {
    let free = Arc::new(Semaphore::new(server.limits.connections));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => drop(tokio::spawn(serve(stream, Arc::clone(server), connections.watcher(), permit))),
            Err(_) => {
                server.metrics.refused.fetch_add(1, Relaxed);
                let _ = stream.try_write(FULL);
            }
        }
    }
}

/// Serves a connection to its end.
async fn serve(stream: TcpStream, server: Arc<Server>, watcher: Watcher, _permit: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let counted = Arc::clone(&server.metrics);
    counted.connections.fetch_add(1, Relaxed);
    let service = {
        let server = Arc::clone(&server);
        service_fn(move |request| answer(Arc::clone(&server), request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.limits.header)
        .max_header_size(MAX_HEADER)
        .max_headers(MAX_HEADER_LINES)
        .serve_connection(Stall::new(TokioIo::new(stream), server.limits.transfer), service);
    // A client that breaks its connection off is no error of ours.
    let _ = watcher.watch(connection).await;
    counted.connections.fetch_sub(1, Relaxed);
}
