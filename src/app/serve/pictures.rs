//! Pictures of the indexes, by their ids and in no other way: what they are, small, and as they are.

use super::call::Call;
use super::collection::Asked;
use super::file_body::FileBody;
use super::reply::{Answer, Fault};
use super::url_query::UrlQuery;
use crate::app::html::jpeg_file;
use crate::app::thumbnail::{THUMBNAIL, thumbnail};
use crate::pictures::decode::{HEAD_BYTES, format};
use chrono::{DateTime, SecondsFormat};
use http_body_util::Either;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

/// The largest side of a small picture, in pixels.
const MAX_SIDE: u32 = 1024;
/// How long a browser may keep a picture: ids of pictures that change are others after the next update.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=3600");

pub(super) async fn item(call: Call) -> Result<Answer, Fault> {
    let Call { server, id, .. } = call;
    let threads = server.threads.clone();
    let find = move || {
        let (id, Asked { collection, entry, .. }) = server.collections.find(&id)?;
        let modified = DateTime::from_timestamp_nanos(entry.modified).to_rfc3339_opts(SecondsFormat::Millis, true);
        Ok(Answer::json(&json!({
            "id": id.to_string(), "index": collection.name(), "path": entry.path, "size": entry.size,
            "modified": modified,
        })))
    };
    threads.run(find).await?
}

pub(super) async fn thumb(call: Call) -> Result<Answer, Fault> {
    let Call { server, id, query, .. } = call;
    let mut query = UrlQuery::parse(&query);
    let size = query.number("size")?.unwrap_or(THUMBNAIL);
    query.end()?;
    if !(1..=MAX_SIDE).contains(&size) {
        return Err(Fault::field("size", format!("{size}; it is from 1 to {MAX_SIDE}")));
    }
    let threads = server.threads.clone();
    let make = move || {
        let file = server.collections.find(&id)?.1.file()?;
        let small = thumbnail(&file, size).ok_or_else(|| Fault::missing("the picture cannot be read any more"))?;
        Ok(Answer::bytes("image/jpeg", jpeg_file(&small)).with(CACHE_CONTROL, KEEP))
    };
    threads.run(make).await?
}

pub(super) async fn picture(call: Call) -> Result<Answer, Fault> {
    let Call { server, id, .. } = call;
    let threads = server.threads.clone();
    let (file, len, kind) = threads.run(move || open(&server.collections.find(&id)?.1.file()?)).await??;
    let body = Either::Right(FileBody::new(file, len));
    let answer = Answer { status: StatusCode::OK, headers: vec![], body };
    Ok(answer.with(CONTENT_TYPE, HeaderValue::from_static(kind)).with(CACHE_CONTROL, KEEP))
}

/// Opens a picture's file, and returns its length and its type with it. Whatever else is at the path now is not served.
fn open(path: &Path) -> Result<(File, u64, &'static str), Fault> {
    let missing = || Fault::missing("the picture cannot be read any more");
    // Opening a pipe could wait for ever.
    path.metadata().ok().filter(|metadata| metadata.is_file()).ok_or_else(missing)?;
    let mut file = File::open(path).map_err(|_| missing())?;
    let len = file.metadata().ok().filter(|metadata| metadata.is_file()).ok_or_else(missing)?.len();
    let mut head = vec![];
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|_| missing())?;
    file.rewind().map_err(|_| missing())?;
    let kind = format(&head).map(|format| format.to_mime_type()).ok_or_else(missing)?;
    Ok((file, len, kind))
}
