//! Training passes of BLIP, put together from the models' forward and backward passes.

use super::random;
use clipwright::Write;
use clipwright::layers::linear;
use clipwright::layers::normalize;
use clipwright::layers::sequences::Pool;
use clipwright::loss::cross_entropy::Labels;
use clipwright::models::blip::model::Source;
use clipwright::models::blip::params::Blip;
use clipwright::models::blip::sights::{Attended, Sights, SightsMut};
use clipwright::models::blip::text::{TextMut, TextRef};
use clipwright::models::blip::{Config, Model, Parts, TextConfig, TokenIds, VisionConfig, head, spec, text, vit};
use clipwright::models::{Captions, Keep, Workspace};
use clipwright::params::view_mut;
use clipwright::tree::Arena;
use clipwright::weights::Read;
use kernels::Activation;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use std::ops::Range;

const VOCABULARY: usize = 70;

/// A small model whose widths fit whole panels of no instruction set.
pub fn tiny(parts: Parts) -> Model {
    let ids = TokenIds { pad: 0, cls: 1, end: 2, decode: VOCABULARY as u32 - 2, encode: VOCABULARY as u32 - 1 };
    let activation = Activation::Gelu;
    let vision = VisionConfig {
        image_size: [12, 8],
        patch_size: 4,
        width: 18,
        mlp_width: 30,
        heads: 3,
        layers: 2,
        activation,
        eps: 1e-6,
    };
    let text = TextConfig {
        vocab_size: VOCABULARY,
        positions: 16,
        width: 20,
        mlp_width: 33,
        heads: 4,
        layers: 3,
        activation,
        eps: 1e-12,
        label_smoothing: 0.0,
        ids,
    };
    let config = Config { vision, text, embed_dim: 9, parts };
    Model { config, params: random::params(spec(&config), 5) }
}

/// Packed texts.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub ids: Vec<u32>,
    pub offsets: Vec<usize>,
}

impl Texts {
    pub fn new(texts: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut packed = Texts { ids: vec![], offsets: vec![0] };
        for text in texts {
            packed.ids.extend(text);
            packed.offsets.push(packed.ids.len());
        }
        packed
    }

    pub fn captions(&self) -> Captions<'_> {
        Captions { ids: &self.ids, offsets: &self.offsets }
    }

    /// Returns the rows of each text.
    pub fn rows(&self) -> Vec<Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Puts another token at the beginning of each text.
    pub fn begin_with(mut self, id: u32) -> Self {
        self.offsets[..self.offsets.len() - 1].iter().for_each(|&start| self.ids[start] = id);
        self
    }
}

/// Returns a loss and the gradients of all parameters. `pass` computes both behind the image encoder: it gets the
/// tokens of the pictures and adds to their gradient.
pub fn gradients(
    model: &Model,
    images: ArrayView2<f32>,
    pass: impl FnOnce(&Blip<&[f32]>, ArrayView2<f32>, ArrayViewMut2<f32>, &mut Blip<&mut [f32]>) -> f32,
) -> (f32, Vec<f32>) {
    let (p, shape) = (model.params.view(), model.config.vit());
    let (mut workspace, mut scratch) = (Workspace::default(), Arena::default());
    let mut flat = vec![0.0; model.params.flat.len()];
    let g = &mut view_mut(&model.params.spec, &mut flat);
    let mut tokens = Array2::zeros((images.nrows() * shape.grid.tokens(), shape.size.width));
    let p_vit = &p.visual_encoder;
    let all = (Pool::All, Keep::All);
    vit::forward(p_vit, &shape, images, all, None, tokens.view_mut(), &mut workspace, &mut scratch);
    let mut dtokens = Array2::zeros(tokens.dim());
    let loss = pass(&p, tokens.view(), dtokens.view_mut(), g);
    vit::backward(p_vit, &shape, images, dtokens.view(), &mut workspace, &mut scratch, &mut g.visual_encoder);
    (loss, flat)
}

/// What texts look at, and its gradient, to which they add.
pub struct Seen<'a> {
    pub tokens: ArrayView2<'a, f32>,
    pub dtokens: ArrayViewMut2<'a, f32>,
    pub rows: &'a [Range<usize>],
    /// The texts that look at each picture.
    pub texts: &'a [Range<usize>],
}

