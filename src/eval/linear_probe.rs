//! The linear probe: how well a linear classifier on the frozen image features does.
//!
//! It is multinomial logistic regression as scikit-learn's `LogisticRegression` defines it:
//!
//! ```text
//! S       = x Wᵀ + b
//! f(W, b) = 1/N Σₙ −ln P of the class of n + 1/(2CN) |W|²        P = softmax(S)
//! dS      = (P − onehot) / N
//! dW      = dSᵀ x + W/(CN)
//! db      = Σₙ dS
//! ```
//!
//! unit features x (N,e), weights W (classes,e), biases b (classes)
//!
//! f is convex. It is minimised by L-BFGS (Liu & Nocedal 1989) in f64, until the largest entry of the gradient is 10⁻⁴
//! of its value at W = 0, or for 1,000 steps, the limit in CLIP's paper. C is given or chosen as in the paper (Radford
//! et al. 2021, appendix A.3): a part of the training pictures is kept back to score seven powers of ten from 10⁻⁶ to
//! 10⁶, then the neighbours of the best one with ever smaller factors, down to an eighth of a decade.
//!
//! Work is cut into `PARTS` parts whose sums are added in order, so that the result has the same bits on any number of
//! threads.

use super::lbfgs::{self, Minimum};
use super::rank::{Rank, recall};
use super::zero_shot::TopK;
use crate::random::rng;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Largest entry of the gradient of a converged fit, as a share of the largest at the start.
const TOLERANCE: f64 = 1e-4;
/// Most steps of a fit, as in CLIP's paper.
const MAX_STEPS: usize = 1000;
/// Number of parts into which the sum over pictures is cut.
const PARTS: usize = 16;
/// Number of pictures that are converted to f64 at a time.
const ROWS: usize = 256;
/// One training picture in so many is kept back to choose C.
const KEPT_BACK: usize = 5;

/// Features of pictures with their classes.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// The features (N,e), rows of unit length.
    pub features: ArrayView2<'a, f32>,
    /// The class of each row.
    pub classes: &'a [usize],
}

/// A fitted classifier.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    /// W with b as an additional last column.
    ///
    /// `weights` (classes,e+1)
    weights: Array2<f64>,
    /// C, the inverse strength of the L2 penalty: |W|²/(2C) is added to the sum of the losses.
    pub c: f64,
    pub steps: usize,
    /// Whether the tolerance was reached before the limit of steps.
    pub converged: bool,
}

impl LinearProbe {
    /// Fits a classifier of K classes.
    ///
    /// # Panics
    /// Panics if there are no examples, a class is K or more, or the lengths differ.
    #[track_caller]
    pub fn fit(train: Examples, classes: usize, c: f64) -> Self {
        let width = train.features.ncols() + 1;
        Self::fit_from(train, c, Array2::zeros((classes, width)))
    }

    /// Fits a classifier of K classes with C chosen on a fifth of the training examples, which are drawn at random with
    /// a fixed seed. `done` is called after each of the [`FITS`].
    ///
    /// # Panics
    /// Panics if there are fewer than two examples, a class is K or more, or the lengths differ.
    #[track_caller]
    pub fn fit_choosing(train: Examples, classes: usize, done: impl Fn()) -> Self {
        let mut order: Vec<usize> = (0..train.classes.len()).collect();
        order.shuffle(&mut rng(&[0]));
        let (kept_back, fitted) = order.split_at((order.len() / KEPT_BACK).max(1));
        let features = [fitted, kept_back].map(|rows| train.features.select(Axis(0), rows));
        let own = [fitted, kept_back].map(|rows| rows.iter().map(|&row| train.classes[row]).collect::<Vec<_>>());
        let [fitted, kept_back] = [0, 1].map(|i| Examples { features: features[i].view(), classes: &own[i] });

        let mut weights = Array2::zeros((classes, train.features.ncols() + 1));
        let mut score = |exponent: f64| {
            // The solution for the last C is a good start for the next.
            let probe = Self::fit_from(fitted, 10f64.powf(exponent), std::mem::take(&mut weights));
            let accuracy = probe.score(kept_back).top1;
            weights = probe.weights;
            done();
            accuracy
        };
        let best = choose(&mut score);
        let probe = Self::fit(train, classes, 10f64.powf(best));
        done();
        probe
    }

