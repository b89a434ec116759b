//! Exercise: a picture is cut into patches.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check, matrix};
use clipwright::tour::patches::{Grid, cut, paste};

/// The forward pass cuts pictures into patches: number j of patch t is the number at `place(grid, t, j)` of its picture's
/// list. Row n is patch n % `patches(grid)` of picture n / `patches(grid)`. Both functions are in
/// `clipwright::tour::patches`.
/// Return the gradient by the pictures.
///
/// ```text
/// images (B, channels·height·width)   drows (B·patches, channels·patch²)
/// ```
fn cut_backward(grid: Grid, drows: &Matrix) -> Matrix {
    todo!("each number stands in one patch; where did it come from?")
}

fn judge(backward: impl Fn(Grid, &Matrix) -> Matrix) {
    let grid = Grid { channels: 3, height: 4, width: 6, patch: 2 };
    let (images, drows) = (draws((2, 72), 1), draws((12, 12), 2));
    check("dimages", &images, &backward(grid, &drows), |images| dot(&drows, &cut(grid, images)));
}

#[test]
#[ignore = "an exercise"]
fn patches_are_yours() {
    judge(cut_backward);
}

#[test]
fn the_judge_of_patches_is_fair() {
    judge(paste);
    refuses("dimages[0][2]: given ", || judge(|_, drows| matrix(2, 72, |n, i| drows[6 * n + i / 12][i % 12])));
}