/// Runs a text Transformer forward and backward. `loss` turns its output into a loss and writes the output's gradient.
pub fn pass_texts(
    p: TextRef<&[f32]>,
    shape: &text::Shape,
    texts: Captions,
    seen: Option<Seen>,
    pool: Pool,
    g: TextMut<&mut [f32]>,
    loss: impl FnOnce(ArrayView2<f32>, ArrayViewMut2<f32>) -> f32,
) -> f32 {
    let (mut workspace, mut scratch) = (text::Workspace::default(), Arena::default());
    let (mut keys, mut dkeys) = (Arena::default(), Arena::default());
    let source_rows = seen.as_ref().map_or(0, |seen| seen.tokens.nrows());
    let (keys, dkeys) = (&mut keys.carve(&shape.keys(source_rows)), &mut dkeys.carve(&shape.keys(source_rows)));
    let sights = seen.as_ref().map(|seen| {
        text::keys(p.shared, seen.tokens, keys);
        Sights { texts: seen.texts, rows: seen.rows }
    });
    let keys = keys.view();
    let rows = pool.rows(texts.ids.len(), texts.len());
    let mut states = Array2::from_elem((rows, shape.size.width), f32::NAN);
    let mut dstates = states.clone();
    let looks = sights.map(|sights| (sights, Attended::Keys(&keys)));
    text::forward(p, shape, texts, looks, (pool, Keep::All), None, states.view_mut(), &mut workspace, &mut scratch);
    let loss = loss(states.view(), dstates.view_mut());
    let looks = sights.map(|sights| SightsMut { sights, keys: &keys, write: Write::Set, dkeys: &mut *dkeys });
    let TextMut { attention, shared } = g;
    let g = TextMut { attention, shared: &mut *shared };
    text::backward(p, shape, texts, looks, pool, dstates.view(), &mut workspace, &mut scratch, g);
    if let Some(Seen { tokens, dtokens, .. }) = seen {
        text::backward_keys(p.shared, tokens, dkeys, dtokens, shared);
    }
    loss
}

/// The language-modelling loss of texts that look at something, with the decoder of a model that has its own.
pub fn language_model(
    model: &Model,
    p: &Blip<&[f32]>,
    texts: Captions,
    seen: Seen,
    (labels, smoothing): (&Labels, f32),
    g: &mut Blip<&mut [f32]>,
) -> f32 {
    let shape = model.config.decoder();
    let (decoder, p_head) = (p.decoder().unwrap(), &p.text_decoder.as_ref().unwrap().head);
    let table = decoder.shared.embeddings.word_embeddings;
    let g = g.text_decoder.as_mut().unwrap();
    let mut dtable = vec![0.0; table.len()];
    let shared = g.shared.as_mut().expect("a decoder that shares nothing");
    let g_text = TextMut { attention: &mut g.attention, shared: &mut *shared };
    let g_head = &mut g.head;
    let loss = pass_texts(decoder, &shape, texts, Some(seen), Pool::All, g_text, |states, dstates| {
        let mut losses = vec![0.0; labels.len()];
        let arena = &mut Arena::default();
        let g_table = &mut dtable;
        let losses = &mut losses[..];
        head::backward(p_head, table, &shape, states, labels, smoothing, losses, dstates, arena, g_head, g_table).loss
            as f32
    });
    shared.embeddings.word_embeddings.iter_mut().zip(dtable).for_each(|(sum, g)| *sum += g);
    loss
}

/// Mean cross-entropy of rows of logits with these classes, and its gradient.
pub fn cross_entropy(logits: ArrayView2<f32>, classes: &[usize]) -> (f32, Array2<f32>) {
    let mut dlogits = logits.mapv(f32::exp);
    let sums = dlogits.sum_axis(Axis(1)).insert_axis(Axis(1));
    dlogits /= &sums;
    let n = classes.len() as f32;
    let mut loss = 0.0;
    for (mut row, &class) in dlogits.rows_mut().into_iter().zip(classes) {
        loss -= row[class].ln() / n;
        row[class] -= 1.0;
    }
    (loss, dlogits / n)
}

/// The loss of the ITM head, one picture for each text.
pub fn matching(
    model: &Model,
    p: &Blip<&[f32]>,
    texts: Captions,
    seen: Seen,
    labels: &[usize],
    g: &mut Blip<&mut [f32]>,
) -> f32 {
    let (shape, p_head) = (model.config.encoder(), p.itm_head.as_ref().unwrap());
    let (g_text, g_head) = (g.text_encoder.as_mut().unwrap().as_mut(), g.itm_head.as_mut().unwrap());
    pass_texts(p.encoder().unwrap(), &shape, texts, Some(seen), Pool::First, g_text, |states, dstates| {
        let mut logits = Array2::zeros((texts.len(), 2));
        linear::forward(p_head, states, logits.view_mut());
        let (loss, dlogits) = cross_entropy(logits.view(), labels);
        linear::backward(p_head, states, dlogits.view(), Write::Set, dstates, g_head);
        loss
    })
}

