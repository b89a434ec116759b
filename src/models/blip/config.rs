//! The sizes of a BLIP, and which parts it has.

use crate::layers::block::Size;
use crate::layers::patch_embed::Grid;
use crate::models::blip::{text, vit};
use crate::models::sizes::{MAX_PARAMETERS, SizeError, check_multiple, check_sizes};
use crate::params::count;
use kernels::Activation;

/// A whole BLIP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    pub vision: VisionConfig,
    pub text: TextConfig,
    /// The width e of the joint space of pictures and texts.
    pub embed_dim: usize,
    pub parts: Parts,
}

/// The parts of a model, by the task that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The model writes captions: a ViT, and a decoder that looks at pictures.
    Captioner,
    /// The model compares pictures and texts: a ViT, an encoder, both projections and the ITM head.
    Matcher,
    /// The model answers questions: a ViT, an encoder of questions that looks at pictures, and a decoder of answers
    /// that looks at the encoded question.
    Answerer,
    /// The pre-trained model does what a matcher and a captioner do. Encoder and decoder share all but self-attention.
    Pretrained,
}

impl Parts {
    /// Whether the model has a text encoder.
    pub fn has_encoder(self) -> bool {
        self != Parts::Captioner
    }

    /// Whether the model has a text decoder.
    pub fn has_decoder(self) -> bool {
        self != Parts::Matcher
    }

    /// Whether the model embeds pictures and texts, and judges whether they match.
    pub fn has_heads(self) -> bool {
        matches!(self, Parts::Matcher | Parts::Pretrained)
    }
}

/// The image encoder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisionConfig {
    /// Rows and columns of a picture, in pixels.
    pub image_size: [usize; 2],
    /// The edge of a patch, in pixels.
    pub patch_size: usize,
    pub width: usize,
    pub mlp_width: usize,
    pub heads: usize,
    pub layers: usize,
    pub activation: Activation,
    /// ε of every LayerNorm: 1e-6 in the original, 1e-5 in Hugging Face's configurations.
    pub eps: f32,
}

/// The text Transformer, in all its uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextConfig {
    /// The number V of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The largest number of tokens of a text.
    pub positions: usize,
    pub width: usize,
    pub mlp_width: usize,
    pub heads: usize,
    pub layers: usize,
    pub activation: Activation,
    /// ε of every LayerNorm.
    pub eps: f32,
    /// The ε of label smoothing with which Hugging Face's classes would train the model. It is only carried along.
    pub label_smoothing: f32,
    pub ids: TokenIds,
}

/// The tokens that mean something to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenIds {
    /// Pads texts in other implementations. Here it only fills up what is written for them.
    pub pad: u32,
    /// `[CLS]` begins a text for the unimodal encoder.
    pub cls: u32,
    /// `[SEP]` ends every text.
    pub end: u32,
    /// `[DEC]` begins a text that is to be written.
    pub decode: u32,
    /// `[ENC]` begins a text for the image-grounded encoder.
    pub encode: u32,
}

impl TokenIds {
    /// The tokens of BERT's uncased vocabulary with `[DEC]` and `[ENC]` behind its 30,522 words.
    pub const BERT: TokenIds = TokenIds { pad: 0, cls: 101, end: 102, decode: 30522, encode: 30523 };
}

impl Config {
    /// Checks that the sizes fit together, before anything is allocated for them.
    ///
    /// # Errors
    /// Returns an error if a size is 0, too large, or not a multiple of what it is divided by, or if a token is not in
    /// the vocabulary.
    pub fn check(&self) -> Result<(), SizeError> {
        check_sizes(&[("embed_dim", self.embed_dim, 1 << 16)])?;
        self.vision.check()?;
        self.text.check()?;
        // Each size can be within its limit while all of them together exceed any memory.
        check_sizes(&[("the number of parameters", self.parameters(), MAX_PARAMETERS)])
    }

    /// Counts the parameters of the Transformers, those that encoder and decoder share twice.
    fn parameters(&self) -> usize {
        let texts = [(self.parts.has_encoder(), self.encoder()), (self.parts.has_decoder(), self.decoder())];
        let texts = texts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, shape)| count(&shape.spec(false)));
        count(&self.vit().spec()) + texts.sum::<usize>()
    }

    /// Returns the image encoder's sizes.
    pub fn vit(&self) -> vit::Shape {
        self.vision.shape()
    }

    /// Returns the sizes of the text encoder, which looks at pictures.
    pub fn encoder(&self) -> text::Shape {
        self.text.shape(self.vision.width, false)
    }

    /// Returns the sizes of the text decoder, which looks at pictures, or at questions.
    pub fn decoder(&self) -> text::Shape {
        let source = if self.parts == Parts::Answerer { self.text.width } else { self.vision.width };
        self.text.shape(source, true)
    }
}

impl VisionConfig {
    fn check(&self) -> Result<(), SizeError> {
        let [height, width] = self.image_size;
        check_sizes(&[
            ("vision.image_size", height, 1 << 14),
            ("vision.image_size", width, 1 << 14),
            ("vision.patch_size", self.patch_size, 1 << 14),
            ("vision.width", self.width, 1 << 16),
            ("vision.mlp_width", self.mlp_width, 1 << 18),
            ("vision.heads", self.heads, 1 << 16),
            ("vision.layers", self.layers, 1 << 10),
        ])?;
        check_multiple("vision.image_size", height, "vision.patch_size", self.patch_size)?;
        check_multiple("vision.image_size", width, "vision.patch_size", self.patch_size)?;
        check_multiple("vision.width", self.width, "vision.heads", self.heads)
    }

    /// Returns the sizes as the layers take them.
    pub fn shape(&self) -> vit::Shape {
        let [height, width] = self.image_size;
        let &VisionConfig { patch_size, mlp_width, heads, layers, activation, eps, .. } = self;
        let size = Size { width: self.width, mlp_width, heads, layers, activation, causal: false, eps };
        vit::Shape { grid: Grid { height, width, patch_size }, size }
    }
}

impl TextConfig {
    fn check(&self) -> Result<(), SizeError> {
        check_sizes(&[
            ("text.vocab_size", self.vocab_size, 1 << 24),
            ("text.positions", self.positions, 1 << 16),
            ("text.width", self.width, 1 << 16),
            ("text.mlp_width", self.mlp_width, 1 << 18),
            ("text.heads", self.heads, 1 << 16),
            ("text.layers", self.layers, 1 << 10),
        ])?;
        check_multiple("text.width", self.width, "text.heads", self.heads)?;
        let TokenIds { pad, cls, end, decode, encode } = self.ids;
        let ids = [
            ("text.ids.pad", pad),
            ("text.ids.cls", cls),
            ("text.ids.end", end),
            ("text.ids.decode", decode),
            ("text.ids.encode", encode),
        ];
        let limit = self.vocab_size - 1;
        match ids.into_iter().map(|(field, id)| (field, id as usize)).find(|&(_, id)| id > limit) {
            Some((field, value)) => Err(SizeError::TooLarge { field, value, limit }),
            None => Ok(()),
        }
    }

    fn shape(&self, source: usize, causal: bool) -> text::Shape {
        let &TextConfig { vocab_size, positions, width, mlp_width, heads, layers, activation, eps, .. } = self;
        let size = Size { width, mlp_width, heads, layers, activation, causal, eps };
        text::Shape { vocab_size, positions, source, size }
    }
}
