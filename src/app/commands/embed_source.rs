//! What `clipwright embed` embeds, row by row: pictures, texts, or pairs of both.

use super::pictures::{Named, Tally, skip};
use super::texts::{NOTHING_LEFT, is_nothing, lines, warn_long};
use super::{CliError, Context};
use crate::datasets::{BadExample, OwnPairs};
use crate::digest::{Digest, digest};
use crate::embed::source::{Examples, ReadAs, Watched};
use crate::embed::{BATCH, Clip, Family, ImageEncoder, Opened, TextEncoder};
use crate::eval::templates::PLACE;
use crate::files;
use crate::pictures::Reading;
use crate::pictures::folder::PassedOver;
use indicatif::ProgressBar;
use ndarray::ArrayView1;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Number of texts that are embedded at a time.
const AT_A_TIME: usize = 512;

/// What is to be embedded, in order.
pub(super) enum Input {
    Pictures(Named),
    Texts(Texts),
    Pairs(Pairs),
}

/// The lines of a file of texts.
pub(super) struct Texts {
    path: PathBuf,
    /// The place of the first of them in the file.
    first: usize,
    lines: Vec<String>,
}

/// Pictures with captions.
pub(super) struct Pairs {
    data: OwnPairs,
    positions: Vec<usize>,
    /// Whether pictures are turned upright.
    reading: Reading,
}

impl Texts {
    /// Reads a file of texts, or standard input for `-`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or has a blank line, since rows and lines would no longer match.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let texts = lines(path)?;
        if let Some((i, _)) = texts.iter().enumerate().find(|&(i, &(number, _))| number != i + 1) {
            return Err(CliError::line(path, i + 1, "a blank line"));
        }
        Ok(Texts { path: path.into(), first: 0, lines: texts.into_iter().map(|(_, text)| text).collect() })
    }
}

impl Pairs {
    pub(super) fn new(data: OwnPairs, reading: Reading) -> Self {
        let positions = (0..data.dataset().concepts().len()).collect();
        Pairs { data, positions, reading }
    }
}

impl Input {
    pub(super) fn len(&self) -> usize {
        match self {
            Input::Pictures(named) => named.paths.len(),
            Input::Texts(texts) => texts.lines.len(),
            Input::Pairs(pairs) => pairs.positions.len(),
        }
    }

    /// Returns how many of them pass through the model together. What is in the model at the same time shows in the
    /// last bits of an embedding, so these stay together wherever the list is divided.
    pub(super) fn block(&self) -> usize {
        if matches!(self, Input::Texts(_)) { AT_A_TIME } else { BATCH }
    }

    /// Returns a digest of the list, for which no picture is read.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Input::Pictures(named) => digest(named.paths.iter().map(|path| files::name(path).into_owned() + "\0")),
            Input::Texts(texts) => digest(texts.lines.iter().flat_map(|text| [text.as_str(), "\n"])),
            Input::Pairs(pairs) => pairs.data.dataset().list_digest(),
        }
    }

    /// Returns whether there are pictures, and whether there are texts.
    pub(super) fn kinds(&self) -> (bool, bool) {
        (!matches!(self, Input::Texts(_)), !matches!(self, Input::Pictures(_)))
    }

    /// Returns how pictures are read.
    pub(super) fn reading(&self) -> Reading {
        match self {
            Input::Pictures(named) => named.reading(),
            Input::Texts(_) => Reading::default(),
            Input::Pairs(pairs) => pairs.reading,
        }
    }

    /// Leaves those at these places.
    pub(super) fn part(self, places: Range<usize>) -> Self {
        match self {
            Input::Pictures(named) => Input::Pictures(named.part(places)),
            Input::Texts(texts) => {
                let first = texts.first + places.start;
                Input::Texts(Texts { first, lines: texts.lines[places].to_vec(), ..texts })
            }
            Input::Pairs(pairs) => Input::Pairs(Pairs { positions: pairs.positions[places].to_vec(), ..pairs }),
        }
    }

    /// Reads what is needed of the model.
    ///
    /// # Errors
    /// Returns an error if the model cannot be read, or if cleaning leaves nothing of a text.
    pub(super) fn open(self, model: Opened) -> Result<Source, CliError> {
        Ok(match self {
            Input::Pictures(named) => Source::Pictures(named, Box::new(model.image_encoder()?)),
            Input::Texts(Texts { path, first, lines }) => {
                let encoder = model.text_encoder()?;
                if let Some(i) = lines.iter().position(|text| is_nothing(&encoder, text)) {
                    return Err(CliError::line(&path, first + i + 1, NOTHING_LEFT));
                }
                warn_long(&encoder, &lines, &[PLACE]);
                Source::Texts(lines, Box::new(encoder))
            }
            Input::Pairs(pairs) => Source::Pairs(pairs, Box::new(model.both()?)),
        })
    }
}

/// What is to be embedded, with its encoders.
pub(super) enum Source {
    Pictures(Named, Box<Family<ImageEncoder>>),
    Texts(Vec<String>, Box<Family<TextEncoder>>),
    Pairs(Pairs, Box<Family<Clip>>),
}

