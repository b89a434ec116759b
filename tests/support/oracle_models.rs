//! Both towers and the loss in f64, composed of the layers' oracles.

use super::oracle::{
    Norm, Pictures, Relus, attention_pool, avg_pool, batch_norm, block, bottleneck as oracle_bottleneck,
    conv2d as oracle_conv2d, layer_norm, map_head, normalize, patch_embed, pooled, projection, token_embed,
};
use clipwright::layers::block::Size;
use clipwright::layers::bottleneck;
use clipwright::layers::conv2d;
use clipwright::layers::dropout::{Dropout, Unit};
use clipwright::layers::layer_norm::LayerNorm;
use clipwright::layers::patch_embed::CHANNELS;
use clipwright::layers::sequences::{Pool, Sequences};
use clipwright::loss::positives::Positives;
use clipwright::models::Captions;
use clipwright::models::clip::resnet::{self, ResNet};
use clipwright::models::clip::text::{self, Text};
use clipwright::models::clip::visual::{self, Visual};
use clipwright::models::clip::vit::{self, Vit};
use clipwright::models::stack::Transformer;
use clipwright::tour::{bridge::plain, contrast};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};

/// Returns the features of either image encoder, as in training.
pub fn visual(p: &Visual<&[f64]>, shape: &visual::Shape, relus: &Relus, images: ArrayView2<f64>) -> Array2<f64> {
    match (p, shape) {
        (Visual::Vit(p), visual::Shape::Vit(shape)) => vit(p, shape, images, None),
        (Visual::ResNet(p), visual::Shape::ResNet(shape)) => resnet(p, shape, |_| batch_norm, relus, images),
        _ => panic!("parameters of one kind, shape of the other"),
    }
}

/// features = pool(bottlenecks(stem(pictures))), with the norm of each layer group
pub fn resnet(
    p: &ResNet<&[f64]>,
    shape: &resnet::Shape,
    norm: impl Fn(usize) -> Norm,
    relus: &Relus,
    images: ArrayView2<f64>,
) -> Array2<f64> {
    let relus = relus.restart();
    let (n, edge) = (images.nrows(), shape.image_size);
    let mut pixels = (n, edge, edge);
    let mut x = Array2::from_shape_fn((n * edge * edge, CHANNELS), |(row, c)| {
        images[[row / (edge * edge), c * edge * edge + row % (edge * edge)]]
    });
    let stem = [(&p.stem.conv1, &p.stem.bn1, 2), (&p.stem.conv2, &p.stem.bn2, 1), (&p.stem.conv3, &p.stem.bn3, 1)];
    for (conv, bn, stride) in stem {
        let (in_channels, out_channels) = (x.ncols(), bn.weight.len());
        let shape = conv2d::Shape { in_channels, out_channels, kernel: 3, stride };
        x = relus.apply(norm(0)(bn, oracle_conv2d(conv, &shape, pixels, x.view()).view()));
        pixels = smaller(pixels, stride);
    }
    (x, pixels) = (avg_pool(2, pixels, x.view()), (n, pixels.1 / 2, pixels.2 / 2));
    for (stage, blocks) in [&p.layer1, &p.layer2, &p.layer3, &p.layer4].into_iter().enumerate() {
        for (i, block) in blocks.iter().enumerate() {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let shape = bottleneck::Shape { in_channels: x.ncols(), planes: block.bn1.weight.len(), stride };
            x = oracle_bottleneck(block, &shape, norm(1 + stage), relus, pixels, x.view());
            pixels = (n, pixels.1 / stride, pixels.2 / stride);
        }
    }
    attention_pool(&p.attnpool, &shape.pool(), x.view())
}

/// Returns the sizes behind a strided convolution, which starts at the first pixel.
fn smaller((n, height, width): Pictures, stride: usize) -> Pictures {
    (n, height.div_ceil(stride), width.div_ceil(stride))
}

/// features = ln_post(class token of blocks(ln_pre(embedded pictures))) W, where pictures may keep some patches each, or
/// the MAP head of ln_post(all rows of blocks(embedded pictures))
pub fn vit(p: &Vit<&[f64]>, shape: &vit::Shape, images: ArrayView2<f64>, kept: Option<&[u32]>) -> Array2<f64> {
    let (pictures, class) = (images.nrows(), shape.tokens_of(0));
    let tokens = shape.tokens_of(shape.grid.patches());
    let mut x = patch_embed(&p.embed, shape.grid, images);
    if let Some(kept) = kept {
        let of_each = kept.len() / pictures;
        let rows = kept.iter().enumerate().map(|(i, &k)| i / of_each * tokens + class + k as usize);
        let mut rows: Vec<usize> = rows.chain((0..pictures * class).map(|i| i * tokens)).collect();
        rows.sort_unstable();
        x = x.select(Axis(0), &rows);
    }
    let tokens = x.nrows() / pictures;
    let pool = if shape.map_head { Pool::All } else { Pool::First };
    let sequences = sequences((0..=pictures).map(|i| i * tokens), pool);
    let x = p.ln_pre.as_ref().map_or(x.clone(), |ln_pre| layer_norm(ln_pre, shape.size.eps, x.view()));
    let y = stack(&p.transformer, &p.ln_post, &shape.size, &sequences, x);
    match (&p.attn_pool, p.proj) {
        (Some(head), _) => map_head(head, &shape.size, tokens, y.view()),
        (None, proj) => projection(proj.expect("one of both"), y.view()),
    }
}

