//! `clipwright search`: finds the pictures of an index that fit texts and other pictures best.

use super::filters::Filters;
use super::page::{self, Row};
use super::pictures::ReadingOptions;
use super::wanted::{Part, Wanted};
use super::wanted_embeddings::{Embedded, embed};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::app::plot::contact::{Tile, contact};
use crate::app::plot::save;
use crate::app::thumbnail::{THUMBNAIL, thumbnail};
use crate::counted::counted;
use crate::embed::source::{Files, ReadAs};
use crate::embed::{Blip, Opened};
use crate::files::serialize_name;
use crate::index::{self, Index, ModelId, combine};
use crate::pictures::Reading;
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use clap::Args;
use image::RgbImage;
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Find the pictures of an index that fit texts and other pictures best
///
/// A query may have several parts. What is looked for is then the sum of their embeddings, each times its weight, at unit
/// length: q = Σᵢ aᵢxᵢ / |Σᵢ aᵢxᵢ|, where the weight a of --not and --not-image is negative. A score is the cosine of
/// this and a picture's embedding.
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright search [OPTIONS] INDEX TEXT\n       clipwright search [OPTIONS] INDEX --image FILE\n       \
                      clipwright search [OPTIONS] INDEX PART [--weight NUMBER]…",
    after_help = "\
A PART is TEXT, --text TEXT, --image FILE, --not TEXT or --not-image FILE.

Examples:
  clipwright search photos \"a red car at night\"
  clipwright search photos --image beach.jpg -k 30 --html hits.html
  clipwright search photos --image beach.jpg --text \"at night\"
  clipwright search photos \"a beach\" --not people --weight 0.5
  clipwright search photos \"a beach\" --path '2025/**' --not-path screenshots
  clipwright search photos snow --after 2025-12-01 --before 2026-03-01
  clipwright search photos horse --weight 2 --text stripes --not-image z.jpg

As JSON:
{\"query\", \"parts\": [{\"text\" or \"image\", \"weight\"}, …], \"pictures\",
\"matching\", \"hits\": [{\"rank\", \"score\", \"path\"}, …]}
\"matching\" counts the pictures that pass the filters, if there are any. A hit
that is a picture of the query has \"is_query\": true, and one that was ranked
again has \"logit\" and \"cosine\", whose sum is its score."
)]
pub(crate) struct Search {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    filters: Filters,
    /// Number of pictures to show
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = positive())]
    k: usize,
    /// Rank the N best pictures again, by how well the text fits them in the eyes of the index's BLIP
    ///
    /// Each is read again and looked at together with the text. Its score is then the logit of a match plus the cosine,
    /// as in BLIP's published results. Pictures that cannot be read any more are named and come behind.
    #[arg(long, value_name = "N", value_parser = positive(), conflicts_with_all = ["image", "not", "not-image"])]
    rerank: Option<usize>,
    /// PNG file to write, a sheet of the pictures found
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// HTML file to write, a page of the pictures found that needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    reading: ReadingOptions,
}

