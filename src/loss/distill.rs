//! CLIP's loss with a teacher: a picture chooses among captions, and a caption among pictures, both as the data says and
//! as a trained CLIP would choose (Hinton et al. 2015 for one model; OpenCLIP's `DistillClipLoss`; TinyCLIP: Wu et al.
//! 2023, section 3.1).
//!
//! The student's scores are S, the teacher's are S′, with a scale of their own. One direction is
//!
//! ```text
//! contrast = 1/N Σᵢ (lse of row i − mean of Sᵢⱼ over the positives j of i)
//! distill  = 1/N Σᵢ (lse of row i − Σⱼ P′ᵢⱼ Sᵢⱼ)        P′ = softmax of the rows of S′
//! ```
//!
//! and the loss is the mean of both directions' contrast + distill. The teacher gets no gradient.
//!
//! # Derivation
//! ```text
//! target             = ½·hard + ½·P′
//! contrast + distill = 2/N Σᵢ (lse of row i − Σⱼ targetᵢⱼ Sᵢⱼ)
//! ```
//!
//! This is [one direction of a contrastive loss](super::one_way) whose targets are soft to a half. The mean of two such
//! directions gives each the weight 1/N.
//!
//! # Memory
//! No N×N scores are stored, neither the student's nor the teacher's: both are made a tile at a time.

use super::contrast::Scores;
use super::one_way::{self, Saved, Scratch, Softmax, Targets};
use super::positives::Positives;
use crate::layers::floats_mut;
use crate::tree::{Dim, tree};
use ndarray::ArrayViewMut2;

tree! {
    /// The buffers of the loss: those of one direction, which both use in turn, and the gradients of the second one's rows
    /// and columns.
    ///
    /// `drows`, `dcols` (N,e)
    Buffers { one: Direction, drows, dcols }
}

tree! {
    /// What [`one_way`] needs, and the teacher's log-sum-exps.
    ///
    /// `lse` (1,N)
    Direction { saved: Saved, scratch: Scratch, lse }
}

impl Buffers<Dim> {
    /// Returns the sizes for N pairs of features of `width`.
    pub fn dims(n: usize, width: usize) -> Self {
        let one = Direction { saved: Saved::dims(n, width), scratch: Scratch::dims(n, n), lse: Dim(1, n) };
        Buffers { one, drows: Dim(n, width), dcols: Dim(n, width) }
    }
}

/// Computes the loss of N pairs and its gradients. `student` and `teacher` have the scores of all pictures (rows) and
/// captions (columns).
///
/// `dimages`, `dtexts` (N,e), both overwritten
///
/// Returns the loss and ∂loss/∂ln scale of the student.
#[track_caller]
pub fn loss(
    student: &Scores,
    teacher: &Scores,
    positives: &Positives,
    mut dimages: ArrayViewMut2<f32>,
    mut dtexts: ArrayViewMut2<f32>,
    buffers: &mut Buffers<ArrayViewMut2<f32>>,
) -> (f32, f32) {
    assert_eq!(student.dim(), teacher.dim(), "scores of the student and of the teacher");
    let Buffers { one, drows, dcols } = buffers;
    let (by_text, teacher_by_text) = (student.transposed(), teacher.transposed());
    let of_images = one_direction(student, teacher, positives, [dimages.view_mut(), dtexts.view_mut()], one);
    let of_texts = one_direction(&by_text, &teacher_by_text, positives, [drows.view_mut(), dcols.view_mut()], one);
    dimages += &*dcols;
    dtexts += &*drows;
    (of_images.0 + of_texts.0, of_images.1 + of_texts.1)
}

/// 1/N Σᵢ (2·lse of row i − Σⱼ (hardᵢⱼ + P′ᵢⱼ) Sᵢⱼ), its gradients by rows and columns, and that by ln scale
fn one_direction(
    student: &Scores,
    teacher: &Scores,
    positives: &Positives,
    [drows, dcols]: [ArrayViewMut2<f32>; 2],
    buffers: &mut Direction<ArrayViewMut2<f32>>,
) -> (f32, f32) {
    let Direction { saved, scratch, lse } = buffers;
    let weight = 1.0 / student.dim().0 as f32;
    let teacher = Scores { rows: teacher.rows.view(), cols: teacher.cols.view(), scale: teacher.scale };
    let soft = Softmax::new(teacher, floats_mut(lse.view_mut()), scratch);
    let targets = Targets { hard: positives, soft: Some((0.5, &soft)) };
    let loss = one_way::forward(student, &targets, weight, saved, scratch);
    (loss, one_way::backward(student, &targets, weight, saved, drows, Some(dcols), scratch))
}
