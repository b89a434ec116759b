//! Model cards: the `README.md` in the folder of a model, which the Hugging Face Hub shows. It says what is known, and
//! nothing else.

use super::VERSION;
use super::sizes::{ImageKind, Transformer, millions};
use crate::checkpoint::{ConfigFile, Format};
use crate::files::write_atomic;
use crate::models::blip::{Config as Blip, Parts};
use crate::models::clip::model::Model;
use crate::params::count;
use crate::pictures::Preprocess;
use kernels::Activation;
use std::io;
use std::path::Path;

/// The name of the file.
const README: &str = "README.md";

/// What a model's folder says of itself.
pub(super) struct Card {
    pub form: Form,
    /// Its sizes and settings, each with a name.
    pub facts: Vec<(&'static str, String)>,
    /// The name on the Hub of the model that it was made of.
    pub base: Option<String>,
    /// How it was made, in Markdown.
    pub origin: String,
}

/// What a folder is for.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Clip(Format),
    /// A CLIP with matrices of eight bits.
    Int8,
    /// The graphs of both towers.
    Onnx,
    /// A BLIP, for transformers or not.
    Blip(Parts, bool),
}

impl Card {
    /// Writes the card, unless the folder has one.
    ///
    /// # Errors
    /// Returns the error of the file system.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(README);
        if path.try_exists()? {
            return Ok(());
        }
        write_atomic(path, |out| out.write_all(self.text(folder).as_bytes()))
    }

    fn text(&self, folder: &Path) -> String {
        let title = folder.canonicalize().unwrap_or_else(|_| folder.into());
        let title = title.file_name().unwrap_or_default().display().to_string();
        let facts: String = self.facts.iter().map(|(name, fact)| format!("| {name} | {fact} |\n")).collect();
        format!(
            "---\n{}---\n\n# {title}\n\n{}\n\n| | |\n|---|---|\n{facts}\n## How it was made\n\n{}\n\n\
             ## How to use it\n\n{}",
            self.header(),
            self.form.purpose(),
            self.origin.trim_end(),
            self.form.usage(),
        )
    }

    /// Returns what the Hub reads, in YAML. There is no licence, since nothing here knows it.
    fn header(&self) -> String {
        let base = self.base.as_ref().map(|base| format!("base_model: {base}\n"));
        let [library, task] = [("library_name", self.form.library()), ("pipeline_tag", self.form.task())]
            .map(|(key, value)| value.map_or(String::new(), |value| format!("{key}: {value}\n")));
        let tags: String = self.form.tags().iter().map(|tag| format!("- {tag}\n")).collect();
        format!("{library}{task}{}tags:\n{tags}", base.unwrap_or_default())
    }
}

impl Form {
    fn library(self) -> Option<&'static str> {
        match self {
            Form::Clip(Format::OpenClip) => Some("open_clip"),
            Form::Clip(Format::HuggingFace) | Form::Blip(_, true) => Some("transformers"),
            Form::Onnx => Some("onnx"),
            Form::Int8 | Form::Blip(_, false) => None,
        }
    }

    /// Returns the Hub's name of what the model does.
    fn task(self) -> Option<&'static str> {
        match self {
            Form::Clip(_) | Form::Int8 | Form::Onnx => Some("zero-shot-image-classification"),
            Form::Blip(Parts::Captioner | Parts::Pretrained, _) => Some("image-to-text"),
            Form::Blip(Parts::Answerer, _) => Some("visual-question-answering"),
            Form::Blip(Parts::Matcher, _) => None,
        }
    }

    fn tags(self) -> &'static [&'static str] {
        match self {
            Form::Onnx => &["clip", "onnx"],
            Form::Clip(_) | Form::Int8 => &["clip"],
            Form::Blip(..) => &["blip"],
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Form::Clip(_) | Form::Int8 | Form::Onnx => {
                "A CLIP ([Radford et al. 2021](https://arxiv.org/abs/2103.00020)): it embeds pictures and texts in one \
                 space, where a picture lies near the texts that fit it."
            }
            Form::Blip(parts, _) => match parts {
                Parts::Captioner => "A BLIP ([Li et al. 2022](https://arxiv.org/abs/2201.12086)) that writes captions.",
                Parts::Matcher => {
                    "A BLIP ([Li et al. 2022](https://arxiv.org/abs/2201.12086)) that tells how well a text fits a \
                     picture, and embeds both."
                }
                Parts::Answerer => {
                    "A BLIP ([Li et al. 2022](https://arxiv.org/abs/2201.12086)) that answers questions about pictures."
                }
                Parts::Pretrained => {
                    "A BLIP ([Li et al. 2022](https://arxiv.org/abs/2201.12086)) with all its parts: it writes captions, \
                     tells how well a text fits a picture, and embeds both."
                }
            },
        }
    }

    /// Returns how other programs and this one load it.
    fn usage(self) -> String {
        const OPEN_CLIP: &str = "\
With [OpenCLIP](https://github.com/mlfoundations/open_clip), FOLDER being this one:

```python
import open_clip
model, _, preprocess = open_clip.create_model_and_transforms(\"local-dir:FOLDER\")
tokenizer = open_clip.get_tokenizer(\"local-dir:FOLDER\")
```
";
        const TRANSFORMERS: &str = "\
With [transformers](https://github.com/huggingface/transformers), FOLDER being this one:

```python
from transformers import CLIPModel, CLIPProcessor
model = CLIPModel.from_pretrained(\"FOLDER\")
processor = CLIPProcessor.from_pretrained(\"FOLDER\")
```
";
        const ONNX: &str = "\
With [ONNX Runtime](https://onnxruntime.ai); embeddings are of unit length:

```python
import onnxruntime
# pixels: float32 (pictures, 3, size, size), prepared as open_clip_config.json says
images = onnxruntime.InferenceSession(\"visual.onnx\").run(None, {\"pixel_values\": pixels})[0]
# ids: int64 (texts, tokens), from the start of a text to its end, padded behind
texts = onnxruntime.InferenceSession(\"textual.onnx\").run(None, {\"input_ids\": ids})[0]
cosines = images @ texts.T
```
";
        let commands: &[&str] = match self {
            Form::Onnx => return ONNX.into(),
            Form::Clip(_) | Form::Int8 => &["classify photo.jpg --labels \"cat,dog,red car\"", "index photos"],
            Form::Blip(Parts::Captioner, _) => &["caption photo.jpg"],
            Form::Blip(Parts::Matcher, _) => &["match photo.jpg --texts texts.txt"],
            Form::Blip(Parts::Answerer, _) => &["ask photo.jpg \"how many dogs are there?\""],
            Form::Blip(Parts::Pretrained, _) => &["caption photo.jpg", "match photo.jpg --texts texts.txt"],
        };
        let commands: String =
            commands.iter().map(|command| format!("clipwright {command} --model FOLDER\n")).collect();
        let own = format!("With clipwright:\n\n```sh\n{commands}```\n");
        match self {
            Form::Clip(Format::OpenClip) => format!("{OPEN_CLIP}\n{own}"),
            Form::Clip(Format::HuggingFace) => format!("{TRANSFORMERS}\n{own}"),
            _ => own,
        }
    }
}

