//! Every instruction set against the definition.

use super::shape::Conv;
use super::{
    Weight, backward_inputs, backward_inputs_on, backward_weights, backward_weights_on, forward, forward_on, naive,
};
use crate::gemm::{Epilogue, Mat, MatMut, Panels, Tiling, filter, winograd};
use crate::isa::Isa;

/// (B,height,width), I, O: narrow and wide channels, blocks of them that are not full, pictures of one pixel, flat and
/// tall products, more than one stretch of pixels. Under Miri there is time for some small ones.
#[cfg(miri)]
const SHAPES: &[((usize, usize, usize), usize, usize)] =
    &[((1, 1, 1), 1, 1), ((2, 1, 5), 3, 7), ((1, 3, 4), 3, 33), ((1, 3, 4), 17, 9)];
#[cfg(not(miri))]
const SHAPES: &[((usize, usize, usize), usize, usize)] = &[
    ((1, 1, 1), 1, 1),
    ((2, 1, 5), 3, 7),
    ((1, 6, 1), 5, 3),
    ((3, 4, 7), 3, 33),
    ((2, 9, 8), 15, 17),
    ((1, 7, 7), 16, 40),
    ((2, 5, 6), 33, 31),
    ((1, 10, 11), 80, 36),
    ((2, 16, 17), 40, 65),
    ((1, 47, 45), 3, 20),
    ((3, 27, 29), 34, 18),
];

fn cases() -> impl Iterator<Item = Conv> {
    SHAPES.iter().flat_map(|&((pictures, height, width), in_channels, out_channels)| {
        [(1, 1), (1, 2), (3, 1), (3, 2)].into_iter().map(move |(kernel, stride)| Conv {
            pictures,
            height,
            width,
            in_channels,
            out_channels,
            kernel,
            stride,
        })
    })
}

/// Small whole numbers: every sum is exact in f32, so that whatever differs is wrong.
fn digits(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + i / 5 + i / 11 * 3 + seed) % 9) as f32 - 4.0).collect()
}

struct Data {
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Data {
    fn of(conv: &Conv) -> Self {
        let w = digits(conv.out_channels * conv.in_channels * conv.taps(), 2);
        let (x, dy) = (conv.pixels() * conv.in_channels, conv.out_pixels() * conv.out_channels);
        Data { x: digits(x, 1), w, dy: digits(dy, 3) }
    }
}

/// Rounds sums that were computed by tiles, which are whole numbers only up to rounding.
fn sums(conv: &Conv, mut given: Vec<f32>) -> Vec<f32> {
    if conv.tiling().is_some() {
        given.iter_mut().for_each(|x| *x = x.round());
    }
    given
}

#[track_caller]
fn assert_same(what: &str, isa: Isa, conv: &Conv, given: &[f32], expected: &[f32]) {
    let wrong = given.iter().zip(expected).position(|(given, expected)| given != expected);
    if let Some(i) = wrong {
        panic!("{what} of {conv:?} on {}: element {i} is {}, not {}", isa.name(), given[i], expected[i]);
    }
}

#[test]
fn forward_is_the_definition() {
    for conv in cases() {
        let Data { x, w, dy } = Data::of(&conv);
        let mut expected = dy.clone();
        naive::forward(&conv, &x, &w, &mut expected);
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; dy.len()];
            forward_on(isa, &conv, &x, Weight::Plain(&w), &mut y, Epilogue::None);
            assert_same("y", isa, &conv, &sums(&conv, y), &expected);
        }
    }
}

/// Tiles that are cut off at either border, channels that fill no register and no panel, more tiles than a task has.
const TILED: &[((usize, usize, usize), usize, usize)] = &[
    ((1, 1, 1), 1, 1),
    ((2, 3, 6), 5, 33),
    ((1, 7, 7), 16, 40),
    ((3, 9, 8), 33, 12),
    ((2, 14, 13), 64, 65),
    ((1, 56, 57), 24, 24),
];

