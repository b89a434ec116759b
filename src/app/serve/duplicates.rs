//! `GET /duplicates`: groups of pictures of which one is enough, within each index.

use super::call::Call;
use super::collection::Id;
use super::reply::{Answer, Fault};
use super::search::chosen;
use super::server::Server;
use super::studies::Chosen;
use super::study::study;
use super::url_query::UrlQuery;
use crate::app::commands::filters::cosine;
use crate::app::duplicates::{self, Keep, Listed};
use crate::index::IndexError;
use crate::progress::Watch;
use clap::ValueEnum;
use serde::Serialize;
use std::cmp::Reverse;
use std::sync::Arc;

/// The least cosine of near pictures if a request does not say it.
const ABOVE: f32 = 0.95;
/// The most pictures of an index that are compared, groups of each kind that are told, and others of each.
const MAX_PICTURES: usize = 200_000;
const MAX_GROUPS: usize = 300;
const MAX_OTHERS: usize = 60;

#[derive(Default, Serialize)]
struct Reply {
    /// Number of pictures, and of those that were not compared.
    pictures: usize,
    left_out: usize,
    above: f32,
    /// Number of pictures that would not be kept.
    not_kept: usize,
    exact: Kind,
    near: Kind,
}

/// Groups of one kind, the largest first.
#[derive(Default, Serialize)]
struct Kind {
    /// Number of groups, also of those that are not told.
    count: usize,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    kept: Picture,
    /// Number of others, also of those that are not told.
    count: usize,
    others: Vec<Other>,
}

#[derive(Serialize)]
struct Picture {
    id: String,
    index: String,
    path: String,
}

#[derive(Serialize)]
struct Other {
    #[serde(flatten)]
    picture: Picture,
    /// The cosine with the one that is kept, unless the bytes are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

pub(super) async fn duplicates(call: Call) -> Result<Answer, Fault> {
    let Call { server, query, .. } = call;
    let mut query = UrlQuery::parse(&query);
    let above = query.one("above")?.map(|text| cosine(&text).map_err(|reason| Fault::field("above", reason)));
    let above = above.transpose()?.unwrap_or(ABOVE);
    let rule = |name: String| Keep::from_str(&name, false).map_err(|_| Fault::field("keep", unknown(&name)));
    let keep = query.one("keep")?.map(rule).transpose()?.unwrap_or_default();
    let chosen = chosen(&server, query.one("index")?.as_deref())?;
    query.end()?;
    let made = move |server: &Server, chosen: &[Chosen], watch: Watch| made(server, chosen, (above, keep), watch);
    study(server, format!("duplicates above {above}, {keep:?}"), chosen, made).await
}

fn unknown(name: &str) -> String {
    let names = Keep::value_variants().iter().filter_map(|rule| rule.to_possible_value());
    let names: Vec<String> = names.map(|name| name.get_name().into()).collect();
    format!("{name:?}; it is {}", names.join(" or "))
}

fn made(server: &Server, chosen: &[Chosen], (above, keep): (f32, Keep), watch: Watch) -> Result<Reply, IndexError> {
    let mut reply = Reply { above, ..Reply::default() };
    for (place, index) in chosen {
        let mut listed = Listed::new(Arc::clone(index), keep)?;
        reply.pictures += listed.pictures.len();
        reply.left_out += listed.pictures.len().saturating_sub(MAX_PICTURES);
        listed.pictures.truncate(MAX_PICTURES);
        let name = server.collections.iter().nth(*place).expect("it was chosen").name();
        let picture = |at: usize| {
            let duplicates::Picture { row, entry, .. } = &listed.pictures[at];
            let id = Id { collection: *place, generation: index.manifest().generation, row: *row };
            Picture { id: id.to_string(), index: name.into(), path: entry.path.clone() }
        };
        let [exact, near] = listed.groups(above, watch)?;
        reply.not_kept += exact.iter().chain(&near).map(|group| group.others.len()).sum::<usize>();
        for (kind, groups) in [(&mut reply.exact, exact), (&mut reply.near, near)] {
            kind.count += groups.len();
            kind.groups.extend(groups.iter().take(MAX_GROUPS).map(|group| told(group, picture)));
        }
    }
    for kind in [&mut reply.exact, &mut reply.near] {
        kind.groups.sort_by_key(|group| Reverse(group.count));
        kind.groups.truncate(MAX_GROUPS);
    }
    Ok(reply)
}

fn told(group: &duplicates::Group, picture: impl Fn(usize) -> Picture) -> Group {
    let other = |&(place, score): &(usize, Option<f32>)| Other { picture: picture(place), score };
    let others = group.others.iter().take(MAX_OTHERS).map(other).collect();
    Group { kept: picture(group.kept), count: group.others.len(), others }
}
