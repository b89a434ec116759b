//! Softmax cross-entropy of rows of logits, each with one right class, smoothed.
//!
//! For a row S of V logits with its class (Szegedy et al. 2016, section 7):
//!
//! ```text
//! P       = softmax(S)
//! targetⱼ = (1 − smoothing)·(1 if j is the class, else 0) + smoothing/V
//! loss    = −Σⱼ targetⱼ ln Pⱼ
//!         = lse(S) − (1 − smoothing)·S of the class − smoothing·mean(S)
//! dS      = P − target
//! ```

use crate::exp::exp;
use crate::isa::{Isa, multiversion};
use crate::lanes;
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};

/// A thread takes this many logits at a time: a quarter of a streaming piece, because each takes an exponential.
const LOGIT_PIECE: usize = PIECE / 4;

/// loss\[i\] ← the loss of row i.
///
/// `logits` (N,V), `classes`, `loss` (N)
#[track_caller]
pub fn forward(logits: &[f32], classes: &[u32], smoothing: f32, loss: &mut [f32]) {
    forward_on(Isa::best(), logits, classes, smoothing, loss);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, logits: &[f32], classes: &[u32], smoothing: f32, loss: &mut [f32]) {
    let vocabulary = check(logits, classes, &[loss.len()]);
    let parts = (Rows(logits, vocabulary), Rows(classes, 1), RowsMut(loss, 1));
    for_pieces(classes.len(), LOGIT_PIECE.div_ceil(vocabulary), parts, &|(logits, classes, loss)| {
        losses(isa, logits.0, classes.0, smoothing, loss.0)
    });
}

/// Puts the gradient of Σ weights·loss in place of the logits.
///
/// ```text
/// loss[i]   ← the loss of row i
/// hits[i]   ← 1 if no class has a larger logit than that of row i, else 0
/// logits[i] ← weights[i]·(P − target)
/// ```
///
/// `logits` (N,V), `classes`, `weights`, `loss`, `hits` (N)
#[track_caller]
pub fn backward(
    logits: &mut [f32],
    classes: &[u32],
    weights: &[f32],
    smoothing: f32,
    loss: &mut [f32],
    hits: &mut [f32],
) {
    backward_on(Isa::best(), logits, classes, weights, smoothing, loss, hits);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(
    isa: Isa,
    logits: &mut [f32],
    classes: &[u32],
    weights: &[f32],
    smoothing: f32,
    loss: &mut [f32],
    hits: &mut [f32],
) {
    let vocabulary = check(logits, classes, &[weights.len(), loss.len(), hits.len()]);
    let targets = (Rows(classes, 1), Rows(weights, 1));
    let parts = (RowsMut(logits, vocabulary), targets, RowsMut(loss, 1), RowsMut(hits, 1));
    for_pieces(classes.len(), LOGIT_PIECE.div_ceil(vocabulary), parts, &|(logits, (classes, weights), loss, hits)| {
        gradients(isa, logits.0, classes.0, weights.0, smoothing, loss.0, hits.0)
    });
}

/// Returns the number V of classes; panics unless there are as many rows everywhere and every class is below V.
#[track_caller]
fn check(logits: &[f32], classes: &[u32], lines: &[usize]) -> usize {
    let rows = classes.len();
    assert!(
        if rows == 0 { logits.is_empty() } else { !logits.is_empty() && logits.len().is_multiple_of(rows) }
            && lines.iter().all(|&len| len == rows),
        "cross-entropy: {} logits for {rows} rows, lines of {lines:?}",
        logits.len()
    );
    let vocabulary = (logits.len() / rows.max(1)).max(1);
    if let Some(class) = classes.iter().find(|&&class| class as usize >= vocabulary) {
        panic!("cross-entropy: class {class} of {vocabulary}");
    }
    vocabulary
}

/// Returns the loss of one row from its log-sum-exp, the logit of its class, and the sum of all its logits.
#[inline(always)]
fn loss_of(lse: f32, right: f32, mean: f32, smoothing: f32) -> f32 {
    // Differences are taken first, because lse and the logits may be large where the loss is small.
    (1.0 - smoothing) * (lse - right) + smoothing * (lse - mean)
}

multiversion! {
    /// Computes the losses of some rows.
    fn losses(logits: &[f32], classes: &[u32], smoothing: f32, loss: &mut [f32]) {
        let vocabulary = logits.len() / classes.len().max(1);
        for ((z, &class), loss) in logits.chunks_exact(vocabulary.max(1)).zip(classes).zip(loss) {
            let max = lanes::max(z);
            let sum = lanes::sum([z], |[z]| exp::<FMA>(z - max));
            let mean = lanes::sum([z], |[z]| z) / vocabulary as f32;
            *loss = loss_of(max + sum.ln(), z[class as usize], mean, smoothing);
        }
    }
}

multiversion! {
    /// Computes the losses of some rows and puts the gradients in the place of their logits.
    fn gradients(
        logits: &mut [f32],
        classes: &[u32],
        weights: &[f32],
        smoothing: f32,
        loss: &mut [f32],
        hits: &mut [f32],
    ) {
        let vocabulary = logits.len() / classes.len().max(1);
        let rows = logits.chunks_exact_mut(vocabulary.max(1)).zip(loss).zip(hits);
        for (((z, loss), hit), (&class, &weight)) in rows.zip(classes.iter().zip(weights)) {
            let (class, max) = (class as usize, lanes::max(z));
            let (right, mean) = (z[class], lanes::sum([z], |[z]| z) / vocabulary as f32);
            *hit = f32::from(u8::from(right == max));
            z.iter_mut().for_each(|z| *z = exp::<FMA>(*z - max));
            let sum = lanes::sum([z], |[e]| e);
            *loss = loss_of(max + sum.ln(), right, mean, smoothing);
            let (scale, everywhere) = (weight / sum, weight * smoothing / vocabulary as f32);
            z.iter_mut().for_each(|z| *z = *z * scale - everywhere);
            z[class] -= weight * (1.0 - smoothing);
        }
    }
}

/// The definitions, in f64.
pub mod naive {
    pub fn forward(logits: &[f32], classes: &[u32], smoothing: f32, loss: &mut [f32]) {
        let (weights, mut hits) = (vec![1.0; classes.len()], vec![0.0; classes.len()]);
        backward(&mut logits.to_vec(), classes, &weights, smoothing, loss, &mut hits);
    }

    pub fn backward(
        logits: &mut [f32],
        classes: &[u32],
        weights: &[f32],
        smoothing: f32,
        loss: &mut [f32],
        hits: &mut [f32],
    ) {
        let (vocabulary, smoothing) = (logits.len() / classes.len(), f64::from(smoothing));
        for (i, row) in logits.chunks_exact_mut(vocabulary).enumerate() {
            let z: Vec<f64> = row.iter().map(|&z| f64::from(z)).collect();
            let max = z.iter().fold(f64::NEG_INFINITY, |max, &z| max.max(z));
            let lse = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
            let target = |v: usize| {
                let right = if v == classes[i] as usize { 1.0 - smoothing } else { 0.0 };
                right + smoothing / vocabulary as f64
            };
            loss[i] = (0..vocabulary).map(|v| target(v) * (lse - z[v])).sum::<f64>() as f32;
            hits[i] = if z.iter().all(|&other| other <= z[classes[i] as usize]) { 1.0 } else { 0.0 };
            for (v, out) in row.iter_mut().enumerate() {
                *out = (f64::from(weights[i]) * ((z[v] - lse).exp() - target(v))) as f32;
            }
        }
    }
}
