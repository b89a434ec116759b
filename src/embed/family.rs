//! Models of either family that embed pictures and texts into one space.

use super::blip::Blip;
use super::embedder::Embed;
use super::encoders::{Clip, ImageEncoder, LoadError, TextEncoder};
use super::source::{Loaded, Pictures};
use super::stream::{Batch, Embedded, collect};
use super::task::Task;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::blip::Described;
use crate::datasets::BadReport;
use crate::pictures::{Picture, Preprocess};
use crate::text::blip_clean::{MAX_CAPTION_WORDS, caption};
use ndarray::Array2;

/// An opened checkpoint of either family, of which no values have been read yet.
pub enum Opened {
    Clip(Box<Checkpoint>),
    Blip(Box<Described>),
}

/// A model of either family. Of a CLIP, `C` says what was read: [`Clip`], [`ImageEncoder`] or [`TextEncoder`]. A BLIP
/// is read whole and has the heads that embed pictures and texts.
pub enum Family<C> {
    Clip(C),
    Blip(Box<Blip>),
}

impl Opened {
    /// Reads both encoders.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if it is of a BLIP that embeds nothing.
    pub fn both(self) -> Result<Family<Clip>, LoadError> {
        self.read(Clip::new)
    }

    /// Reads the image encoder, and of a CLIP nothing else.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Opened::both`].
    pub fn image_encoder(self) -> Result<Family<ImageEncoder>, LoadError> {
        self.read(ImageEncoder::new)
    }

    /// Reads the text encoder, and of a CLIP nothing else.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Opened::both`].
    pub fn text_encoder(self) -> Result<Family<TextEncoder>, LoadError> {
        self.read(TextEncoder::new)
    }

    fn read<C>(self, clip: impl FnOnce(&Checkpoint) -> Result<C, LoadError>) -> Result<Family<C>, LoadError> {
        match self {
            Opened::Clip(checkpoint) => clip(&checkpoint).map(Family::Clip),
            Opened::Blip(described) => Ok(Family::Blip(Box::new(Blip::open(*described, Task::Match)?))),
        }
    }
}

/// Why a BLIP embeds whatever it is asked to.
const HAS_HEADS: &str = "a BLIP with heads, as `Opened` reads it";

impl<C: AsRef<ImageEncoder>> Family<C> {
    /// Returns e, the width of the embeddings.
    pub fn embed_dim(&self) -> usize {
        match self {
            Family::Clip(clip) => clip.as_ref().embed_dim(),
            Family::Blip(blip) => blip.config().embed_dim,
        }
    }

    /// Returns the settings by which pictures are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        match self {
            Family::Clip(clip) => clip.as_ref().preprocess(),
            Family::Blip(blip) => blip.preprocess(),
        }
    }

    /// Embeds the pictures of a source, as [`ImageEncoder::stream`] does.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        match self {
            Family::Clip(clip) => clip.as_ref().stream(source, each),
            Family::Blip(blip) => blip.stream_embeddings(source, each),
        }
    }

    /// Embeds all pictures of a source.
    pub fn all<S: Pictures>(&self, source: &S) -> Embedded<S::Note> {
        collect(source.len(), self.embed_dim(), |each| self.stream(source, each))
    }

    /// Returns unit-length embeddings of N pictures.
    ///
    /// result (N,e)
    pub fn encode_image(&self, pictures: &[Picture]) -> Array2<f32> {
        self.all(&Loaded(pictures)).rows
    }
}

impl<C: AsRef<TextEncoder>> Family<C> {
    /// Returns e, the width of the embeddings, as the text encoder has it.
    pub fn text_dim(&self) -> usize {
        match self {
            Family::Clip(clip) => clip.as_ref().embed_dim(),
            Family::Blip(blip) => blip.config().embed_dim,
        }
    }

    /// Returns unit-length embeddings of N texts. A text that is longer than the model's is cut. A BLIP's are cleaned
    /// before, as those that it was trained on.
    ///
    /// result (N,e)
    pub fn encode_text<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        match self {
            Family::Clip(clip) => clip.as_ref().encode(texts),
            Family::Blip(blip) => {
                let cleaned: Vec<String> = texts.iter().map(|text| caption(text.as_ref(), MAX_CAPTION_WORDS)).collect();
                blip.encode_text(&cleaned).expect(HAS_HEADS)
            }
        }
    }
}

impl Embed for Family<Clip> {
    fn embed_dim(&self) -> usize {
        self.embed_dim()
    }

    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        self.stream(source, each)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        self.encode_text(texts)
    }
}
