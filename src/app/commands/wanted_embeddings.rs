//! The embeddings of what `clipwright search` looks for, by the towers that it takes and no others.

use super::CliError;
use super::texts::{NOTHING_LEFT, is_nothing, warn_cut_by_clip, warn_long, warn_truncated};
use super::wanted::{Part, Wanted, What};
use crate::checkpoint::Checkpoint;
use crate::embed::{Blip, Family, ImageEncoder, LoadError, Opened, PassingImages, PassingText, TextEncoder};
use crate::eval::templates::PLACE;
use crate::pictures::{Picture, PictureError, Reading, View};
use ndarray::{Array2, Axis, stack};

/// The parts of a query, embedded.
pub(super) struct Embedded {
    /// The unit-length embedding of each part.
    ///
    /// (N,e)
    pub rows: Array2<f32>,
    /// The model, if it is a BLIP.
    pub blip: Option<Box<Blip>>,
}

/// Embeds the parts of a query. Pictures are embedded as those of the index were.
pub(super) fn embed(wanted: &Wanted, opened: Opened, reading: Reading) -> Result<Embedded, CliError> {
    let texts: Vec<String> = wanted.texts().cloned().collect();
    let (texts, pictures, blip) = match opened {
        Opened::Clip(checkpoint) => {
            let pictures = pictures_by_clip(&checkpoint, wanted, reading)?;
            (texts_by_clip(*checkpoint, &texts)?, pictures, None)
        }
        opened => {
            let model = opened.both()?;
            if let Some(text) = texts.iter().find(|text| is_nothing(&model, text)) {
                return Err(CliError::Usage(format!("{text:?}: {NOTHING_LEFT}")));
            }
            warn_long(&model, &texts, &[PLACE]);
            let pictures = read(wanted, View { reading, ..View::of(model.preprocess()) })?;
            let (texts, pictures) = (model.encode_text(&texts), model.encode_image(&pictures));
            (texts, pictures, if let Family::Blip(blip) = model { Some(blip) } else { None })
        }
    };
    Ok(Embedded { rows: in_order(wanted, &texts, &pictures), blip })
}

/// Reads the pictures of a query, each as far as a model sees it.
fn read(wanted: &Wanted, view: View) -> Result<Vec<Picture>, PictureError> {
    let upright = |picture: Picture| if view.reading.exif { picture.upright() } else { picture };
    wanted.images().map(|path| view.open(path).map(upright)).collect()
}

/// Embeds pictures, and reads the image tower only if there are some, in passing if that is possible.
fn pictures_by_clip(checkpoint: &Checkpoint, wanted: &Wanted, reading: Reading) -> Result<Array2<f32>, CliError> {
    let pictures = wanted.images().count();
    if pictures == 0 {
        return Ok(Array2::default((0, 0)));
    }
    if let Some(tower) = PassingImages::fitting(checkpoint, pictures) {
        return Ok(tower.encode(&read(wanted, View { reading, ..View::of(tower.preprocess()) })?)?);
    }
    let tower = ImageEncoder::new(checkpoint)?;
    Ok(tower.encode(&read(wanted, View { reading, ..View::of(tower.preprocess()) })?))
}

/// Embeds texts, and reads the text tower only if there are some, in passing if that is possible.
fn texts_by_clip(checkpoint: Checkpoint, texts: &[String]) -> Result<Array2<f32>, LoadError> {
    if texts.is_empty() {
        return Ok(Array2::default((0, 0)));
    }
    if PassingText::fits(&checkpoint, texts.len()) {
        let tower = PassingText::new(checkpoint)?;
        warn_cut_by_clip((tower.tokenizer(), tower.context_length()), texts, &[PLACE]);
        return tower.encode(texts);
    }
    let tower = TextEncoder::new(&checkpoint)?;
    warn_truncated(&tower, texts, &[PLACE]);
    Ok(tower.encode(texts))
}

/// Puts the rows of texts and of pictures into the order of the parts.
fn in_order(wanted: &Wanted, texts: &Array2<f32>, pictures: &Array2<f32>) -> Array2<f32> {
    let (mut texts, mut pictures) = (texts.rows().into_iter(), pictures.rows().into_iter());
    let row = |part: &Part| match part.what {
        What::Text(_) => texts.next(),
        What::Image(_) => pictures.next(),
    };
    let rows: Option<Vec<_>> = wanted.parts.iter().map(row).collect();
    stack(Axis(0), &rows.expect("a row for each part")).expect("rows of one width")
}
