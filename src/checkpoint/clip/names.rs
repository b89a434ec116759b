//! Tensor names. Ours are OpenAI's, and are the paths of the parameter tree; what they are called elsewhere is said here
//! and nowhere else.
//!
//! | ours | Hugging Face |
//! |---|---|
//! | `visual.transformer.resblocks.0.ln_1.weight` | `vision_model.encoder.layers.0.layer_norm1.weight` |
//! | `….attn.in_proj_weight` (3d,d) | `….self_attn.{q,k,v}_proj.weight` (d,d) each |
//! | `text_projection` (d,e) | `text_projection.weight` (e,d) |
//!
//! Sources: `CLIP` of open_clip's `model.py`, `CLIPModel` of transformers' `modeling_clip.py`.

use super::architecture::{TEXT, VISION, smallest};
use crate::checkpoint::Tower;
use crate::checkpoint::places::{Place, Places, own, whole};
use crate::layers::attention::Attention;
use crate::layers::block::Block;
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::Linear;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::models::clip::ClipParams;
use crate::models::clip::text::Text;
use crate::models::clip::visual::Visual;
use crate::models::clip::vit::Vit;
use crate::models::stack::Transformer;
use crate::tree::{Path as TreePath, Tree};
use std::collections::BTreeSet;

/// How a file names its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// OpenAI's and OpenCLIP's names behind a prefix (training saves put `module.` in front), the text tower's behind
    /// another (`text.` in OpenCLIP's custom-text models).
    OpenAi { prefix: String, text: &'static str },
    /// Hugging Face's. A tower that was saved alone may have no projection.
    HuggingFace { image_projection: bool, text_projection: bool },
}

/// What wraps all names of a file that holds more than a model, or a model that was wrapped for training.
const WRAPPERS: [&str; 2] = ["state_dict.", "module."];

/// Not parameters: three integers in OpenAI's files, index tables in Hugging Face's older ones.
const OPENAI_INTEGERS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];
const POSITION_IDS: &str = ".embeddings.position_ids";

const TEXT_MODEL: &str = "text_model.";
const VISION_MODEL: &str = "vision_model.";
const TEXT_PROJECTION: &str = "text_projection.weight";
const IMAGE_PROJECTION: &str = "visual_projection.weight";

impl Scheme {
    /// OpenAI's own, without prefixes.
    pub fn openai() -> Scheme {
        Scheme::OpenAi { prefix: String::new(), text: "" }
    }

    /// Hugging Face's for both towers.
    pub fn hugging_face() -> Scheme {
        Scheme::HuggingFace { image_projection: true, text_projection: true }
    }

    /// The scheme that a file with these names follows.
    pub fn of(names: &BTreeSet<String>) -> Scheme {
        let towers = [TEXT_MODEL, VISION_MODEL].map(|tower| any_starts_with(names, tower));
        if towers != [false, false] {
            // Only one tower alone can do without: a missing projection of two is an error, not an identity.
            let has = |name| towers == [true, true] || names.contains(name);
            return Scheme::HuggingFace {
                image_projection: has(IMAGE_PROJECTION),
                text_projection: has(TEXT_PROJECTION),
            };
        }
        let mut prefix = String::new();
        for wrapper in WRAPPERS {
            let longer = format!("{prefix}{wrapper}");
            if any_starts_with(names, &longer) {
                prefix = longer;
            }
        }
        let behind_text = Scheme::OpenAi { prefix, text: "text." };
        if behind_text.has(Tower::Text, names) {
            return behind_text;
        }
        let Scheme::OpenAi { prefix, .. } = behind_text else { unreachable!("it was just made") };
        Scheme::OpenAi { prefix, text: "" }
    }

    /// Where the file has an image tower.
    pub fn visual<T>(&self, tree: &Visual<T>) -> Visual<Places> {
        match (self, tree) {
            (Scheme::OpenAi { prefix, .. }, tree) => own(tree, &VISION, prefix),
            (Scheme::HuggingFace { image_projection, .. }, Visual::Vit(vit)) => {
                let proj = projection(IMAGE_PROJECTION, *image_projection);
                Visual::Vit(hugging_face_vit(vit.transformer.resblocks.len(), proj))
            }
            // There is no such class.
            (Scheme::HuggingFace { .. }, Visual::ResNet(_)) => tree.map(&VISION, &mut |_, _| vec![]),
        }
    }

    /// Where the file has a text tower.
    pub fn text<T>(&self, tree: &Text<T>) -> Text<Places> {
        match self {
            Scheme::OpenAi { prefix, text } => own(tree, &TEXT, &format!("{prefix}{text}")),
            Scheme::HuggingFace { text_projection, .. } => {
                let projection = projection(TEXT_PROJECTION, *text_projection);
                hugging_face_text(tree.transformer.resblocks.len(), projection)
            }
        }
    }

