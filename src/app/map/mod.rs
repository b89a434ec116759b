//! Maps of collections of pictures, for the command and for the server.
//!
//! | file | what it knows |
//! |---|---|
//! | `page` | a map as a page that is one file |
//! | `chart.js`, `chart.css` | the map itself, on that page and on the server's |

pub(crate) mod page;

use crate::datasets::emoji;
use crate::embed::rows::{concat_rows, evenly_spread};
use crate::embed::{Family, TextEncoder};
use crate::eval::templates::{SIMPLE, embed_classes_by};
use crate::index::{Entry, Index, IndexError};
use crate::map::{Clusters, Point, by_neighbours, by_principal_components, cluster, default_clusters, names};
use crate::progress::{Progress, Stopped, Watch};
use ndarray::Array2;
use serde::Serialize;
use std::cell::Cell;
use std::sync::Arc;

/// The map and its regions, for pages.
pub(crate) const CHART: &str = include_str!("chart.js");
pub(crate) const CHART_STYLE: &str = include_str!("chart.css");

/// Places are rounded to so many parts of the map's side: finer than a pixel at any zoom.
const PARTS: f64 = 1e5;

/// Words with their embeddings.
pub(crate) struct Words {
    words: Vec<String>,
    /// (N,e)
    rows: Array2<f32>,
}

impl Words {
    /// Embeds words in the sentence "a photo of a ….".
    pub fn embed<C: AsRef<TextEncoder>>(model: &Family<C>, words: Vec<String>, watch: Watch) -> Result<Self, Stopped> {
        let (done, todo) = (Cell::new(0), words.len());
        let encode = |sentences: &[String]| {
            watch(Progress { what: "words", done: done.get(), todo })?;
            Ok(model.encode_text(sentences))
        };
        let rows = embed_classes_by(encode, &words, &SIMPLE, |more| done.set(done.get() + more))?;
        Ok(Words { words, rows })
    }
}

/// Returns the words that regions are named by unless somebody has others: the names of emoji, which are of what people
/// most often show each other.
pub(crate) fn emoji_words() -> Vec<String> {
    emoji::concepts().into_iter().map(|concept| concept.label.into()).collect()
}

/// How a map is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The most pictures that have a place. Of more, some are left out, evenly.
    pub most: usize,
    /// The number of regions, unless it follows from the number of pictures.
    pub clusters: Option<usize>,
    /// Whether only the two directions in which embeddings differ most are shown.
    pub linear: bool,
}

/// A collection as a map. Places are within the unit square; y grows upwards.
pub(crate) struct Map {
    /// Number of pictures that have no place.
    pub left_out: usize,
    /// The largest regions first.
    pub regions: Vec<Region>,
    pub placed: Vec<Placed>,
}

/// Pictures that are like each other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Region {
    /// The word that fits them better than the other pictures; there may be none left.
    pub name: Option<String>,
    pub pictures: usize,
    /// The middle of the region.
    pub x: f32,
    pub y: f32,
}

/// A picture on the map.
pub(crate) struct Placed {
    /// The place of its index among those that were given, and its row there.
    pub index: usize,
    pub row: usize,
    pub entry: Entry,
    pub x: f32,
    pub y: f32,
    pub cluster: usize,
}

impl Map {
    /// Makes the map of the pictures of all these indexes, which are of one model.
    pub fn new(indexes: &[Arc<Index>], words: &Words, wanted: Wanted, watch: Watch) -> Result<Self, IndexError> {
        let mut all = vec![];
        for (place, index) in indexes.iter().enumerate() {
            all.extend(index.entries(&index.all())?.into_iter().map(|(row, entry)| (place, row, entry)));
        }
        let left_out = all.len().saturating_sub(wanted.most);
        let kept: Vec<usize> = evenly_spread(all.len(), wanted.most).collect();
        let all: Vec<(usize, usize, Entry)> =
            if left_out == 0 { all } else { kept.iter().map(|&i| all[i].clone()).collect() };
        let parts: Vec<Array2<f32>> = all
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| indexes[run[0].0].embeddings(&run.iter().map(|&(_, row, _)| row).collect::<Vec<_>>()))
            .collect::<Result<_, _>>()?;
        let x = concat_rows(&parts, words.rows.ncols());
        drop(parts);
        let places = if wanted.linear {
            by_principal_components(x.view())
        } else {
            by_neighbours(x.view(), watch).map_err(IndexError::Stopped)?
        };
        let places = within_unit_square(&places);
        let clusters = cluster(x.view(), wanted.clusters.unwrap_or_else(|| default_clusters(x.nrows())));
        let regions = regions(&clusters, &places, words);
        let placed = all.into_iter().zip(places).zip(clusters.of);
        let placed = placed.map(|(((index, row, entry), [x, y]), cluster)| Placed { index, row, entry, x, y, cluster });
        Ok(Map { left_out, regions, placed: placed.collect() })
    }
}

/// Moves and scales places into the unit square. Its middle is theirs, and the longer side is filled.
fn within_unit_square(places: &[Point]) -> Vec<[f32; 2]> {
    let edges = [0, 1].map(|axis| {
        let along = places.iter().map(|place| place[axis]);
        (along.clone().fold(f64::INFINITY, f64::min), along.fold(f64::NEG_INFINITY, f64::max))
    });
    let side = edges.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let scale = if side > 0.0 { 1.0 / side } else { 0.0 };
    let fit = |x: f64, (low, high): (f64, f64)| {
        let part = 0.5 + (x - (low + high) / 2.0) * scale;
        ((part * PARTS).round() / PARTS) as f32
    };
    places.iter().map(|place| [fit(place[0], edges[0]), fit(place[1], edges[1])]).collect()
}

/// Names the clusters, and finds their middles: the medians of both coordinates, which a few strays do not move.
fn regions(clusters: &Clusters, places: &[[f32; 2]], words: &Words) -> Vec<Region> {
    let names = names(clusters, words.rows.view());
    let mut own: Vec<Vec<[f32; 2]>> = vec![vec![]; names.len()];
    clusters.of.iter().zip(places).for_each(|(&cluster, &place)| own[cluster].push(place));
    let median = |places: &[[f32; 2]], axis: usize| {
        let mut along: Vec<f32> = places.iter().map(|place| place[axis]).collect();
        *along.select_nth_unstable_by(places.len() / 2, f32::total_cmp).1
    };
    let region = |(own, name): (Vec<[f32; 2]>, Option<usize>)| Region {
        name: name.map(|word| words.words[word].clone()),
        pictures: own.len(),
        x: median(&own, 0),
        y: median(&own, 1),
    };
    own.into_iter().zip(names).map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_fills_the_longer_side_of_its_square() {
        assert_eq!(within_unit_square(&[[-3.0, 1.0], [1.0, 2.0], [-1.0, 0.0]]), [[0.0, 0.5], [1.0, 0.75], [0.5, 0.25]]);
        assert_eq!(within_unit_square(&[[7.0, 7.0]; 2]), [[0.5; 2]; 2]);
        assert!(within_unit_square(&[]).is_empty());
    }
}
