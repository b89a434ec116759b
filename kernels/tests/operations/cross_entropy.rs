//! Softmax cross-entropy against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::cross_entropy::*;
use clipwright_kernels::isa::Isa;

/// Rows and classes: one class, odd widths, BERT's vocabulary.
const SHAPES: [(usize, usize); 6] = [(0, 5), (1, 1), (7, 3), (5, 97), (64, 260), (3, 30_524)];

fn logits(n: usize) -> Vec<f32> {
    random(1, n).iter().map(|x| 10.0 * x).collect()
}

fn classes(rows: usize, vocabulary: usize) -> Vec<u32> {
    (0..rows).map(|i| ((i * i * 7919 + vocabulary - 1) % vocabulary) as u32).collect()
}

#[test]
fn every_isa_is_the_definition() {
    for (rows, vocabulary) in SHAPES {
        for smoothing in [0.0, 0.1] {
            let (z, classes, weights) = (logits(rows * vocabulary), classes(rows, vocabulary), random(2, rows));
            let (mut loss, mut dz, mut hits) = (vec![f32::NAN; rows], z.clone(), vec![f32::NAN; rows]);
            if rows > 0 {
                naive::backward(&mut dz, &classes, &weights, smoothing, &mut loss, &mut hits);
            }
            for isa in Isa::available() {
                let (mut fast_loss, mut again, mut fast) = (vec![f32::NAN; rows], vec![f32::NAN; rows], z.clone());
                let mut fast_hits = vec![f32::NAN; rows];
                forward_on(isa, &z, &classes, smoothing, &mut fast_loss);
                backward_on(isa, &mut fast, &classes, &weights, smoothing, &mut again, &mut fast_hits);
                assert_eq!(fast_hits, hits);
                // Losses of up to 30, each a difference of numbers of that size: a few roundings of 1e-6.
                assert_close("loss", &fast_loss, &loss, 1e-5);
                assert_close("loss with gradient", &again, &loss, 1e-5);
                // Probabilities of at most 1 whose exponents, up to 20, round by 1e-6.
                assert_close("dz", &fast, &dz, 4e-6);
            }
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let (rows, vocabulary) = (41, 3001);
    let (z, classes, weights) = (logits(rows * vocabulary), classes(rows, vocabulary), random(2, rows));
    assert_same_bits(|| {
        let (mut dz, mut loss, mut hits) = (z.clone(), vec![0.0; rows], vec![0.0; rows]);
        backward(&mut dz, &classes, &weights, 0.1, &mut loss, &mut hits);
        let with_gradient = loss.clone();
        forward(&z, &classes, 0.1, &mut loss);
        [dz, with_gradient, loss, hits].concat()
    });
}

/// A row is a hit if its class has the largest logit, alone or beside others.
#[test]
fn hits_have_the_largest_logit() {
    let mut z = [1.0, 3.0, 2.0, 5.0, 4.0, 5.0, 0.0, -1.0, 0.5];
    let (mut loss, mut hits) = ([0.0; 3], [f32::NAN; 3]);
    backward(&mut z, &[1, 2, 0], &[1.0; 3], 0.1, &mut loss, &mut hits);
    assert_eq!(hits, [1.0, 1.0, 0.0]);
}

#[test]
#[should_panic(expected = "class 3 of 3")]
fn classes_are_checked() {
    forward(&[0.0; 6], &[0, 3], 0.0, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "7 logits for 2 rows")]
fn lengths_are_checked() {
    forward(&[0.0; 7], &[0, 1], 0.0, &mut [0.0; 2]);
}