    #[track_caller]
    fn fit_from(train: Examples, c: f64, weights: Array2<f64>) -> Self {
        let (shape, (n, labels)) = (weights.dim(), (train.features.nrows(), train.classes.len()));
        assert!(n == labels && n > 0, "features {:?}, {labels} classes", train.features.dim());
        assert!(train.classes.iter().all(|&class| class < shape.0), "a class above {}", shape.0);
        let start = weights.into_raw_vec_and_offset().0;
        let zero = vec![0.0; start.len()];
        let mut gradient = zero.clone();
        objective(train, c, ArrayView2::from_shape(shape, &zero).expect("its shape"), &mut gradient);
        let tolerance = TOLERANCE * lbfgs::largest(&gradient);
        let f = |x: &[f64], g: &mut [f64]| objective(train, c, ArrayView2::from_shape(shape, x).expect("its shape"), g);
        let Minimum { x, steps, converged } = lbfgs::minimise(f, start, tolerance, MAX_STEPS);
        LinearProbe { weights: Array2::from_shape_vec(shape, x).expect("its shape"), c, steps, converged }
    }

    /// Returns top-1 and top-5 accuracy; ties count by their expected value.
    #[track_caller]
    pub fn score(&self, test: Examples) -> TopK {
        let (w, b) = split(self.weights.view());
        let rank = |(x, &class): (ArrayView1<f32>, &usize)| {
            let scores: Vec<f32> = (w.dot(&x.mapv(f64::from)) + b).iter().map(|&z| z as f32).collect();
            Rank::of(&scores, &[class])
        };
        let rows: Vec<_> = test.features.rows().into_iter().zip(test.classes).collect();
        let ranks: Vec<Rank> = rows.into_par_iter().map(rank).collect();
        TopK { top1: recall(&ranks, 1), top5: recall(&ranks, 5) }
    }
}

/// Number of fits that [`LinearProbe::fit_choosing`] makes: seven powers of ten, two neighbours at each of four
/// distances, and the final fit.
pub const FITS: usize = 7 + 2 * 4 + 1;

/// Returns the exponent with the best score among −6, −4 … 6 and then among both neighbours of the best at a distance
/// of 1, ½, ¼ and ⅛. Of equal scores the smallest exponent wins, which has the stronger penalty.
fn choose(score: &mut impl FnMut(f64) -> f64) -> f64 {
    let (mut best, mut highest) = (0.0, f64::NEG_INFINITY);
    let mut consider = |exponent: f64, best: &mut f64| {
        let score = score(exponent);
        if score > highest || (score == highest && exponent < *best) {
            (*best, highest) = (exponent, score);
        }
    };
    (-3..=3).for_each(|i| consider(2.0 * f64::from(i), &mut best));
    for step in [1.0, 0.5, 0.25, 0.125] {
        let centre = best;
        [centre - step, centre + step].into_iter().for_each(|exponent| consider(exponent, &mut best));
    }
    best
}

/// Returns f at the weights (classes,e+1) and writes its gradient.
fn objective(train: Examples, c: f64, weights: ArrayView2<f64>, gradient: &mut [f64]) -> f64 {
    let n = train.classes.len();
    let part = |rows: std::ops::Range<usize>| {
        let mut own = Array2::zeros(weights.dim());
        let starts = rows.clone().step_by(ROWS);
        let loss: f64 =
            starts.map(|start| block(train, start..rows.end.min(start + ROWS), weights, own.view_mut())).sum();
        (loss, own)
    };
    let parts: Vec<_> = (0..PARTS).into_par_iter().map(|i| part(i * n / PARTS..(i + 1) * n / PARTS)).collect();

    let mut total = ArrayViewMut2::from_shape(weights.dim(), gradient).expect("as many as weights");
    total.fill(0.0);
    let mut loss = 0.0;
    for (part_loss, part) in &parts {
        loss += part_loss;
        total += part;
    }
    let (scale, penalty) = (1.0 / n as f64, 1.0 / (c * n as f64));
    total *= scale;
    let (w, _) = split(weights);
    total.slice_axis_mut(Axis(1), Slice::from(..w.ncols())).scaled_add(penalty, &w);
    scale * loss + 0.5 * penalty * w.iter().map(|w| w * w).sum::<f64>()
}

/// Returns the summed loss of some rows and adds the gradients of W and b to `gradient`.
fn block(
    train: Examples,
    rows: std::ops::Range<usize>,
    weights: ArrayView2<f64>,
    mut gradient: ArrayViewMut2<f64>,
) -> f64 {
    let (w, b) = split(weights);
    let x = train.features.slice_axis(Axis(0), Slice::from(rows.clone())).mapv(f64::from);
    let mut z = x.dot(&w.t()) + b;
    let mut loss = 0.0;
    for (mut z, &class) in z.rows_mut().into_iter().zip(&train.classes[rows]) {
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let own = z[class] - largest;
        z.mapv_inplace(|z| (z - largest).exp());
        let sum = z.sum();
        loss += sum.ln() - own;
        // From here on z holds dS, without its factor 1/N.
        z /= sum;
        z[class] -= 1.0;
    }
    let (mut dw, mut db) = gradient.view_mut().split_at(Axis(1), w.ncols());
    general_mat_mul(1.0, &z.t(), &x, 1.0, &mut dw);
    db.column_mut(0).scaled_add(1.0, &z.sum_axis(Axis(0)));
    loss
}

