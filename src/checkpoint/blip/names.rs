//! The names of tensors. The text parts have the same names in both schemes; only the image encoder's differ.
//!
//! | ours | the original |
//! |---|---|
//! | `attn.in_proj_weight` (3d,d) of texts | `attention.self.{query,key,value}.weight` (d,d) each |
//! | `cross.key_value.weight` (2d,D) | `crossattention.self.{key,value}.weight` (d,D) each |
//! | `word_embeddings` (V,d) of a decoder | `embeddings.word_embeddings.weight`, also `cls.predictions.decoder.weight` |
//!
//! Sources: Salesforce's `models/{vit,med,blip*}.py`, transformers' `modeling_blip.py` and `modeling_blip_text.py`.

use crate::checkpoint::places::{Place, Places, whole};
use crate::checkpoint::prefix::{Best, Known};
use crate::layers::attention::Attention;
use crate::layers::block::Block;
use crate::layers::cross_attention::CrossAttention;
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::Linear;
use crate::layers::mlp::Mlp;
use crate::layers::patch_embed::PatchEmbed;
use crate::layers::post_norm::{Rest, SelfAttention};
use crate::models::blip::head::Head;
use crate::models::blip::params::Decoder;
use crate::models::blip::text::{Embeddings, Shared, Text};
use crate::models::blip::vit::Vit;
use crate::models::blip::{Blip, Parts};
use crate::models::stack::Transformer;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

/// The library whose names a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Salesforce's own code of 2022, and LAVIS.
    Original,
    /// Hugging Face's transformers.
    HuggingFace,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Format::Original => "BLIP's original",
            Format::HuggingFace => "Hugging Face",
        })
    }
}

/// The scheme by which a file names its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub format: Format,
    /// What stands before all names.
    pub prefix: String,
    pub parts: Parts,
}

/// The names of the image encoder's tensors, behind the first.
struct VitNames {
    root: &'static str,
    class: &'static str,
    positions: &'static str,
    patches: &'static str,
    blocks: &'static str,
    norm1: &'static str,
    qkv: &'static str,
    proj: &'static str,
    norm2: &'static str,
    norm: &'static str,
}

const ORIGINAL: VitNames = VitNames {
    root: "visual_encoder",
    class: "cls_token",
    positions: "pos_embed",
    patches: "patch_embed.proj",
    blocks: "blocks",
    norm1: "norm1",
    qkv: "attn.qkv",
    proj: "attn.proj",
    norm2: "norm2",
    norm: "norm",
};

const HUGGING_FACE: VitNames = VitNames {
    root: "vision_model",
    class: "embeddings.class_embedding",
    positions: "embeddings.position_embedding",
    patches: "embeddings.patch_embedding",
    blocks: "encoder.layers",
    norm1: "layer_norm1",
    qkv: "self_attn.qkv",
    proj: "self_attn.projection",
    norm2: "layer_norm2",
    norm: "post_layernorm",
};

const ENCODER: &str = "text_encoder";
const DECODER: &str = "text_decoder";
const HEADS: [&str; 3] = ["vision_proj", "text_proj", "itm_head"];

/// The parts of a training run's state that are not of the model: the momentum copies, the queues of features and their
/// places, and the temperature of the contrastive loss.
const TRAINING: [&str; 10] = [
    "visual_encoder_m",
    "vision_proj_m",
    "text_encoder_m",
    "text_proj_m",
    "temp",
    "image_queue",
    "text_queue",
    "idx_queue",
    "queue_ptr",
    "ptr_queue",
];

/// A table of indices that older versions of BERT keep with the parameters.
const POSITION_IDS: &str = "position_ids";

impl Scheme {
    /// Returns the scheme without a prefix.
    pub(crate) fn new(format: Format, parts: Parts) -> Scheme {
        Scheme { format, prefix: String::new(), parts }
    }