/// Returns the sizes and settings of a CLIP.
pub(super) fn clip(model: &Model, config: &ConfigFile) -> Vec<(&'static str, String)> {
    let (sizes, p) = (&model.config, model.params.view());
    let activation = match sizes.text().size.activation {
        Activation::QuickGelu => "QuickGELU",
        Activation::Gelu => "GELU",
        Activation::GeluTanh => "GELU in the form with tanh",
    };
    let mut facts = vec![
        ("size", millions(count(&model.params.spec))),
        ("embeddings", format!("{} numbers", sizes.embed_dim)),
        ("image tower", ImageKind::of(&sizes.vision()).to_string()),
        ("pictures", pictures(&config.preprocess_cfg)),
        ("text tower", Transformer::of(&sizes.text().size).to_string()),
        ("texts", tokens(sizes.text_cfg.context_length, sizes.text_cfg.vocab_size)),
        ("activation", activation.into()),
        ("cosines are multiplied by", format!("{:.2}", p.logit_scale[0].exp())),
    ];
    facts.extend(p.logit_bias.map(|bias| ("then is added", format!("{:+.2} (a model for the sigmoid loss)", bias[0]))));
    facts
}

/// Returns the sizes and settings of a BLIP.
pub(super) fn blip(config: &Blip, parameters: usize, preprocess: Option<&Preprocess>) -> Vec<(&'static str, String)> {
    let patch_size = config.vision.patch_size;
    let mut facts = vec![
        ("size", millions(parameters)),
        ("image encoder", format!("ViT, patches of {patch_size}, {}", Transformer::of(&config.vit().size))),
        ("text Transformer", Transformer::of(&config.encoder().size).to_string()),
        ("texts", tokens(config.text.positions, config.text.vocab_size)),
    ];
    facts.extend(preprocess.map(|preprocess| ("pictures", pictures(preprocess))));
    facts
}

fn pictures(preprocess: &Preprocess) -> String {
    let Preprocess { size, mean, std, interpolation, resize_mode, .. } = preprocess;
    format!("{size} × {size} pixels, {resize_mode:?} resize, {interpolation:?}, mean {mean:?}, std {std:?}")
}

fn tokens(longest: usize, vocabulary: usize) -> String {
    format!("at most {longest} tokens, of {vocabulary}")
}

/// Names in Markdown what a model was made of: a model on the Hub, or else the last part of a path.
pub(super) fn source(hub: Option<&str>, path: &Path) -> String {
    match hub {
        Some(name) => format!("[{name}](https://huggingface.co/{name})"),
        None => format!("`{}`", path.file_name().unwrap_or(path.as_os_str()).display()),
    }
}

/// Returns who wrote the folder.
pub(super) fn writer() -> String {
    format!("clipwright {VERSION}")
}