/// Splits a matrix (classes,e+1) into W and b.
fn split(weights: ArrayView2<f64>) -> (ArrayView2<f64>, ArrayView1<f64>) {
    let (w, b) = weights.split_at(Axis(1), weights.ncols() - 1);
    (w, b.index_axis_move(Axis(1), 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Makes noisy features around a centre for each class.
    fn examples(n: usize, width: usize, classes: usize, noise: f32) -> (Array2<f32>, Vec<usize>) {
        let mut rng = rng(&[7]);
        let centres = Array2::from_shape_simple_fn((classes, width), || rng.random_range(-1.0f32..1.0));
        let class: Vec<usize> = (0..n).map(|i| i % classes).collect();
        let mut x = centres.select(Axis(0), &class);
        x.mapv_inplace(|v| v + noise * rng.random_range(-1.0f32..1.0));
        for mut row in x.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        (x, class)
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (x, classes) = examples(700, 5, 4, 0.8);
        let train = Examples { features: x.view(), classes: &classes };
        let mut rng = rng(&[1]);
        let w: Vec<f64> = (0..24).map(|_| rng.random_range(-2.0..2.0)).collect();
        let at = |w: &[f64], g: &mut [f64]| objective(train, 0.1, ArrayView2::from_shape((4, 6), w).unwrap(), g);
        let (mut g, mut unused) = (vec![f64::NAN; 24], vec![0.0; 24]);
        at(&w, &mut g);
        let h = 1e-5;
        for i in 0..24 {
            let mut moved = |by: f64| {
                let mut w = w.clone();
                w[i] += by;
                at(&w, &mut unused)
            };
            let numeric = (moved(h) - moved(-h)) / (2.0 * h);
            // The differences' own error is h² f‴/6 + 10⁻¹⁶/h, about 10⁻¹⁰.
            assert!((g[i] - numeric).abs() < 1e-8, "entry {i}: {} and {numeric}", g[i]);
        }
    }

    #[test]
    fn the_fit_is_the_minimum() {
        let (x, classes) = examples(900, 6, 3, 0.9);
        let train = Examples { features: x.view(), classes: &classes };
        for c in [0.01, 1.0, 100.0] {
            let probe = LinearProbe::fit(train, 3, c);
            assert!(probe.converged, "C {c}");
            let mut g = vec![0.0; 21];
            let value = objective(train, c, probe.weights.view(), &mut g);
            // Plain gradient descent, long enough, must not find anything lower.
            let mut w = Array2::<f64>::zeros((3, 7));
            let mut descended = f64::INFINITY;
            for _ in 0..20_000 {
                descended = objective(train, c, w.view(), &mut g);
                w.scaled_add(-1.0, &ArrayView2::from_shape((3, 7), &g).unwrap());
            }
            assert!(value <= descended + 1e-5, "C {c}: {value} above {descended}");
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (x, classes) = examples(500, 8, 5, 0.9);
        let fit = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let train = Examples { features: x.view(), classes: &classes };
            pool.install(|| LinearProbe::fit(train, 5, 10.0).weights)
        };
        assert!(fit(1) == fit(3));
    }

    #[test]
    fn separable_classes_are_told_apart_and_noise_is_not() {
        let (x, classes) = examples(600, 12, 6, 0.1);
        let train = Examples { features: x.slice_axis(Axis(0), Slice::from(..300)), classes: &classes[..300] };
        let test = Examples { features: x.slice_axis(Axis(0), Slice::from(300..)), classes: &classes[300..] };
        let fits = std::cell::Cell::new(0);
        let probe = LinearProbe::fit_choosing(train, 6, || fits.set(fits.get() + 1));
        assert_eq!((probe.score(test).top1, fits.get()), (1.0, FITS));
        let mut shuffled = classes.clone();
        shuffled.shuffle(&mut rng(&[3]));
        let train = Examples { features: x.slice_axis(Axis(0), Slice::from(..300)), classes: &shuffled[..300] };
        let test = Examples { features: x.slice_axis(Axis(0), Slice::from(300..)), classes: &shuffled[300..] };
        assert!(LinearProbe::fit(train, 6, 1.0).score(test).top1 < 0.35);
    }

    #[test]
    fn the_sweep_finds_a_peak_to_an_eighth_of_a_decade() {
        for peak in [-5.3, -1.0, 0.4, 3.9] {
            let mut tried = 0;
            let best = choose(&mut |exponent: f64| {
                tried += 1;
                -(exponent - peak).abs()
            });
            assert!((best - peak).abs() <= 0.125 && tried == FITS - 1, "{peak}: {best} after {tried}");
        }
        assert_eq!(choose(&mut |_| 0.5), -6.0 - 1.0 - 0.5 - 0.25 - 0.125);
    }
}
