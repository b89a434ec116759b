//! The convolutions of CLIP RN50 at 224 pixels, for training and for a single picture: forward and both gradients, beside
//! the matrix product of the same size on operands that are already matrices. Every result is checked before it is timed.
//!
//! cargo bench -p kernels --bench conv              all
//! cargo bench -p kernels --bench conv -- 3x3       those whose name has "3x3"

#[path = "support/rates.rs"]
mod rates;

use clipwright_kernels::conv::{Conv, Weight, backward_inputs, backward_weights, forward};
use clipwright_kernels::gemm::gemm;
use clipwright_kernels::{Epilogue, Mat, MatMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use rates::{Rates, Times};

/// Height and width, inputs, outputs, kernel, stride.
const LAYERS: &[(usize, usize, usize, usize, usize)] = &[
    (224, 3, 32, 3, 2),
    (112, 32, 32, 3, 1),
    (112, 32, 64, 3, 1),
    (56, 64, 64, 3, 1),
    (56, 128, 128, 3, 1),
    (28, 128, 128, 3, 1),
    (28, 256, 256, 3, 1),
    (14, 256, 256, 3, 1),
    (14, 512, 512, 3, 1),
    (7, 512, 512, 3, 1),
    (56, 64, 64, 1, 1),
    (56, 64, 256, 1, 1),
    (56, 256, 64, 1, 1),
    (28, 256, 512, 1, 1),
    (28, 512, 128, 1, 1),
    (28, 128, 512, 1, 1),
    (14, 1024, 256, 1, 1),
    (14, 256, 1024, 1, 1),
    (7, 2048, 512, 1, 1),
    (7, 512, 2048, 1, 1),
];

/// Small whole numbers, so that sums of not too many are exact in f32.
fn digits(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + i / 5 + i / 11 * 3 + seed) % 9) as f32 - 4.0).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// A convolution and its operands.
struct Layer {
    conv: Conv,
    x: Vec<f32>,
    w: Vec<f32>,
    dy: Vec<f32>,
}

impl Layer {
    fn new(&(size, in_channels, out_channels, kernel, stride): &(usize, usize, usize, usize, usize), n: usize) -> Self {
        let conv = Conv { pictures: n, height: size, width: size, in_channels, out_channels, kernel, stride };
        let x = digits(n * size * size * in_channels, 1);
        let w = digits(out_channels * in_channels * kernel * kernel, 2);
        Layer { conv, x, w, dy: digits(conv.out_pixels() * out_channels, 3) }
    }

    /// The first row of output pixels by the definition. The convolution is linear in x and in w, so ⟨dy, y⟩ = ⟨dx, x⟩ =
    /// ⟨dw, w⟩ ties the gradients to y.
    fn check(&self) {
        let Layer { conv, x, w, dy } = self;
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), vec![0.0; w.len()]);
        forward(conv, x, Weight::Plain(w), &mut y, Epilogue::None);
        backward_inputs(conv, w, dy, &mut dx);
        backward_weights(conv, x, dy, &mut dw);
        for (place, &y) in y.iter().enumerate().take(conv.out(conv.width).min(10) * conv.out_channels) {
            assert_eq!(y, self.output(place), "{conv:?}: output {place}");
        }
        let expected = dot(dy, &y);
        let scale = (dot(dy, dy) * dot(&y, &y)).sqrt();
        for (name, product) in [("dx", dot(&dx, x)), ("dw", dot(&dw, w))] {
            assert!((product - expected).abs() < 1e-6 * scale, "{conv:?}: {name} gives {product}, not {expected}");
        }
    }

    /// One of the first row's outputs.
    fn output(&self, place: usize) -> f32 {
        let Conv { width, in_channels, out_channels, kernel, stride, .. } = self.conv;
        let (ox, o) = (place / out_channels, place % out_channels);
        let mut sum = 0.0;
        for tap in 0..kernel * kernel {
            let (y, x) = (tap / kernel, ox * stride + tap % kernel);
            let (Some(y), Some(x)) = (y.checked_sub(kernel / 2), x.checked_sub(kernel / 2)) else { continue };
            if x < width {
                for i in 0..in_channels {
                    let weight = self.w[(o * in_channels + i) * kernel * kernel + tap];
                    sum += self.x[(y * width + x) * in_channels + i] * weight;
                }
            }
        }
        sum
    }
}

fn bench(criterion: &mut Criterion<Rates>, layer: &Layer) {
    layer.check();
    let Layer { conv, x, w, dy } = layer;
    let &Conv { pictures, height, in_channels, out_channels, kernel, .. } = conv;
    let name = format!("{kernel}x{kernel} {height} {in_channels}→{out_channels}");
    let (m, k, n) = (conv.out_pixels(), w.len() / out_channels, out_channels);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
    let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
    let mut time = |name: &str, run: &mut dyn FnMut()| {
        group.bench_function(BenchmarkId::new(name, pictures), |b| b.iter(&mut *run));
    };
    time("forward", &mut || forward(conv, x, Weight::Plain(w), &mut y, Epilogue::None));
    let patches = digits(m * k, 4);
    let (a, b) = (Mat::new(&patches, m, k), Mat::new(w, n, k));
    time("gemm forward", &mut || gemm(1.0, a, b.t(), 0.0, MatMut::new(&mut y, m, n), Epilogue::None));
    if pictures > 1 {
        time("dw", &mut || backward_weights(conv, x, dy, &mut dw));
        let dy = Mat::new(dy, m, n);
        time("gemm dw", &mut || gemm(1.0, dy.t(), a, 1.0, MatMut::new(&mut dw, n, k), Epilogue::None));
    }
    if pictures > 1 && in_channels > 3 {
        time("dx", &mut || backward_inputs(conv, w, dy, &mut dx));
    }
    group.finish();
}

fn all(criterion: &mut Criterion<Rates>) {
    for pictures in [16, 1] {
        LAYERS.iter().for_each(|layer| bench(criterion, &Layer::new(layer, pictures)));
    }
}

fn main() {
    rates::run(Times { samples: 10, warm_up: 100, measured: 500 }, &[all]);
}
