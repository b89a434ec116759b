//! `clipwright duplicates`: finds pictures that are there twice, in one index or in two.

use super::duplicates_page::{self as page, Section, Tile};
use super::filters::cosine;
use super::page::{ENDINGS, check_ending};
use super::{CliError, Context};
use crate::app::duplicates::{self, Keep, Listed};
use crate::counted::counted;
use crate::index::{Index, Near, near_in_other};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Find pictures that are in an index twice or nearly so, or in two indexes
///
/// First come files with the same bytes, whatever they are called, then pictures whose embeddings are near each other:
/// smaller versions, other formats, shots of a series. Only the indexes are read, no picture.
///
/// Near pictures are put into groups around one that is to be kept: each of the others has a cosine of --above or more
/// with it. So a series in which each picture is near the next alone is more than one group. Nothing is ever deleted.
///
/// With OTHER, each picture of INDEX is looked for there: whether a set to validate on is free of pictures to train on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  clipwright index photos
  clipwright duplicates photos --html duplicates.html
  clipwright duplicates photos --keep oldest > others.txt
  clipwright duplicates validation train --above 0.97 --fail

As JSON, for one index:
{\"pictures\", \"above\", \"exact\": [{\"kept\", \"others\": [{\"path\"}, …]}, …],
\"near\": [{\"kept\", \"others\": [{\"path\", \"score\"}, …]}, …],
\"not_kept\": [PATH, …]}
and for two:
{\"pictures\", \"others\", \"above\", \"exact\": [{\"path\", \"other\"}, …],
\"near\": [{\"path\", \"other\", \"score\"}, …]}")]
pub(crate) struct Duplicates {
    /// Index, or the folder of pictures that it is in
    #[arg(value_name = "INDEX")]
    index: PathBuf,
    /// Another index by the same model, in which the pictures of INDEX are looked for
    #[arg(value_name = "OTHER")]
    other: Option<PathBuf>,
    /// Least cosine of near pictures
    #[arg(long, value_name = "COSINE", value_parser = cosine, default_value_t = 0.95)]
    above: f32,
    /// Print only the files that would not be kept, one a line, if of each group one was
    ///
    /// The one that is kept is the one around which the group lies. Without this, `best` says which it is.
    #[arg(long, value_enum, value_name = "RULE", conflicts_with = "other")]
    keep: Option<Keep>,
    /// HTML file to write, a page of the groups that needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit with code 1 if there is a duplicate
    #[arg(long)]
    fail: bool,
}

/// Opens an index and lists its pictures.
fn listed(path: &Path, keep: Keep) -> Result<Listed, CliError> {
    let listed = Listed::new(Arc::new(Index::open(path)?), keep)?;
    match listed.pictures.iter().filter(|picture| picture.digest.is_none()).count() {
        0 => {}
        n => note!(
            "{}: the bytes of {} are unknown, so their copies are found as near pictures; `clipwright index` reads them",
            listed.index.folder().display(),
            counted(n, "picture")
        ),
    }
    Ok(listed)
}

/// Returns the path of a picture's file.
fn path(listed: &Listed, place: usize) -> String {
    listed.index.file(&listed.pictures[place].entry).display().to_string()
}

impl Duplicates {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        if let Some(path) = &self.html {
            check_ending("--html", path, &ENDINGS)?;
        }
        let listed = listed(&self.index, self.keep.unwrap_or_default())?;
        let (found, pictures) = match &self.other {
            None => {
                let groups = self.within(context, &listed)?;
                let title = format!("Duplicates in {}", self.index.display());
                page(&self.html, &title, &groups.summary(), || groups.sections())?;
                // No file is no line, not an empty one.
                if !groups.only_others || !groups.not_kept.is_empty() || context.output.is_json() {
                    context.output.show(&groups)?;
                }
                (groups.not_kept.len(), groups.pictures)
            }
            Some(other) => {
                let twins = self.across(context, &listed, &self::listed(other, Keep::default())?)?;
                let title = format!("Pictures of {} in {}", self.index.display(), other.display());
                page(&self.html, &title, &twins.summary(), || twins.sections())?;
                context.output.show(&twins)?;
                (twins.exact.len() + twins.near.len(), twins.pictures)
            }
        };
        if self.fail && found > 0 { Err(CliError::Duplicates { found, pictures }) } else { Ok(()) }
    }

    /// Finds the groups of an index.
    fn within(&self, context: &Context, listed: &Listed) -> Result<Groups, CliError> {
        let groups = context.output.watching(|watch| listed.groups(self.above, watch))?;
        let [exact, near] =
            groups.map(|groups| groups.iter().map(|group| Group::of(group, listed)).collect::<Vec<_>>());
        let mut not_kept: Vec<String> =
            exact.iter().chain(&near).flat_map(|group| group.others.iter().map(|other| other.path.clone())).collect();
        not_kept.sort();
        let (pictures, only_others) = (listed.pictures.len(), self.keep.is_some());
        Ok(Groups { pictures, above: self.above, exact, near, not_kept, only_others })
    }

    /// Finds the pictures of one index that are in another.
    fn across(&self, context: &Context, listed: &Listed, other: &Listed) -> Result<Twins, CliError> {
        let theirs = other.by_digest();
        let twin = |place: usize| theirs.get(&listed.pictures[place].digest?).copied();
        let (exact, rest): (Vec<usize>, Vec<usize>) =
            (0..listed.pictures.len()).partition(|&place| twin(place).is_some());
        let all: Vec<usize> = (0..other.pictures.len()).collect();
        let (own, others) = (listed.rows(&rest), other.rows(&all));
        let found = context
            .output
            .watching(|watch| near_in_other((&listed.index, &own), (&other.index, &others), self.above, watch))?;
        let pair = |(place, near): (usize, Option<Near>)| {
            let Near { place: theirs, score } = near?;
            Some(Twin { path: path(listed, place), other: path(other, theirs), score: Some(score) })
        };
        let mut near: Vec<Twin> = rest.iter().copied().zip(found).filter_map(pair).collect();
        near.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)).then(a.path.cmp(&b.path)));
        let same = |place| twin(place).map(|theirs| (path(listed, place), path(other, theirs)));
        let exact = exact.into_iter().filter_map(same).map(|(path, other)| Twin { path, other, score: None });
        let mut exact: Vec<Twin> = exact.collect();
        exact.sort_by(|a, b| a.path.cmp(&b.path));
        let (pictures, others) = (listed.pictures.len(), other.pictures.len());
        Ok(Twins { pictures, others, above: self.above, exact, near })
    }
}