#[test]
fn tiles_give_the_definition() {
    let few = if cfg!(miri) { 2 } else { TILED.len() };
    for &((pictures, height, width), in_channels, out_channels) in &TILED[..few] {
        let conv = Conv { pictures, height, width, in_channels, out_channels, kernel: 3, stride: 1 };
        let tiling = Tiling { pictures, height, width };
        let Data { x, w, dy } = Data::of(&conv);
        let (mut y, mut dx) = (dy.clone(), x.clone());
        naive::forward(&conv, &x, &w, &mut y);
        naive::backward_inputs(&conv, &w, &dy, &mut dx);
        for isa in Isa::available() {
            let (mut tiled_y, mut tiled_dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            let (c, a) = (
                MatMut::new(&mut tiled_y, conv.pixels(), out_channels),
                MatMut::new(&mut tiled_dx, conv.pixels(), in_channels),
            );
            winograd(isa, tiling, &x, conv.filters(Weight::Plain(&w)), false, c, Epilogue::None);
            winograd(isa, tiling, &dy, conv.filters(Weight::Plain(&w)).t(), true, a, Epilogue::None);
            for (tiled, expected) in [(&tiled_y, &y), (&tiled_dx, &dx)] {
                let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
                let error = tiled.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                assert!(error <= 3e-6 * norm, "{conv:?} on {}: {error} of {norm}", isa.name());
            }
        }
    }
}

/// How many tiles a task has depends on the threads, no sum does.
#[test]
#[cfg_attr(miri, ignore = "millions of multiplications")]
fn tiles_have_the_same_bits_on_any_number_of_threads() {
    let conv = Conv { pictures: 5, height: 23, width: 30, in_channels: 40, out_channels: 33, kernel: 3, stride: 1 };
    let tiling = Tiling { pictures: 5, height: 23, width: 30 };
    let Data { x, w, dy } = Data::of(&conv);
    let [one, two, five] = [1, 2, 5].map(|threads| {
        let mut y = vec![f32::NAN; dy.len()];
        let c = MatMut::new(&mut y, conv.pixels(), conv.out_channels);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| winograd(Isa::best(), tiling, &x, conv.filters(Weight::Plain(&w)), false, c, Epilogue::None));
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(one == two && one == five);
}

#[test]
fn tiles_meet_the_epilogue_once() {
    let conv = Conv { pictures: 2, height: 6, width: 9, in_channels: 8, out_channels: 40, kernel: 3, stride: 1 };
    let Data { x, w, dy } = Data::of(&conv);
    let (rows, cols) = (conv.pixels(), conv.out_channels);
    let (scale, shift) = (digits(cols, 4), digits(cols, 5));
    let epilogue = || {
        let residual = Some(Mat::new(&dy, rows, cols));
        Epilogue::ScaleShift { scale: &scale, shift: &shift, residual, relu: true }
    };
    let (mut plain, mut tiled) = (dy.clone(), vec![f32::NAN; dy.len()]);
    filter(
        Isa::best(),
        conv.patches(&x),
        conv.filters(Weight::Plain(&w)),
        MatMut::new(&mut plain, rows, cols),
        epilogue(),
    );
    let tiling = Tiling { pictures: 2, height: 6, width: 9 };
    winograd(
        Isa::best(),
        tiling,
        &x,
        conv.filters(Weight::Plain(&w)),
        false,
        MatMut::new(&mut tiled, rows, cols),
        epilogue(),
    );
    for (tiled, plain) in tiled.iter().zip(&plain) {
        assert!((tiled - plain).abs() <= 1e-2, "{tiled}, not {plain}");
    }
}

#[test]
fn the_epilogue_sees_whole_sums() {
    for conv in cases() {
        let Data { x, w, dy } = Data::of(&conv);
        let (rows, cols) = (conv.out_pixels(), conv.out_channels);
        let (scale, shift) = (digits(cols, 4), digits(cols, 5));
        let epilogue = || {
            let residual = Some(Mat::new(&dy, rows, cols));
            Epilogue::ScaleShift { scale: &scale, shift: &shift, residual, relu: true }
        };
        let mut expected = dy.clone();
        naive::forward(&conv, &x, &w, &mut expected);
        let nothing = (Mat::new(&[], rows, 0), Mat::new(&[], 0, cols));
        let c = MatMut::new(&mut expected, rows, cols);
        crate::gemm::naive(1.0, nothing.0, nothing.1, 1.0, c, epilogue());
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; dy.len()];
            forward_on(isa, &conv, &x, Weight::Plain(&w), &mut y, epilogue());
            assert_same("y", isa, &conv, &sums(&conv, y), &expected);
        }
    }
}

/// Blocks of channels that are whole and not, more rows than one task has.
const LAID_OUT: &[((usize, usize, usize), usize, usize)] =
    &[((1, 1, 1), 1, 32), ((2, 5, 6), 33, 96), ((1, 10, 11), 80, 64), ((3, 21, 17), 5, 32)];

