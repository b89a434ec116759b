//! Weighted sums of samples against their definition, to the last bit.
use crate::support::random;
use clipwright_kernels::isa::Isa;
use clipwright_kernels::resample::{BITS, SUMS, across_on, down_on, naive};
use std::ops::Range;

fn samples(seed: u64, len: usize) -> Vec<u8> {
    random(seed, len).iter().map(|v| ((v + 1.0) * 128.0) as u8).collect()
}

/// Weights of both signs, which add up to about 1.
fn weights(seed: u64, len: usize) -> Vec<i32> {
    let scale = f32::from(2u8) * (1 << BITS) as f32 / len as f32;
    random(seed, len).iter().map(|v| ((v + 0.5) * scale) as i32).collect()
}

#[test]
fn along_rows_it_is_the_definition() {
    let spans: Vec<Range<usize>> = vec![0..1, 0..7, 2..9, 3..40, 5..77, 70..90, 1..90, 89..90];
    for isa in Isa::available() {
        for channels in 1..=4 {
            let row = samples(1, 90 * channels);
            let each = |(i, span): (usize, &Range<usize>)| {
                let weights = weights(i as u64, span.len());
                let mut repeated: Vec<i32> = weights.into_iter().flat_map(|weight| vec![weight; channels]).collect();
                repeated.resize(repeated.len().next_multiple_of(SUMS), 0);
                repeated
            };
            let weights: Vec<i32> = spans.iter().enumerate().flat_map(each).collect();
            let (mut out, mut expected) = (vec![1; spans.len() * channels], vec![2; spans.len() * channels]);
            across_on(isa, channels, &row, &spans, &weights, &mut out);
            naive::across(channels, &row, &spans, &weights, &mut expected);
            assert_eq!(out, expected, "{isa:?}, {channels} channels");
        }
    }
}

#[test]
fn down_columns_it_is_the_definition() {
    for isa in Isa::available() {
        for (width, stride, rows) in [(1, 1, 1), (63, 70, 3), (64, 64, 9), (201, 230, 40)] {
            let (x, weights) = (samples(3, stride * rows), weights(4, rows));
            let (mut out, mut expected) = (vec![1; width], vec![2; width]);
            down_on(isa, &x, stride, &weights, &mut out);
            naive::down(&x, stride, &weights, &mut expected);
            assert_eq!(out, expected, "{isa:?}, {width} × {rows}");
        }
    }
}
