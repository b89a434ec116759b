//! Tensor names. Ours are OpenAI's; what they are called elsewhere is said here and nowhere else.
//!
//! | ours | Hugging Face |
//! |---|---|
//! | `visual.transformer.resblocks.0.ln_1.weight` | `vision_model.encoder.layers.0.layer_norm1.weight` |
//! | `….attn.in_proj_weight` (3d,d) | `….self_attn.{q,k,v}_proj.weight` (d,d) each |
//! | `text_projection` (d,e) | `text_projection.weight` (e,d) |
//!
//! Sources: `CLIP` of open_clip's `model.py`, `CLIPModel` of transformers' `modeling_clip.py`.

use std::collections::BTreeSet;
use std::fmt;

/// One half of a CLIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    Image,
    Text,
}

impl fmt::Display for Tower {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Tower::Image => "image",
            Tower::Text => "text",
        })
    }
}

/// How a file names its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// OpenAI's and OpenCLIP's names behind a prefix (training saves put `module.` in front), the text tower's behind
    /// another (`text.` in OpenCLIP's custom-text models).
    OpenAi { prefix: String, text: &'static str },
    /// Hugging Face's. A tower that was saved alone may have no projection.
    HuggingFace { image_projection: bool, text_projection: bool },
}

/// Where a tensor of ours is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// As it is.
    Whole(String),
    /// Rows and columns exchanged.
    Transposed(String),
    /// Its upper, middle and lower third apart.
    Thirds([String; 3]),
    /// Nowhere: without a projection the pooled state is the embedding, as the identity matrix would leave it.
    Identity,
}

/// What wraps all names of a file that holds more than a model, or a model that was wrapped for training.
const WRAPPERS: [&str; 2] = ["state_dict.", "module."];

/// Not parameters: three integers in OpenAI's files, index tables in Hugging Face's older ones.
const OPENAI_INTEGERS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];
const POSITION_IDS: &str = ".embeddings.position_ids";

/// Ours and Hugging Face's, outside the blocks.
const ROOTS: [(&str, &str); 12] = [
    ("logit_scale", "logit_scale"),
    ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
    ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
    ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    // Misspelt there.
    ("visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"),
    ("visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"),
    ("visual.ln_post.weight", "vision_model.post_layernorm.weight"),
    ("visual.ln_post.bias", "vision_model.post_layernorm.bias"),
    ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
    ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("ln_final.weight", "text_model.final_layer_norm.weight"),
    ("ln_final.bias", "text_model.final_layer_norm.bias"),
];
const TEXT_MODEL: &str = "text_model.";
const VISION_MODEL: &str = "vision_model.";
const TEXT_PROJECTION: &str = "text_projection.weight";
const IMAGE_PROJECTION: &str = "visual_projection.weight";

/// The blocks of either tower, and what is in each.
const BLOCKS: [(&str, &str); 2] = [
    ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
    ("transformer.resblocks.", "text_model.encoder.layers."),
];
const IN_BLOCK: [(&str, &str); 5] = [
    ("attn.out_proj.", "self_attn.out_proj."),
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];
const IN_PROJ: &str = "attn.in_proj_";

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
        let text = if names.contains(&format!("{prefix}text.token_embedding.weight")) { "text." } else { "" };
        Scheme::OpenAi { prefix, text }
    }

    /// Where the tensor that we call `name` is found; nothing if the scheme has no such tensor.
    pub fn place(&self, name: &str) -> Option<Place> {
        match self {
            Scheme::OpenAi { prefix, text } => {
                let text = if name.starts_with("visual.") || name == "logit_scale" { "" } else { text };
                Some(Place::Whole(format!("{prefix}{text}{name}")))
            }
            Scheme::HuggingFace { image_projection, text_projection } => match name {
                "visual.proj" if *image_projection => Some(Place::Transposed(IMAGE_PROJECTION.into())),
                "text_projection" if *text_projection => Some(Place::Transposed(TEXT_PROJECTION.into())),
                "visual.proj" | "text_projection" => Some(Place::Identity),
                name => hugging_face(name),
            },
        }
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
        let start = match (self, tower) {
            (Scheme::OpenAi { prefix, .. }, Tower::Image) => format!("{prefix}visual."),
            (Scheme::OpenAi { prefix, text }, Tower::Text) => format!("{prefix}{text}token_embedding."),
            (Scheme::HuggingFace { .. }, Tower::Image) => VISION_MODEL.into(),
            (Scheme::HuggingFace { .. }, Tower::Text) => TEXT_MODEL.into(),
        };
        any_starts_with(names, &start)
    }
}

/// Whether these are the names of one of OpenAI's own files, which all use QuickGELU.
pub fn is_openai_file(names: &BTreeSet<String>) -> bool {
    OPENAI_INTEGERS.iter().all(|&name| names.contains(name))
}

fn any_starts_with(names: &BTreeSet<String>, start: &str) -> bool {
    names.range(start.to_string()..).next().is_some_and(|name| name.starts_with(start))
}

fn hugging_face(name: &str) -> Option<Place> {
    if let Some((_, theirs)) = ROOTS.iter().find(|(ours, _)| *ours == name) {
        return Some(Place::Whole((*theirs).into()));
    }
    let (block, rest) = BLOCKS.iter().find_map(|(ours, theirs)| {
        let (index, rest) = name.strip_prefix(ours)?.split_once('.')?;
        Some((format!("{theirs}{index}."), rest))
    })?;
    if let Some(kind) = rest.strip_prefix(IN_PROJ) {
        return Some(Place::Thirds(["q", "k", "v"].map(|part| format!("{block}self_attn.{part}_proj.{kind}"))));
    }
    let rest = IN_BLOCK.iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", rest.strip_prefix(ours)?)))?;
    Some(Place::Whole(format!("{block}{rest}")))
}
