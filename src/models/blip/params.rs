//! The parameter tree of a BLIP.

use super::config::{Config, Parts};
use super::head::Head;
use super::text::{self, Shared, Text, TextMut, TextRef};
use super::vit::Vit;
use crate::layers::linear::{Linear, default_init};
use crate::layers::post_norm::SelfAttention;
use crate::params::Spec;
use crate::tree::tree;

tree! {
    /// The parameters of a model; which parts it has is up to its task.
    ///
    /// `vision_proj` D → e, `text_proj` d → e, `itm_head` d → 2
    Blip {
        visual_encoder: Vit,
        text_encoder: [Text?],
        text_decoder: [Decoder?],
        vision_proj: [Linear?],
        text_proj: [Linear?],
        itm_head: [Linear?],
    }
}

tree! {
    /// A decoder. It has its own self-attention, and the rest as well unless it is the encoder's.
    Decoder { attention: [SelfAttention], shared: [Shared?], head: Head }
}

/// Returns the parameter table of a configuration, initialised as the original does it.
pub fn spec(config: &Config) -> Blip<Spec> {
    let (parts, embed_dim) = (config.parts, config.embed_dim);
    let (vision, text) = (config.vision.width, config.text.width);
    let tied = parts == Parts::Pretrained;
    let linear = |inputs, outputs| Linear::spec(inputs, outputs, default_init(inputs), default_init(inputs));
    let heads = parts.has_heads();
    let decoder = || Decoder {
        attention: text::attention_spec(&config.decoder().size),
        shared: (!tied).then(|| config.decoder().shared_spec(true)),
        head: Head::spec(&config.decoder()),
    };
    Blip {
        visual_encoder: config.vit().spec(),
        text_encoder: parts.has_encoder().then(|| config.encoder().spec(tied)),
        text_decoder: parts.has_decoder().then(decoder),
        vision_proj: heads.then(|| linear(vision, embed_dim)),
        text_proj: heads.then(|| linear(text, embed_dim)),
        itm_head: heads.then(|| linear(text, 2)),
    }
}

impl<T> Blip<T> {
    /// Returns the text encoder, in both of its uses.
    pub fn encoder(&self) -> Option<TextRef<'_, T>> {
        self.text_encoder.as_ref().map(Text::as_ref)
    }

    /// Returns the Transformer of the text decoder.
    pub fn decoder(&self) -> Option<TextRef<'_, T>> {
        let decoder = self.text_decoder.as_ref()?;
        let shared = decoder.shared.as_ref().or(self.text_encoder.as_ref().map(|encoder| &encoder.shared))?;
        Some(TextRef { attention: &decoder.attention, shared })
    }

    /// Returns the text decoder to write it: its Transformer and its head.
    pub fn decoder_mut(&mut self) -> Option<(TextMut<'_, T>, &mut Head<T>)> {
        let Decoder { attention, shared, head } = self.text_decoder.as_mut()?;
        let shared = shared.as_mut().or(self.text_encoder.as_mut().map(|encoder| &mut encoder.shared))?;
        Some((TextMut { attention, shared }, head))
    }
}