#[test]
fn laid_out_weights_are_the_same_weights() {
    let few = if cfg!(miri) { 1 } else { LAID_OUT.len() };
    for &((pictures, height, width), in_channels, out_channels) in &LAID_OUT[..few] {
        for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2)] {
            let conv = Conv { pictures, height, width, in_channels, out_channels, kernel, stride };
            let Data { x, w, dy } = Data::of(&conv);
            let mut expected = dy.clone();
            naive::forward(&conv, &x, &w, &mut expected);
            let mut panels = w.clone();
            Panels::lay_out_filters(&mut panels, out_channels, in_channels, conv.taps());
            let panels = Weight::Panels(Panels::new(&panels, out_channels, in_channels * conv.taps()));
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; dy.len()];
                forward_on(isa, &conv, &x, panels, &mut y, Epilogue::None);
                assert_same("y", isa, &conv, &sums(&conv, y), &expected);
            }
        }
    }
}

#[test]
#[should_panic(expected = "shape of the laid-out weights")]
fn laid_out_weights_of_another_shape_panic() {
    let conv = Conv { pictures: 1, height: 2, width: 2, in_channels: 64, out_channels: 32, kernel: 3, stride: 1 };
    let weights = vec![0.0; 64 * 32 * 9];
    let panels = Weight::Panels(Panels::new(&weights, 64, 32 * 9));
    forward(&conv, &[0.0; 256], panels, &mut [0.0; 128], Epilogue::None);
}

#[test]
#[cfg_attr(miri, ignore = "millions of multiplications")]
fn laid_out_weights_give_tiles_the_same_bits() {
    let conv = Conv { pictures: 2, height: 9, width: 14, in_channels: 40, out_channels: 64, kernel: 3, stride: 1 };
    let tiling = Tiling { pictures: 2, height: 9, width: 14 };
    let Data { x, w, dy } = Data::of(&conv);
    let mut panels = w.clone();
    Panels::lay_out_filters(&mut panels, conv.out_channels, conv.in_channels, conv.taps());
    let panels = Weight::Panels(Panels::new(&panels, conv.out_channels, conv.in_channels * conv.taps()));
    for isa in Isa::available() {
        let [plain, laid_out] = [Weight::Plain(&w), panels].map(|weights| {
            let mut y = vec![f32::NAN; dy.len()];
            let c = MatMut::new(&mut y, conv.pixels(), conv.out_channels);
            winograd(isa, tiling, &x, conv.filters(weights), false, c, Epilogue::None);
            y
        });
        assert_same("y", isa, &conv, &laid_out, &plain);
    }
}

#[test]
fn backward_inputs_is_the_definition() {
    for conv in cases() {
        let Data { x, w, dy } = Data::of(&conv);
        let mut expected = x.clone();
        naive::backward_inputs(&conv, &w, &dy, &mut expected);
        for isa in Isa::available() {
            let mut dx = vec![f32::NAN; x.len()];
            backward_inputs_on(isa, &conv, &w, &dy, &mut dx);
            assert_same("dx", isa, &conv, &sums(&conv, dx), &expected);
        }
    }
}

#[test]
fn backward_weights_adds_the_definition() {
    for conv in cases() {
        let Data { x, w, dy } = Data::of(&conv);
        let mut expected = w.clone();
        naive::backward_weights(&conv, &x, &dy, &mut expected);
        for isa in Isa::available() {
            let mut dw = w.clone();
            backward_weights_on(isa, &conv, &x, &dy, &mut dw);
            assert_same("dw", isa, &conv, &dw, &expected);
        }
    }
}

#[test]
fn no_pictures_give_no_gradient() {
    let conv = Conv { pictures: 0, height: 4, width: 4, in_channels: 3, out_channels: 2, kernel: 3, stride: 2 };
    let mut dw = vec![1.0; 2 * 3 * 9];
    forward(&conv, &[], Weight::Plain(&dw.clone()), &mut [], Epilogue::None);
    backward_inputs(&conv, &dw.clone(), &[], &mut []);
    backward_weights(&conv, &[], &[], &mut dw);
    assert!(dw.iter().all(|&dw| dw == 1.0));
}

#[test]
#[should_panic(expected = "elements of x, w and y")]
fn lengths_that_disagree_panic() {
    let conv = Conv { pictures: 1, height: 4, width: 4, in_channels: 3, out_channels: 2, kernel: 3, stride: 1 };
    forward(&conv, &[0.0; 48], Weight::Plain(&[0.0; 53]), &mut [0.0; 32], Epilogue::None);
}
