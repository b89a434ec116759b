//! The matrix products of CLIP ViT-B/32, side by side: this crate, `matrixmultiply`, the `gemm` crate, and OpenBLAS with
//! `--features openblas`; and this crate with weights laid out for inference, of 32 bits and of eight. Every product is
//! checked before it is timed.
//!
//! cargo bench -p kernels --bench gemm            all
//! cargo bench -p kernels --bench gemm -- mlp     those whose name has "mlp"

#[path = "support/rates.rs"]
mod rates;

use clipwright_kernels::gemm::int8::{Int8, gemm_int8};
use clipwright_kernels::gemm::{Backend, Panels, gemm_by, gemm_panels};
use clipwright_kernels::memory::Floats;
use clipwright_kernels::{Epilogue, Mat, MatMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use rates::{Rates, Times};
use std::hint::black_box;

/// Which of a linear layer's three products, x having `rows` rows.
#[derive(Clone, Copy, Debug)]
enum Pass {
    /// y = x·Wᵀ
    Forward,
    /// dx = dy·W
    Inputs,
    /// dW += dyᵀ·x
    Weights,
}

/// A linear layer of `outputs × inputs` weights.
struct Layer {
    name: &'static str,
    outputs: usize,
    inputs: usize,
}

const IMAGE: [Layer; 4] = [
    Layer { name: "image qkv", outputs: 2304, inputs: 768 },
    Layer { name: "image out", outputs: 768, inputs: 768 },
    Layer { name: "image mlp up", outputs: 3072, inputs: 768 },
    Layer { name: "image mlp down", outputs: 768, inputs: 3072 },
];

const TEXT: [Layer; 4] = [
    Layer { name: "text qkv", outputs: 1536, inputs: 512 },
    Layer { name: "text out", outputs: 512, inputs: 512 },
    Layer { name: "text mlp up", outputs: 2048, inputs: 512 },
    Layer { name: "text mlp down", outputs: 512, inputs: 2048 },
];

/// One product: its operands as stored, in memory such as a model's, and how they are seen.
struct Product {
    m: usize,
    n: usize,
    k: usize,
    pass: Pass,
    a: Floats,
    b: Floats,
}

impl Product {
    fn new(layer: &Layer, rows: usize, pass: Pass) -> Self {
        let (m, n, k) = match pass {
            Pass::Forward => (rows, layer.outputs, layer.inputs),
            Pass::Inputs => (rows, layer.inputs, layer.outputs),
            Pass::Weights => (layer.outputs, layer.inputs, rows),
        };
        let wave = |len: usize, step: f32| {
            let mut wave = Floats::zeros(len);
            wave.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * step).sin());
            wave
        };
        Product { m, n, k, pass, a: wave(m * k, 0.37), b: wave(k * n, 0.73) }
    }

    fn a(&self) -> Mat<'_> {
        match self.pass {
            Pass::Weights => Mat::new(&self.a, self.k, self.m).t(),
            _ => Mat::new(&self.a, self.m, self.k),
        }
    }

    fn b(&self) -> Mat<'_> {
        match self.pass {
            Pass::Forward => Mat::new(&self.b, self.n, self.k).t(),
            _ => Mat::new(&self.b, self.k, self.n),
        }
    }

    /// Only gradients of weights are added to what is there.
    fn beta(&self) -> f32 {
        if matches!(self.pass, Pass::Weights) { 1.0 } else { 0.0 }
    }

    fn by(&self, backend: Backend, c: &mut [f32]) {
        gemm_by(backend, 1.0, self.a(), self.b(), self.beta(), MatMut::new(c, self.m, self.n), Epilogue::None);
    }

    fn by_gemm_crate(&self, c: &mut [f32]) {
        let (a, b) = (self.a(), self.b());
        let stride = |s: usize| s as isize;
        // Cᵀ = Bᵀ Aᵀ, as that crate itself turns a row-major C: its kernels write columns.
        // SAFETY: `a` and `b` are whole matrices, and `c` has m·n elements.
        unsafe {
            gemm_f32::gemm::f32::get_gemm_fn()(
                self.n,
                self.m,
                self.k,
                c.as_mut_ptr(),
                stride(self.n),
                1,
                self.beta() != 0.0,
                b.data.as_ptr(),
                stride(b.row_stride),
                stride(b.col_stride),
                a.data.as_ptr(),
                stride(a.row_stride),
                stride(a.col_stride),
                1.0,
                1.0,
                false,
                false,
                false,
                gemm_common::Parallelism::Rayon(0),
            )
        }
    }

    /// A few elements of the product, wherever they lie, against sums in f64; the errors of K roundings add at random.
    fn check(&self, name: &str, rounding: f64, multiply: impl Fn(&mut [f32])) {
        let mut c = vec![0.0; self.m * self.n];
        multiply(&mut c);
        let (a, b) = (self.a(), self.b());
        for e in (0..c.len()).step_by(c.len() / 50 + 1) {
            let (i, j) = (e / self.n, e % self.n);
            let term = |k: usize| {
                a.data[i * a.row_stride + k * a.col_stride] as f64 * b.data[k * b.row_stride + j * b.col_stride] as f64
            };
            let exact: f64 = (0..self.k).map(term).sum();
            let tolerance = rounding * self.k as f64;
            assert!((exact - c[e] as f64).abs() < tolerance, "{name}: ({i}, {j}) is {}, not {exact}", c[e]);
        }
    }
}

