//! A trained BLIP: how it is made ready, looks at pictures and embeds.

use crate::checkpoint::blip::{Described, Loaded, Overrides, load};
use crate::datasets::BadReport;
use crate::embed::encoders::LoadError;
use crate::embed::session::{Pool, Session};
use crate::embed::source::Pictures;
use crate::embed::stream::{Batch, Tower};
use crate::embed::task::{BlipError, Task};
use crate::generate::Options;
use crate::models::Packed;
use crate::models::blip::Config;
use crate::models::blip::model::{Inference, Model, Source};
use crate::models::blip::params::Blip as Params;
use crate::pictures::{Picture, Preprocess, Scratch};
use crate::text::WordPiece;
use crate::weights::{Stored, Weights};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest text for the image-grounded encoder, in tokens (`max_length` of the original's `blip_retrieval.py`).
pub const MAX_TEXT: usize = 35;

/// A BLIP with the parts that its file has.
///
/// ```
/// use clipwright::Blip;
/// use clipwright::generate::{BeamStyle, Options, Search};
/// use clipwright::pictures::{Channels, Picture};
/// # use clipwright::checkpoint::blip::{Format, save};
/// # use clipwright::checkpoint::Precision;
/// # use clipwright::models::blip::{Config, Model, Parts, TextConfig, VisionConfig};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// # let base = Config::base(Parts::Captioner);
/// # let vision = VisionConfig { image_size: [32, 32], width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.vision };
/// # let text = TextConfig { positions: 32, width: 64, mlp_width: 64, heads: 1, layers: 1, ..base.text };
/// # let model = Model::new(Config { vision, text, ..base }, 0);
/// # save(path, &model.config, &model.params, None, Format::HuggingFace, Precision::F32)?;
///
/// // `path`: a folder from Hugging Face, or one of the original's files.
/// let blip = Blip::load(path)?;
/// let pictures = [Picture::new(640, 480, Channels::Rgb)]; // or from clipwright::pictures::decode::open
/// let options = Options {
///     min_length: 5,
///     search: Search::Beams { beams: 3, style: BeamStyle::Original },
///     ..blip.options(20)
/// };
/// let captions = blip.caption(&pictures, "a picture of ", &options, 0)?;
/// println!("{}", captions[0].text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Blip {
    pub(super) config: Config,
    pub(super) weights: Weights<Params<Stored>>,
    pub(super) tokenizer: Arc<WordPiece>,
    pub(super) sessions: Pool<Session<Inference>>,
    path: PathBuf,
    preprocess: Preprocess,
}

/// The number of pictures that are looked at together: the tokens of many more would fill the memory.
pub const BATCH: usize = 8;

/// Returns the tokenizer of a model whose weights are at a path: its folder's own, or BERT's.
///
/// # Errors
/// Returns a [`LoadError`] if the tokenizer cannot be read or does not fit the model.
pub fn tokenizer(path: &Path, config: &Config) -> Result<WordPiece, LoadError> {
    let (ids, known) = (config.text.ids, config.text.vocab_size);
    let folder = path.parent().unwrap_or(Path::new("."));
    let own = WordPiece::open(folder, ids.decode, ids.encode)?;
    let tokenizer_path = own.is_some().then(|| folder.to_path_buf());
    let tokenizer = own.unwrap_or_else(WordPiece::blip);
    let vocabulary = tokenizer.vocabulary();
    if vocabulary > known {
        return Err(LoadError::Vocabulary { path: path.into(), known, tokenizer: tokenizer_path, vocabulary });
    }
    Ok(tokenizer)
}

/// Returns the largest number of tokens of a text that is embedded or judged.
pub fn max_text(config: &Config) -> usize {
    MAX_TEXT.min(config.text.positions)
}

