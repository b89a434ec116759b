//! What `clipwright info` says of a BLIP.

use crate::app::sizes::{Transformer, millions};
use crate::checkpoint::blip::Described;
use crate::checkpoint::{Note, Tower};
use crate::models::blip::{Parts, spec};
use crate::params::count;
use crate::pictures::Preprocess;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

#[derive(Serialize)]
pub(super) struct Report {
    path: PathBuf,
    kind: &'static str,
    parts: &'static str,
    /// The commands that the model is for.
    commands: &'static [&'static str],
    names: String,
    dtypes: Vec<String>,
    parameters: usize,
    image: ImageEncoder,
    text: TextTransformer,
    /// The width of the joint space, of models that compare pictures with texts.
    embed_dim: Option<usize>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct ImageEncoder {
    /// Rows and columns, in pixels.
    image_size: [usize; 2],
    patch_size: usize,
    #[serde(flatten)]
    transformer: Transformer,
    /// Whether no file says the number of heads.
    heads_inferred: bool,
    parameters: usize,
    preprocess: Option<Preprocess>,
}

#[derive(Serialize)]
struct TextTransformer {
    positions: usize,
    vocab_size: usize,
    #[serde(flatten)]
    transformer: Transformer,
    heads_inferred: bool,
    /// The parameters of the encoder, if there is one.
    encoder: Option<usize>,
    /// The parameters of the decoder, if there is one, without those that it shares with the encoder.
    decoder: Option<usize>,
    /// The path of the tokenizer's file, or `None` for BERT's own, which needs none.
    tokenizer: Option<PathBuf>,
}

impl Report {
    pub fn of(described: Described) -> Self {
        let Described { path, format, config, preprocess, tokenizer, dtypes, notes, .. } = described;
        let inferred = |wanted| notes.iter().any(|note| matches!(note, Note::Heads { tower, .. } if *tower == wanted));
        let parameters = spec(&config);
        let (parts, commands): (_, &[_]) = match config.parts {
            Parts::Captioner => ("captioner", &["caption", "eval"]),
            Parts::Matcher => ("matcher", &["match", "embed", "index", "search", "classify", "eval"]),
            Parts::Answerer => ("answerer", &["ask", "eval"]),
            Parts::Pretrained => ("pretrained", &["caption", "match", "embed", "index", "search", "classify", "eval"]),
        };
        Report {
            path,
            kind: "blip",
            parts,
            commands,
            names: format.to_string(),
            dtypes,
            parameters: count(&parameters),
            image: ImageEncoder {
                image_size: config.vision.image_size,
                patch_size: config.vision.patch_size,
                transformer: Transformer::of(&config.vit().size),
                heads_inferred: inferred(Tower::Image),
                parameters: count(&parameters.visual_encoder),
                preprocess,
            },
            text: TextTransformer {
                positions: config.text.positions,
                vocab_size: config.text.vocab_size,
                transformer: Transformer::of(&config.encoder().size),
                heads_inferred: inferred(Tower::Text),
                encoder: parameters.text_encoder.as_ref().map(count),
                decoder: parameters.text_decoder.as_ref().map(count),
                tokenizer,
            },
            embed_dim: config.parts.has_heads().then_some(config.embed_dim),
            notes: notes.iter().map(ToString::to_string).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { path, parts, commands, names, dtypes, parameters, image, text, embed_dim, .. } = self;
        let inferred = |inferred| if inferred { " (inferred)" } else { "" };
        writeln!(f, "{}", path.display())?;
        writeln!(f, "  BLIP         {parts}, for {}", commands.join(", "))?;
        writeln!(f, "  tensors      {names} names, {}, {}", dtypes.join(" and "), millions(*parameters))?;
        let ImageEncoder { image_size: [height, width], patch_size, transformer, .. } = image;
        let (heads, parameters) = (inferred(image.heads_inferred), millions(image.parameters));
        writeln!(f, "  image        ViT, patches of {patch_size}, {transformer}{heads}, {parameters}")?;
        match &image.preprocess {
            Some(Preprocess { mean, std, interpolation, resize_mode, .. }) => {
                writeln!(f, "               {height} × {width} pixels")?;
                writeln!(f, "               {resize_mode:?} resize, {interpolation:?}, mean {mean:?}, std {std:?}")?;
            }
            None => writeln!(f, "               {height} × {width} pixels, which cannot be prepared: no square")?,
        }
        let TextTransformer { positions, vocab_size, transformer, tokenizer, .. } = text;
        writeln!(f, "  text         {transformer}{}", inferred(text.heads_inferred))?;
        for (what, parameters) in [("encoder", text.encoder), ("decoder", text.decoder)] {
            if let Some(parameters) = parameters {
                writeln!(f, "               {what}, {}", millions(parameters))?;
            }
        }
        let tokenizer = tokenizer.as_ref().map_or("BERT's own".into(), |path| path.display().to_string());
        write!(f, "               {positions} of {vocab_size} tokens; tokenizer: {tokenizer}")?;
        match embed_dim {
            Some(embed_dim) => write!(f, "\n  embeddings   {embed_dim} wide"),
            None => Ok(()),
        }
    }
}