fn bench(criterion: &mut Criterion<Rates>, layers: &[Layer], rows: &[usize], passes: &[Pass]) {
    for layer in layers {
        for &rows in rows {
            for &pass in passes {
                compare(criterion, &format!("{}/{pass:?}", layer.name), rows, &Product::new(layer, rows, pass));
            }
        }
    }
}

/// What each of K products adds to an element's error, if the errors of f32 add at random.
const FLOAT: f64 = 4.0 * f32::EPSILON as f64;

/// The same for factors of up to 1 that are rounded to eight bits: half a step of 1/127 and a whole one of 2/255.
const INT8: f64 = 0.5 / 127.0 + 2.0 / 255.0;

fn compare(criterion: &mut Criterion<Rates>, name: &str, rows: usize, product: &Product) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(2 * (product.m * product.n * product.k) as u64));
    let mut c = Floats::zeros(product.m * product.n);
    let mut time = |name: &str, rounding: f64, multiply: &dyn Fn(&mut [f32])| {
        product.check(name, rounding, multiply);
        group.bench_function(BenchmarkId::new(name, rows), |b| b.iter(|| multiply(black_box(&mut c))));
    };
    for &backend in Backend::ALL {
        time(backend.name(), FLOAT, &|c| product.by(backend, c));
    }
    time("gemm crate", FLOAT, &|c| product.by_gemm_crate(c));
    if let Pass::Forward = product.pass {
        let mut weights = product.b.clone();
        Panels::lay_out(&mut weights, product.n, product.k);
        let panels = Panels::new(&weights, product.n, product.k);
        time("simd, weights laid out", FLOAT, &|c| {
            gemm_panels(product.a(), panels, MatMut::new(c, product.m, product.n), Epilogue::None);
        });
        let mut rounded = Floats::zeros(Int8::size(product.n, product.k));
        Int8::round(&product.b, product.n, product.k, &mut rounded);
        let int8 = Int8::new(&rounded, product.n, product.k);
        time("int8", INT8, &|c| {
            gemm_int8(product.a(), int8, MatMut::new(c, product.m, product.n), Epilogue::None);
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion<Rates>) {
    bench(criterion, &IMAGE, &[1600, 400, 50], &[Pass::Forward, Pass::Inputs, Pass::Weights]);
    bench(criterion, &TEXT, &[320, 80], &[Pass::Forward, Pass::Inputs, Pass::Weights]);
    bench(criterion, &TEXT, &[10, 1], &[Pass::Forward]);
}

fn main() {
    rates::run(Times { samples: 20, warm_up: 300, measured: 1000 }, &[all]);
}