/// A row of the result: the embedding of a picture, of a text, or of both.
pub(super) struct Row<'a> {
    /// The place in the source.
    pub place: usize,
    pub image: Option<&'a [f32]>,
    /// The text and its embedding.
    pub text: Option<(&'a str, &'a [f32])>,
}

impl Source {
    pub(super) fn len(&self) -> usize {
        match self {
            Source::Pictures(named, _) => named.paths.len(),
            Source::Texts(texts, _) => texts.len(),
            Source::Pairs(pairs, _) => pairs.positions.len(),
        }
    }

    /// Returns e, the width of the embeddings.
    pub(super) fn width(&self) -> usize {
        match self {
            Source::Pictures(_, encoder) => encoder.embed_dim(),
            Source::Texts(_, encoder) => encoder.text_dim(),
            Source::Pairs(_, clip) => clip.embed_dim(),
        }
    }

    pub(super) fn passed_over(&self) -> PassedOver {
        match self {
            Source::Pictures(named, _) => named.passed_over.clone(),
            Source::Texts(..) | Source::Pairs(..) => PassedOver::default(),
        }
    }

    /// Returns the picture at a place, if it is a file of its own.
    pub(super) fn file(&self, place: usize) -> Option<&Path> {
        match self {
            Source::Pictures(named, _) => Some(&named.paths[place]),
            Source::Texts(..) => None,
            Source::Pairs(pairs, _) => pairs.data.files().file(pairs.positions[place]),
        }
    }

    /// Returns the name of the picture at a place: the path of its file or, if it is in a shard, its key there.
    pub(super) fn name(&self, place: usize) -> String {
        match (self, self.file(place)) {
            (_, Some(file)) => files::name(file).into_owned(),
            (Source::Pairs(pairs, _), None) => pairs.data.files().name(pairs.positions[place]),
            (_, None) => String::new(),
        }
    }

    /// Calls `each` for one row after the other. Pictures that cannot be read are named on standard error.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub(super) fn for_each<E>(
        &self,
        context: &Context,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Tally, E> {
        let progress = |what| context.output.progress(self.len(), what);
        match self {
            Source::Pictures(named, encoder) => named.embed(encoder, &progress("pictures"), |place, row| {
                each(Row { place, image: Some(floats(&row)), text: None })
            }),
            Source::Texts(texts, encoder) => {
                let bar = progress("texts");
                for (group, first) in texts.chunks(AT_A_TIME).zip((0..).step_by(AT_A_TIME)) {
                    let rows = encoder.encode_text(group);
                    for (place, (text, row)) in (first..).zip(group.iter().zip(rows.rows())) {
                        each(Row { place, image: None, text: Some((text, floats(&row))) })?;
                    }
                    bar.inc(group.len() as u64);
                }
                bar.finish_and_clear();
                Ok(Tally { seen: texts.len(), bad: 0 })
            }
            Source::Pairs(pairs, clip) => pairs.embed(clip, &progress("pairs"), each),
        }
    }
}

impl Pairs {
    /// Calls `each` for every pair whose picture can be read and whose caption is a text. The others are named on
    /// standard error.
    fn embed<E>(
        &self,
        clip: &Family<Clip>,
        bar: &ProgressBar,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<Tally, E> {
        let examples = Examples { dataset: &**self.data.dataset(), positions: &self.positions };
        let read = ReadAs { source: &examples, reading: self.reading };
        let source = Watched { source: &read, done: || bar.inc(1) };
        let (mut embedded, mut nothing) = (vec![], 0);
        let report = clip.stream(&source, |batch| {
            batch.bad.iter().for_each(|(_, bad)| skip(bar, bad));
            let (good, empty): (Vec<usize>, Vec<usize>) =
                (0..batch.read.len()).partition(|&i| !is_nothing(clip, &batch.read[i].1.caption));
            for &i in &empty {
                let name = self.data.files().name(self.positions[batch.read[i].0]);
                skip(bar, &BadExample::new(name, NOTHING_LEFT));
            }
            nothing += empty.len();
            let captions: Vec<&String> = good.iter().map(|&i| &batch.read[i].1.caption).collect();
            let texts = clip.encode_text(&captions);
            for ((&i, caption), text) in good.iter().zip(&captions).zip(texts.rows()) {
                let (image, text) = (batch.rows.row(i), Some((caption.as_str(), floats(&text))));
                each(Row { place: batch.read[i].0, image: Some(floats(&image)), text })?;
            }
            embedded.extend(captions.into_iter().cloned());
            Ok(())
        })?;
        bar.finish_and_clear();
        warn_long(clip, &embedded, &[PLACE]);
        Ok(Tally { seen: report.seen as usize, bad: report.bad as usize + nothing })
    }
}

fn floats<'a>(row: &'a ArrayView1<f32>) -> &'a [f32] {
    row.as_slice().expect("a row of a matrix in standard layout")
}
