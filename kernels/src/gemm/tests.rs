//! Every instruction set against the definition in f64.

use super::backend::Backend;
use super::epilogue::Epilogue;
use super::matrix::{Mat, MatMut};
use super::naive::naive;
use super::panels::Panels;
use super::products::{gemm, gemm_by, gemm_on, gemm_panels_on};
use super::weight::Weight;
use crate::activation::Activation;
use crate::isa::Isa;
use crate::support::random;

/// Products of odd and of even shapes: (M,N,K). Under Miri there is time for some small ones.
#[cfg(miri)]
const SHAPES: &[(usize, usize, usize)] =
    &[(1, 1, 1), (2, 3, 5), (1, 8, 385), (5, 31, 17), (17, 9, 6), (20, 8, 4), (0, 5, 3), (4, 0, 3), (4, 5, 0)];
#[cfg(not(miri))]
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 33, 7),
    (2, 3, 5),
    (3, 16, 385),
    (5, 31, 17),
    (6, 16, 8),
    (7, 17, 9),
    (10, 96, 770),
    (13, 64, 100),
    (14, 32, 64),
    (15, 65, 3),
    (16, 40, 33),
    (17, 50, 129),
    (31, 96, 400),
    (50, 100, 64),
    (29, 67, 400),
    (130, 390, 33),
    (257, 129, 65),
    (1040, 70, 30),
    (0, 5, 3),
    (4, 0, 3),
    (4, 5, 0),
];

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows,
    Columns,
    /// Neither stride is 1.
    Sparse,
}

const LAYOUTS: [Layout; 3] = [Layout::Rows, Layout::Columns, Layout::Sparse];

/// A `rows × cols` view into `data`; what lies between its elements must not matter.
fn view(data: &[f32], rows: usize, cols: usize, layout: Layout) -> Mat<'_> {
    let (row_stride, col_stride) = match layout {
        Layout::Rows => (cols + 3, 1),
        Layout::Columns => (1, rows + 1),
        Layout::Sparse => (2 * cols + 1, 2),
    };
    Mat { data, rows, cols, row_stride, col_stride }
}

fn room(rows: usize, cols: usize) -> usize {
    (rows + 1) * (2 * cols + 3) + 2 * rows
}

#[derive(Clone, Copy, Debug)]
enum Last {
    None,
    Bias,
    Residual(Layout),
    Activation,
    Save,
    /// The layout of the residual, if there is one, and whether ReLU follows.
    ScaleShift(Option<Layout>, bool),
    Grad(Layout),
}

const LASTS: [Last; 11] = [
    Last::None,
    Last::Bias,
    Last::Residual(Layout::Rows),
    Last::Residual(Layout::Sparse),
    Last::Activation,
    Last::Save,
    Last::ScaleShift(None, true),
    Last::ScaleShift(Some(Layout::Rows), true),
    Last::ScaleShift(Some(Layout::Sparse), false),
    Last::Grad(Layout::Rows),
    Last::Grad(Layout::Columns),
];

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: (usize, usize, usize),
    a: Layout,
    b: Layout,
    alpha: f32,
    beta: f32,
    last: Last,
}

type Run<'f> = &'f (dyn Fn(f32, Mat, Mat, f32, MatMut, Epilogue) + Sync);

impl Case {
    fn operands(&self) -> (Vec<f32>, Vec<f32>) {
        let (m, n, k) = self.shape;
        (random(1, room(m, k)), random(2, room(k, n)))
    }