impl Blip {
    /// Loads a model folder or a file of weights, as [`load`] finds them.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::new(load(path.as_ref(), &Overrides::default())?)
    }

    /// Reads a checkpoint for a task, or nothing of it if its model cannot do the task.
    ///
    /// # Errors
    /// Returns an error if the model lacks the parts, or under the conditions of [`Blip::load`].
    pub fn open(described: Described, task: Task) -> Result<Self, LoadError> {
        let check = task.check(described.config.parts);
        check.map_err(|source| LoadError::Task { path: described.path.clone(), source })?;
        Self::new(described.load()?)
    }

    /// Makes the model ready from a checkpoint that was read.
    ///
    /// # Errors
    /// Returns an error if the model's tokenizer cannot be used, or does not fit the model.
    pub fn new(loaded: Loaded) -> Result<Self, LoadError> {
        let Loaded { path, config, params, preprocess, .. } = loaded;
        let tokenizer = tokenizer(&path, &config)?;
        let preprocess = preprocess.ok_or_else(|| LoadError::NotSquare { path: path.clone() })?;
        Ok(Self::of_model(path, Model { config, params }, preprocess, Arc::new(tokenizer)))
    }

    /// Makes a model ready that is in memory. Messages call it by the path.
    pub fn of_model(path: PathBuf, model: Model, preprocess: Preprocess, tokenizer: Arc<WordPiece>) -> Self {
        let Model { config, params } = model;
        Blip { path, config, weights: params.into_weights(), preprocess, tokenizer, sessions: Pool::default() }
    }

    /// Returns the path of the file of weights, or of the index of several.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the sizes of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the settings by which pictures are prepared.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &WordPiece {
        &self.tokenizer
    }

    /// Returns the options of a greedy search for texts of at most `max_length` tokens, the prompt's included.
    pub fn options(&self, max_length: usize) -> Options {
        Options::new(self.config.text.ids.end, max_length)
    }

    /// Checks that the model can do a task.
    ///
    /// # Errors
    /// Returns an error if it has not got the parts.
    pub fn check(&self, task: Task) -> Result<(), BlipError> {
        task.check(self.config.parts)
    }

    /// Looks at the pictures of a source and passes what the model sees in them to `each`, at most [`BATCH`] pictures
    /// at a time, in order, until it fails. Pictures that cannot be read are left out, named and counted.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note, Source>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let p = self.weights.view();
        let encode =
            |buffers: &mut Inference, images: ArrayView2<f32>| -> Source { buffers.look(&p, &self.config, images) };
        let tower = Tower { preprocess: &self.preprocess, batch: BATCH, encode };
        tower.stream(&mut self.sessions.lend(), source, each)
    }

    /// Embeds the pictures of a source, and does with the embeddings what [`Blip::stream`] does.
    ///
    /// # Errors
    /// Returns the error of `each`.
    ///
    /// # Panics
    /// If the model compares no pictures with texts.
    pub fn stream_embeddings<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        let p = self.weights.view();
        let encode = |buffers: &mut Inference, images: ArrayView2<f32>| -> Array2<f32> {
            buffers.encode_images(&p, &self.config, images)
        };
        let tower = Tower { preprocess: &self.preprocess, batch: BATCH, encode };
        tower.stream(&mut self.sessions.lend(), source, each)
    }

    /// Returns the tokens of texts that look at pictures.
    pub(super) fn pack_for_pictures<S: AsRef<str>>(&self, texts: &[S]) -> Packed {
        Packed::new(texts.iter().map(|text| self.tokenizer.encode_enc(text.as_ref(), self.max_text())))
    }

    /// Returns unit-length embeddings (N,e) of N pictures.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn encode_image(&self, pictures: &[Picture]) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        let encode = |inference: &mut Inference, images: ArrayView2<f32>| -> Array2<f32> {
            inference.encode_images(&self.weights.view(), &self.config, images)
        };
        Ok(self.with_pixels(pictures, encode))
    }

    /// Returns unit-length embeddings (N,e) of N pictures that were looked at.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn embed_seen(&self, seen: &Source) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        Ok(self.sessions.lend().inference.embed_images(&self.weights.view(), &self.config, seen))
    }

    /// Returns unit-length embeddings (N,e) of N texts.
    ///
    /// # Errors
    /// Returns an error if the model compares no pictures with texts.
    pub fn encode_text<S: AsRef<str>>(&self, texts: &[S]) -> Result<Array2<f32>, BlipError> {
        self.check(Task::Match)?;
        let texts = Packed::new(texts.iter().map(|text| self.tokenizer.encode(text.as_ref(), self.max_text())));
        let buffers = &mut self.sessions.lend().inference;
        Ok(buffers.embed_texts(&self.weights.view(), &self.config, texts.captions()))
    }

    /// Returns the longest text for the text encoder, in tokens.
    pub fn max_text(&self) -> usize {
        max_text(&self.config)
    }

    /// Returns the tokens of pictures.
    pub fn look(&self, pictures: &[Picture]) -> Source {
        self.with_pixels(pictures, |inference, images| inference.look(&self.weights.view(), &self.config, images))
    }

    /// Prepares pictures, and returns what `encode` makes of them.
    fn with_pixels<R>(&self, pictures: &[Picture], encode: impl FnOnce(&mut Inference, ArrayView2<f32>) -> R) -> R {
        let len = self.config.vit().grid.image_len();
        let mut pixels = vec![0.0; pictures.len() * len];
        pixels.par_chunks_exact_mut(len).zip(pictures).for_each_init(Scratch::default, |scratch, (pixels, picture)| {
            self.preprocess.apply(picture, scratch, pixels);
        });
        let images = ArrayView2::from_shape((pictures.len(), len), &pixels).expect("a picture in each row");
        encode(&mut self.sessions.lend().inference, images)
    }
}
