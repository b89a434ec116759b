//! Exercise: rows of length 1.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check, matrix};
use clipwright::tour::unit_length::{length, unit, unit_backward as tour};

/// The forward pass is y = x / |x| for each row, where |x| = √(Σₖ xₖ²) is `length(x)` of
/// `clipwright::tour::unit_length`. Return dx.
///
/// ```text
/// x, y, dy (N,e)
/// ```
fn unit_backward(x: &Matrix, dy: &Matrix) -> Matrix {
    todo!("what would a move along x itself do to y?")
}

fn judge(backward: impl Fn(&Matrix, &Matrix) -> Matrix) {
    for (rows, width) in [(1, 1), (3, 4), (2, 7)] {
        let (x, dy) = (draws((rows, width), 1), draws((rows, width), 2));
        check("dx", &x, &backward(&x, &dy), |x| dot(&dy, &unit(x)));
    }
}

#[test]
#[ignore = "an exercise"]
fn unit_length_is_yours() {
    judge(unit_backward);
}

#[test]
fn the_judge_of_unit_length_is_fair() {
    judge(tour);
    refuses("dx[0][0]: given ", || judge(|x, dy| matrix(x.len(), x[0].len(), |n, i| dy[n][i] / length(&x[n]))));
}
