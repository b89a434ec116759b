use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    random,
    trees::{Leaves, poisoned},
};
use clipwright::loss::contrast::Scores;
use clipwright::loss::one_way::{self, Saved, Scratch, Softmax, Targets};
use clipwright::loss::positives::Positives;
use clipwright::params::Spec;
use clipwright::tour::{blip, bridge::plain};
use ndarray::{Array2, ArrayView2};
use rayon::ThreadPoolBuilder;
use std::ops::Range;

/// The scale of the momentum model's scores: a distribution that is neither uniform nor one-hot.
const SOFT_SCALE: f32 = 0.7;

/// A case of N rows against M columns, with targets that are soft to a share of α.
struct Case {
    width: usize,
    weight: f32,
    hard: Positives,
    share: Option<f32>,
    momentum: [Array2<f32>; 2],
}

impl Case {
    fn new(width: usize, hard: Positives, share: Option<f32>) -> Self {
        let momentum = [(hard.len(), 7), (hard.columns(), 8)].map(|(n, seed)| random::matrix((n, width), seed));
        Case { width, weight: 0.5 / hard.len() as f32, hard, share, momentum }
    }

    fn name(&self) -> String {
        format!("one way, {} of {} columns, soft {:?}", self.hard.len(), self.hard.columns(), self.share)
    }

    fn spec(&self) -> Leaves<Spec, 1> {
        Leaves { names: ["logit_scale"], leaves: [Spec::new(&[], INIT)] }
    }

    /// Returns all of T in f64.
    fn targets(&self) -> Array2<f64> {
        let share = f64::from(self.share.unwrap_or(0.0));
        let [rows, cols] = self.momentum.each_ref().map(|x| x.mapv(f64::from));
        let mut targets = (rows.dot(&cols.t()) * f64::from(SOFT_SCALE)).mapv(f64::exp);
        for (i, mut row) in targets.rows_mut().into_iter().enumerate() {
            row *= share / row.sum();
            let positives = self.hard.of(i);
            positives.iter().for_each(|&j| row[j as usize] += (1.0 - share) / positives.len() as f64);
        }
        targets
    }

    /// weight · Σᵢ (lse of row i − Σⱼ Tᵢⱼ Sᵢⱼ)
    fn oracle(&self, targets: &Array2<f64>, logit_scale: f64, x: ArrayView2<f64>, y: ArrayView2<f64>) -> Array2<f64> {
        let scores = blip::similarity(&plain(x), &plain(y), (-logit_scale).exp());
        let mean = blip::target_loss(&scores, &plain(targets.view()));
        Array2::from_elem((1, 1), f64::from(self.weight) * x.nrows() as f64 * mean)
    }

    /// Returns the loss, dX, dY if asked for, and dlogit_scale.
    fn run(&self, x: ArrayView2<f32>, y: ArrayView2<f32>, logit_scale: f32, columns: bool) -> Given {
        let (n, m) = (x.nrows(), y.nrows());
        let scores = Scores { rows: x, cols: y, scale: logit_scale.exp() };
        let scratch = || poisoned(&Scratch::dims(n, m));
        let [rows, cols] = self.momentum.each_ref().map(|x| x.view());
        let mut lse = vec![f32::NAN; n];
        let soft = Softmax::new(Scores { rows, cols, scale: SOFT_SCALE }, &mut lse, &mut scratch());
        let targets = Targets { hard: &self.hard, soft: self.share.map(|share| (share, &soft as _)) };
        let saved = &mut poisoned(&Saved::dims(n, self.width));
        let loss = one_way::forward(&scores, &targets, self.weight, saved, &mut scratch());
        let [mut drows, mut dcols] = [x, y].map(|x| Array2::from_elem(x.dim(), f32::NAN));
        let (dr, dc) = (drows.view_mut(), columns.then(|| dcols.view_mut()));
        let dscale = one_way::backward(&scores, &targets, self.weight, saved, dr, dc, &mut scratch());
        Given { loss, drows, dcols, dscale }
    }
}

struct Given {
    loss: f32,
    drows: Array2<f32>,
    dcols: Array2<f32>,
    dscale: f32,
}

fn keys(n: usize, modulus: u64) -> Vec<u64> {
    (0..n as u64).map(|i| i * i % modulus).collect()
}

/// Makes a case whose rows are these of M pairs. Some pairs have the same concept or caption as others.
fn many_positives(own: Range<usize>, m: usize) -> Positives {
    let mut positives = Positives::default();
    positives.fill_for(own, &keys(m, 11), &keys(m, 17));
    positives
}

