//! Exercise: a linear layer.

use crate::judge::{dot, draws, refuses, row};
use clipwright::tour::chain_rule::{Matrix, check};
use clipwright::tour::linear::{self as tour, linear};

/// The forward pass is yₙₒ = Σᵢ xₙᵢ Wₒᵢ + bₒ. Return dx, dW and db.
///
/// ```text
/// x (N,I)   W (O,I)   b (O)   y, dy (N,O)
/// ```
fn linear_backward(x: &Matrix, weight: &Matrix, dy: &Matrix) -> (Matrix, Matrix, Vec<f64>) {
    todo!("in which outputs does one entry of x stand? one of W? one of b?")
}

fn judge(backward: impl Fn(&Matrix, &Matrix, &Matrix) -> (Matrix, Matrix, Vec<f64>)) {
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 2), (4, 2, 7)] {
        let (x, weight, bias) = (draws((rows, inputs), 1), draws((outputs, inputs), 2), draws((1, outputs), 3));
        let dy = draws((rows, outputs), 4);
        let (dx, dweight, dbias) = backward(&x, &weight, &dy);
        let loss = |x: &Matrix, weight: &Matrix, bias: &Matrix| dot(&dy, &linear(x, weight, &bias[0]));
        check("dx", &x, &dx, |x| loss(x, &weight, &bias));
        check("dW", &weight, &dweight, |weight| loss(&x, weight, &bias));
        check("db", &bias, &vec![dbias], |bias| loss(&x, &weight, bias));
    }
}

#[test]
#[ignore = "an exercise"]
fn linear_is_yours() {
    judge(linear_backward);
}

#[test]
fn the_judge_of_linear_is_fair() {
    judge(tour::linear_backward);
    refuses("dW[0][0]: given ", || {
        judge(|x, weight, dy| {
            let (dx, dweight, dbias) = tour::linear_backward(x, weight, dy);
            (dx, dweight.iter().map(|row| row.iter().map(|v| 2.0 * v).collect()).collect(), dbias)
        });
    });
    refuses("db[0][0]: given ", || {
        judge(|x, weight, dy| {
            let (dx, dweight, _) = tour::linear_backward(x, weight, dy);
            (dx, dweight, row(dy[0].len(), 9))
        });
    });
}
