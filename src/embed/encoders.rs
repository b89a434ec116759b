//! A trained CLIP, ready for pictures and captions.
//!
//! [`Clip`] has both towers. [`ImageEncoder`] and [`TextEncoder`] have one tower each and read nothing of the other.

use crate::checkpoint::{Checkpoint, CheckpointError, Overrides};
use crate::datasets::BadReport;
use crate::embed::embedder::Embed;
use crate::embed::session::{Pool, Session};
use crate::embed::source::{Loaded, Pictures};
use crate::embed::stream::{BATCH, Batch, Embedded, Tower, collect};
use crate::embed::task::BlipError;
use crate::models::Captions;
use crate::models::clip::model::Inference;
use crate::models::clip::text::{self, Text};
use crate::models::clip::visual::{self, Visual};
use crate::pictures::{Picture, Preprocess};
use crate::text::tokenizer::VOCABULARY;
use crate::text::{Tokenizer, TokenizerError};
use crate::weights::{Stored, Weights};
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2};
use std::path::{Path, PathBuf};

/// Why a model could not be loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("{}: the model knows {known} tokens and {} has {vocabulary}; put the model's tokenizer.json beside it",
            path.display(), name(tokenizer))]
    Vocabulary { path: PathBuf, known: usize, tokenizer: Option<PathBuf>, vocabulary: usize },
    #[error("{}: a SigLIP has a tokenizer of its own; put the model's tokenizer.json or spiece.model beside it",
            path.display())]
    NoTokenizer { path: PathBuf },
    #[error("{}: a context of {context_length} has no room for start and end of text", path.display())]
    Context { path: PathBuf, context_length: usize },
    #[error("{}: a model of pictures that are not square; pictures are prepared as squares", path.display())]
    NotSquare { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Task { path: PathBuf, source: BlipError },
}

fn name(tokenizer: &Option<PathBuf>) -> String {
    tokenizer.as_ref().map_or("CLIP's own tokenizer".into(), |path| path.display().to_string())
}

/// Both towers of a CLIP.
///
/// ```
/// use clipwright::Clip;
/// use clipwright::pictures::{Channels, Picture};
/// # use clipwright::checkpoint::{ConfigFile, save_model};
/// # use clipwright::models::clip::{Config, Model};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// # let config = Config::preset("Emoji-ViT-S")?;
/// # save_model(path, &Model::new(config.clone(), 0), &ConfigFile::new(config))?;
///
/// // `path`: a folder from OpenCLIP, Hugging Face or the trainer, or a file of weights.
/// let clip = Clip::load(path)?;
/// let pictures = [Picture::new(640, 480, Channels::Rgb)]; // or from clipwright::pictures::decode::open
/// let images = clip.encode_image(&pictures);
/// let texts = clip.encode_text(&["a dog", "a cat"]);
/// let logits = clip.similarity(images.view(), texts.view());
/// assert_eq!(logits.dim(), (1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Clip {
    pub image: ImageEncoder,
    pub text: TextEncoder,
    logit_scale: f32,
    logit_bias: Option<f32>,
}

impl Clip {
    /// Loads a model folder or a file of weights, as [`Checkpoint::open`] finds them.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::new(&Checkpoint::open(path.as_ref(), &Overrides::default())?)
    }

    /// Makes the model ready from an opened checkpoint.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`Clip::load`].
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let (image, text) = (ImageEncoder::new(checkpoint)?, TextEncoder::new(checkpoint)?);
        let logit_scale = checkpoint.logit_scale()?.expect("a checkpoint of both towers has one");
        Ok(Self { image, text, logit_scale, logit_bias: checkpoint.logit_bias()? })
    }

    /// Returns unit-length embeddings of N pictures.
    ///
    /// result (N,e)
    ///
    /// # Panics
    /// Panics if a picture is empty.
    #[track_caller]
    pub fn encode_image(&self, pictures: &[Picture]) -> Array2<f32> {
        self.image.encode(pictures)
    }

    /// Returns unit-length embeddings of N texts. A text that is longer than the context is cut.
    ///
    /// result (N,e)
    pub fn encode_text<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        self.text.encode(texts)
    }

    /// Returns the logits s·Î·T̂ᵀ + b, which are the cosines of pictures and texts times the learnt scale, plus the
    /// learnt bias of a model for the sigmoid loss. Without a bias the softmax of a row gives the probabilities of the
    /// texts for that picture; with one the sigmoid of a logit is the probability that this text fits, by itself.
    ///
    /// `images` (N,e), `texts` (M,e), result (N,M)
    #[track_caller]
    pub fn similarity(&self, images: ArrayView2<f32>, texts: ArrayView2<f32>) -> Array2<f32> {
        images.dot(&texts.t()) * self.scale() + self.logit_bias.unwrap_or(0.0)
    }

    /// Returns s = exp(`logit_scale`), the learnt scale of the logits.
    pub fn scale(&self) -> f32 {
        self.logit_scale.exp()
    }

    /// Returns b = `logit_bias`, the learnt bias of the logits, if the model was made for the sigmoid loss.
    pub fn bias(&self) -> Option<f32> {
        self.logit_bias
    }
}

