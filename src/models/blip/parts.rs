//! The [parts](crate::models::parts) of a BLIP: the image encoder, and the text Transformer in each of its uses.

use super::config::{Config, Parts};
use super::flops::{attention, block, product};
use super::head::Head;
use super::params::{Blip, Decoder, spec};
use super::text::{self, Embeddings, Saved, Shared, Text};
use super::vit::{self, Vit};
use crate::layers::patch_embed::CHANNELS;
use crate::layers::post_norm::{Looks, Rest, SelfAttention};
use crate::layers::sequences::{Pool, Sequences};
use crate::models::Keep;
use crate::models::parts::{Part, floats, floats_of, of_stack};
use crate::models::stack::Stack;
use crate::params::{Spec, count};

/// A use of a model, and its parts in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    pub name: &'static str,
    pub parts: Vec<Part>,
}

/// Which parameters no use before has.
#[derive(Clone, Copy)]
struct New {
    embeddings: bool,
    attention: bool,
    cross: bool,
    rest: bool,
}

const ALL: New = New { embeddings: true, attention: true, cross: true, rest: true };
const NONE: New = New { embeddings: false, attention: false, cross: false, rest: false };

/// A text Transformer in one of its uses.
struct Reader<'a> {
    shape: text::Shape,
    attention: &'a [SelfAttention<Spec>],
    shared: &'a Shared<Spec>,
    new: New,
    tokens: usize,
    /// The number of rows that the text looks at.
    looks: Option<usize>,
    pool: Pool,
    keep: Keep,
}

impl Config {
    /// Lists the uses of the model for one picture and one text of so many tokens, the image encoder first. The keys and
    /// values of a picture are counted for each text that looks at it.
    pub fn uses(&self, tokens: usize, keep: Keep) -> Vec<Use> {
        let Blip { visual_encoder, text_encoder, text_decoder, vision_proj, text_proj, itm_head } = spec(self);
        let (has_heads, answers) = (self.parts.has_heads(), self.parts == Parts::Answerer);
        let (shape, rows, width) = (self.encoder(), self.vit().grid.tokens(), self.text.width);
        let mut images = self.vit().parts(visual_encoder, keep);
        images.extend(vision_proj.map(|proj| row("projection", self.vision.width, self.embed_dim, count(&proj))));
        let mut uses = vec![Use { name: "image encoder", parts: images }];
        if let Some(Text { attention, shared }) = &text_encoder {
            let pool = if answers { Pool::All } else { Pool::First };
            let reader = Reader { shape, attention, shared, new: ALL, tokens, looks: None, pool, keep };
            if let Some(proj) = text_proj {
                let mut parts = Reader { new: New { cross: false, ..ALL }, ..reader }.parts();
                parts.push(row("projection", width, self.embed_dim, count(&proj)));
                uses.push(Use { name: "text encoder", parts });
            }
            // What looks at a picture goes backward at once, and so it keeps all.
            let new = if has_heads { New { cross: true, ..NONE } } else { ALL };
            let mut parts = Reader { new, looks: Some(rows), keep: Keep::All, ..reader }.parts();
            parts.extend(itm_head.map(|head| row("match head", width, 2, count(&head))));
            uses.push(Use { name: "image-grounded text encoder", parts });
        }
        if let Some(Decoder { attention, shared: own, head }) = &text_decoder {
            let encoders = text_encoder.as_ref().map(|encoder| &encoder.shared);
            let shared = own.as_ref().or(encoders).expect("either has them");
            let new = if own.is_some() { ALL } else { New { attention: true, ..NONE } };
            // Nothing is predicted behind the last token.
            let (shape, tokens, looks) = (self.decoder(), tokens - 1, Some(if answers { tokens } else { rows }));
            let reader = Reader { shape, attention, shared, new, tokens, looks, pool: Pool::All, keep: Keep::All };
            let mut parts = reader.parts();
            parts.push(reader.head(head));
            uses.push(Use { name: "image-grounded text decoder", parts });
        }
        uses
    }
}

/// Returns a part that multiplies one row by a matrix.
fn row(name: &'static str, inputs: usize, outputs: usize, parameters: usize) -> Part {
    let (input, output) = (vec![1, inputs], vec![1, outputs]);
    Part { name, input, output, parameters, shared: 0, flops: product(1, inputs, outputs), kept: 0 }
}

impl vit::Shape {
    fn parts(&self, Vit { embed, transformer, norm }: Vit<Spec>, keep: Keep) -> Vec<Part> {
        let (size, grid, tokens) = (&self.size, self.grid, self.grid.tokens());
        let saved = self.saved(1, Pool::All, keep);
        let embed = Part {
            name: "patches",
            input: vec![CHANNELS, grid.height, grid.width],
            output: vec![tokens, size.width],
            parameters: count(&embed),
            shared: 0,
            flops: product(grid.patches(), grid.patch_len(), size.width),
            kept: 0,
        };
        let stack = Stack { resblocks: &transformer.resblocks, ln: &norm };
        let flops = block(size, tokens, tokens, 0) + attention(size, tokens * tokens);
        [embed].into_iter().chain(of_stack(stack, size, (tokens, tokens), &saved, (flops, flops))).collect()
    }
}

