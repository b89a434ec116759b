//! `clipwright convert`: writes a checkpoint for another library.

use super::{CliError, Context};
use crate::app::card::{self, Card, Form};
use crate::checkpoint::{
    self, Checkpoint, ConfigFile, Contents, Format, Kind, Precision, blip, copy_tokenizer, onnx, save, save_rounded,
};
use crate::embed::tokenizer;
use crate::files::serialize_name;
use crate::models::blip::Parts;
use crate::models::clip::Config;
use crate::models::clip::config::VOCAB_SIZE;
use crate::models::clip::model::Model;
use crate::text::tokenizer::END_OF_TEXT;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Extensions of files of weights.
const FILES: [&str; 5] = ["safetensors", "bin", "pt", "pth", "ckpt"];

/// Write a model in the format of OpenCLIP, Hugging Face or BLIP's original
#[derive(Debug, Args)]
#[command(
    override_usage = "clipwright convert [OPTIONS] SRC DST\n       clipwright convert [OPTIONS] --random PRESET DST",
    after_help = "\
DST is a folder. It is created; if it exists, it must be empty. Its README.md is
a model card of what is known.

Examples:
  clipwright convert ViT-B-32.pt vit-b-32 --to huggingface
  clipwright convert ViT-B-32.pt vit-b-32-int8 --dtype int8
  clipwright convert ViT-B-32.pt vit-b-32-onnx --to onnx
  clipwright convert model_base_caption.pth blip-caption
  clipwright convert Salesforce/blip-itm-base-coco itm --to original --dtype f16

In the folder of --to onnx (operators of version 17):
  visual.onnx   pixel_values (pictures, 3, size, size) -> image_embeds
  textual.onnx  input_ids (texts, tokens), int64 -> text_embeds
Embeddings are of unit length. Texts begin with the token that starts a text
and may be padded behind the one that ends it; open_clip_config.json says how
pictures are prepared. Models of 2 GB or more have their numbers beside the
graph, in visual.onnx.data. Stored as f16, graphs compute in f32."
)]
pub(crate) struct Convert {
    /// Model folder or file of weights to read, and the folder to write
    #[arg(required = true, num_args = 1..=2, value_names = ["SRC", "DST"])]
    paths: Vec<PathBuf>,
    /// Write a preset with random weights instead of reading a model
    #[arg(long, value_name = "PRESET", conflicts_with = "image_size")]
    random: Option<String>,
    /// Library that the folder is for [default: openclip for a CLIP, huggingface for a BLIP]
    #[arg(long, value_enum)]
    to: Option<Target>,
    /// Type of the stored numbers
    #[arg(long, value_enum, default_value_t)]
    dtype: Type,
    /// Size of the pictures, for which positions are interpolated [default: the model's own]
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    /// OpenCLIP, for CLIPs
    Openclip,
    /// transformers
    Huggingface,
    /// Salesforce's own code and LAVIS, for BLIPs
    Original,
    /// ONNX Runtime and others that run ONNX's graphs, for CLIPs: visual.onnx and textual.onnx
    Onnx,
}

/// The type of a checkpoint's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Type {
    #[default]
    F32,
    /// Half the size; a number beyond 65,504 is refused
    F16,
    /// About a quarter of the size: the matrices of a CLIP's Transformers are rounded as by `--precision int8`, and
    /// computed with so. The commands here read such a file; it cannot be trained
    Int8,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("a name").get_name())
    }
}

impl Type {
    /// Returns the type of all numbers.
    fn of_all(self, refused: &str) -> Result<Precision, CliError> {
        match self {
            Type::F32 => Ok(Precision::F32),
            Type::F16 => Ok(Precision::F16),
            Type::Int8 => Err(CliError::Usage(format!("--dtype int8 is for {refused}"))),
        }
    }
}

/// The type of stored numbers.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Dtype {
    #[default]
    F32,
    F16,
}

