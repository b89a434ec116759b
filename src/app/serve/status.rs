//! What the server says of itself: whether it is well, what it counts, which model it has, which routes.

use super::call::Call;
use super::metrics::{KIND, Now};
use super::reply::{Answer, Fault, JSON};
use crate::app::VERSION;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The description of all routes.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// What a server says of itself at `/health`.
#[derive(Serialize, Deserialize)]
pub(in crate::app) struct Health {
    pub status: String,
    pub version: String,
    /// Number of texts and pictures that wait for the model.
    pub queue: usize,
    /// Whether an index is being brought up to date.
    pub indexing: bool,
}

pub(super) async fn health(call: Call) -> Result<Answer, Fault> {
    let Call { server, .. } = call;
    let (queue, indexing) = (server.queue.len(), server.collections.state().is_running);
    Ok(Answer::json(&Health { status: "ok".into(), version: VERSION.into(), queue, indexing }))
}

pub(super) async fn ready(_: Call) -> Result<Answer, Fault> {
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn metrics(call: Call) -> Result<Answer, Fault> {
    let Call { server, .. } = call;
    let pictures = server.collections.iter().map(|collection| collection.index().all().count()).sum();
    let now = Now { model: server.model.name(), queue: server.queue.len(), pictures };
    Ok(Answer::bytes(KIND, server.metrics.text(&now)))
}

pub(super) async fn meta(call: Call) -> Result<Answer, Fault> {
    let Call { server, .. } = call;
    let pictures = server.model.family().preprocess();
    let indexes = server.collections.iter().map(|collection| {
        let index = collection.index();
        json!({"index": collection.name(), "pictures": index.all().count()})
    });
    Ok(Answer::json(&json!({
        "model": server.model.name(),
        "kind": server.model.id().kind,
        "fingerprint": server.model.id().fingerprint,
        "dimensions": server.model.embed_dim(),
        "image_size": pictures.size,
        "version": VERSION,
        "indexes": indexes.collect::<Vec<_>>(),
    })))
}

pub(super) async fn models(call: Call) -> Result<Answer, Fault> {
    let Call { server, .. } = call;
    let model = json!({"id": server.model.name(), "object": "model", "created": 0, "owned_by": "clipwright"});
    Ok(Answer::json(&json!({"object": "list", "data": [model]})))
}

pub(super) async fn openapi(_: Call) -> Result<Answer, Fault> {
    Ok(Answer::bytes(JSON, OPENAPI))
}

#[cfg(test)]
mod tests {
    use super::OPENAPI;
    use crate::app::serve::routes::ROUTES;
    use serde_json::Value;

    #[test]
    fn every_route_is_described() {
        let description: Value = serde_json::from_str(OPENAPI).unwrap();
        for route in ROUTES {
            let described = &description["paths"][route.path][route.method.as_str().to_lowercase()];
            assert!(described["summary"].is_string(), "{} {}", route.method, route.path);
            assert_eq!(described.get("security").is_some(), route.is_open, "{}", route.path);
        }
    }
}
