//! The names of tensors. Ours are OpenAI's, and are the paths of the parameter tree. Only this file says which names
//! other libraries give to the same tensors.
//!
//! | ours | Hugging Face |
//! |---|---|
//! | `visual.transformer.resblocks.0.ln_1.weight` | `vision_model.encoder.layers.0.layer_norm1.weight` |
//! | `….attn.in_proj_weight` (3d,d) | `….self_attn.{q,k,v}_proj.weight` (d,d) each |
//! | `text_projection` (d,e) | `text_projection.weight` (e,d) |
//!
//! A SigLIP has names of its own in every library. OpenCLIP's are those of timm's Vision Transformer, behind
//! `visual.trunk`, and `text_projection.weight` is (e,d).
//!
//! | ours | OpenCLIP | Hugging Face |
//! |---|---|---|
//! | `visual.transformer.resblocks.0.attn.in_proj_weight` | `visual.trunk.blocks.0.attn.qkv.weight` | `….self_attn.{q,k,v}_proj.weight` |
//! | `visual.attn_pool.probe` (d) | `visual.trunk.attn_pool.latent` (1,1,d) | `vision_model.head.probe` (1,1,d) |
//! | `visual.attn_pool.attn.in_proj_weight` (3d,d) | `….attn_pool.q.weight` (d,d), `….kv.weight` (2d,d) | `….head.attention.in_proj_weight` |
//! | `text_projection` (d,e) | `text.text_projection.weight` (e,d) | `text_model.head.weight` (e,d) |
//!
//! Sources: `CLIP` of open_clip's `model.py`, `VisionTransformer` of timm's `vision_transformer.py`, `CLIPModel` and
//! `SiglipModel` of transformers' `modeling_clip.py` and `modeling_siglip.py`.

use super::architecture::{TEXT, VISION, smallest};
use crate::checkpoint::Tower;
use crate::checkpoint::places::{Place, Places, own, whole};
use crate::layers::attention::Attention;
use crate::layers::block::Block;
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::Linear;
use crate::layers::map_head::MapHead;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::models::clip::ClipParams;
use crate::models::clip::text::Text;
use crate::models::clip::visual::Visual;
use crate::models::clip::vit::Vit;
use crate::models::stack::Transformer;
use crate::tree::{Path as TreePath, Tree};
use std::collections::BTreeSet;

/// The scheme by which a file names its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// OpenAI's and OpenCLIP's names. `prefix` stands before all of them (checkpoints of training runs have `module.`),
    /// and `text` follows it in the names of the text tower (`text.` in OpenCLIP's custom-text models).
    OpenAi { prefix: String, text: &'static str },
    /// Hugging Face's names behind a prefix. A CLIP's tower that was saved alone may have no projection.
    HuggingFace { prefix: String, image_projection: bool, text_projection: bool, is_siglip: bool },
}

/// The names of three integers in OpenAI's files that are not parameters.
const OPENAI_INTEGERS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];
/// The last parts of names of tensors that are never parameters: the causal mask of older text towers, and tables of
/// indices.
const BUFFERS: [&str; 2] = ["attn_mask", "position_ids"];

const TRUNK: &str = "visual.trunk";
const TEXT_MODEL: &str = "text_model.";
const VISION_MODEL: &str = "vision_model.";
const TEXT_PROJECTION: &str = "text_projection.weight";
const IMAGE_PROJECTION: &str = "visual_projection.weight";
/// The names of the ends of Hugging Face's SigLIP.
const SIGLIP: [&str; 2] = ["vision_model.head.probe", "text_model.head.weight"];

impl Scheme {
    /// Returns the scheme of OpenAI's own names, without prefixes.
    pub(crate) fn openai() -> Scheme {
        Scheme::OpenAi { prefix: String::new(), text: "" }
    }

    /// Returns the scheme of OpenCLIP's names for a CLIP, which are OpenAI's, or for a SigLIP, without a prefix.
    pub(crate) fn openclip(is_siglip: bool) -> Scheme {
        Scheme::OpenAi { prefix: String::new(), text: if is_siglip { "text." } else { "" } }
    }