    /// C with its surroundings, then what the epilogue saved with its own. With β = 0 both begin as NaN.
    fn run(&self, product: Run) -> (Vec<f32>, Vec<f32>) {
        let (m, n, k) = self.shape;
        let (a, b) = self.operands();
        let (bias, extra, scale) = (random(3, n), random(4, room(m, n)), random(6, n));
        let mut c = if self.beta == 0.0 { vec![f32::NAN; room(m, n)] } else { random(5, room(m, n)) };
        let mut saved = vec![f32::NAN; room(m, n)];
        let activation = Activation::QuickGelu;
        let epilogue = match self.last {
            Last::None => Epilogue::None,
            Last::Bias => Epilogue::Bias(&bias),
            Last::Residual(l) => Epilogue::BiasResidual { bias: &bias, residual: view(&extra, m, n, l) },
            Last::Activation => Epilogue::BiasActivation { bias: &bias, activation },
            Last::Save => {
                let preact = MatMut { data: &mut saved, rows: m, cols: n, row_stride: n + 1 };
                Epilogue::BiasActivationSave { bias: &bias, activation, preact }
            }
            Last::ScaleShift(residual, relu) => {
                let residual = residual.map(|l| view(&extra, m, n, l));
                Epilogue::ScaleShift { scale: &scale, shift: &bias, residual, relu }
            }
            Last::Grad(l) => Epilogue::ActivationGrad { activation, preact: view(&extra, m, n, l) },
        };
        let out = MatMut { data: &mut c, rows: m, cols: n, row_stride: n + 2 };
        product(self.alpha, view(&a, m, k, self.a), view(&b, k, n, self.b), self.beta, out, epilogue);
        (c, saved)
    }

    /// Panics unless `product` agrees with the definition.
    ///
    /// An error bound that holds for every order of summation: each of K products and sums rounds once, relative to
    /// the sum of magnitudes, which is at most K·|α| here; α, β, scale, bias and residual add a few roundings of
    /// numbers below 3; the activation and its derivative are 1.1-Lipschitz. Errors add at random, so the square root
    /// of K is enough.
    fn check(&self, product: Run) {
        let exact = self.run(&oracle);
        let got = self.run(product);
        let k = self.shape.2 as f64;
        let tolerance = f32::EPSILON as f64 * (2.0 * k.sqrt() * (1.0 + k.sqrt()) * self.alpha.abs() as f64 + 16.0);
        for (exact, got) in [(exact.0, got.0), (exact.1, got.1)] {
            for (i, (e, g)) in exact.iter().zip(&got).enumerate() {
                let ok = (e.is_nan() && g.is_nan()) || ((e - g).abs() as f64) < tolerance;
                assert!(ok, "{self:?}: element {i} is {g}, not {e}");
            }
        }
    }
}

/// [`naive`] with products and sums in f64.
fn oracle(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, epilogue: Epilogue) {
    let at = |m: &Mat, i: usize, j: usize| m.data[i * m.row_stride + j * m.col_stride] as f64;
    let MatMut { data, rows, cols, row_stride } = c;
    for i in 0..rows {
        for j in 0..cols {
            let dot: f64 = (0..a.cols).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
            let c = &mut data[i * row_stride + j];
            *c = (alpha as f64 * dot + if beta == 0.0 { 0.0 } else { beta as f64 * *c as f64 }) as f32;
        }
    }
    // The epilogue by the definition, on a product without terms.
    let (a, b) = (Mat::new(&[], rows, 0), Mat::new(&[], 0, cols));
    naive(1.0, a, b, 1.0, MatMut { data, rows, cols, row_stride }, epilogue);
}

/// Runs `test` on every instruction set, and on the other backends.
fn each_product(test: impl Fn(Run)) {
    for isa in Isa::available() {
        test(&move |alpha, a, b, beta, c, epilogue| gemm_on(isa, alpha, a, b, beta, c, epilogue));
    }
    for &backend in Backend::ALL {
        test(&move |alpha, a, b, beta, c, epilogue| gemm_by(backend, alpha, a, b, beta, c, epilogue));
    }
}

#[test]
fn every_shape_and_layout() {
    each_product(|product| {
        for &shape in SHAPES {
            for a in LAYOUTS {
                for b in LAYOUTS {
                    for (alpha, beta) in [(1.0, 0.0), (-0.5, 1.0), (2.0, -0.75)] {
                        Case { shape, a, b, alpha, beta, last: Last::None }.check(product);
                    }
                }
            }
        }
    });
}

#[test]
fn every_epilogue() {
    each_product(|product| {
        for &shape in SHAPES {
            for last in LASTS {
                for (b, beta) in [(Layout::Rows, 0.0), (Layout::Columns, 0.5)] {
                    Case { shape, a: Layout::Rows, b, alpha: 1.5, beta, last }.check(product);
                }
            }
        }
    });
}

