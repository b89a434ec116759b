use super::shapes::INIT;
use crate::support::{
    compare::assert_close,
    gradcheck::{Layer, Pass},
    random,
    trees::{Leaves, poisoned},
};
use clipwright::layers::linear::Linear;
use clipwright::loss::cross_entropy::{self, Labels, Scratch, Sums};
use clipwright::params::Spec;
use clipwright::tour::{blip, bridge::plain, linear::linear};
use clipwright::tree::Dim;
use kernels::embedding;
use ndarray::{Array2, ArrayView2};
use rayon::ThreadPoolBuilder;

/// The label of each row: a class and a weight, or none.
type Label = Option<(u32, f32)>;

/// Returns labels with different weights, of which every third is missing.
fn labels(rows: usize, vocabulary: usize) -> Vec<Label> {
    let label = |i: usize| ((i * i * 7 + vocabulary - 1) % vocabulary) as u32;
    (0..rows).map(|i| (i % 3 != 1).then(|| (label(i), 0.1 + i as f32 / rows as f32))).collect()
}

fn filled(labels: &[Label], factor: f32) -> Labels {
    let mut filled = Labels::default();
    filled.fill(labels.iter().map(|label| label.map(|(class, weight)| (class, weight * factor))));
    filled
}

/// Computes the loss by its definition, with every logit and every probability.
fn oracle(weight: &[f64], bias: &[f64], h: ArrayView2<f64>, labels: &[Label], smoothing: f32) -> Array2<f64> {
    let weight = ArrayView2::from_shape((bias.len(), h.ncols()), weight).unwrap();
    let logits = linear(&plain(h), &plain(weight), bias);
    let uniform = vec![vec![1.0 / bias.len() as f64; bias.len()]];
    let loss = |(z, label): (Vec<f64>, &Label)| {
        let Some((class, weight)) = *label else { return 0.0 };
        let hard = blip::hard_target(&[class as usize], z.len());
        f64::from(weight) * blip::target_loss(&vec![z], &blip::mixed_target(&hard, &uniform, f64::from(smoothing)))
    };
    Array2::from_elem((1, 1), logits.into_iter().zip(labels).map(loss).sum())
}

/// y is the loss alone, so dy is multiplied into the weights.
fn run(labels: &[Label], smoothing: f32, dims: Scratch<Dim>, pass: Pass<Linear<Spec>, 1>) {
    let Pass { p, x: [h], mut y, dy, dx: [dh], mut g } = pass;
    let p = Linear { weight: p.weight, bias: p.bias };
    let (plain, weighted) = (filled(labels, 1.0), filled(labels, dy[[0, 0]]));
    let [mut alone, mut losses] = [(); 2].map(|_| vec![f32::NAN; plain.len()]);
    y.fill(cross_entropy::forward(&p, h, &plain, smoothing, &mut alone, &mut poisoned(&dims)));
    let sums = cross_entropy::backward(&p, h, &weighted, smoothing, &mut losses, dh, &mut g, &mut poisoned(&dims));
    let (loss, expected) = (sums.loss as f32, dy[[0, 0]] * y[[0, 0]]);
    assert!((loss - expected).abs() <= 1e-5 * expected.abs(), "{loss} with gradients, {expected} without");
    assert_eq!(losses, alone);
}

fn layer(rows: usize, width: usize, vocabulary: usize) -> Layer<Linear<Spec>, 1> {
    let name = format!("cross-entropy, {rows} rows of {width}, {vocabulary} classes");
    Layer::new(name, Linear::spec(width, vocabulary, INIT, INIT), [("h", rows, width)])
}

/// The check with blocks of one row, of a few rows, and of all rows.
#[test]
fn every_entry() {
    for (rows, width, vocabulary) in [(1, 6, 2), (7, 5, 11), (13, 10, 37)] {
        for (smoothing, block) in [(0.0, 1), (0.1, 3), (0.1, rows)] {
            let (labels, dims) = (labels(rows, vocabulary), Scratch::of_blocks(block, width, vocabulary));
            layer(rows, width, vocabulary).check(
                |p, [h]| oracle(p.weight, p.bias, h, &labels, smoothing),
                |pass| run(&labels, smoothing, dims, pass),
            );
        }
    }
}

