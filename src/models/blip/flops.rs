//! How much arithmetic a BLIP needs: the multiply-adds of its matrix products and of attention, each counted as two
//! operations, and only where a result depends on them.
//!
//! As for a [CLIP](crate::models::clip::flops), nothing is counted that is linear in the activations, and of a masked
//! text only the pairs of tokens that see each other.

use super::config::Config;
use super::{text, vit};
use crate::layers::block::Size;
use crate::layers::cross_attention::Shape;
use crate::layers::keyless_attention;
use crate::models::clip::flops::TRAIN;
use std::slice::from_ref;

/// Counts the operations of a product with `m` rows and `n` columns, whose elements have `k` terms each.
pub(super) fn product(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

/// Counts the operations of one block but for its attention: `asking` rows go through it, and `seen` rows of the same
/// sequence become keys and values. `looks` is 1 for a block with cross-attention, whose keys are counted elsewhere.
pub(super) fn block(size: &Size, asking: usize, seen: usize, looks: usize) -> f64 {
    let Size { width, mlp_width, .. } = *size;
    product(seen, width, 2 * width)
        + product(asking, width, 2 * (1 + looks) * width)
        + 2.0 * product(asking, width, mlp_width)
}

/// Counts the operations of attention over pairs of rows: a score and a weighted sum each.
pub(super) fn attention(size: &Size, pairs: usize) -> f64 {
    product(2, pairs, size.width)
}

impl vit::Shape {
    /// Counts the operations that one picture takes. Either all rows leave the last block or, if the picture is
    /// `pooled`, the class token does.
    pub fn flops(&self, pooled: bool) -> f64 {
        let (size, rows) = (&self.size, self.grid.tokens());
        let of = |asking| block(size, asking, rows, 0) + attention(size, asking * rows);
        let blocks = (size.layers - 1) as f64 * of(rows) + of(if pooled { 1 } else { rows });
        self.patches_flops() + blocks
    }

    fn patches_flops(&self) -> f64 {
        product(self.grid.patches(), self.grid.patch_len(), self.size.width)
    }
}

impl text::Shape {
    /// Counts the operations by which this many rows of a source become keys and values of all blocks.
    pub fn keys_flops(&self, rows: usize) -> f64 {
        self.size.layers as f64 * product(rows, self.source, 2 * self.size.width)
    }

    /// Counts the operations that a text takes in the encoder, but for those by which it [looks](Self::looking_flops) at
    /// something. Either all rows leave the last block or, if the text is `pooled`, the first one does.
    pub fn encoder_flops(&self, tokens: usize, looks: bool, pooled: bool) -> f64 {
        let size = &self.size;
        let of = |asking| block(size, asking, tokens, usize::from(looks)) + attention(size, asking * tokens);
        (size.layers - 1) as f64 * of(tokens) + of(if pooled { 1 } else { tokens })
    }

    /// Counts the operations by which so many texts in the encoder look at a picture of so many rows, with its keys and
    /// values or [without](keyless_attention).
    pub fn looking_flops(&self, texts: usize, tokens: usize, rows: usize, pooled: bool) -> f64 {
        let Size { width, heads, layers, .. } = self.size;
        let (queries, source) = (0..texts * tokens, 0..rows);
        let shape = Shape { queries: from_ref(&queries), source: from_ref(&source), heads, dropout: None };
        let is_keyless = keyless_attention::pays(shape, width, self.source);
        let of = |asking: usize| match is_keyless {
            true => product(asking, width, 2 * self.source) + product(2 * asking * heads, rows, self.source),
            false => product(rows, self.source, 2 * width) + attention(&self.size, asking * rows),
        };
        (layers - 1) as f64 * of(texts * tokens) + of(if pooled { texts } else { texts * tokens })
    }

    /// Counts the operations by which a text in the encoder looks at a picture of so many rows whose keys and values are
    /// there. One row leaves the last block.
    pub(super) fn looking_at_keys_flops(&self, tokens: usize, rows: usize) -> f64 {
        (self.size.layers - 1) as f64 * attention(&self.size, tokens * rows) + attention(&self.size, rows)
    }

    /// Counts the operations of the decoder and its head for a text of this many tokens whose next tokens are learnt
    /// all at once. Behind the last token nothing is predicted.
    pub fn reading_flops(&self, tokens: usize, looks_at: usize) -> f64 {
        let (size, rows) = (&self.size, tokens - 1);
        let seen = rows * (rows + 1) / 2 + rows * looks_at;
        let blocks = size.layers as f64 * (block(size, rows, rows, 1) + attention(size, seen));
        blocks + product(rows, size.width, size.width + self.vocab_size)
    }

    /// Counts the operations of writing a text of this many tokens with so many beams, which look at `looks_at` rows:
    /// the blocks and the logits of every token that has a successor. The first token is the same for all beams.
    pub fn writing_flops(&self, tokens: usize, beams: usize, looks_at: usize) -> f64 {
        let Size { width, layers, .. } = self.size;
        let head = product(1, width, width + self.vocab_size);
        let step = |length| block(&self.size, 1, 1, 1) + attention(&self.size, length + looks_at);
        let texts = |length| if length == 1 { 1 } else { beams };
        (1..tokens).map(|length| texts(length) as f64 * (layers as f64 * step(length) + head)).sum()
    }
}

impl Config {
    /// Counts the operations of embedding one picture or one text of this many tokens.
    pub fn embed_flops(&self, tokens: Option<usize>) -> f64 {
        let proj = |width| product(1, width, self.embed_dim);
        match tokens {
            None => self.vit().flops(true) + proj(self.vision.width),
            Some(tokens) => self.encoder().encoder_flops(tokens, false, true) + proj(self.text.width),
        }
    }

    /// Counts the operations of judging whether this many texts fit one picture.
    pub fn match_flops(&self, texts: usize, tokens: usize) -> f64 {
        let (encoder, rows) = (self.encoder(), self.vit().grid.tokens());
        let each = encoder.encoder_flops(tokens, true, true) + product(1, self.text.width, 2);
        self.vit().flops(false) + encoder.looking_flops(texts, tokens, rows, true) + texts as f64 * each
    }

    /// Counts the operations of a step of pre-training, forward and backward, with so many features in the queue.
    ///
    /// Every picture has two negatives, as if no pair was drawn both ways.
    pub fn pretraining_flops(&self, pairs: usize, tokens: usize, queue: usize) -> f64 {
        let (vit, encoder, decoder) = (self.vit(), self.encoder(), self.decoder());
        let (rows, width) = (vit.grid.tokens(), self.text.width);
        let text = self.embed_flops(Some(tokens));
        let proj = product(1, self.vision.width, self.embed_dim);
        let followed = vit.flops(true) + proj + text;
        let looking = encoder.looking_at_keys_flops(tokens, rows);
        let judged = encoder.encoder_flops(tokens, true, true) + looking + product(1, width, 2);
        let written = decoder.reading_flops(tokens, rows);
        let learnt = TRAIN * (vit.flops(false) + proj + text + encoder.keys_flops(rows) + 3.0 * judged + written);
        // Either way the copy's scores, the model's and the gradient of its features, while columns have none.
        let contrast = 2.0 * 3.0 * product(1, self.embed_dim, queue + pairs);
        pairs as f64 * (followed + learnt - vit.patches_flops() + contrast)
    }

    /// Counts the operations of writing a caption for one picture.
    pub fn caption_flops(&self, tokens: usize, beams: usize) -> f64 {
        let (decoder, rows) = (self.decoder(), self.vit().grid.tokens());
        self.vit().flops(false) + decoder.keys_flops(rows) + decoder.writing_flops(tokens, beams, rows)
    }

    /// Counts the operations of answering one question about one picture.
    pub fn answer_flops(&self, question: usize, tokens: usize, beams: usize) -> f64 {
        let (encoder, decoder, rows) = (self.encoder(), self.decoder(), self.vit().grid.tokens());
        let read = encoder.looking_flops(1, question, rows, false) + encoder.encoder_flops(question, true, false);
        self.vit().flops(false) + read + decoder.keys_flops(question) + decoder.writing_flops(tokens, beams, question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::blip::Parts;

    /// Counted by hand for the base model at 384 pixels, 577 tokens a picture.
    #[test]
    fn the_base_model_by_hand() {
        let config = Config::base(Parts::Matcher);
        let (d, m, rows, layers) = (768.0, 577.0, 577.0, 12.0);
        let patches = 2.0 * 576.0 * d * d;
        let vit = patches + layers * (2.0 * rows * (4.0 * d * d + 8.0 * d * d) + 4.0 * rows * rows * d);
        assert_eq!(config.vit().flops(false), vit);
        let spared = (rows - 1.0) * (2.0 * (2.0 * d * d + 8.0 * d * d) + 4.0 * rows * d);
        assert_eq!(config.vit().flops(true), vit - spared);
        let keys = layers * 2.0 * m * d * 2.0 * d;
        let row = 2.0 * (2.0 + 2.0 + 8.0) * d * d;
        let of = |asking: f64, tokens: f64| 2.0 * tokens * 2.0 * d * d + asking * row + 4.0 * asking * (tokens + m) * d;
        let text = 11.0 * of(12.0, 12.0) + of(1.0, 12.0) + 4.0 * d;
        assert_eq!(config.match_flops(32, 12), vit + keys + 32.0 * text);
        // A single text of 12 tokens needs no keys and values: 133 rows in all ask and are told by all heads.
        let without = 133.0 * (4.0 * d * d + 4.0 * 12.0 * m * d);
        assert_eq!(config.match_flops(1, 12), vit + without + text - 133.0 * 4.0 * m * d);
        // Two tokens: one step, which all beams share.
        let one = layers * (2.0 * 2.0 * d * d + row + 4.0 * (1.0 + m) * d) + 2.0 * d * (d + 30524.0);
        assert_eq!(config.decoder().writing_flops(2, 3, 577), one);
        let two = layers * (2.0 * 2.0 * d * d + row + 4.0 * (2.0 + m) * d) + 2.0 * d * (d + 30524.0);
        assert_eq!(config.decoder().writing_flops(3, 3, 577), one + 3.0 * two);
        // What is learnt at once takes what one beam takes word by word.
        assert_eq!(config.decoder().reading_flops(3, 577), one + two);
        assert_eq!(config.decoder().reading_flops(20, 577), config.decoder().writing_flops(20, 1, 577));
        // A step: the copy embeds, everything else goes forward and backward, but for the gradient of pixels.
        let pooled = vit - 2.0 * 576.0 * (10.0 * d * d) - 4.0 * 576.0 * rows * d;
        let (proj, text) = (2.0 * d * 256.0, config.encoder().encoder_flops(10, false, true));
        let judged = 11.0 * of(10.0, 10.0) + of(1.0, 10.0) + 4.0 * d;
        let written = config.decoder().writing_flops(10, 1, 577);
        let forward = vit + 2.0 * proj + text + keys + 3.0 * judged + written;
        let step = pooled + 2.0 * proj + text + 3.0 * forward - patches + 6.0 * 2.0 * 256.0 * 57616.0;
        assert_eq!(config.pretraining_flops(16, 10, 57600), 16.0 * step);
    }
}
