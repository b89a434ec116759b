//! Exercise: LayerNorm without weight and bias.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check, matrix};
use clipwright::tour::layer_norm::{normalised, normalised_backward as tour, statistics};

const EPS: f64 = 1e-5;

/// The forward pass is x̂ₙᵢ = (xₙᵢ − μₙ) rₙ, with the mean μₙ of row n and rₙ = 1/√(σₙ² + ε). Return dx.
///
/// `statistics(&x[n], eps)` of `clipwright::tour::layer_norm` returns (μₙ, rₙ), and `normalised(x, eps)` is x̂.
///
/// ```text
/// x, dx̂ (N,d)
/// ```
fn normalised_backward(x: &Matrix, eps: f64, dx_hat: &Matrix) -> Matrix {
    todo!("each entry moves its own x̂, and by μ and r all others of its row")
}

fn judge(backward: impl Fn(&Matrix, f64, &Matrix) -> Matrix) {
    for (rows, width) in [(1, 2), (3, 5), (2, 16)] {
        let (x, dx_hat) = (draws((rows, width), 1), draws((rows, width), 2));
        check("dx", &x, &backward(&x, EPS, &dx_hat), |x| dot(&dx_hat, &normalised(x, EPS)));
    }
}

#[test]
#[ignore = "an exercise"]
fn layer_norm_is_yours() {
    judge(normalised_backward);
}

#[test]
fn the_judge_of_layer_norm_is_fair() {
    judge(tour);
    let held_still = |x: &Matrix, eps: f64, dx_hat: &Matrix| {
        matrix(x.len(), x[0].len(), |n, i| statistics(&x[n], eps).1 * dx_hat[n][i])
    };
    refuses("dx[0][0]: given ", || judge(held_still));
}
