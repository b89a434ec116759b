//! Exercise: the backward pass of a softmax.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check, matrix};
use clipwright::tour::softmax::{softmax, softmax_backward as tour};

/// The forward pass is Pₙⱼ = exp(Sₙⱼ) / Σₖ exp(Sₙₖ). Return dS, of P and dP alone.
///
/// ```text
/// S, P, dP (N,M)
/// ```
fn softmax_backward(p: &Matrix, dp: &Matrix) -> Matrix {
    todo!("one score moves its own share up and all others of its row down")
}

fn judge(backward: impl Fn(&Matrix, &Matrix) -> Matrix) {
    for (rows, choices) in [(1, 1), (3, 4), (2, 9)] {
        let (scores, dp) = (draws((rows, choices), 1), draws((rows, choices), 2));
        check("dS", &scores, &backward(&softmax(&scores), &dp), |scores| dot(&dp, &softmax(scores)));
    }
}

#[test]
#[ignore = "an exercise"]
fn softmax_is_yours() {
    judge(softmax_backward);
}

#[test]
fn the_judge_of_softmax_is_fair() {
    judge(tour);
    let alone = |p: &Matrix, dp: &Matrix| matrix(p.len(), p[0].len(), |n, j| p[n][j] * (1.0 - p[n][j]) * dp[n][j]);
    refuses("dS[0][0]: given ", || judge(alone));
}
