//! Exercise: a window that moves over a picture.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check};
use clipwright::tour::convolution::{Conv, conv, conv_backward as tour};

/// The forward pass adds xₗᵢ Wₒᵢₜ to yₙₒ for every meeting (n, l, t): pixel l of x stands under place t of the window as
/// it makes pixel n of y. `meetings(sizes, pictures)` of `clipwright::tour::convolution` lists them, and Wₒᵢₜ is
/// `weight[o][i * kernel² + t]`. Return dx and dW.
///
/// ```text
/// x (pixels, channels)   W (O, channels·kernel²)   dy (pixels of y, O)
/// ```
fn conv_backward(sizes: Conv, x: &Matrix, weight: &Matrix, dy: &Matrix) -> (Matrix, Matrix) {
    todo!("the same meetings, the other way round")
}

fn judge(backward: impl Fn(Conv, &Matrix, &Matrix, &Matrix) -> (Matrix, Matrix)) {
    for stride in [1, 2] {
        let sizes = Conv { height: 4, width: 3, kernel: 3, stride };
        let (x, weight) = (draws((2 * 12, 2), 1), draws((3, 18), 2));
        let dy = draws((conv(sizes, &x, &weight).len(), 3), 3);
        let (dx, dweight) = backward(sizes, &x, &weight, &dy);
        check("dx", &x, &dx, |x| dot(&dy, &conv(sizes, x, &weight)));
        check("dW", &weight, &dweight, |weight| dot(&dy, &conv(sizes, &x, weight)));
    }
}

#[test]
#[ignore = "an exercise"]
fn convolution_is_yours() {
    judge(conv_backward);
}

#[test]
fn the_judge_of_the_convolution_is_fair() {
    judge(tour);
    refuses("dW[0][0]: given ", || judge(|sizes, x, weight, dy| (tour(sizes, x, weight, dy).0, weight.clone())));
}
