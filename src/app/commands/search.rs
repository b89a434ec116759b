//! `clipwright search`: finds the pictures of an index that fit a text or another picture best.

use super::page::{self, Row};
use super::pictures::ReadingOptions;
use super::texts::{NOTHING_LEFT, is_nothing, warn_cut_by_clip, warn_long};
use super::{CliError, Context};
use crate::app::number::positive;
use crate::app::plot::contact::{Tile, contact};
use crate::app::plot::save;
use crate::embed::source::{Files, ReadAs};
use crate::embed::{Blip, Family, Opened, PassingText};
use crate::eval::templates::PLACE;
use crate::files::{self, serialize_name};
use crate::index::{self, Index, ModelId};
use crate::pictures::{Reading, View, decode};
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use clap::{ArgGroup, Args};
use image::{RgbImage, imageops};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Longer side in pixels of the small pictures on sheets and pages.
const THUMBNAIL: u32 = 320;

/// Find the pictures of an index that fit a text or another picture best
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("query").args(["text", "image"]).required(true)),
    override_usage = "clipwright search [OPTIONS] INDEX TEXT\n       clipwright search [OPTIONS] INDEX --image FILE"
)]
pub(crate) struct Search {
    /// Folder of the index, or the folder of pictures that it is in
    #[arg(value_name = "INDEX")]
    index: PathBuf,
    /// Text to look for; it may also stand in front of INDEX
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Picture to look for, instead of a text
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Number of pictures to show
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = positive())]
    k: usize,
    /// Rank the N best pictures again, by how well the text fits them in the eyes of the index's BLIP
    ///
    /// Each is read again and looked at together with the text. Its score is then the logit of a match plus the cosine,
    /// as in BLIP's published results. Pictures that cannot be read any more are named and come behind.
    #[arg(long, value_name = "N", value_parser = positive(), conflicts_with = "image")]
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
        let search = self.in_order();
        search.check_outputs()?;
        search.find(context)
    }

    /// Refuses files to write that are named like something else, or are the picture to look for.
    fn check_outputs(&self) -> Result<(), CliError> {
        let outputs = [("--sheet", &self.sheet, ["png", "png"]), ("--html", &self.html, ["html", "htm"])];
        for (flag, path, endings) in outputs {
            let Some(path) = path else { continue };
            if !path
                .extension()
                .is_some_and(|extension| endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending)))
            {
                return Err(CliError::Usage(format!("{flag} {}: must end in .{}", path.display(), endings[0])));
            }
            let query = self.image.as_ref().and_then(|image| image.canonicalize().ok());
            if query.is_some() && path.canonicalize().ok() == query {
                return Err(CliError::Usage(format!("{flag} {}: it is the picture to look for", path.display())));
            }
        }
        Ok(())
    }

    /// Exchanges INDEX and TEXT if only the second is a folder.
    fn in_order(self) -> Self {
        match &self.text {
            Some(text) if !self.index.is_dir() && Path::new(text).is_dir() => {
                let (index, text) = (text.into(), self.index.to_string_lossy().into_owned());
                Search { index, text: Some(text), ..self }
            }
            _ => self,
        }
    }

    fn find(self, context: &Context) -> Result<(), CliError> {
        let index = Index::open(&self.index)?;
        let manifest = index.manifest();
        let reading = self.reading.or_of_index(manifest, index.folder())?;
        let opened = context.open_for(&manifest.model)?;
        manifest.check_model(index.folder(), &ModelId::of(&opened)?)?;
        if self.rerank.is_some() && matches!(opened, Opened::Clip(_)) {
            let message = "the index was made with a CLIP, and only a BLIP judges whether texts fit pictures";
            return Err(CliError::Usage(format!("--rerank: {}: {message}", index.folder().display())));
        }
        let (query, blip) = self.embed(opened, reading)?;
        let numbers = query.as_slice().expect("one row");
        manifest.check_query(index.folder(), numbers)?;
        let hits = index.search(numbers, self.rerank.unwrap_or(0).max(self.k))?;
        let own = self.image.as_ref().and_then(|path| path.canonicalize().ok());
        let hit = |hit: index::Hit| {
            let path = index.file(&hit.entry);
            let is_query = own.is_some() && path.canonicalize().ok() == own;
            Hit { rank: 0, score: hit.score, judged: None, path, is_query }
        };
        let mut hits: Vec<Hit> = hits.into_iter().map(hit).collect();
        if let (Some(n), Some(blip), Some(text)) = (self.rerank, blip, &self.text) {
            let n = n.min(hits.len());
            rerank(&blip, (text, query.view()), &mut hits[..n], reading)?;
        }
        hits.truncate(self.k);
        (1..).zip(&mut hits).for_each(|(rank, hit)| hit.rank = rank);
        let report = Report { query: self.query(), pictures: manifest.live(), hits };
        self.draw(&report)?;
        context.output.show(&report)
    }

    /// Embeds the query with only the tower that it needs, and returns a BLIP that did it for a text. A picture is
    /// embedded as those of the index were.
    ///
    /// result (1,e)
    fn embed(&self, opened: Opened, reading: Reading) -> Result<(Array2<f32>, Option<Box<Blip>>), CliError> {
        if let Some(path) = &self.image {
            let encoder = opened.image_encoder()?;
            let picture = View { reading, ..View::of(encoder.preprocess()) }.open(path)?;
            let picture = if reading.exif { picture.upright() } else { picture };
            return Ok((encoder.encode_image(&[picture]), None));
        }
        let texts: Vec<String> = self.text.iter().cloned().collect();
        let opened = match opened {
            Opened::Clip(checkpoint) if PassingText::fits(&checkpoint, texts.len()) => {
                let tower = PassingText::new(*checkpoint)?;
                warn_cut_by_clip((tower.tokenizer(), tower.context_length()), &texts, &[PLACE]);
                return Ok((tower.encode(&texts)?, None));
            }
            opened => opened,
        };
        let encoder = opened.text_encoder()?;
        if let Some(text) = texts.iter().find(|text| is_nothing(&encoder, text)) {
            return Err(CliError::Usage(format!("{text:?}: {NOTHING_LEFT}")));
        }
        warn_long(&encoder, &texts, &[PLACE]);
        let query = encoder.encode_text(&texts);
        Ok((query, if let Family::Blip(blip) = encoder { Some(blip) } else { None }))
    }

    fn query(&self) -> String {
        let image = || self.image.as_ref().map(|path| files::name(path).into_owned());
        self.text.clone().or_else(image).unwrap_or_default()
    }

    fn draw(&self, report: &Report) -> Result<(), CliError> {
        if self.sheet.is_none() && self.html.is_none() {
            return Ok(());
        }
        let thumbnails: Vec<Option<RgbImage>> = report.hits.par_iter().map(|hit| thumbnail(&hit.path)).collect();
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
            page::write(path, &report.query, report.pictures, &report.scores(), &rows.collect::<Vec<_>>())?;
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

/// Returns a small version of a picture, upright, or `None` if it can no longer be read.
fn thumbnail(path: &Path) -> Option<RgbImage> {
    let picture = decode::open(path).ok()?.upright().into_rgb();
    let (width, height) = (picture.width as u32, picture.height as u32);
    let image = RgbImage::from_raw(width, height, picture.samples)?;
    let longer = width.max(height);
    let fit = |side: u32| (u64::from(side) * u64::from(THUMBNAIL) / u64::from(longer)).max(1) as u32;
    Some(if longer > THUMBNAIL { imageops::thumbnail(&image, fit(width), fit(height)) } else { image })
}

#[derive(Serialize)]
struct Report {
    query: String,
    /// Number of pictures that were searched.
    pictures: usize,
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
    /// Whether this is the picture that was looked for.
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

impl Report {
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if self.hits.is_empty() {
            return write!(f, "the index is empty");
        }
        for (i, Hit { rank, score, path, is_query, .. }) in self.hits.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            let mark = if *is_query { "  (the query)" } else { "" };
            write!(f, "{end}{rank:>4}  {score:>7.4}  {}{mark}", path.display())?;
        }
        if self.hits.iter().any(|hit| hit.judged.is_some()) { write!(f, "\n{}", self.scores()) } else { Ok(()) }
    }
}