    /// Returns the scheme of Hugging Face's names for both towers of a CLIP or a SigLIP, without a prefix.
    pub(crate) fn hugging_face(is_siglip: bool) -> Scheme {
        let (image_projection, text_projection) = (true, true);
        Scheme::HuggingFace { prefix: String::new(), image_projection, text_projection, is_siglip }
    }

    /// Returns the scheme with this prefix. If the file has one tower alone, its names say whether the tower has a
    /// projection.
    pub(crate) fn behind(self, prefix: &str, names: &BTreeSet<String>) -> Scheme {
        let prefix = prefix.to_string();
        match self {
            Scheme::OpenAi { text, .. } => Scheme::OpenAi { prefix, text },
            Scheme::HuggingFace { .. } => {
                let towers =
                    [TEXT_MODEL, VISION_MODEL].map(|tower| any_starts_with(names, &format!("{prefix}{tower}")));
                // Only a tower that was saved alone may lack its projection. If both towers are there, a missing
                // projection is an error, not an identity.
                let has = |name| towers == [true, true] || names.contains(&format!("{prefix}{name}"));
                let (image_projection, text_projection) = (has(IMAGE_PROJECTION), has(TEXT_PROJECTION));
                let is_siglip = SIGLIP.iter().any(|name| names.contains(&format!("{prefix}{name}")));
                Scheme::HuggingFace { prefix, image_projection, text_projection, is_siglip }
            }
        }
    }

    /// Returns the scheme without a prefix, with all the names that it can have.
    pub(crate) fn without_prefix(self) -> Scheme {
        match self {
            Scheme::OpenAi { text, .. } => Scheme::OpenAi { prefix: String::new(), text },
            Scheme::HuggingFace { is_siglip, .. } => Scheme::hugging_face(is_siglip),
        }
    }

    /// Returns the prefix that stands before all names.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Scheme::OpenAi { prefix, .. } | Scheme::HuggingFace { prefix, .. } => prefix,
        }
    }

    /// Returns the places of an image tower in the file.
    pub(crate) fn visual<T>(&self, tree: &Visual<T>) -> Visual<Places> {
        match (self, tree) {
            (Scheme::OpenAi { prefix, .. }, Visual::Vit(Vit { transformer, attn_pool: Some(_), .. })) => {
                Visual::Vit(trunk(&format!("{prefix}{TRUNK}"), transformer.resblocks.len()))
            }
            (Scheme::OpenAi { prefix, .. }, tree) => own(tree, &VISION, prefix),
            (Scheme::HuggingFace { prefix, image_projection, .. }, Visual::Vit(vit)) => {
                let proj = projection(prefix, IMAGE_PROJECTION, *image_projection);
                let at = format!("{prefix}{VISION_MODEL}");
                Visual::Vit(hugging_face_vit(&at, vit, proj))
            }
            // Hugging Face has no class for a CLIP with a ResNet.
            (Scheme::HuggingFace { .. }, Visual::ResNet(_)) => tree.map(&VISION, &mut |_, _| vec![]),
        }
    }

    /// Returns the places of a text tower in the file.
    pub(crate) fn text<T>(&self, tree: &Text<T>) -> Text<Places> {
        let has_bias = tree.text_projection_bias.is_some();
        match self {
            Scheme::OpenAi { prefix, text } => {
                let mut places = own(tree, &TEXT, &format!("{prefix}{text}"));
                if has_bias {
                    places.text_projection = vec![Place::Transposed(format!("{prefix}{text}{TEXT_PROJECTION}"))];
                }
                places
            }
            Scheme::HuggingFace { prefix, text_projection, .. } => {
                let at = format!("{prefix}{TEXT_MODEL}");
                let (projection, bias) = if has_bias {
                    (vec![Place::Transposed(format!("{at}head.weight"))], Some(whole(format!("{at}head.bias"))))
                } else {
                    (projection(prefix, TEXT_PROJECTION, *text_projection), None)
                };
                hugging_face_text(&at, tree.transformer.resblocks.len(), projection, bias)
            }
        }
    }

    /// Returns the places of a whole CLIP in the file.
    pub(crate) fn clip<T>(&self, tree: &ClipParams<T>) -> ClipParams<Places> {
        let (logit_scale, logit_bias) = match self {
            Scheme::OpenAi { prefix, .. } => {
                let own = own(tree, &TreePath::ROOT, prefix);
                (own.logit_scale, own.logit_bias)
            }
            Scheme::HuggingFace { prefix, is_siglip: true, .. } => {
                let scalar = |name| vec![Place::Behind(format!("{prefix}{name}"), 1)];
                (scalar("logit_scale"), tree.logit_bias.as_ref().map(|_| scalar("logit_bias")))
            }
            // Hugging Face's CLIP has no bias.
            Scheme::HuggingFace { prefix, .. } => {
                (whole(format!("{prefix}logit_scale")), tree.logit_bias.as_ref().map(|_| vec![]))
            }
        };
        ClipParams { visual: self.visual(&tree.visual), text: self.text(&tree.text), logit_scale, logit_bias }
    }

    /// Returns the places of the logit scale, whichever towers the file has.
    pub(crate) fn logit_scale(&self) -> Places {
        self.clip(&smallest()).logit_scale
    }

    /// Returns the places of the logit bias, whether the file has one or not.
    pub(crate) fn logit_bias(&self) -> Places {
        self.clip(&smallest()).logit_bias.expect("the smallest CLIP has a bias")
    }

    /// Whether a tensor of the file has nothing to do with the model's parameters.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_integer = || name.strip_prefix(self.prefix()).is_some_and(|name| OPENAI_INTEGERS.contains(&name));
        BUFFERS.contains(&last) || (matches!(self, Scheme::OpenAi { .. }) && is_integer())
    }

    /// Whether these are the names of one of OpenAI's own files, which all use QuickGELU.
    pub(crate) fn is_openai_file(&self, names: &BTreeSet<String>) -> bool {
        OPENAI_INTEGERS.iter().all(|name| names.contains(&format!("{}{name}", self.prefix())))
    }

    /// Whether the file has this tower.
    pub(crate) fn has(&self, tower: Tower, names: &BTreeSet<String>) -> bool {
        match (self, tower) {
            (Scheme::OpenAi { prefix, .. }, Tower::Image) => any_starts_with(names, &format!("{prefix}{VISION}.")),
            (Scheme::OpenAi { .. }, Tower::Text) => {
                let table = self.text(&smallest().text).token_embedding;
                table.iter().any(|place| matches!(place, Place::Whole(name) if names.contains(name)))
            }
            (Scheme::HuggingFace { prefix, .. }, Tower::Image) => {
                any_starts_with(names, &format!("{prefix}{VISION_MODEL}"))
            }
            (Scheme::HuggingFace { prefix, .. }, Tower::Text) => {
                any_starts_with(names, &format!("{prefix}{TEXT_MODEL}"))
            }
        }
    }
}

