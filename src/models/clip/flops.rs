//! How much arithmetic a model needs: the multiply-adds of its matrix products and of attention, each counted as two
//! operations, and only where a result depends on them.
//!
//! Not counted are rows behind the end of a caption, the rows of the last block that nothing reads (only the pooled row
//! leaves a tower), the masked half of causal attention, what a backward pass recomputes to save memory, and everything
//! that is linear in the activations (norms, activation functions, residuals).

use crate::layers::block::Size;
use crate::layers::{Dim4, attention_pool, bottleneck, conv2d, patch_dropout};
use crate::models::clip::{resnet, text, visual, vit};

/// Training takes this many times the products of a forward pass: where the forward pass multiplies once, the backward
/// pass multiplies twice, for dx = dy·W and for dW = dyᵀ·x. The same holds for attention.
pub(in crate::models) const TRAIN: f64 = 3.0;

/// The numbers of floating-point operations that one sequence takes in a tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flops {
    /// The number of operations of a forward pass.
    pub forward: f64,
    /// The number of operations of a forward pass and a backward pass together.
    pub train: f64,
}

impl Flops {
    /// Counts the operations of a tower whose first layer, the one that sees the picture, needs no gradient of its
    /// input.
    fn of_pictures(first: f64, rest: f64) -> Self {
        Flops { forward: first + rest, train: 2.0 * first + TRAIN * rest }
    }
}

impl visual::Shape {
    /// Counts the operations that one picture takes, of whose patches training drops a share.
    pub fn flops(&self, patch_dropout: f64) -> Flops {
        match self {
            visual::Shape::Vit(shape) => shape.flops(patch_dropout),
            visual::Shape::ResNet(shape) => shape.flops(),
        }
    }
}

impl resnet::Shape {
    /// Counts the operations that one picture takes.
    pub fn flops(&self) -> Flops {
        let half = self.image_size.div_ceil(2).pow(2);
        let [first, second, third] = self.stem().convs();
        let stem = convolution(&second, half) + convolution(&third, half);
        let blocks: f64 = self.blocks(1).iter().map(|(block, x)| bottleneck(block, *x)).sum();
        Flops::of_pictures(convolution(&first, half), stem + blocks + pool(&self.pool()))
    }
}

/// Counts the operations of the attention pool at the end of a ResNet.
pub(super) fn pool(shape: &attention_pool::Shape) -> f64 {
    let &attention_pool::Shape { channels, embed_dim, .. } = shape;
    let rows = shape.tokens();
    // All tokens become keys and values; the mean token alone has a query, scores, a weighted sum and a projection.
    let keys_values = product(rows, channels, 2 * channels);
    let mean_token = product(1, channels, channels + embed_dim) + product(2, rows, channels);
    keys_values + mean_token
}

/// Counts the operations of a convolution that has this many pixels of output.
pub(super) fn convolution(shape: &conv2d::Shape, pixels: usize) -> f64 {
    product(pixels, shape.kernel.pow(2) * shape.in_channels, shape.out_channels)
}

/// Counts the operations of a residual block of a ResNet.
pub(super) fn bottleneck(block: &bottleneck::Shape, x: Dim4) -> f64 {
    let ((_, height, width, _), (_, out_height, out_width, _)) = (x, block.out(x));
    let (inner, outer) = (height * width, out_height * out_width);
    let [first, second, third] = block.convs();
    let shortcut = block.downsample().map_or(0.0, |conv| convolution(&conv, outer));
    convolution(&first, inner) + convolution(&second, inner) + convolution(&third, outer) + shortcut
}

impl vit::Shape {
    /// Counts the operations that one picture takes, of whose patches training drops a share.
    pub fn flops(&self, patch_dropout: f64) -> Flops {
        let of = |patches| {
            let embedding = product(patches, self.grid.patch_len(), self.size.width);
            let (size, tokens) = (&self.size, self.tokens_of(patches));
            let tower = if self.map_head {
                size.layers as f64 * whole_block(size, tokens) + map_head(size, tokens)
            } else {
                transformer(size, tokens) + product(1, size.width, self.embed_dim)
            };
            Flops::of_pictures(embedding, tower)
        };
        let all = self.grid.patches();
        Flops { train: of(patch_dropout::kept(patch_dropout, all)).train, ..of(all) }
    }
}