/// The contrastive loss at this temperature: picture i belongs to text i.
pub fn contrast(
    model: &Model,
    p: &Blip<&[f32]>,
    texts: Captions,
    tokens: ArrayView2<f32>,
    mut dtokens: ArrayViewMut2<f32>,
    temperature: f32,
    g: &mut Blip<&mut [f32]>,
) -> f32 {
    let (shape, e) = (model.config.encoder(), model.config.embed_dim);
    let (p_vision, p_text) = (p.vision_proj.as_ref().unwrap(), p.text_proj.as_ref().unwrap());
    let each = tokens.nrows() / texts.len();
    let classes: Vec<usize> = (0..texts.len()).map(|i| i * each).collect();
    let class = tokens.select(Axis(0), &classes);
    let features = |p, x: ArrayView2<f32>| {
        let mut y = Array2::zeros((x.nrows(), e));
        linear::forward(p, x, y.view_mut());
        let (mut unit, mut norm) = (y.clone(), Array2::zeros((y.nrows(), 1)));
        normalize::forward(y.view(), unit.view_mut(), norm.view_mut());
        (unit, norm)
    };
    let (images, image_norms) = features(p_vision, class.view());
    let (g_vision, g_proj) = (g.vision_proj.as_mut().unwrap(), g.text_proj.as_mut().unwrap());
    let g_text = g.text_encoder.as_mut().unwrap().as_mut();
    let diagonal: Vec<usize> = (0..texts.len()).collect();
    pass_texts(p.encoder().unwrap(), &shape, texts, None, Pool::First, g_text, |states, dstates| {
        let (words, word_norms) = features(p_text, states);
        let logits = images.dot(&words.t()) / temperature;
        let (to_texts, dlogits) = cross_entropy(logits.view(), &diagonal);
        let (to_images, dlogits_t) = cross_entropy(logits.t().to_owned().view(), &diagonal);
        let dlogits = (dlogits + dlogits_t.t()) * (0.5 / temperature);
        let (dimages, dwords) = (dlogits.dot(&words), dlogits.t().dot(&images));
        let back = |unit: &Array2<f32>, norm: &Array2<f32>, dy: &Array2<f32>| {
            let mut dx = dy.clone();
            normalize::backward(unit.view(), norm.view(), dy.view(), dx.view_mut());
            dx
        };
        let dwords = back(&words, &word_norms, &dwords);
        linear::backward(p_text, states, dwords.view(), Write::Set, dstates, g_proj);
        let dimages = back(&images, &image_norms, &dimages);
        let mut dclass = class.clone();
        linear::backward(p_vision, class.view(), dimages.view(), Write::Set, dclass.view_mut(), g_vision);
        for (&row, dclass) in classes.iter().zip(dclass.rows()) {
            let mut sum = dtokens.row_mut(row);
            sum += &dclass;
        }
        (to_texts + to_images) / 2.0
    })
}

/// Returns the decoder's logits for every row of texts, computed at once.
pub fn plain_logits(
    p: &Blip<impl Read>,
    config: &Config,
    source: &Source,
    texts: Captions,
    texts_of: &[Range<usize>],
) -> Array2<f32> {
    let (shape, decoder) = (config.decoder(), p.decoder().unwrap());
    let (mut keys_arena, mut scratch, mut head_arena) = (Arena::default(), Arena::default(), Arena::default());
    let kv = &mut keys_arena.carve(&shape.keys(source.tokens.nrows()));
    text::keys(decoder.shared, source.tokens.view(), kv);
    let sights = Sights { texts: texts_of, rows: &source.rows };
    let mut states = Array2::zeros((texts.ids.len(), shape.size.width));
    let (how, workspace) = ((Pool::All, Keep::Nothing), &mut text::Workspace::default());
    text::forward(
        decoder,
        &shape,
        texts,
        Some((sights, Attended::Keys(&kv.view()))),
        how,
        None,
        states.view_mut(),
        workspace,
        &mut scratch,
    );
    let mut logits = Array2::zeros((texts.ids.len(), shape.vocab_size));
    let table = decoder.shared.embeddings.word_embeddings;
    let head = &p.text_decoder.as_ref().unwrap().head;
    head::logits(head, table, &shape, states.view(), logits.view_mut(), &mut head_arena);
    logits
}