fn page<'a>(
    path: &Option<PathBuf>,
    title: &str,
    said: &str,
    sections: impl FnOnce() -> Vec<Section<'a>>,
) -> Result<(), CliError> {
    path.as_ref().map_or(Ok(()), |path| page::write(path, title, said, &sections()))
}

/// Pictures of which one is enough.
#[derive(Serialize)]
struct Group {
    kept: String,
    others: Vec<Other>,
}

#[derive(Serialize)]
struct Other {
    path: String,
    /// The cosine with the one that is kept, unless the bytes are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

impl Group {
    fn of(group: &duplicates::Group, listed: &Listed) -> Self {
        let other = |&(place, score): &(usize, Option<f32>)| Other { path: path(listed, place), score };
        Group { kept: path(listed, group.kept), others: group.others.iter().map(other).collect() }
    }
}

/// What an index has twice.
#[derive(Serialize)]
struct Groups {
    pictures: usize,
    above: f32,
    exact: Vec<Group>,
    near: Vec<Group>,
    not_kept: Vec<String>,
    /// Whether the text is only the list of those that are not kept.
    #[serde(skip)]
    only_others: bool,
}

impl Groups {
    fn sections(&self) -> Vec<Section<'_>> {
        let tiles = |group: &Group| {
            let kept = Tile { path: group.kept.clone(), note: "kept".into() };
            let other = |other: &Other| Tile { path: other.path.clone(), note: said(other.score) };
            [kept].into_iter().chain(group.others.iter().map(other)).collect()
        };
        let section = |title, groups: &[Group]| {
            let groups = groups.iter().map(tiles).collect();
            Section { title, keeps: true, groups }
        };
        vec![section("The same bytes", &self.exact), section("Near each other", &self.near)]
    }

    fn summary(&self) -> String {
        let Groups { pictures, above, exact, near, not_kept, .. } = self;
        let groups = |groups: &[Group]| counted(groups.len(), "group");
        format!(
            "{}: {} of the same bytes, {} with cosines of {above} or more; without {} there would be none",
            counted(*pictures, "picture"),
            groups(exact),
            groups(near),
            not_kept.len()
        )
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Groups { exact, near, not_kept, only_others, .. } = self;
        if *only_others {
            return f.write_str(&not_kept.join("\n"));
        }
        for Group { kept, others } in exact {
            writeln!(f, "{} with the same bytes\n          {kept}", others.len() + 1)?;
            others.iter().try_for_each(|other| writeln!(f, "          {}", other.path))?;
        }
        for Group { kept, others } in near {
            writeln!(f, "{} near each other\n          {kept}", others.len() + 1)?;
            others.iter().try_for_each(|other| writeln!(f, "  {}  {}", said(other.score), other.path))?;
        }
        f.write_str(&self.summary())
    }
}

/// A picture and its twin in the other index.
#[derive(Serialize)]
struct Twin {
    path: String,
    other: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
}

/// What two indexes have in common.
#[derive(Serialize)]
struct Twins {
    /// The numbers of pictures in the index and in the other one.
    pictures: usize,
    others: usize,
    above: f32,
    exact: Vec<Twin>,
    near: Vec<Twin>,
}

impl Twins {
    fn sections(&self) -> Vec<Section<'_>> {
        let tiles = |twin: &Twin| {
            let tile = |path: &String, note| Tile { path: path.clone(), note };
            vec![tile(&twin.path, said(twin.score)), tile(&twin.other, "in the other index".into())]
        };
        let section = |title, twins: &[Twin]| {
            let groups = twins.iter().map(tiles).collect();
            Section { title, keeps: false, groups }
        };
        vec![section("The same bytes", &self.exact), section("Near each other", &self.near)]
    }

    fn summary(&self) -> String {
        let Twins { pictures, others, above, exact, near } = self;
        format!(
            "{} of {} found among the other {others}: {} with the same bytes, {} with cosines of {above} or more",
            exact.len() + near.len(),
            counted(*pictures, "picture"),
            exact.len(),
            near.len()
        )
    }
}

impl fmt::Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for Twin { path, other, score } in self.exact.iter().chain(&self.near) {
            writeln!(f, "{:>10}  {path}  {other}", said(*score))?;
        }
        f.write_str(&self.summary())
    }
}

/// Returns the cosine as it is printed.
fn said(score: Option<f32>) -> String {
    score.map_or("same bytes".into(), |score| format!("{score:.4}"))
}
