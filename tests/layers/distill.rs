//! CLIP's loss with a teacher: its gradients against an oracle with whole matrices of scores, and what a teacher is.

use super::shapes::INIT;
use crate::support::gradcheck::{Layer, Pass};
use crate::support::{
    oracle_models, random,
    trees::{Leaves, poisoned},
};
use clipwright::loss::contrast::Scores;
use clipwright::loss::distill::{self, Buffers};
use clipwright::loss::info_nce::{self, Saved, Scratch};
use clipwright::loss::positives::Positives;
use clipwright::params::Spec;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::ThreadPoolBuilder;

/// The factor of the teacher's scores.
const SCALE: f32 = 1.7;

/// N pairs of a student, and the features that its teacher has for them, of another width.
struct Case {
    width: usize,
    positives: Positives,
    teacher: [Array2<f32>; 2],
}

impl Case {
    fn new(positives: Positives, width: usize) -> Self {
        let teacher = [7, 8].map(|seed| random::matrix((positives.len(), width + 2), seed));
        Case { width, positives, teacher }
    }

    fn layer(&self) -> Layer<Leaves<Spec, 1>, 2> {
        let (n, spec) = (self.positives.len(), Leaves { names: ["logit_scale"], leaves: [Spec::new(&[], INIT)] });
        let inputs = [("images", n, self.width), ("texts", n, self.width)];
        Layer::new(format!("distill {n}×{}", self.width), spec, inputs)
    }

    /// contrast − ½ (mean over rows of Σⱼ P′ᵢⱼ ln Pᵢⱼ + the same over columns)
    fn oracle(&self, logit_scale: f64, images: ArrayView2<f64>, texts: ArrayView2<f64>) -> f64 {
        let [teacher_images, teacher_texts] = self.teacher.each_ref().map(|x| x.mapv(f64::from));
        let student = images.dot(&texts.t()) * logit_scale.exp();
        let teacher = teacher_images.dot(&teacher_texts.t()) * f64::from(SCALE);
        let cross = |axis: Axis| {
            let [student, teacher] = [&student, &teacher].map(|scores| {
                let lse = scores.mapv(f64::exp).sum_axis(axis).mapv(f64::ln).insert_axis(axis);
                scores - &lse
            });
            -(teacher.mapv(f64::exp) * student).sum() / images.nrows() as f64
        };
        let contrast = oracle_models::info_nce(images, texts, logit_scale, &self.positives);
        contrast + (cross(Axis(0)) + cross(Axis(1))) / 2.0
    }

    /// Returns the loss, both gradients, and that of the scale's logarithm.
    fn run(&self, logit_scale: f32, images: ArrayView2<f32>, texts: ArrayView2<f32>) -> (f32, [Array2<f32>; 2], f32) {
        let [rows, cols] = self.teacher.each_ref().map(|x| x.view());
        let teacher = Scores { rows, cols, scale: SCALE };
        let student = Scores { rows: images, cols: texts, scale: logit_scale.exp() };
        let buffers = &mut poisoned(&Buffers::dims(images.nrows(), images.ncols()));
        let mut gradients = [images, texts].map(|x| Array2::from_elem(x.dim(), f32::NAN));
        let [di, dt] = gradients.each_mut().map(|d| d.view_mut());
        let (loss, dscale) = distill::loss(&student, &teacher, &self.positives, di, dt, buffers);
        (loss, gradients, dscale)
    }
}

fn many_positives(n: usize) -> Positives {
    let keys = |modulus| (0..n as u64).map(|i| i * i % modulus).collect::<Vec<_>>();
    let mut positives = Positives::default();
    positives.fill(&keys(11), &keys(17));
    positives
}

type Oracle<'a> = &'a dyn Fn(&Leaves<&[f64], 1>, [ArrayView2<f64>; 2]) -> Array2<f64>;
type Run<'a> = &'a dyn Fn(Pass<Leaves<Spec, 1>, 2>);

/// `texts_share` spoils the gradient of the captions if it is not 1.
fn with<R>(case: &Case, texts_share: f32, judge: impl Fn(&Layer<Leaves<Spec, 1>, 2>, Oracle, Run) -> R) -> R {
    judge(
        &case.layer(),
        &|p, [images, texts]| Array2::from_elem((1, 1), case.oracle(p.leaves[0][0], images, texts)),
        &|Pass { p, x: [images, texts], mut y, dy, dx: [mut dimages, mut dtexts], g }| {
            let (loss, [di, dt], dscale) = case.run(p.leaves[0][0], images, texts);
            y.fill(loss);
            dimages.assign(&(di * dy[[0, 0]]));
            dtexts.assign(&(dt * dy[[0, 0]] * texts_share));
            let [dlogit_scale] = g.leaves;
            dlogit_scale[0] += dy[[0, 0]] * dscale;
        },
    )
}

#[test]
fn every_entry() {
    for (n, width) in [(2, 6), (3, 5), (13, 7)] {
        for positives in [Positives::diagonal(n), many_positives(n)] {
            with(&Case::new(positives, width), 1.0, |layer, oracle, run| layer.check(oracle, run));
        }
    }
}

#[test]
fn a_gradient_without_its_factor_is_found() {
    let case = Case::new(many_positives(13), 7);
    let found = with(&case, 0.999, |layer, oracle, run| layer.mismatches(oracle, run));
    assert_eq!(found.iter().map(|mismatch| &*mismatch.tensor).collect::<Vec<_>>(), ["dtexts"]);
}

/// The check with more than one tile, the last one cut.
#[test]
fn many_tiles() {
    let case = Case::new(many_positives(600), 3);
    with(&case, 1.0, |layer, oracle, run| layer.check_directions(oracle, run));
}

/// A student that has the teacher's scores has no gradient but that of the contrast, as the rest of the loss
/// is at its minimum.
#[test]
fn nothing_is_learnt_from_a_copy() {
    let mut case = Case::new(Positives::diagonal(9), 6);
    let [images, texts] = [1, 2].map(|seed| random::matrix((9, 6), seed));
    case.teacher = [images.clone() / SCALE, texts.clone()];
    let (_, copied, _) = case.run(0.0, images.view(), texts.view());
    let (saved, scratch) = (&mut poisoned(&Saved::dims(9)), &mut poisoned(&Scratch::dims(9)));
    let mut contrast = [&images, &texts].map(|x| Array2::from_elem(x.dim(), f32::NAN));
    let [di, dt] = contrast.each_mut().map(|d| d.view_mut());
    info_nce::forward(images.view(), texts.view(), 1.0, &case.positives, saved, scratch);
    info_nce::backward(images.view(), texts.view(), 1.0, &case.positives, saved, di, dt, scratch);
    for (copied, contrast) in copied.iter().zip(&contrast) {
        let apart = (copied - contrast).mapv(f32::abs).into_iter().fold(0.0, f32::max);
        assert!(apart < 1e-5, "{apart}");
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let case = Case::new(many_positives(600), 64);
    let [images, texts] = [1, 2].map(|seed| random::matrix((600, 64), seed) * 0.1);
    let run = || {
        let (loss, [di, dt], dscale) = case.run(1.0, images.view(), texts.view());
        di.into_iter().chain(dt).chain([loss, dscale]).map(f32::to_bits).collect::<Vec<_>>()
    };
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}