impl text::Shape {
    /// Counts the operations that one caption of this many tokens takes, start and end included.
    pub fn flops(&self, tokens: usize) -> Flops {
        let tower = transformer(&self.size, tokens) + product(1, self.size.width, self.embed_dim);
        Flops { forward: tower, train: TRAIN * tower }
    }
}

/// Counts the operations of a MAP head over `rows` rows of one picture: scores, a weighted sum, and one row of values,
/// of the output projection and of the MLP. What the probe asks is the same for all pictures.
pub(super) fn map_head(size: &Size, rows: usize) -> f64 {
    let &Size { width, mlp_width, heads, .. } = size;
    2.0 * product(heads, width, rows) + product(1, width, 2 * width) + 2.0 * product(1, width, mlp_width)
}

/// Counts the operations of all blocks over `rows` rows of one sequence; the last block computes its pooled row alone.
fn transformer(size: &Size, rows: usize) -> f64 {
    (size.layers - 1) as f64 * whole_block(size, rows) + pooled_block(size, rows)
}

/// Counts the operations of a block over `rows` rows of one sequence.
pub(super) fn whole_block(size: &Size, rows: usize) -> f64 {
    // Every pair of rows that see each other takes part in a score and in a weighted sum.
    let seen = if size.causal { rows * (rows + 1) / 2 } else { rows * rows };
    block(size, rows, rows, seen)
}

/// Counts the operations of a block that computes one of the `rows` rows of a sequence.
pub(super) fn pooled_block(size: &Size, rows: usize) -> f64 {
    block(size, rows, 1, rows)
}

/// Counts the operations of a block: `rows` rows become keys and values, `asking` of them go on, and `pairs` of rows see
/// each other.
fn block(size: &Size, rows: usize, asking: usize, pairs: usize) -> f64 {
    let Size { width, mlp_width, .. } = *size;
    let rest = product(asking, width, 2 * width) + 2.0 * product(asking, width, mlp_width);
    product(rows, width, 2 * width) + rest + product(2, pairs, width)
}

/// Counts the operations of a product with `m` rows and `n` columns, whose elements have `k` terms each.
pub(super) fn product(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

#[cfg(test)]
mod tests {
    use crate::models::clip::Config;

    /// OpenCLIP's model profiles count 8.82 and 5.96 GFLOP for ViT-B/32's towers, with every row of the last block and
    /// attention's full square.
    #[test]
    fn a_little_less_than_the_published_counts() {
        let config = Config::preset("ViT-B-32").unwrap();
        let (image, text) = (config.vision().flops(0.0), config.text().flops(77));
        assert!((8.1e9..8.82e9).contains(&image.forward), "{image:?}");
        assert!((5.3e9..5.96e9).contains(&text.forward), "{text:?}");
        assert!((2.9..3.0).contains(&(image.train / image.forward)), "{image:?}");
        assert_eq!(text.train, 3.0 * text.forward);
        // With 24 of 49 patches, half of the tower's rows are left.
        let half = config.vision().flops(0.5);
        assert!(half.forward == image.forward && (1.9..2.1).contains(&(image.train / half.train)), "{half:?}");
    }

    /// OpenCLIP counts 12.22 GFLOP for RN50, with the batch norms and more of the pool.
    #[test]
    fn resnets_too() {
        let image = Config::preset("RN50").unwrap().vision().flops(0.0);
        assert!((11.5e9..12.22e9).contains(&image.forward), "{image:?}");
        assert!((2.9..3.0).contains(&(image.train / image.forward)), "{image:?}");
    }

    /// The tower has a whole and a pooled block, width 2, one head, an MLP of 8, three rows and a causal mask, counted
    /// by hand.
    #[test]
    fn counts_what_a_small_tower_does() {
        let mut config = Config::preset("ViT-B-32").unwrap();
        config.embed_dim = 5;
        config.text_cfg.width = 2;
        config.text_cfg.heads = 1;
        config.text_cfg.layers = 2;
        let block = 2 * (3 * 2 * 6 + 3 * 2 * 2 + 2 * 3 * 2 * 8) + 2 * 2 * 6 * 2;
        let pooled = 2 * (3 * 2 * 4 + 2 * 2 + 2 * 2 + 2 * 2 * 8) + 2 * 2 * 3 * 2;
        assert_eq!(config.text().flops(3).forward, (block + pooled + 2 * 2 * 5) as f64);
    }
}
