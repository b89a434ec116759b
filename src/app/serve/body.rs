//! The bodies of requests, within limits of size, time and memory.

use super::reply::Fault;
use super::server::Server;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// A body that was read, and the memory that is reserved for it.
#[derive(Default)]
pub(super) struct Read {
    pub bytes: Vec<u8>,
    _memory: Vec<OwnedSemaphorePermit>,
}

/// Reads a body.
///
/// # Errors
/// Returns a fault if it is too large, comes too slowly, ends too early, or if those of other requests fill the memory.
pub(super) async fn read(server: &Server, body: Incoming) -> Result<Read, Fault> {
    // A size that is promised is refused before anything is read.
    if body.size_hint().lower() > server.limits.body as u64 {
        return Err(too_large(server.limits.body));
    }
    let slow =
        |_| Fault::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body did not come in time (--transfer-timeout)");
    timeout(server.limits.transfer, pieces(server, body)).await.map_err(slow)?
}

async fn pieces(server: &Server, mut body: Incoming) -> Result<Read, Fault> {
    let mut read = Read::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Fault::invalid(format!("the body ends too early: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if read.bytes.len() + piece.len() > server.limits.body {
            return Err(too_large(server.limits.body));
        }
        let full = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "no_memory", "other requests fill the memory");
        read._memory.push(server.bodies.try_reserve(piece.len()).ok_or_else(full)?);
        read.bytes.extend_from_slice(&piece);
    }
    Ok(read)
}

fn too_large(limit: usize) -> Fault {
    let message = format!("a body of more than {} MiB, which --max-body allows", limit >> 20);
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Parses a body as JSON. An empty one counts as `{}`.
///
/// # Errors
/// Returns a fault that says where it is wrong.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Fault::invalid(format!("the body: {error}")))
}