    /// Where the file has all of a CLIP.
    pub fn clip<T>(&self, tree: &ClipParams<T>) -> ClipParams<Places> {
        let logit_scale = match self {
            Scheme::OpenAi { prefix, .. } => own(tree, &TreePath::ROOT, prefix).logit_scale,
            Scheme::HuggingFace { .. } => whole("logit_scale"),
        };
        ClipParams { visual: self.visual(&tree.visual), text: self.text(&tree.text), logit_scale }
    }

    /// Where the file has the temperature, whatever towers it has.
    pub fn logit_scale(&self) -> Places {
        self.clip(&smallest()).logit_scale
    }

    /// Whether a tensor of the file has nothing to do with the model's parameters.
    pub fn is_foreign(&self, name: &str) -> bool {
        match self {
            Scheme::OpenAi { prefix, .. } => match name.strip_prefix(prefix.as_str()) {
                Some(name) => OPENAI_INTEGERS.contains(&name),
                None => true,
            },
            Scheme::HuggingFace { .. } => name.ends_with(POSITION_IDS),
        }
    }

    /// Whether the file has this tower.
    pub fn has(&self, tower: Tower, names: &BTreeSet<String>) -> bool {
        match (self, tower) {
            (Scheme::OpenAi { prefix, .. }, Tower::Image) => any_starts_with(names, &format!("{prefix}{VISION}.")),
            (Scheme::OpenAi { .. }, Tower::Text) => {
                let table = self.text(&smallest().text).token_embedding;
                table.iter().any(|place| matches!(place, Place::Whole(name) if names.contains(name)))
            }
            (Scheme::HuggingFace { .. }, Tower::Image) => any_starts_with(names, VISION_MODEL),
            (Scheme::HuggingFace { .. }, Tower::Text) => any_starts_with(names, TEXT_MODEL),
        }
    }
}

/// Whether these are the names of one of OpenAI's own files, which all use QuickGELU.
pub fn is_openai_file(names: &BTreeSet<String>) -> bool {
    OPENAI_INTEGERS.iter().all(|&name| names.contains(name))
}

fn any_starts_with(names: &BTreeSet<String>, start: &str) -> bool {
    names.range(start.to_string()..).next().is_some_and(|name| name.starts_with(start))
}

fn projection(name: &str, is_there: bool) -> Places {
    vec![if is_there { Place::Transposed(name.into()) } else { Place::Identity }]
}

fn hugging_face_vit(layers: usize, proj: Places) -> Vit<Places> {
    Vit {
        embed: PatchEmbed {
            class_embedding: whole("vision_model.embeddings.class_embedding"),
            positional_embedding: whole("vision_model.embeddings.position_embedding.weight"),
            conv1_weight: whole("vision_model.embeddings.patch_embedding.weight"),
        },
        // Misspelt there.
        ln_pre: layer_norm("vision_model.pre_layrnorm"),
        transformer: transformer("vision_model.encoder.layers", layers),
        ln_post: layer_norm("vision_model.post_layernorm"),
        proj,
    }
}

fn hugging_face_text(layers: usize, text_projection: Places) -> Text<Places> {
    Text {
        positional_embedding: whole("text_model.embeddings.position_embedding.weight"),
        text_projection,
        token_embedding: whole("text_model.embeddings.token_embedding.weight"),
        transformer: transformer("text_model.encoder.layers", layers),
        ln_final: layer_norm("text_model.final_layer_norm"),
    }
}

fn transformer(at: &str, layers: usize) -> Transformer<Places> {
    Transformer { resblocks: (0..layers).map(|i| block(&format!("{at}.{i}"))).collect() }
}

fn block(at: &str) -> Block<Places> {
    let thirds = |kind| vec![Place::Thirds(["q", "k", "v"].map(|part| format!("{at}.self_attn.{part}_proj.{kind}")))];
    Block {
        ln_1: layer_norm(&format!("{at}.layer_norm1")),
        attn: Attention {
            in_proj_weight: thirds("weight"),
            in_proj_bias: thirds("bias"),
            out_proj: linear(&format!("{at}.self_attn.out_proj")),
        },
        ln_2: layer_norm(&format!("{at}.layer_norm2")),
        mlp: Mlp { c_fc: linear(&format!("{at}.mlp.fc1")), c_proj: linear(&format!("{at}.mlp.fc2")) },
    }
}

fn layer_norm(at: &str) -> LayerNorm<Places> {
    LayerNorm { weight: whole(format!("{at}.weight")), bias: whole(format!("{at}.bias")) }
}

fn linear(at: &str) -> Linear<Places> {
    Linear { weight: whole(format!("{at}.weight")), bias: whole(format!("{at}.bias")) }
}