/// The check with BERT's vocabulary and more rows than have room for their logits at a time.
#[test]
fn a_large_vocabulary() {
    let (rows, width, vocabulary) = (420, 5, 30_524);
    let (labels, dims) = (labels(rows, vocabulary), Scratch::dims(rows, width, vocabulary));
    assert!(dims.logits.0 < filled(&labels, 1.0).len(), "more than one block");
    layer(rows, width, vocabulary)
        .check_directions(|p, [h]| oracle(p.weight, p.bias, h, &labels, 0.1), |pass| run(&labels, 0.1, dims, pass));
}

/// If the rows are embeddings from the table of the output product, its gradient is the sum of both uses.
#[test]
fn a_tied_table() {
    let (ids, width, vocabulary) = ([3u32, 0, 8, 3, 10, 2], 7, 11);
    let labels = labels(ids.len(), vocabulary);
    let spec = [Spec::new(&[vocabulary, width], INIT), Spec::new(&[vocabulary], INIT)];
    Layer::new("tied", Leaves { names: ["table", "bias"], leaves: spec }, []).check(
        |p, []| {
            let row = |i: usize| &p.leaves[0][ids[i] as usize * width..][..width];
            let h = Array2::from_shape_fn((ids.len(), width), |(i, j)| row(i)[j]);
            oracle(p.leaves[0], p.leaves[1], h.view(), &labels, 0.1)
        },
        |Pass { p, mut y, dy, g, .. }: Pass<Leaves<Spec, 2>, 0>| {
            let ([table, bias], [dtable, dbias]) = (p.leaves, g.leaves);
            let mut h = Array2::zeros((ids.len(), width));
            embedding::gather(table, &ids, width, h.as_slice_mut().unwrap());
            let (p, mut g) = (Linear { weight: table, bias }, Linear { weight: dtable, bias: dbias });
            let (mut dh, mut losses) = (h.clone(), vec![0.0; filled(&labels, 1.0).len()]);
            let scratch = &mut poisoned(&Scratch::dims(ids.len(), width, vocabulary));
            let weighted = filled(&labels, dy[[0, 0]]);
            let sums =
                cross_entropy::backward(&p, h.view(), &weighted, 0.1, &mut losses, dh.view_mut(), &mut g, scratch);
            y.fill(sums.loss as f32 / dy[[0, 0]]);
            embedding::scatter_add(dh.as_slice().unwrap(), &ids, width, g.weight);
        },
    );
}

/// Returns loss, hits and weight, dh, dW and db of random rows.
fn streamed(labels: &Labels, rows: usize, vocabulary: usize, dims: Scratch<Dim>) -> [Array2<f32>; 4] {
    let width = dims.taken.1;
    let [weight, bias, h] = [(vocabulary, width), (1, vocabulary), (rows, width)].map(|dim| random::matrix(dim, 5));
    let [mut dweight, mut dbias, mut dh] = [&weight, &bias, &h].map(|x| x.mapv(|_| 0.0));
    dh.fill(f32::NAN);
    let p = Linear { weight: weight.as_slice().unwrap(), bias: bias.as_slice().unwrap() };
    let g = &mut Linear { weight: dweight.as_slice_mut().unwrap(), bias: dbias.as_slice_mut().unwrap() };
    let (losses, scratch) = (&mut vec![0.0; labels.len()], &mut poisoned(&dims));
    let Sums { loss, hits, weight } =
        cross_entropy::backward(&p, h.view(), labels, 0.1, losses, dh.view_mut(), g, scratch);
    [Array2::from_shape_vec((1, 3), [loss, hits, weight].map(|sum| sum as f32).to_vec()).unwrap(), dh, dweight, dbias]
}

