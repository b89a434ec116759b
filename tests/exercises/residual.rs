//! Exercise: a branch beside the straight way.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::block::{Mlp, add, mlp, mlp_backward};
use clipwright::tour::chain_rule::{Matrix, check};

/// The forward pass is y = x + mlp(x). Return dx. `mlp_backward(p, x, dbranch).0` of `clipwright::tour::block` is the
/// gradient by the input of the branch, if `dbranch` is that by its output.
///
/// ```text
/// x, y, dy (N,d)
/// ```
fn residual_backward(p: &Mlp, x: &Matrix, dy: &Matrix) -> Matrix {
    todo!("x reaches y in two ways")
}

fn judge(backward: impl Fn(&Mlp, &Matrix, &Matrix) -> Matrix) {
    let (fc_weight, proj_weight) = (draws((6, 3), 1), draws((3, 6), 2));
    let [fc_bias, proj_bias] = [(6, 3), (3, 4)].map(|(len, seed)| draws((1, len), seed).remove(0));
    let p = Mlp { fc_weight, fc_bias, proj_weight, proj_bias };
    let (x, dy) = (draws((4, 3), 5), draws((4, 3), 6));
    check("dx", &x, &backward(&p, &x, &dy), |x| dot(&dy, &add(x, &mlp(&p, x))));
}

#[test]
#[ignore = "an exercise"]
fn residual_is_yours() {
    judge(residual_backward);
}

#[test]
fn the_judge_of_the_residual_is_fair() {
    judge(|p, x, dy| add(dy, &mlp_backward(p, x, dy).0));
    refuses("dx[0][0]: given ", || judge(|p, x, dy| mlp_backward(p, x, dy).0));
}