/// Operands that are packed in more than one piece, along each of M, N and K.
#[test]
#[cfg_attr(miri, ignore = "16 MB of products")]
fn operands_beyond_the_packing_budget() {
    for shape in [(3000, 40, 1600), (9, 8300, 20), (20, 2100, 3000)] {
        for a in [Layout::Rows, Layout::Columns] {
            Case { shape, a, b: Layout::Rows, alpha: 1.0, beta: 1.0, last: Last::Bias }.check(&gemm);
        }
    }
}

#[test]
fn an_empty_sum_is_zero_and_needs_no_data() {
    each_product(|product| {
        for (m, n) in [(1, 4), (4, 64), (if cfg!(miri) { 20 } else { 1100 }, 64)] {
            let bias = vec![2.0; n];
            let mut c = vec![f32::NAN; m * n];
            let (a, b) = (Mat::new(&[], m, 0), Mat::new(&[], n, 0).t());
            product(1.0, a, b, 0.0, MatMut::new(&mut c, m, n), Epilogue::Bias(&bias));
            assert!(c.iter().all(|&c| c == 2.0), "{m}×{n}");
            let b = Mat::new(&[], 0, n);
            product(1.0, a, b, -1.0, MatMut::new(&mut c, m, n), Epilogue::Bias(&bias));
            assert!(c.iter().all(|&c| c == 0.0), "{m}×{n}");
        }
    });
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let pools = [1, 2, 5].map(pool);
    let shapes: &[_] = if cfg!(miri) {
        // Just large enough for several threads.
        &[(17, 40, 780)]
    } else {
        &[(50, 256, 768), (10, 512, 2048), (1, 512, 512), (300, 520, 1000), (1100, 200, 400)]
    };
    each_product(|product| {
        for &shape in shapes {
            for (a, b) in
                [(Layout::Rows, Layout::Rows), (Layout::Rows, Layout::Columns), (Layout::Columns, Layout::Rows)]
            {
                let case = Case { shape, a, b, alpha: 1.0, beta: 0.5, last: Last::Save };
                let bits = |pool: &rayon::ThreadPool| {
                    let (c, saved) = pool.install(|| case.run(product));
                    c.iter().chain(&saved).map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                let one = bits(&pools[0]);
                assert!(pools.iter().all(|pool| bits(pool) == one), "{case:?}");
            }
        }
    });
}

#[test]
fn an_unknown_backend_is_refused_with_the_choices() {
    let refused = Backend::named("blas").unwrap_err();
    assert!(refused.starts_with("CLIP_GEMM=blas: there is simd, matrixmultiply"), "{refused}");
}

#[test]
#[should_panic(expected = "gemm shapes: 2×3 · 4×5 → 2×5")]
fn shapes_that_disagree_panic() {
    gemm(
        1.0,
        Mat::new(&[0.0; 6], 2, 3),
        Mat::new(&[0.0; 20], 4, 5),
        0.0,
        MatMut::new(&mut [0.0; 10], 2, 5),
        Epilogue::None,
    );
}

#[test]
#[should_panic(expected = "gemm A: 2×3 with strides 4 and 1 in 6 elements")]
fn a_view_beyond_its_data_panics() {
    let a = Mat { row_stride: 4, ..Mat::new(&[0.0; 6], 2, 3) };
    gemm(1.0, a, Mat::new(&[0.0; 3], 3, 1), 0.0, MatMut::new(&mut [0.0; 2], 2, 1), Epilogue::None);
}

#[test]
#[should_panic(expected = "gemm C: 3×2 with row stride 1 in 6 elements")]
fn overlapping_rows_of_c_panic() {
    let mut c = [0.0; 6];
    let c = MatMut { row_stride: 1, ..MatMut::new(&mut c, 3, 2) };
    gemm(1.0, Mat::new(&[0.0; 3], 3, 1), Mat::new(&[0.0; 2], 1, 2), 0.0, c, Epilogue::None);
}

#[test]
fn laid_out_weights() {
    // M on both sides of what makes a product flat, K on both sides of one piece of it, N of whole panels or not.
    let shapes: &[_] = if cfg!(miri) {
        &[(1, 32, 5), (14, 64, 1), (17, 32, 64), (1, 30, 7)]
    } else {
        &[
            (1, 32, 5),
            (12, 96, 770),
            (14, 64, 1),
            (17, 32, 64),
            (50, 160, 400),
            (1030, 64, 33),
            (1, 30, 7),
            (20, 75, 400),
            (1030, 33, 5),
        ]
    };
    for &shape @ (_, n, k) in shapes {
        for (a, last) in [(Layout::Rows, Last::Residual(Layout::Rows)), (Layout::Sparse, Last::Save)] {
            let case = Case { shape, a, b: Layout::Rows, alpha: 1.0, beta: 0.0, last };
            for isa in Isa::available() {
                case.check(&|_, a, b, _, c, epilogue| {
                    let mut weights: Vec<f32> = (0..n * k).map(|i| b.data[i % k * b.row_stride + i / k]).collect();
                    weights.resize(Panels::size(n, k), f32::NAN);
                    Panels::lay_out(&mut weights, n, k);
                    gemm_panels_on(isa, a, Panels::new(&weights, n, k), c, epilogue);
                });
            }
        }
    }
}

#[test]
fn weights_are_looked_up_and_cut_in_either_layout() {
    let (outputs, inputs) = (70, 5);
    let rows: Vec<f32> = (0u16..350).map(f32::from).collect();
    let mut panels = rows.clone();
    panels.resize(Panels::size(outputs, inputs), f32::NAN);
    Panels::lay_out(&mut panels, outputs, inputs);
    for weight in [Weight::Plain(&rows), Weight::Panels(Panels::new(&panels, outputs, inputs))] {
        let (head, tail) = weight.split_at(64 * inputs);
        for (i, expected) in rows.chunks(inputs).enumerate() {
            let mut out = [[f32::NAN; 5]; 2];
            weight.row(i, &mut out[0]);
            if i < 64 {
                head.row(i, &mut out[1])
            } else {
                tail.row(i - 64, &mut out[1])
            }
            assert!(out.iter().all(|out| out == expected), "{i}: {out:?}");
        }
        for range in [0..70, 3..5, 20..67, 32..64, 9..9] {
            let (mut next, mut seen) = (range.start, vec![]);
            for (some, view) in weight.matrices(range.clone(), inputs) {
                assert_eq!((some.start, view.rows, view.cols), (next, some.len(), inputs), "{range:?}");
                next = some.end;
                seen.extend(
                    (0..view.rows * inputs)
                        .map(|i| view.data[i / inputs * view.row_stride + i % inputs * view.col_stride]),
                );
            }
            assert_eq!(seen, rows[range.start * inputs..range.end * inputs], "{range:?}");
        }
    }
}

#[test]
#[should_panic(expected = "33 of 64 columns in panels of 32")]
fn panels_are_not_cut() {
    Weight::Panels(Panels::new(&[0.0; 256], 64, 4)).split_at(33 * 4);
}

#[test]
#[should_panic(expected = "30×4 weights in panels of 32 columns")]
fn panels_are_whole() {
    Panels::new(&[0.0; 120], 30, 4);
}

/// Operands whose last element is the last one of their memory, which the micro-kernel reads where they lie, in whole
/// groups of steps and with some left over. That no pointer leaves the memory, Miri sees.
#[test]
fn operands_at_the_end_of_their_memory() {
    each_product(|product| {
        for shape @ (m, n, k) in [(17, 64, 8), (20, 96, 4), (33, 32, 7), (4, 64, 8)] {
            let (a, b) = (random(1, m * k).into_boxed_slice(), random(2, k * n).into_boxed_slice());
            let c = |product: Run| {
                let mut c = vec![f32::NAN; m * n].into_boxed_slice();
                let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
                product(1.0, a, b, 0.0, MatMut::new(&mut c, m, n), Epilogue::None);
                c
            };
            for (exact, got) in c(&oracle).iter().zip(&c(product)) {
                // As in `Case::check`, for at most eight terms.
                assert!((exact - got).abs() < 40.0 * f32::EPSILON, "{shape:?}: {got}, not {exact}");
            }
        }
    });
}
