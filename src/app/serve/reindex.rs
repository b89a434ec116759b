//! `POST /reindex`: what has changed in the folders is embedded, while the rest goes on.

use super::call::Call;
use super::reply::{Answer, Fault};
use crate::index::Update;
use hyper::StatusCode;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

pub(super) async fn begin(call: Call) -> Result<Answer, Fault> {
    let Call { server, .. } = call;
    if server.collections.iter().next().is_none() {
        return Err(Fault::missing("no index is served; clipwright serve INDEX names one"));
    }
    server.collections.begin()?;
    let shared = Arc::clone(&server);
    thread::spawn(move || {
        let collections = &shared.collections;
        let outcome = catch_unwind(AssertUnwindSafe(|| collections.update(shared.model.family())));
        outcome.unwrap_or_else(|_| collections.give_up());
    });
    Ok(Answer { status: StatusCode::ACCEPTED, ..Answer::json(&json!({"running": true})) })
}

pub(super) async fn state(call: Call) -> Result<Answer, Fault> {
    let state = call.server.collections.state();
    let names = || call.server.collections.iter().map(|collection| collection.name());
    let last = match state.last {
        None => Value::Null,
        Some(Ok(updates)) => names().zip(&updates).map(|(name, update)| report(name, update)).collect(),
        Some(Err(error)) => json!({"error": error}),
    };
    Ok(Answer::json(&json!({"running": state.is_running, "done": state.done, "todo": state.todo, "last": last})))
}

fn report(name: &str, update: &Update) -> Value {
    let Update { added, changed, moved, removed, unchanged, skipped, passed_over: _ } = update;
    json!({
        "index": name, "added": added, "changed": changed, "moved": moved, "removed": removed,
        "unchanged": unchanged, "skipped": skipped.len(),
    })
}