fn any_starts_with(names: &BTreeSet<String>, start: &str) -> bool {
    names.range(start.to_string()..).next().is_some_and(|name| name.starts_with(start))
}

fn projection(prefix: &str, name: &str, is_there: bool) -> Places {
    vec![if is_there { Place::Transposed(format!("{prefix}{name}")) } else { Place::Identity }]
}

fn hugging_face_vit<T>(at: &str, tree: &Vit<T>, proj: Places) -> Vit<Places> {
    let patches = linear(&format!("{at}embeddings.patch_embedding"));
    let class = || whole(format!("{at}embeddings.class_embedding"));
    Vit {
        embed: PatchEmbed {
            class_embedding: tree.embed.class_embedding.as_ref().map(|_| class()),
            positional_embedding: whole(format!("{at}embeddings.position_embedding.weight")),
            conv1_weight: patches.weight,
            conv1_bias: tree.embed.conv1_bias.as_ref().map(|_| patches.bias),
        },
        // Hugging Face's own name is misspelt.
        ln_pre: tree.ln_pre.as_ref().map(|_| layer_norm(&format!("{at}pre_layrnorm"))),
        transformer: transformer(&format!("{at}encoder.layers"), tree.transformer.resblocks.len()),
        ln_post: layer_norm(&format!("{at}post_layernorm")),
        proj: tree.proj.as_ref().map(|_| proj),
        attn_pool: tree.attn_pool.as_ref().map(|_| hugging_face_head(&format!("{at}head"))),
    }
}