impl AsRef<ImageEncoder> for Clip {
    fn as_ref(&self) -> &ImageEncoder {
        &self.image
    }
}

impl AsRef<TextEncoder> for Clip {
    fn as_ref(&self) -> &TextEncoder {
        &self.text
    }
}

impl AsRef<ImageEncoder> for ImageEncoder {
    fn as_ref(&self) -> &ImageEncoder {
        self
    }
}

impl AsRef<TextEncoder> for TextEncoder {
    fn as_ref(&self) -> &TextEncoder {
        self
    }
}

impl Embed for Clip {
    fn embed_dim(&self) -> usize {
        self.image.embed_dim()
    }

    fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        self.image.stream(source, each)
    }

    fn captions<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        self.text.encode(texts)
    }
}

/// The image tower of a CLIP. It keeps the memory of one call for the next.
pub struct ImageEncoder {
    shape: visual::Shape,
    weights: Weights<Visual<Stored>>,
    preprocess: Preprocess,
    /// The memory of each call that is under way at the same time.
    sessions: Pool<Session<Inference>>,
}

impl ImageEncoder {
    /// Loads the image tower of a model folder or a file of weights and reads nothing else of it.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::new(&Checkpoint::open(path.as_ref(), &Overrides::default())?)
    }

    /// Makes the model ready from an opened checkpoint.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`ImageEncoder::load`].
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let weights = checkpoint.vision_weights()?;
        let shape = checkpoint.architecture.vision().expect("a tower that was read has a shape");
        Ok(Self { shape, weights, preprocess: checkpoint.preprocess.clone(), sessions: Pool::default() })
    }

    /// Returns unit-length embeddings of N pictures.
    ///
    /// result (N,e)
    ///
    /// # Panics
    /// Panics if a picture is empty.
    #[track_caller]
    pub fn encode(&self, pictures: &[Picture]) -> Array2<f32> {
        self.all(&Loaded(pictures)).rows
    }

    /// Embeds the pictures of a source and passes the embeddings to `each` batch by batch, in order, until it fails.
    /// Two batches of pictures are in memory at a time. Pictures that cannot be read are left out, and each batch says
    /// which ones and why.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn stream<S: Pictures, E>(
        &self,
        source: &S,
        each: impl FnMut(Batch<S::Note>) -> Result<(), E>,
    ) -> Result<BadReport, E> {
        self.tower().stream(&mut self.sessions.lend(), source, each)
    }

    /// Embeds all pictures of a source.
    pub fn all<S: Pictures>(&self, source: &S) -> Embedded<S::Note> {
        collect(source.len(), self.embed_dim(), |each| self.stream(source, each))
    }

    fn tower(&self) -> Tower<'_, impl Fn(&mut Inference, ArrayView2<f32>) -> Array2<f32> + Sync> {
        let p = self.weights.view();
        let encode =
            move |buffers: &mut Inference, images: ArrayView2<f32>| buffers.encode_images(&p, &self.shape, images);
        Tower { preprocess: &self.preprocess, batch: BATCH, encode }
    }

    /// Returns the settings by which pictures are prepared for the tower.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Returns e, the width of the embeddings.
    pub fn embed_dim(&self) -> usize {
        self.shape.embed_dim()
    }

    /// Returns the sizes of the tower.
    pub(super) fn shape(&self) -> &visual::Shape {
        &self.shape
    }
}

/// The text tower of a CLIP. It keeps the memory of one call for the next.
///
/// ```
/// # use clipwright::checkpoint::{ConfigFile, save_model};
/// # use clipwright::models::clip::{Config, Model};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path();
/// # let config = Config::preset("Emoji-ViT-S")?;
/// # save_model(path, &Model::new(config.clone(), 0), &ConfigFile::new(config))?;
/// let tower = clipwright::TextEncoder::load(path)?;
/// let [dog, cat] = ["a dog", "a cat"].map(|text| tower.encode(&[text]));
/// let cosine = (&dog * &cat).sum();
/// assert!(cosine.abs() < 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TextEncoder {
    shape: text::Shape,
    weights: Weights<Text<Stored>>,
    tokenizer: Tokenizer,
    /// The memory of each call that is under way at the same time.
    sessions: Pool<Session<Inference>>,
}

