//! `GET /search` and `POST /search`: the pictures of all indexes, or of one, that fit a query best.

use super::call::Call;
use super::collection::{Collection, Id, broken};
use super::reply::{Answer, Fault};
use super::search_request::{QueryPart, SearchRequest, Sought};
use super::server::Server;
use super::studies::Chosen;
use crate::index::{Index, IndexError, combine};
use crate::pictures::Reading;
use ndarray::{Array2, Axis, stack};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Reply {
    /// Number of pictures that can be found.
    pictures: usize,
    /// Number of those that the filters admit.
    matching: usize,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    rank: usize,
    /// The cosine of the embeddings.
    score: f32,
    id: String,
    index: String,
    path: String,
}

pub(super) async fn by_query(call: Call) -> Result<Answer, Fault> {
    let wanted = SearchRequest::of_query(&call.query)?;
    search(call.server, wanted).await
}

pub(super) async fn by_body(call: Call) -> Result<Answer, Fault> {
    let Call { server, body, .. } = call;
    let wanted = server.threads.run_on(body.bytes.len(), move || SearchRequest::of_body(&body.bytes)).await??;
    search(server, wanted).await
}

/// An index to search, and what for.
struct Search {
    place: usize,
    index: Arc<Index>,
    /// (e), of unit length
    query: Vec<f32>,
}

async fn search(server: Arc<Server>, wanted: SearchRequest) -> Result<Answer, Fault> {
    wanted.check(server.model.family())?;
    let chosen = chosen(&server, wanted.index.as_deref())?;
    let texts = server.embed_texts(wanted.texts().cloned().collect()).await?.rows;
    let likes = likes(&server, &wanted).await?;
    // Pictures of a query are read as those of the index were, which most often is the same way for all.
    let mut known: Vec<(Reading, Vec<f32>)> = vec![];
    let mut searches = vec![];
    for (place, index) in chosen {
        let reading = index.manifest().reading();
        if !known.iter().any(|(other, _)| *other == reading) {
            let pictures = server.embed_pictures(wanted.pictures(), reading).await?;
            known.push((reading, sum(&wanted.parts, [&texts, &pictures, &likes])?));
        }
        let query = known.iter().find(|(other, _)| *other == reading).expect("it is known now").1.clone();
        index.manifest().check_query(index.folder(), &query).map_err(broken)?;
        searches.push(Search { place, index, query });
    }
    let threads = server.threads.clone();
    let found = threads.run(move || hits(&server, &searches, &wanted)).await?;
    found.map(|reply| Answer::json(&reply)).map_err(broken)
}

/// Returns all indexes, or the one that a request names, with their numbers.
pub(super) fn chosen(server: &Server, index: Option<&str>) -> Result<Vec<Chosen>, Fault> {
    let is_chosen = |collection: &Collection| index.is_none_or(|name| name == collection.name());
    let all = server.collections.iter().enumerate().filter(|(_, collection)| is_chosen(collection));
    let chosen: Vec<_> = all.map(|(place, collection)| (place, collection.index())).collect();
    match (index, chosen.is_empty()) {
        (_, false) => Ok(chosen),
        (Some(name), true) => Err(Fault { param: Some("index".into()), ..Fault::missing(format!("no index {name}")) }),
        (None, true) => Err(Fault::missing("no index is served; clipwright serve INDEX names one")),
    }
}

/// Reads the embeddings of the pictures that a query names by their ids.
///
/// result (N,e)
async fn likes(server: &Arc<Server>, wanted: &SearchRequest) -> Result<Array2<f32>, Fault> {
    let is_like = |part: &QueryPart| if let Sought::Like(id) = &part.what { Some(id.clone()) } else { None };
    let ids: Vec<String> = wanted.parts.iter().filter_map(is_like).collect();
    let (shared, e) = (Arc::clone(server), server.model.embed_dim());
    let read = move || {
        let mut rows = Array2::zeros((ids.len(), e));
        for (id, mut row) in ids.iter().zip(rows.rows_mut()) {
            let (id, asked) = shared.collections.find(id)?;
            row.assign(&asked.index.embeddings(&[id.row]).map_err(broken)?.row(0));
        }
        Ok(rows)
    };
    server.threads.run(read).await?
}

/// Returns the unit vector along the weighted sum of the parts, whose texts, pictures and ids have a row each.
fn sum(parts: &[QueryPart], rows: [&Array2<f32>; 3]) -> Result<Vec<f32>, Fault> {
    let mut rows = rows.map(|rows| rows.rows().into_iter());
    let row = |part: &QueryPart| match part.what {
        Sought::Text(_) => rows[0].next(),
        Sought::Picture(..) => rows[1].next(),
        Sought::Like(_) => rows[2].next(),
    };
    let in_order: Option<Vec<_>> = parts.iter().map(row).collect();
    let in_order = stack(Axis(0), &in_order.expect("a row for each part")).expect("rows of one width");
    let weights: Vec<f32> = parts.iter().map(|part| part.weight).collect();
    combine(in_order.view(), &weights).map_err(Fault::invalid)
}

/// Searches all indexes and merges what they have, best first.
fn hits(server: &Server, searches: &[Search], wanted: &SearchRequest) -> Result<Reply, IndexError> {
    let mut reply = Reply { pictures: 0, matching: 0, hits: vec![] };
    for Search { place, index, query } in searches {
        let among = index.select(&wanted.filter)?;
        reply.pictures += index.all().count();
        reply.matching += among.count();
        let name = server.collections.iter().nth(*place).expect("it was chosen").name();
        let hit = |hit: crate::index::Hit| {
            let id = Id { collection: *place, generation: index.manifest().generation, row: hit.row };
            Hit { rank: 0, score: hit.score, id: id.to_string(), index: name.into(), path: hit.entry.path }
        };
        reply.hits.extend(index.search(&among, query, wanted.k + wanted.offset)?.into_iter().map(hit));
    }
    reply.hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    reply.hits.retain(|hit| wanted.above.is_none_or(|least| hit.score >= least));
    (1..).zip(&mut reply.hits).for_each(|(rank, hit)| hit.rank = rank);
    reply.hits = reply.hits.into_iter().skip(wanted.offset).take(wanted.k).collect();
    Ok(reply)
}