#[test]
fn blocks_are_the_whole() {
    let (rows, width, vocabulary) = (61, 24, 333);
    let labels = filled(&labels(rows, vocabulary), 1.0);
    let whole = streamed(&labels, rows, vocabulary, Scratch::of_blocks(rows, width, vocabulary));
    for block in [1, 7, 40] {
        let parts = streamed(&labels, rows, vocabulary, Scratch::of_blocks(block, width, vocabulary));
        for ((name, part), whole) in ["sums", "dh", "dweight", "dbias"].into_iter().zip(parts).zip(&whole) {
            assert_close(name, part.view(), whole.view());
        }
    }
}

/// Rows without a label get no gradient and change no other bit, wherever they stand.
#[test]
fn rows_without_a_label_cost_nothing() {
    let (rows, width, vocabulary) = (20, 6, 19);
    let (all, mut ignored) = (labels(rows, vocabulary), Labels::default());
    ignored.fill(all.iter().map(|label| label.or(Some((0, 0.0)))));
    assert_eq!(ignored.rows(), filled(&all, 1.0).rows(), "weight 0 is no label");
    let [_, dh, ..] = streamed(&ignored, rows, vocabulary, Scratch::of_blocks(4, width, vocabulary));
    assert!((0..rows).all(|i| all[i].is_some() != dh.row(i).iter().all(|&d| d == 0.0)));
    ignored.fill_mean([None, None]);
    let nothing = streamed(&ignored, 2, vocabulary, Scratch::of_blocks(4, width, vocabulary));
    assert!(nothing.iter().all(|x| x.iter().all(|&x| x == 0.0)), "no label, no loss");
}

#[test]
fn a_mean_is_over_the_rows_with_a_label() {
    let (mut mean, classes) = (Labels::default(), [Some(3), None, Some(1), Some(3)]);
    mean.fill_mean(classes);
    let third = filled(&classes.map(|class| class.map(|class| (class, 1.0 / 3.0))), 1.0);
    let dims = || Scratch::of_blocks(4, 6, 5);
    assert_eq!(streamed(&mean, 4, 5, dims()), streamed(&third, 4, 5, dims()));
}

/// Logits are those of the rows themselves. Each hit counts as much as its row.
#[test]
fn hits_are_weighted() {
    let mut labels = Labels::default();
    labels.fill([Some((0, 0.5)), None, Some((1, 0.25)), Some((2, 2.0)), Some((0, 0.0))]);
    let h = ndarray::array![[9.0f32, 1.0, 3.0], [9.0, 1.0, 3.0], [9.0, 1.0, 3.0], [1.0, 2.0, 2.0], [9.0, 1.0, 3.0]];
    let (identity, bias) = (Array2::<f32>::eye(3), [0.0; 3]);
    let [mut dweight, mut dh] = [identity.clone(), h.clone()];
    let p = Linear { weight: identity.as_slice().unwrap(), bias: &bias[..] };
    let g = &mut Linear { weight: dweight.as_slice_mut().unwrap(), bias: &mut [0.0; 3][..] };
    let scratch = &mut poisoned(&Scratch::of_blocks(2, 3, 3));
    let sums = cross_entropy::backward(&p, h.view(), &labels, 0.1, &mut [0.0; 3], dh.view_mut(), g, scratch);
    assert_eq!((sums.hits, sums.weight), (2.5, 2.75));
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (rows, width, vocabulary) = (90, 32, 3001);
    let labels = filled(&labels(rows, vocabulary), 1.0);
    let run = || streamed(&labels, rows, vocabulary, Scratch::of_blocks(40, width, vocabulary));
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}

/// The logits take 32 MB, however many rows there are.
#[test]
fn memory_is_bounded() {
    let Dim(rows, vocabulary) = Scratch::dims(1 << 20, 768, 30_524).logits;
    assert!(rows > 200 && rows * vocabulary * size_of::<f32>() <= 32 << 20);
    assert_eq!(Scratch::dims(5, 768, 30_524).logits, Dim(5, 30_524));
}