/// Returns the tokenizer of a checkpoint, its own or CLIP's, and the shape of the text tower, which it fits.
///
/// # Errors
/// Returns a [`LoadError`] if the tokenizer cannot be read or does not fit the model.
pub fn tokenizer(checkpoint: &Checkpoint) -> Result<(Tokenizer, text::Shape), LoadError> {
    let path = || checkpoint.path().into();
    let (shape, own) = (checkpoint.text_shape()?, checkpoint.tokenizer.as_deref());
    let is_padded = !shape.size.causal;
    if own.is_none() && is_padded && shape.vocab_size != VOCABULARY {
        return Err(LoadError::NoTokenizer { path: path() });
    }
    let tokenizer = Tokenizer::of_tower(own, is_padded)?;
    let (known, vocabulary) = (shape.vocab_size, tokenizer.vocabulary());
    if vocabulary > known {
        let tokenizer = checkpoint.tokenizer.clone();
        return Err(LoadError::Vocabulary { path: path(), known, tokenizer, vocabulary });
    }
    if shape.context_length < 2 {
        return Err(LoadError::Context { path: path(), context_length: shape.context_length });
    }
    Ok((tokenizer, shape))
}

impl TextEncoder {
    /// Loads the text tower of a model folder or a file of weights and reads nothing else of it. The folder's
    /// `tokenizer.json`, if it has one, takes the place of CLIP's own tokenizer.
    ///
    /// # Errors
    /// Returns a [`LoadError`] that names the file and, where there is one, the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::new(&Checkpoint::open(path.as_ref(), &Overrides::default())?)
    }

    /// Makes the model ready from an opened checkpoint.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`TextEncoder::load`].
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        // Building a tokenizer takes as long as reading a small tower.
        let (weights, tokenizer) = rayon::join(|| checkpoint.text_weights(), || tokenizer(checkpoint));
        let (tokenizer, shape) = tokenizer?;
        Ok(Self { shape, weights: weights?, tokenizer, sessions: Pool::default() })
    }

    /// Returns unit-length embeddings of N texts. A text that is longer than the context is cut.
    ///
    /// result (N,e)
    pub fn encode<S: AsRef<str>>(&self, texts: &[S]) -> Array2<f32> {
        let p = self.weights.view();
        let encode = |buffers: &mut Inference, captions: Captions| buffers.encode_texts(&p, &self.shape, captions);
        let words = (&self.tokenizer, self.shape.context_length);
        self.sessions.lend().captions(words, texts, self.embed_dim(), encode)
    }

    /// Returns what diffusion models are conditioned on: the hidden states of one text after `layer` blocks. For a
    /// `layer` of 0 they are the embedded tokens. With `final_norm` they have passed `ln_final`. With `padding` the text
    /// is filled up to the context length with that token.
    ///
    /// # Panics
    /// Panics if the tower has fewer than `layer` blocks.
    #[track_caller]
    pub fn hidden_states(&self, text: &str, layer: usize, final_norm: bool, padding: Option<u32>) -> TextStates {
        assert!(layer <= self.layers(), "state {layer} of a tower of {} layers", self.layers());
        let mut ids = self.tokenizer.encode(text, self.context_length()).ids;
        let end = ids.len() - 1;
        if let Some(padding) = padding {
            ids.resize(self.context_length(), padding);
        }
        let p = self.weights.view();
        let mut all = text::hidden_states(&p, &self.shape, Captions { ids: &ids, offsets: &[0, ids.len()] });
        let last = all.last().expect("the last one after ln_final").row(end).to_owned();
        let projection = ArrayView2::from_shape((self.shape.size.width, self.embed_dim()), p.text_projection.rows());
        let mut pooled = last.dot(&projection.expect("(d, e)"));
        if let Some(bias) = &p.text_projection_bias {
            pooled += &ArrayView1::from(bias.rows());
        }
        let states = all.swap_remove(layer);
        let states = if final_norm { text::final_norm(&p, &self.shape, states.view()) } else { states };
        TextStates { states, pooled }
    }

    /// Returns the ids of a text's tokens, and the attention probabilities of every block: row i of head h
    /// says how much token i takes from each other.
    ///
    /// each (H,T,T)
    pub fn attention(&self, text: &str) -> (Vec<u32>, Vec<Array3<f32>>) {
        let ids = self.tokenizer.encode(text, self.context_length()).ids;
        let blocks = text::attention(&self.weights.view(), &self.shape, &ids);
        (ids, blocks)
    }

    /// Returns the sizes of the tower.
    pub(super) fn shape(&self) -> &text::Shape {
        &self.shape
    }

    /// Returns the number of blocks.
    pub fn layers(&self) -> usize {
        self.shape.size.layers
    }

    /// Returns the token that closes a text, or that fills up the texts of a SigLIP.
    pub fn end_of_text(&self) -> u32 {
        self.tokenizer.end_of_text()
    }

    /// Returns the tokenizer of the tower.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the length of the longest text in tokens, start and end included.
    pub fn context_length(&self) -> usize {
        self.shape.context_length
    }

    /// Returns e, the width of the embeddings.
    pub fn embed_dim(&self) -> usize {
        self.shape.embed_dim
    }
}

/// The output of the text tower for one text.
pub struct TextStates {
    /// The hidden states, one row for each token.
    ///
    /// (T,d)
    pub states: Array2<f32>,
    /// The embedding of the text before it is brought to unit length.
    ///
    /// (e)
    pub pooled: Array1<f32>,
}
