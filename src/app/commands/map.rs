//! `clipwright map`: lays a collection out in the plane, near what each picture is like.

use super::page::{ENDINGS, check_ending};
use super::texts::labels;
use super::{CliError, Context};
use crate::app::map::{Map, Placed, Region, Wanted, Words, emoji_words, page, page::Point};
use crate::app::number::{positive, up_to};
use crate::counted::counted;
use crate::index::{Index, IndexError, ModelId};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The most regions.
const MAX_CLUSTERS: u32 = 1000;

/// Lay a collection out on a map: pictures beside those they are like, regions with names
///
/// Only the indexes are read. Where a picture lies follows from its nearest neighbours (t-SNE): what is beside it is like
/// it, but distances between far regions say little. --linear shows instead the two directions in which the embeddings
/// differ most (PCA), on which distances count and most pictures lie on each other.
///
/// Regions are groups of pictures that are like each other (k-means). Each is named by the word whose embedding fits it
/// better than it fits all pictures, and no two have the same: a name is a hint, not a judgement. The same indexes always
/// give the same map.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright index photos
  clipwright map photos --html map.html
  clipwright map photos drawings --words words.txt --clusters 12
  clipwright map photos --json | jq .clusters

As JSON:
{\"pictures\", \"left_out\", \"clusters\": [{\"name\", \"pictures\", \"x\", \"y\"}, …],
\"points\": [{\"path\", \"x\", \"y\", \"cluster\"}, …]}
Places are within the unit square, y grows upwards, clusters count from 0.")]
pub(crate) struct MapCommand {
    /// Indexes by one model, or the folders of pictures that they are in
    #[arg(value_name = "INDEX", required = true)]
    indexes: Vec<PathBuf>,
    /// HTML file to write, a page with the map that needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// File with the words that regions are named by: one a line, a table, or a list in JSON [default: the names of the
    /// 1,923 emoji]
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// Number of regions [default: half the root of the number of pictures, at most 24]
    #[arg(long, value_name = "N", value_parser = up_to(MAX_CLUSTERS))]
    clusters: Option<usize>,
    /// Number of pictures that have a place; of more, some are left out, evenly
    ///
    /// On two cores 10,000 take some ten seconds, and 100,000 some minutes.
    #[arg(long, value_name = "N", value_parser = positive(), default_value_t = 100_000)]
    most: usize,
    /// Show only the two directions in which embeddings differ most
    #[arg(long)]
    linear: bool,
}

impl MapCommand {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        if let Some(path) = &self.html {
            check_ending("--html", path, &ENDINGS)?;
        }
        let words = self.words.as_deref().map_or_else(|| Ok(emoji_words()), labels)?;
        let indexes: Vec<Arc<Index>> =
            self.indexes.iter().map(|path| Index::open(path).map(Arc::new)).collect::<Result<_, _>>()?;
        let first = &indexes.first().expect("clap asks for one").manifest().model;
        let opened = context.open_for(first)?;
        let id = ModelId::of(&opened)?;
        indexes.iter().try_for_each(|index| index.manifest().check_model(index.folder(), &id))?;
        let wanted = Wanted { most: self.most, clusters: self.clusters, linear: self.linear };
        let model = opened.text_encoder()?;
        let map = context.output.watching(|watch| {
            let words = Words::embed(&model, words, watch).map_err(IndexError::Stopped)?;
            Map::new(&indexes, &words, wanted, watch)
        })?;
        let point = |placed: &Placed| {
            let Placed { index, ref entry, x, y, cluster, .. } = *placed;
            Point { path: indexes[index].file(entry), x, y, cluster }
        };
        let points: Vec<Point> = map.placed.iter().map(point).collect();
        if let Some(path) = &self.html {
            let names: Vec<String> = self.indexes.iter().map(|path| path.display().to_string()).collect();
            let title = format!("Map of {}", names.join(", "));
            page::write(path, &title, &map, self.linear, &points).map_err(CliError::file(path))?;
        }
        let pictures = points.len() + map.left_out;
        context.output.show(&Report { pictures, left_out: map.left_out, clusters: map.regions, points })
    }
}

#[derive(Serialize)]
struct Report {
    /// Number of pictures of the indexes, and of those without a place.
    pictures: usize,
    left_out: usize,
    clusters: Vec<Region>,
    points: Vec<Point>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Region { name, pictures, .. } in &self.clusters {
            writeln!(f, "{pictures:>8}  {}", name.as_deref().unwrap_or("(no word)"))?;
        }
        let (pictures, clusters) = (counted(self.pictures, "picture"), counted(self.clusters.len(), "region"));
        write!(f, "{pictures} in {clusters}")?;
        if self.left_out > 0 { write!(f, "; {} left out (--most)", self.left_out) } else { Ok(()) }
    }
}