impl Reader<'_> {
    fn parts(&self) -> Vec<Part> {
        let mut sequences = Sequences::default();
        sequences.fill([0, self.tokens].into_iter(), self.pool);
        let saved = self.shape.saved(&sequences, self.pool, self.looks.map(|_| Looks::AtKeys), self.keep);
        let Saved { embedded, ln, xs, blocks, pooled } = saved;
        let own = blocks.iter().chain(&pooled).map(floats).zip(xs).map(|(own, x)| own + floats_of(x));
        let blocks = self.attention.iter().zip(&self.shared.layers).zip(own).enumerate();
        let blocks = blocks.map(|(i, ((attention, rest), kept))| self.block(i, attention, rest, kept));
        self.keys().into_iter().chain([self.embed(floats_of(embedded) + floats(&ln))]).chain(blocks).collect()
    }

    /// Returns a part with these parameters, of which each is new or not.
    fn part(&self, name: &'static str, parameters: &[(usize, bool)]) -> Part {
        let of = |new: bool| parameters.iter().filter(|(_, is_new)| *is_new == new).map(|(count, _)| count).sum();
        let rows = vec![self.tokens, self.shape.size.width];
        Part { name, input: rows.clone(), output: rows, parameters: of(true), shared: of(false), flops: 0.0, kept: 0 }
    }

    fn embed(&self, kept: usize) -> Part {
        let part = self.part("tokens", &[(count(&self.shared.embeddings), self.new.embeddings)]);
        Part { input: vec![self.tokens], kept, ..part }
    }

    /// Returns the keys and values of all blocks.
    fn keys(&self) -> Option<Part> {
        let rows = self.looks?;
        let (width, source) = (self.shape.size.width, self.shape.source);
        let parameters: usize = self.shared.layers.iter().map(|rest| count(&rest.cross.key_value)).sum();
        let part = self.part("keys and values", &[(parameters, self.new.cross)]);
        let output = vec![self.shape.size.layers, rows, 2 * width];
        let (flops, kept) = (self.shape.keys_flops(rows), floats(&self.shape.keys(rows)));
        Some(Part { input: vec![rows, source], output, flops, kept, ..part })
    }

    fn block(&self, i: usize, attn: &SelfAttention<Spec>, rest: &Rest<Spec>, kept: usize) -> Part {
        let Rest { cross, cross_ln, mlp, mlp_ln } = rest;
        let (size, tokens) = (&self.shape.size, self.tokens);
        let is_pooled = i + 1 == size.layers && self.pool != Pool::All;
        let asking = if is_pooled { 1 } else { tokens };
        let seen = if size.causal { tokens * (tokens + 1) / 2 } else { asking * tokens };
        let pairs = seen + asking * self.looks.unwrap_or(0);
        let cross = self.looks.map_or(0, |_| count(&cross.query) + count(&cross.out) + count(cross_ln));
        let rest = count(mlp) + count(mlp_ln);
        let New { attention: new, cross: new_cross, rest: new_rest, .. } = self.new;
        let name = if is_pooled { "last block" } else { "block" };
        let part = self.part(name, &[(count(attn), new), (cross, new_cross), (rest, new_rest)]);
        let flops = block(size, asking, tokens, usize::from(self.looks.is_some())) + attention(size, pairs);
        Part { output: vec![asking, size.width], flops, kept, ..part }
    }

    /// Returns the head that predicts the next tokens.
    fn head(&self, head: &Head<Spec>) -> Part {
        let (width, vocab_size) = (self.shape.size.width, self.shape.vocab_size);
        let Embeddings { word_embeddings, .. } = &self.shared.embeddings;
        let part = self.part("head", &[(count(head), true), (word_embeddings.size(), false)]);
        let flops = product(self.tokens, width, width + vocab_size);
        Part { output: vec![self.tokens, vocab_size], flops, ..part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts are the whole, whatever the model is for.
    #[test]
    fn sums_are_those_of_the_whole_model() {
        for parts in [Parts::Captioner, Parts::Matcher, Parts::Answerer, Parts::Pretrained] {
            let (config, tokens) = (Config::base(parts), 11);
            let uses = config.uses(tokens, Keep::All);
            let all = || uses.iter().flat_map(|this| &this.parts);
            assert_eq!(all().map(|part| part.parameters).sum::<usize>(), count(&spec(&config)), "{parts:?}");
            let flops = |name| {
                let this = uses.iter().find(|this| this.name == name)?;
                Some(this.parts.iter().map(|part| part.flops).sum::<f64>())
            };
            let (rows, width, e) = (config.vit().grid.tokens(), config.text.width, config.embed_dim);
            let (heads, answers) = (parts.has_heads(), parts == Parts::Answerer);
            let projection = if heads { product(1, config.vision.width, e) } else { 0.0 };
            assert_eq!(flops("image encoder"), Some(config.vit().flops(false) + projection), "{parts:?}");
            assert_eq!(flops("text encoder"), heads.then(|| config.embed_flops(Some(tokens))), "{parts:?}");
            let encoder = config.encoder();
            let judged = encoder.encoder_flops(tokens, true, true) + encoder.looking_at_keys_flops(tokens, rows);
            let judged = judged + encoder.keys_flops(rows) + product(1, width, 2);
            let read = encoder.encoder_flops(tokens, true, false) + encoder.keys_flops(rows);
            let read = read + 12.0 * attention(&encoder.size, tokens * rows);
            let looking = (heads || answers).then_some(if answers { read } else { judged });
            assert_eq!(flops("image-grounded text encoder"), looking, "{parts:?}");
            let looks_at = if answers { tokens } else { rows };
            let written = config.decoder().reading_flops(tokens, looks_at) + config.decoder().keys_flops(looks_at);
            assert_eq!(flops("image-grounded text decoder"), parts.has_decoder().then_some(written), "{parts:?}");
        }
    }
}