impl Convert {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_precision("convert computes nothing; --dtype is what weights are written as")?;
        context.refuse_model("convert takes the model as SRC, not as --model")?;
        let (source, folder) = match (&self.paths[..], &self.random) {
            ([source, folder], None) => (Some(source), folder),
            ([folder], Some(_)) => (None, folder),
            ([_], None) => return Err(CliError::Usage("convert takes SRC and DST, or --random PRESET and DST".into())),
            _ => return Err(CliError::Usage("convert takes either SRC or --random PRESET, not both".into())),
        };
        if let Some(extension) = folder.extension().filter(|extension| FILES.iter().any(|file| extension == file)) {
            let extension = extension.display();
            let message = format!("{}: DST is a folder, and this is the name of a .{extension} file", folder.display());
            return Err(CliError::Usage(message));
        }
        check_empty(folder)?;
        if let Some(source) = source
            && checkpoint::kind(source)? == Some(Kind::Blip)
        {
            return self.blip(context, source, folder);
        }
        let checkpoint = source.map(|source| context.open(source, self.image_size)).transpose()?;
        if let Some(checkpoint) = checkpoint.as_ref().filter(|checkpoint| checkpoint.stores_int8()) {
            note!("note: {} has matrices of eight bits; they were widened", checkpoint.path().display());
        }
        match self.to {
            None | Some(Target::Openclip) => self.clip(context, checkpoint, folder, Format::OpenClip),
            Some(Target::Huggingface) => self.clip(context, checkpoint, folder, Format::HuggingFace),
            Some(Target::Onnx) => self.onnx(context, checkpoint, folder),
            Some(Target::Original) => {
                Err(CliError::Usage("--to original is for BLIPs, and this is a CLIP; say --to openclip".into()))
            }
        }
    }

    /// Reads a CLIP, or draws it at random.
    fn model(&self, checkpoint: Option<&Checkpoint>) -> Result<(Model, ConfigFile), CliError> {
        match checkpoint {
            Some(checkpoint) => Ok(checkpoint.model()?),
            None => random(self.random.as_deref().unwrap_or_default(), 0),
        }
    }

    /// Writes a CLIP as a library loads it.
    fn clip(
        &self,
        context: &Context,
        checkpoint: Option<Checkpoint>,
        folder: &Path,
        format: Format,
    ) -> Result<(), CliError> {
        let (model, config) = self.model(checkpoint.as_ref())?;
        let (dtype, parameters, facts) = (self.dtype, model.params.flat.len(), card::clip(&model, &config));
        match (dtype, format) {
            (Type::Int8, Format::OpenClip) => save_rounded(folder, model, &config)?,
            (dtype, format) => {
                let precision = dtype.of_all("--to openclip: transformers has no such matrices")?;
                save(folder, Contents { model: &model, config: &config }, format, precision)?;
            }
        }
        // OpenCLIP has CLIP's own tokenizer built in.
        let is_needed = format == Format::HuggingFace || config.model_cfg.text_cfg.vocab_size != VOCAB_SIZE;
        if let Some(tokenizer) = checkpoint.and_then(|checkpoint| checkpoint.tokenizer).filter(|_| is_needed) {
            copy_tokenizer(&tokenizer, folder)?;
        }
        self.card(if dtype == Type::Int8 { Form::Int8 } else { Form::Clip(format) }, facts, folder)?;
        context.output.show(&Report { folder: folder.into(), format, dtype, parameters })
    }

    /// Writes the model card.
    fn card(&self, form: Form, facts: Vec<(&'static str, String)>, folder: &Path) -> Result<(), CliError> {
        let base = if self.random.is_none() { checkpoint::hub_name(&self.paths[0]) } else { None };
        let card = Card { form, facts, origin: self.origin(base.as_deref()), base };
        card.write(folder).map_err(CliError::file(folder))
    }

    /// Says how the model was made, in Markdown.
    fn origin(&self, base: Option<&str>) -> String {
        if let Some(preset) = &self.random {
            return format!("Drawn at random, as `{preset}`, by {}. It has learnt nothing.", card::writer());
        }
        let mut origin = format!("Converted from {} by {}.", card::source(base, &self.paths[0]), card::writer());
        origin += match self.dtype {
            Type::F32 => "",
            Type::F16 => " Its numbers are stored in 16 bits.",
            Type::Int8 => " The matrices of its Transformers were rounded to eight bits, which clipwright alone reads.",
        };
        if let Some(size) = self.image_size {
            origin += &format!(" Its positions were interpolated for pictures of {size} pixels.");
        }
        origin + " What it was trained on, and under which licence it may be passed on, is a matter of that model."
    }

    /// Writes the graphs of a CLIP's towers.
    fn onnx(&self, context: &Context, checkpoint: Option<Checkpoint>, folder: &Path) -> Result<(), CliError> {
        let precision = self.dtype.of_all("--to openclip: the graphs compute with 32 bits")?;
        let end_of_text = match &checkpoint {
            Some(checkpoint) => tokenizer(checkpoint)?.0.end_of_text(),
            None => END_OF_TEXT,
        };
        let (model, config) = self.model(checkpoint.as_ref())?;
        if model.config.is_siglip() {
            return Err(CliError::Usage("--to onnx is for CLIPs, and this is a SigLIP; say --to openclip".into()));
        }
        onnx::save(folder, Contents { model: &model, config: &config }, end_of_text, precision)?;
        if let Some(tokenizer) = checkpoint.and_then(|checkpoint| checkpoint.tokenizer) {
            copy_tokenizer(&tokenizer, folder)?;
        }
        self.card(Form::Onnx, card::clip(&model, &config), folder)?;
        let (folder, parameters) = (folder.into(), model.params.flat.len());
        context.output.show(&Report { folder, format: Graphs::Onnx, dtype: self.dtype, parameters })
    }

    /// Converts a BLIP.
    fn blip(&self, context: &Context, source: &Path, folder: &Path) -> Result<(), CliError> {
        let format = match self.to {
            None | Some(Target::Huggingface) => blip::Format::HuggingFace,
            Some(Target::Original) => blip::Format::Original,
            Some(target @ (Target::Openclip | Target::Onnx)) => {
                let target = target.to_possible_value().expect("a name");
                let message = format!("--to {} is for CLIPs, and this is a BLIP; say --to original", target.get_name());
                return Err(CliError::Usage(message));
            }
        };
        let image_size = self.image_size.map(|size| [size; 2]);
        let loaded = context.load_blip(source, &blip::Overrides { image_size, ..blip::Overrides::default() })?;
        if format == blip::Format::HuggingFace && loaded.config.parts == Parts::Pretrained {
            let message = "Hugging Face has no class for a pre-trained BLIP, which does all tasks; say --to original";
            return Err(CliError::Usage(format!("{}: {message}", source.display())));
        }
        let dtype = self.dtype;
        let precision = dtype.of_all("CLIPs, and this is a BLIP")?;
        blip::save(folder, &loaded.config, &loaded.params, loaded.preprocess.as_ref(), format, precision)?;
        if let Some(tokenizer) = loaded.tokenizer {
            copy_tokenizer(&tokenizer, folder)?;
        }
        let parameters = loaded.params.flat.len();
        let facts = card::blip(&loaded.config, parameters, loaded.preprocess.as_ref());
        self.card(Form::Blip(loaded.config.parts, format == blip::Format::HuggingFace), facts, folder)?;
        context.output.show(&Report { folder: folder.into(), format, dtype, parameters })
    }
}

/// Checks that the folder is empty or does not exist. Existing files are never overwritten.
pub(super) fn check_empty(folder: &Path) -> Result<(), CliError> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::NotEmpty { path: folder.into() }),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CliError::File { path: folder.into(), source }),
    }
}

/// Returns a preset with the random weights of a seed.
pub(super) fn random(preset: &str, seed: u64) -> Result<(Model, ConfigFile), CliError> {
    let config = Config::preset(preset)?;
    let file = ConfigFile::new(config.clone());
    Ok((Model::new(config, seed), file))
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Precision::F32,
            Dtype::F16 => Precision::F16,
        }
    }
}

/// The format of graphs.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Graphs {
    Onnx,
}

impl fmt::Display for Graphs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ONNX")
    }
}

#[derive(Serialize)]
struct Report<F> {
    #[serde(serialize_with = "serialize_name")]
    folder: PathBuf,
    format: F,
    dtype: Type,
    parameters: usize,
}

impl<F: fmt::Display> fmt::Display for Report<F> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let millions = self.parameters as f64 / 1e6;
        write!(f, "{}: {millions:.1} M parameters as {}, {} folder", self.folder.display(), self.dtype, self.format)
    }
}