/// features = ln_final(end-of-text token of blocks(embedded tokens)) W + b
pub fn text(p: &Text<&[f64]>, shape: &text::Shape, captions: Captions) -> Array2<f64> {
    let sequences = sequences(captions.offsets.iter().copied(), Pool::Last);
    let width = shape.size.width;
    let x = token_embed(p.token_embedding, p.positional_embedding, width, captions.ids, &sequences);
    let y = projection(p.text_projection, stack(&p.transformer, &p.ln_final, &shape.size, &sequences, x).view());
    p.text_projection_bias.map_or(y.clone(), |bias| y + ArrayView1::from(bias))
}

/// y = ln(the rows that leave of blocks(x))
///
/// The last block drops branches at the rate, and the others at shares of it.
pub fn stack(
    p: &Transformer<&[f64]>,
    ln: &LayerNorm<&[f64]>,
    size: &Size,
    sequences: &Sequences,
    x: Array2<f64>,
) -> Array2<f64> {
    let x = p.resblocks.iter().enumerate().fold(x, |x, (i, p)| {
        let rate = |rate| rate * i as f32 / (size.layers - 1).max(1) as f32;
        let dropout = sequences.dropout(i, false);
        let dropout = dropout.map(|dropout| Dropout { rate: rate(dropout.rate), unit: Unit::Sequence, ..dropout });
        block(p, size, sequences.ranges(), dropout, x.view())
    });
    layer_norm(ln, size.eps, pooled(sequences, &x).view())
}

/// Returns the index lists of a packed batch.
pub fn sequences(offsets: impl Iterator<Item = usize>, pool: Pool) -> Sequences {
    let mut sequences = Sequences::default();
    sequences.fill(offsets, pool);
    sequences
}

/// CLIP's loss from features of any length: half the mean cross-entropy of each picture over all captions, plus half that
/// of each caption over all pictures, a pair's target being uniform over its positives.
pub fn clip_loss(images: ArrayView2<f64>, texts: ArrayView2<f64>, logit_scale: f64, positives: &Positives) -> f64 {
    info_nce(normalize(images).view(), normalize(texts).view(), logit_scale, positives)
}

/// SigLIP's loss from features of any length.
pub fn siglip_loss(
    images: ArrayView2<f64>,
    texts: ArrayView2<f64>,
    logit_scale: f64,
    logit_bias: f64,
    positives: &Positives,
) -> f64 {
    sigmoid(normalize(images).view(), normalize(texts).view(), logit_scale, logit_bias, positives)
}

/// CLIP's loss from unit-length rows.
pub fn info_nce(images: ArrayView2<f64>, texts: ArrayView2<f64>, logit_scale: f64, positives: &Positives) -> f64 {
    let n = images.nrows();
    let mut fits = vec![vec![0.0; n]; n];
    (0..n).for_each(|i| positives.of(i).iter().for_each(|&j| fits[i][j as usize] = 1.0));
    let logits = contrast::compare(&plain(images), &plain(texts), logit_scale);
    contrast::info_nce_fitting(&logits, &fits).iter().sum::<f64>() / 2.0
}

/// SigLIP's loss from unit-length rows: −ln σ(z(s·cosine + b)) of every picture with every caption, z = 1 where they
/// fit and −1 elsewhere, summed and divided by the number of pictures.
pub fn sigmoid(
    images: ArrayView2<f64>,
    texts: ArrayView2<f64>,
    logit_scale: f64,
    logit_bias: f64,
    positives: &Positives,
) -> f64 {
    let logits = images.dot(&texts.t()) * logit_scale.exp() + logit_bias;
    let z = |i: usize, j: usize| if positives.of(i).contains(&(j as u32)) { 1.0 } else { -1.0 };
    let losses = logits.indexed_iter().map(|((i, j), logit)| (-z(i, j) * logit).exp().ln_1p());
    losses.sum::<f64>() / images.nrows() as f64
}
