//! Exercise: the curve that lets features decide.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check};
use clipwright::tour::gelu::{activate, activate_backward, gelu, gelu_slope as tour};

/// The curve is GELU(x) = x Φ(x), where Φ is the area under the bell curve φ to the left of x. Return its slope at x.
///
/// `normal_cdf(x)` is Φ(x) and `normal_pdf(x)` is φ(x); both are in `clipwright::tour::gelu`.
fn gelu_slope(x: f64) -> f64 {
    todo!("a product has two parts that move")
}

fn judge(slope: fn(f64) -> f64) {
    let (x, dy) = (draws((4, 6), 1), draws((4, 6), 2));
    check("dx", &x, &activate_backward(slope, &x, &dy), |x: &Matrix| dot(&dy, &activate(gelu, x)));
}

#[test]
#[ignore = "an exercise"]
fn gelu_is_yours() {
    judge(gelu_slope);
}

#[test]
fn the_judge_of_gelu_is_fair() {
    judge(tour);
    refuses("dx[0][0]: given ", || judge(clipwright::tour::gelu::normal_cdf));
}
