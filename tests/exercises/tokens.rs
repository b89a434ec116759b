//! Exercise: a table that is read by token ids.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::chain_rule::{Matrix, check, matrix};
use clipwright::tour::tokens::{pick, sum_by_row as tour};

/// The forward pass reads row `ids[n]` of a table for each n: xₙ = table[idₙ]. Return the gradient by the table, which
/// has `rows` rows.
///
/// ```text
/// table (rows,d)   ids (N)   dx (N,d)
/// ```
fn sum_by_row(rows: usize, ids: &[usize], dx: &Matrix) -> Matrix {
    todo!("a row that is read twice has two ways to the loss, and one that is not read has none")
}

fn judge(backward: impl Fn(usize, &[usize], &Matrix) -> Matrix) {
    let (table, ids, dx) = (draws((5, 3), 1), [4, 0, 4, 2, 4, 0], draws((6, 3), 2));
    check("dtable", &table, &backward(5, &ids, &dx), |table| dot(&dx, &pick(table, &ids)));
}

#[test]
#[ignore = "an exercise"]
fn tokens_are_yours() {
    judge(sum_by_row);
}

#[test]
fn the_judge_of_tokens_is_fair() {
    judge(tour);
    let last = |rows: usize, ids: &[usize], dx: &Matrix| {
        let mut dtable = matrix(rows, dx[0].len(), |_, _| 0.0);
        ids.iter().zip(dx).for_each(|(&id, dx)| dtable[id].clone_from(dx));
        dtable
    };
    refuses("dtable[0][0]: given ", || judge(last));
}