impl Search {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        self.check_outputs()?;
        if self.rerank.is_some() && self.wanted.parts.len() > 1 {
            let message = "a BLIP judges how well one text fits, and there are several";
            return Err(CliError::Usage(format!("--rerank: {message}")));
        }
        self.find(context)
    }

    /// Refuses files to write that are named like something else, or are a picture of the query.
    fn check_outputs(&self) -> Result<(), CliError> {
        let outputs = [("--sheet", &self.sheet, &["png"][..]), ("--html", &self.html, &page::ENDINGS)];
        for (flag, path, endings) in outputs {
            let Some(path) = path else { continue };
            page::check_ending(flag, path, endings)?;
            if path.canonicalize().is_ok_and(|path| self.own().contains(&path)) {
                return Err(CliError::Usage(format!("{flag} {}: it is a picture of the query", path.display())));
            }
        }
        Ok(())
    }

    /// Returns the files of the pictures of the query.
    fn own(&self) -> Vec<PathBuf> {
        self.wanted.images().filter_map(|path| path.canonicalize().ok()).collect()
    }

    fn find(self, context: &Context) -> Result<(), CliError> {
        let index = Index::open(&self.wanted.index)?;
        let manifest = index.manifest();
        let reading = self.reading.or_of_index(manifest, index.folder())?;
        let opened = context.open_for(&manifest.model)?;
        manifest.check_model(index.folder(), &ModelId::of(&opened)?)?;
        if self.rerank.is_some() && matches!(opened, Opened::Clip(_)) {
            let message = "the index was made with a CLIP, and only a BLIP judges whether texts fit pictures";
            return Err(CliError::Usage(format!("--rerank: {}: {message}", index.folder().display())));
        }
        let Embedded { rows, blip } = embed(&self.wanted, opened, reading)?;
        let weights: Vec<f32> = self.wanted.parts.iter().map(|part| part.weight).collect();
        let query = combine(rows.view(), &weights).map_err(|error| CliError::Usage(error.to_string()))?;
        manifest.check_query(index.folder(), &query)?;
        let (filter, pictures) = (self.filters.filter(), manifest.live());
        let among = index.select(&filter)?;
        let hits = index.search(&among, &query, self.rerank.unwrap_or(0).max(self.k))?;
        let best = hits.first().map(|hit| hit.score);
        let own = self.own();
        let hit = |hit: index::Hit| {
            let path = index.file(&hit.entry);
            let is_query = path.canonicalize().is_ok_and(|path| own.contains(&path));
            Hit { rank: 0, score: hit.score, judged: None, path, is_query }
        };
        let is_above = |hit: &index::Hit| self.filters.above.is_none_or(|least| hit.score >= least);
        let mut hits: Vec<Hit> = hits.into_iter().filter(is_above).map(hit).collect();
        if let (Some(n), Some(blip), Some(text)) = (self.rerank, blip, self.wanted.texts().next()) {
            let n = n.min(hits.len());
            rerank(&blip, (text, rows.view()), &mut hits[..n], reading)?;
        }
        hits.truncate(self.k);
        (1..).zip(&mut hits).for_each(|(rank, hit)| hit.rank = rank);
        let report = Report {
            query: self.wanted.to_string(),
            parts: &self.wanted.parts,
            pictures,
            matching: (!filter.is_empty()).then_some(among.count()),
            above: self.filters.above,
            best,
            hits,
        };
        self.draw(&report)?;
        context.output.show(&report)
    }

    fn draw(&self, report: &Report) -> Result<(), CliError> {
        if self.sheet.is_none() && self.html.is_none() {
            return Ok(());
        }
        let thumbnails: Vec<Option<RgbImage>> =
            report.hits.par_iter().map(|hit| thumbnail(&hit.path, THUMBNAIL)).collect();
        let hits = || report.hits.iter().zip(&thumbnails);
        if let Some(path) = &self.sheet {
            let name = |hit: &Hit| {
                let name = hit.path.file_name().unwrap_or_default().to_string_lossy();
                if hit.is_query { format!("{name} (the query)") } else { name.into_owned() }
            };
            let tile = |(hit, picture): (&Hit, &Option<RgbImage>)| Tile {
                picture: picture.clone(),
                score: hit.score,
                name: name(hit),
            };
            let sheet = contact(&report.query, &hits().map(tile).collect::<Vec<_>>());
            save(path, &sheet).map_err(CliError::file(path))?;
        }
        if let Some(path) = &self.html {
            let rows = hits().map(|(hit, thumbnail)| Row {
                path: &hit.path,
                score: hit.score,
                thumbnail: thumbnail.as_ref(),
                is_query: hit.is_query,
            });
            page::write(path, &report.query, report.searched(), &report.scores(), &rows.collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// Ranks hits again by the match logit of a text + the cosine of its embedding. Those whose pictures cannot be read are
/// named, and follow the others in the order that they had.
///
/// `embedded` (1,e)
fn rerank(
    blip: &Blip,
    (text, embedded): (&str, ArrayView2<f32>),
    hits: &mut [Hit],
    reading: Reading,
) -> Result<(), CliError> {
    let error = |source| CliError::Blip { path: blip.path().into(), source };
    let text = [caption(text, MAX_CAPTION_WORDS)];
    let paths: Vec<PathBuf> = hits.iter().map(|hit| hit.path.clone()).collect();
    blip.stream(&ReadAs { source: &Files(&paths), reading }, |batch| {
        batch.bad.iter().for_each(|(_, bad)| note!("warning: not ranked again: {bad}"));
        let matches = blip.match_seen(&batch.rows, &text, embedded).map_err(error)?;
        let scores = matches.scores();
        for (row, &(i, ())) in batch.read.iter().enumerate() {
            hits[i].score = scores[[row, 0]];
            hits[i].judged = Some(Judged { logit: matches.logits[[row, 0]], cosine: matches.cosines[[row, 0]] });
        }
        Ok::<(), CliError>(())
    })?;
    hits.sort_by(|a, b| match (&a.judged, &b.judged) {
        (Some(_), Some(_)) => b.score.total_cmp(&a.score),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    query: String,
    parts: &'a [Part],
    /// Number of pictures in the index.
    pictures: usize,
    /// Number of those that were searched, if some were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    matching: Option<usize>,
    /// The least cosine to be shown.
    #[serde(skip)]
    above: Option<f32>,
    /// The highest cosine, shown or not.
    #[serde(skip)]
    best: Option<f32>,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    rank: usize,
    /// The cosine of the embeddings or, of a picture that was ranked again, logit + cosine.
    score: f32,
    #[serde(flatten)]
    judged: Option<Judged>,
    #[serde(serialize_with = "serialize_name")]
    path: PathBuf,
    /// Whether this is a picture of the query.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_query: bool,
}

/// What a BLIP says of a picture and the text.
#[derive(Serialize)]
struct Judged {
    /// The logit of a match.
    logit: f32,
    cosine: f32,
}

impl Report<'_> {
    /// Returns the number of pictures that were searched.
    fn searched(&self) -> usize {
        self.matching.unwrap_or(self.pictures)
    }

    /// Says why there is no hit.
    fn why_nothing(&self) -> String {
        match (self.above, self.best) {
            (Some(above), Some(best)) => format!("no picture has a cosine of {above} or more; the best has {best:.4}"),
            _ if self.pictures > 0 => "no picture is left to search".into(),
            _ => "the index is empty".into(),
        }
    }

    /// Says what the scores are.
    fn scores(&self) -> String {
        let judged = self.hits.iter().filter(|hit| hit.judged.is_some()).count();
        match self.hits.len() - judged {
            _ if judged == 0 => "scores are cosines".into(),
            0 => "scores are match logit + cosine".into(),
            others => format!("scores are match logit + cosine, of the last {others} cosines alone"),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.hits.is_empty() {
            f.write_str(&self.why_nothing())?;
        }
        for (i, Hit { rank, score, path, is_query, .. }) in self.hits.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            let mark = if *is_query { "  (the query)" } else { "" };
            write!(f, "{end}{rank:>4}  {score:>7.4}  {}{mark}", path.display())?;
        }
        if let Some(matching) = self.matching {
            let verb = if matching == 1 { "matches" } else { "match" };
            write!(f, "\n{matching} of {} {verb} the filters", counted(self.pictures, "picture"))?;
        }
        if self.hits.iter().any(|hit| hit.judged.is_some()) { write!(f, "\n{}", self.scores()) } else { Ok(()) }
    }
}