    /// Returns the scheme, with its prefix, by which most of the names are known. Its parts are those that the file has
    /// tensors of.
    pub(crate) fn recognise(names: &BTreeSet<String>) -> Scheme {
        let known = [Format::Original, Format::HuggingFace].map(|format| (format, known(format)));
        let best = known.iter().map(|(format, known)| (*format, known.best_prefix(names)));
        let (format, Best { prefix, .. }) =
            best.min_by_key(|(_, best)| (Reverse(best.count), best.prefix.len())).expect("there are two schemes");
        let has = |part: &str| any_starts_with(names, &format!("{prefix}{part}."));
        let parts = match (has(ENCODER), has(DECODER)) {
            (true, true) if HEADS.iter().any(|head| has(head)) => Parts::Pretrained,
            (true, true) => Parts::Answerer,
            (true, false) => Parts::Matcher,
            (false, _) => Parts::Captioner,
        };
        Scheme { format, prefix: prefix.into(), parts }
    }

    /// Returns the names that the scheme has behind its prefix, whatever the parts.
    pub(crate) fn known(&self) -> Known {
        known(self.format)
    }

    /// Whether a tensor of the file is not a parameter of the model.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        name.rsplit('.').next() == Some(POSITION_IDS) || self.training_state(name).is_some()
    }

    /// Returns the part of a training run's state that a tensor of the file belongs to, if it is no parameter.
    pub(crate) fn training_state(&self, name: &str) -> Option<&'static str> {
        let part = name.strip_prefix(&self.prefix)?.split('.').next()?;
        TRAINING.into_iter().find(|&state| state == part)
    }

    /// Returns the places of a model with so many layers.
    pub(crate) fn places(&self, vision: usize, text: usize) -> Blip<Places> {
        let at = |part: &str| At(vec![format!("{}{part}", self.prefix)]);
        let (encoder, decoder) = (at(ENCODER), at(DECODER));
        let (bert, predictions) = (decoder.at("bert"), decoder.at("cls.predictions"));
        let tied = self.parts == Parts::Pretrained;
        let shared = |at: At, of_decoder: bool| {
            let mut shared = shared(&at, text);
            if of_decoder {
                shared.embeddings.word_embeddings.extend(predictions.leaf("decoder.weight"));
            }
            shared
        };
        let (has_encoder, has_decoder, has_heads) =
            (self.parts.has_encoder(), self.parts.has_decoder(), self.parts.has_heads());
        let of_encoder = if tied { At([&encoder.0[..], &bert.0[..]].concat()) } else { encoder.clone() };
        let [vision_proj, text_proj, itm_head] = HEADS.map(|head| has_heads.then(|| at(head).linear()));
        Blip {
            visual_encoder: self.vit(vision),
            text_encoder: has_encoder
                .then(|| Text { attention: attentions(&encoder, text), shared: shared(of_encoder, tied) }),
            text_decoder: has_decoder.then(|| Decoder {
                attention: attentions(&bert, text),
                shared: (!tied).then(|| shared(bert.clone(), true)),
                head: head(&predictions),
            }),
            vision_proj,
            text_proj,
            itm_head,
        }
    }

    fn vit(&self, layers: usize) -> Vit<Places> {
        let names = match self.format {
            Format::Original => ORIGINAL,
            Format::HuggingFace => HUGGING_FACE,
        };
        let at = format!("{}{}", self.prefix, names.root);
        let root = At(vec![at.clone()]);
        let block = |i: usize| {
            let at = root.at(names.blocks).at(&i.to_string());
            let Linear { weight: in_proj_weight, bias: in_proj_bias } = at.at(names.qkv).linear();
            Block {
                ln_1: at.at(names.norm1).layer_norm(),
                attn: Attention { in_proj_weight, in_proj_bias, out_proj: at.at(names.proj).linear() },
                ln_2: at.at(names.norm2).layer_norm(),
                mlp: Mlp { c_fc: at.at("mlp.fc1").linear(), c_proj: at.at("mlp.fc2").linear() },
            }
        };
        let patches = root.at(names.patches).linear();
        Vit {
            embed: PatchEmbed {
                class_embedding: Some(vec![Place::Behind(format!("{at}.{}", names.class), 2)]),
                positional_embedding: vec![Place::Behind(format!("{at}.{}", names.positions), 1)],
                conv1_weight: patches.weight,
                conv1_bias: Some(patches.bias),
            },
            transformer: Transformer { resblocks: (0..layers).map(block).collect() },
            norm: root.at(names.norm).layer_norm(),
        }
    }
}

