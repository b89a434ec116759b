//! Exercise: one head of attention.

use crate::judge::{dot, draws, refuses};
use clipwright::tour::attention::{attend, attend_backward as tour};
use clipwright::tour::chain_rule::{Matrix, check};

/// The forward pass is S = q kᵀ/√c, P = the softmax of each row of S, out = P·v. With `causal`, row i does not see the
/// rows behind it: its shares of them are 0. Return dq, dk and dv.
///
/// `shares(q, k, causal)` of `clipwright::tour::attention` is P, and `softmax_backward` of `clipwright::tour::softmax`
/// may be of use.
///
/// ```text
/// q, dout (N,c)   k, v (M,c)   S, P (N,M)
/// ```
fn attend_backward([q, k, v]: [&Matrix; 3], causal: bool, dout: &Matrix) -> [Matrix; 3] {
    todo!("from dout to dP and dv, from dP to dS, from dS to dq and dk")
}

fn judge(backward: impl Fn([&Matrix; 3], bool, &Matrix) -> [Matrix; 3]) {
    for (queries, keys, c, causal) in [(3, 4, 2, false), (5, 5, 3, true)] {
        let [q, k, v] = [(queries, 1), (keys, 2), (keys, 3)].map(|(rows, seed)| draws((rows, c), seed));
        let dout = draws((queries, c), 4);
        let [dq, dk, dv] = backward([&q, &k, &v], causal, &dout);
        check("dv", &v, &dv, |v| dot(&dout, &attend([&q, &k, v], causal)));
        check("dq", &q, &dq, |q| dot(&dout, &attend([q, &k, &v], causal)));
        check("dk", &k, &dk, |k| dot(&dout, &attend([&q, k, &v], causal)));
    }
}

#[test]
#[ignore = "an exercise"]
fn attention_is_yours() {
    judge(attend_backward);
}

#[test]
fn the_judge_of_attention_is_fair() {
    judge(tour);
    refuses("dk[0][0]: given ", || {
        judge(|[q, k, v], causal, dout| {
            let [dq, _, dv] = tour([q, k, v], causal, dout);
            [dq.clone(), draws((k.len(), q[0].len()), 9), dv]
        });
    });
}
