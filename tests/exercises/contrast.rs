//! Exercise: CLIP's loss.

use crate::judge::{draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check};
use clipwright::tour::contrast::{info_nce, info_nce_backward as tour};
use clipwright::tour::unit_length::unit;

/// Picture i and caption i belong together. The forward pass is
///
/// ```text
/// S = s Î T̂ᵀ with s = exp(logit_scale)
/// loss = ½ (1/N Σᵢ (lse(row i) − Sᵢᵢ) + 1/N Σⱼ (lse(column j) − Sⱼⱼ))
/// ```
///
/// Return dÎ, dT̂ and dlogit_scale. `compare` and `softmaxes` of `clipwright::tour::contrast` return S, and the softmaxes
/// of its rows and of its columns.
///
/// ```text
/// Î, T̂ (N,e)   S (N,N)
/// ```
fn info_nce_backward(images: &Matrix, texts: &Matrix, logit_scale: f64) -> (Matrix, Matrix, f64) {
    todo!("first dS: each entry stands in one row and in one column")
}

fn judge(backward: impl Fn(&Matrix, &Matrix, f64) -> (Matrix, Matrix, f64)) {
    let (images, texts, logit_scale) = (unit(&draws((5, 3), 1)), unit(&draws((5, 3), 2)), vec![vec![1.3]]);
    let (dimages, dtexts, dlogit_scale) = backward(&images, &texts, logit_scale[0][0]);
    let loss = |images: &Matrix, texts: &Matrix, logit_scale: &Matrix| {
        info_nce(images, texts, logit_scale[0][0]).iter().sum::<f64>() / 2.0
    };
    check("dÎ", &images, &dimages, |images| loss(images, &texts, &logit_scale));
    check("dT̂", &texts, &dtexts, |texts| loss(&images, texts, &logit_scale));
    check("dlogit_scale", &logit_scale, &vec![vec![dlogit_scale]], |scale| loss(&images, &texts, scale));
}

#[test]
#[ignore = "an exercise"]
fn contrast_is_yours() {
    judge(info_nce_backward);
}

#[test]
fn the_judge_of_the_contrast_is_fair() {
    judge(tour);
    refuses("dT̂[0][0]: given ", || {
        judge(|images, texts, logit_scale| {
            let (dimages, _, dlogit_scale) = tour(images, texts, logit_scale);
            (dimages.clone(), dimages, dlogit_scale)
        });
    });
    refuses("dlogit_scale[0][0]: given ", || {
        judge(|images, texts, logit_scale| {
            let (dimages, dtexts, dlogit_scale) = tour(images, texts, logit_scale);
            // The gradient by s instead of that by its logarithm.
            (dimages, dtexts, dlogit_scale / logit_scale.exp())
        });
    });
}