fn hugging_face_head(at: &str) -> MapHead<Places> {
    MapHead {
        probe: vec![Place::Behind(format!("{at}.probe"), 2)],
        attn: Attention {
            in_proj_weight: whole(format!("{at}.attention.in_proj_weight")),
            in_proj_bias: whole(format!("{at}.attention.in_proj_bias")),
            out_proj: linear(&format!("{at}.attention.out_proj")),
        },
        ln_2: layer_norm(&format!("{at}.layernorm")),
        mlp: mlp(&format!("{at}.mlp")),
    }
}

/// Returns the places in timm's Vision Transformer that ends in attention by a learnt query.
fn trunk(at: &str, layers: usize) -> Vit<Places> {
    let block = |i| {
        let at = format!("{at}.blocks.{i}");
        let Linear { weight: in_proj_weight, bias: in_proj_bias } = linear(&format!("{at}.attn.qkv"));
        Block {
            ln_1: layer_norm(&format!("{at}.norm1")),
            attn: Attention { in_proj_weight, in_proj_bias, out_proj: linear(&format!("{at}.attn.proj")) },
            ln_2: layer_norm(&format!("{at}.norm2")),
            mlp: mlp(&format!("{at}.mlp")),
        }
    };
    let in_proj = |kind| {
        vec![Place::Stacked(
            [("q", 1), ("kv", 2)].map(|(part, share)| (format!("{at}.attn_pool.{part}.{kind}"), share)).to_vec(),
        )]
    };
    let patches = linear(&format!("{at}.patch_embed.proj"));
    Vit {
        embed: PatchEmbed {
            class_embedding: None,
            positional_embedding: vec![Place::Behind(format!("{at}.pos_embed"), 1)],
            conv1_weight: patches.weight,
            conv1_bias: Some(patches.bias),
        },
        ln_pre: None,
        transformer: Transformer { resblocks: (0..layers).map(block).collect() },
        ln_post: layer_norm(&format!("{at}.norm")),
        proj: None,
        attn_pool: Some(MapHead {
            probe: vec![Place::Behind(format!("{at}.attn_pool.latent"), 2)],
            attn: Attention {
                in_proj_weight: in_proj("weight"),
                in_proj_bias: in_proj("bias"),
                out_proj: linear(&format!("{at}.attn_pool.proj")),
            },
            ln_2: layer_norm(&format!("{at}.attn_pool.norm")),
            mlp: mlp(&format!("{at}.attn_pool.mlp")),
        }),
    }
}

fn hugging_face_text(
    at: &str,
    layers: usize,
    text_projection: Places,
    text_projection_bias: Option<Places>,
) -> Text<Places> {
    Text {
        positional_embedding: whole(format!("{at}embeddings.position_embedding.weight")),
        text_projection,
        text_projection_bias,
        token_embedding: whole(format!("{at}embeddings.token_embedding.weight")),
        transformer: transformer(&format!("{at}encoder.layers"), layers),
        ln_final: layer_norm(&format!("{at}final_layer_norm")),
    }
}

fn transformer(at: &str, layers: usize) -> Transformer<Places> {
    Transformer { resblocks: (0..layers).map(|i| block(&format!("{at}.{i}"))).collect() }
}

fn block(at: &str) -> Block<Places> {
    let thirds = |kind| ["q", "k", "v"].map(|part| format!("{at}.self_attn.{part}_proj.{kind}"));
    let thirds = |kind| vec![Place::stacked(thirds(kind))];
    Block {
        ln_1: layer_norm(&format!("{at}.layer_norm1")),
        attn: Attention {
            in_proj_weight: thirds("weight"),
            in_proj_bias: thirds("bias"),
            out_proj: linear(&format!("{at}.self_attn.out_proj")),
        },
        ln_2: layer_norm(&format!("{at}.layer_norm2")),
        mlp: mlp(&format!("{at}.mlp")),
    }
}

fn mlp(at: &str) -> Mlp<Places> {
    Mlp { c_fc: linear(&format!("{at}.fc1")), c_proj: linear(&format!("{at}.fc2")) }
}

fn layer_norm(at: &str) -> LayerNorm<Places> {
    LayerNorm { weight: whole(format!("{at}.weight")), bias: whole(format!("{at}.bias")) }
}

fn linear(at: &str) -> Linear<Places> {
    Linear { weight: whole(format!("{at}.weight")), bias: whole(format!("{at}.bias")) }
}
