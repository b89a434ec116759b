//! `GET /map`: the pictures of all indexes, or of one, as a map.

use super::call::Call;
use super::collection::Id;
use super::reply::{Answer, Fault};
use super::search::chosen;
use super::server::Server;
use super::studies::Chosen;
use super::study::study;
use super::url_query::UrlQuery;
use crate::app::map::{Map, Placed, Region, Wanted, Words, emoji_words};
use crate::index::{Index, IndexError};
use crate::progress::{Stopped, Watch};
use serde::Serialize;
use std::sync::Arc;

/// The most pictures on the map: a browser draws them without delay, and they are placed within a minute.
const MAX_PICTURES: usize = 20_000;

#[derive(Serialize)]
struct Reply {
    /// Number of pictures, and of those that have no place.
    pictures: usize,
    left_out: usize,
    clusters: Vec<Region>,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    id: String,
    index: String,
    path: String,
    x: f32,
    y: f32,
    cluster: usize,
}

pub(super) async fn map(call: Call) -> Result<Answer, Fault> {
    let Call { server, query, .. } = call;
    let mut query = UrlQuery::parse(&query);
    let chosen = chosen(&server, query.one("index")?.as_deref())?;
    query.end()?;
    study(server, "map".into(), chosen, made).await
}

fn made(server: &Server, chosen: &[Chosen], watch: Watch) -> Result<Reply, IndexError> {
    let words = words(server, watch).map_err(IndexError::Stopped)?;
    let indexes: Vec<Arc<Index>> = chosen.iter().map(|(_, index)| Arc::clone(index)).collect();
    let wanted = Wanted { most: MAX_PICTURES, clusters: None, linear: false };
    let Map { left_out, regions, placed } = Map::new(&indexes, words, wanted, watch)?;
    let names: Vec<&str> = server.collections.iter().map(|collection| collection.name()).collect();
    let point = |Placed { index, row, entry, x, y, cluster }: Placed| {
        let (collection, index) = &chosen[index];
        let id = Id { collection: *collection, generation: index.manifest().generation, row };
        Point { id: id.to_string(), index: names[*collection].into(), path: entry.path, x, y, cluster }
    };
    let points: Vec<Point> = placed.into_iter().map(point).collect();
    Ok(Reply { pictures: points.len() + left_out, left_out, clusters: regions, points })
}

/// Returns the words that regions are named by, which are embedded once.
fn words<'a>(server: &'a Server, watch: Watch) -> Result<&'a Words, Stopped> {
    let kept = &server.studies.words;
    if kept.get().is_none() {
        let words = Words::embed(server.model.family(), emoji_words(), watch)?;
        kept.get_or_init(|| words);
    }
    Ok(kept.get().expect("they are there now"))
}