/// The check with as many rows as columns, with rows among more columns, and with fewer columns than a register holds.
fn cases() -> impl Iterator<Item = Case> {
    let positives = || {
        let diagonals = [(0..3, 3), (3..8, 13), (1..2, 2)].map(|(own, m)| Positives::diagonal_of(own, m));
        diagonals.into_iter().chain([many_positives(0..9, 9), many_positives(2..9, 21)])
    };
    [None, Some(0.4), Some(1.0)]
        .into_iter()
        .flat_map(move |share| positives().map(move |hard| Case::new(5, hard, share)))
}

fn check(case: &Case, judge: fn(&Layer<Leaves<Spec, 1>, 2>, Oracle, RunBoth)) {
    let inputs = [("rows", case.hard.len(), case.width), ("columns", case.hard.columns(), case.width)];
    let targets = case.targets();
    judge(
        &Layer::new(case.name(), case.spec(), inputs),
        &|p, [x, y]| case.oracle(&targets, p.leaves[0][0], x, y),
        &|Pass { p, x: [x, y], y: mut out, dy, dx: [mut drows, mut dcols], g }| {
            let given = case.run(x, y, p.leaves[0][0], true);
            out.fill(given.loss);
            drows.assign(&(given.drows * dy[[0, 0]]));
            dcols.assign(&(given.dcols * dy[[0, 0]]));
            let [dlogit_scale] = g.leaves;
            dlogit_scale[0] += dy[[0, 0]] * given.dscale;
        },
    );
}

type Oracle<'a> = &'a dyn Fn(&Leaves<&[f64], 1>, [ArrayView2<f64>; 2]) -> Array2<f64>;
type RunBoth<'a> = &'a dyn Fn(Pass<Leaves<Spec, 1>, 2>);

#[test]
fn every_entry() {
    cases().for_each(|case| check(&case, |layer, oracle, run| layer.check(oracle, run)));
}

/// The check with more than one tile in both directions, the last ones cut.
#[test]
fn many_tiles() {
    for share in [None, Some(0.4)] {
        let case = Case::new(3, many_positives(100..400, 4200), share);
        check(&case, |layer, oracle, run| layer.check_directions(oracle, run));
    }
}

/// Without the gradient of the columns, as for those from a queue, the rows and the scale get the same gradients.
#[test]
fn columns_without_a_gradient() {
    for case in cases() {
        let [x, y] = [1, 2].map(|seed| random::matrix(case.momentum[seed as usize - 1].dim(), seed));
        let [with, without] = [true, false].map(|columns| case.run(x.view(), y.view(), 0.3, columns));
        assert!(with.drows == without.drows && with.dscale == without.dscale && with.loss == without.loss);
        assert!(without.dcols.iter().all(|d| d.is_nan()), "nothing was written");
    }
}

/// A distribution by a closure that puts all weight on the positives gives the same result as the positives.
#[test]
fn a_closure_is_a_distribution() {
    let (hard, m) = (Positives::diagonal_of(2..6, 9), 9);
    let [x, y] = [(4, 1), (m, 2)].map(|(n, seed)| random::matrix((n, 5), seed));
    let scores = Scores { rows: x.view(), cols: y.view(), scale: 1.3 };
    let one_hot = |rows: &Range<usize>, cols: &Range<usize>, tile: &mut [f32]| {
        let places = rows.clone().flat_map(|i| cols.clone().map(move |j| (i, j)));
        tile.iter_mut().zip(places).for_each(|(t, (i, j))| *t = if j == i + 2 { 1.0 } else { 0.0 });
    };
    let [hard, soft] = [None, Some((0.6, &one_hot as _))].map(|soft| {
        let (saved, scratch) = (&mut poisoned(&Saved::dims(4, 5)), &mut poisoned(&Scratch::dims(4, m)));
        one_way::forward(&scores, &Targets { hard: &hard, soft }, 1.0, saved, scratch)
    });
    assert!((hard - soft).abs() < 1e-5 * hard, "{hard} and {soft}"); // 0.4 + 0.6 rounds
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let case = Case::new(64, many_positives(100..600, 5000), Some(0.4));
    let [x, y] = [(500, 1), (5000, 2)].map(|(n, seed)| random::matrix((n, 64), seed) * 0.1);
    let run = || {
        let Given { loss, drows, dcols, dscale } = case.run(x.view(), y.view(), 1.0, true);
        drows.into_iter().chain(dcols).chain([loss, dscale]).map(f32::to_bits).collect::<Vec<_>>()
    };
    let [one, two, five] =
        [1, 2, 5].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run));
    assert!(one == two && one == five);
}