/// Returns the names of all parts in a format. Those of the pre-trained model are all.
fn known(format: Format) -> Known {
    Known::default().and(&Scheme::new(format, Parts::Pretrained).places(1, 1))
}

fn any_starts_with(names: &BTreeSet<String>, start: &str) -> bool {
    names.range(start.to_string()..).next().is_some_and(|name| name.starts_with(start))
}

/// Where the tensors of a module are: behind one name, or behind several whose tensors are equal.
#[derive(Clone)]
struct At(Vec<String>);

impl At {
    /// Returns where a module inside of this one is.
    fn at(&self, name: &str) -> At {
        At(self.0.iter().map(|at| format!("{at}.{name}")).collect())
    }

    fn leaf(&self, name: &str) -> Places {
        self.at(name).0.into_iter().flat_map(whole).collect()
    }

    /// Returns a leaf whose rows are those of several modules of this one.
    fn stacked(&self, modules: &[&str], name: &str) -> Places {
        let stacked = |at| Place::stacked(modules.iter().map(|module| format!("{at}.{module}.{name}")));
        self.0.iter().map(stacked).collect()
    }

    fn linear(&self) -> Linear<Places> {
        Linear { weight: self.leaf("weight"), bias: self.leaf("bias") }
    }

    fn layer_norm(&self) -> LayerNorm<Places> {
        LayerNorm { weight: self.leaf("weight"), bias: self.leaf("bias") }
    }
}

fn attentions(bert: &At, layers: usize) -> Vec<SelfAttention<Places>> {
    let attention = |i: usize| {
        let at = bert.at(&format!("encoder.layer.{i}.attention"));
        let parts = ["self.query", "self.key", "self.value"];
        SelfAttention {
            attn: Attention {
                in_proj_weight: at.stacked(&parts, "weight"),
                in_proj_bias: at.stacked(&parts, "bias"),
                out_proj: at.at("output.dense").linear(),
            },
            ln: at.at("output.LayerNorm").layer_norm(),
        }
    };
    (0..layers).map(attention).collect()
}

fn shared(bert: &At, layers: usize) -> Shared<Places> {
    let rest = |i: usize| {
        let layer = bert.at(&format!("encoder.layer.{i}"));
        let cross = layer.at("crossattention");
        let parts = ["self.key", "self.value"];
        Rest {
            cross: CrossAttention {
                query: cross.at("self.query").linear(),
                key_value: Linear { weight: cross.stacked(&parts, "weight"), bias: cross.stacked(&parts, "bias") },
                out: cross.at("output.dense").linear(),
            },
            cross_ln: cross.at("output.LayerNorm").layer_norm(),
            mlp: Mlp { c_fc: layer.at("intermediate.dense").linear(), c_proj: layer.at("output.dense").linear() },
            mlp_ln: layer.at("output.LayerNorm").layer_norm(),
        }
    };
    let embeddings = bert.at("embeddings");
    Shared {
        embeddings: Embeddings {
            word_embeddings: embeddings.leaf("word_embeddings.weight"),
            position_embeddings: embeddings.leaf("position_embeddings.weight"),
            ln: embeddings.at("LayerNorm").layer_norm(),
        },
        layers: (0..layers).map(rest).collect(),
    }
}

fn head(predictions: &At) -> Head<Places> {
    Head {
        dense: predictions.at("transform.dense").linear(),
        ln: predictions.at("transform.LayerNorm").layer_norm(),
        bias: [predictions.leaf("bias"), predictions.leaf("decoder.bias")].concat(),
    }
}
