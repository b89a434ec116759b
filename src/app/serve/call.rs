//! What a handler is given.

use super::body::Read;
use super::server::Server;
use std::sync::Arc;

/// A request for a route, whose sender may ask.
pub(super) struct Call {
    pub server: Arc<Server>,
    /// What stands for `{id}` in the path.
    pub id: String,
    /// What stands behind the question mark.
    pub query: String,
    pub body: Read,
}
