//! Planted faults: each backward pass here has one fault, and the check must find it and name the gradient.

use super::shapes::INIT;
use crate::support::{
    gradcheck::{Layer, Pass},
    oracle,
    trees::{Leaves, poisoned},
};
use clipwright::layers::layer_norm::{self, LayerNorm, Saved};
use clipwright::layers::linear::{self, Linear};
use clipwright::params::Spec;
use kernels::Write;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};

/// Returns the tensors that the check finds wrong after `spoil` has changed the gradients of a linear layer.
fn spoiled_linear(spoil: impl FnOnce(ArrayViewMut2<f32>, &mut Linear<&mut [f32]>)) -> Vec<String> {
    let mismatches = Layer::new("linear", Linear::spec(10, 6, INIT, INIT), [("x", 3, 10)]).mismatches(
        |p, [x]| oracle::linear(p, x),
        |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }| {
            linear::forward(&p, x, y);
            linear::backward(&p, x, dy, Write::Set, dx.view_mut(), &mut g);
            spoil(dx, &mut g);
        },
    );
    mismatches.into_iter().map(|mismatch| mismatch.tensor).collect()
}

#[test]
fn a_right_gradient_passes() {
    assert!(spoiled_linear(|_, _| {}).is_empty());
}

#[test]
fn an_entry_that_was_never_written() {
    assert_eq!(spoiled_linear(|mut dx, _| dx[[2, 9]] = f32::NAN), ["dx"]);
}

#[test]
fn an_entry_off_by_a_ten_thousandth() {
    assert_eq!(
        spoiled_linear(|_, g| g.bias[3] += 1e-4 * g.bias.iter().fold(0.0, |a: f32, b| a.max(b.abs()))),
        ["dbias"]
    );
}

#[test]
fn a_parameter_gradient_that_overwrites() {
    const WHAT_WAS_THERE: f32 = crate::support::gradcheck::START;
    assert_eq!(spoiled_linear(|_, g| g.weight.iter_mut().for_each(|dw| *dw -= WHAT_WAS_THERE)), ["dweight"]);
}

/// dx = r (dx̂ − mean(dx̂)): without x̂·mean(dx̂ ∘ x̂), as if the deviation did not depend on x.
#[test]
fn layer_norm_with_a_constant_deviation() {
    let (rows, width) = (3, 21);
    let mismatches = Layer::new("layer_norm", LayerNorm::spec(width), [("x", rows, width)]).mismatches(
        |p, [x]| oracle::layer_norm(p, 1e-5, x),
        |Pass { p, x: [x], y, dy, dx: [mut dx], mut g }| {
            let saved = &mut poisoned(&Saved::dims(rows));
            layer_norm::forward(&p, 1e-5, x, y, saved);
            layer_norm::backward(&p, x, saved, dy, Write::Set, dx.view_mut(), &mut g);
            for (n, mut dx) in dx.rows_mut().into_iter().enumerate() {
                let (mean, rstd) = (saved.mean[[n, 0]], saved.rstd[[n, 0]]);
                let normed = x.row(n).mapv(|x| (x - mean) * rstd);
                let g_normed = (0..width).map(|i| dy[[n, i]] * p.weight[i] * normed[i]).sum::<f32>() / width as f32;
                dx.scaled_add(rstd * g_normed, &normed);
            }
        },
    );
    assert_eq!(mismatches.iter().map(|mismatch| mismatch.tensor.as_str()).collect::<Vec<_>>(), ["dx"]);
}

/// dS = P ∘ dP: without ⟨dout, out⟩, as if the softmax did not normalise. An `out` of zeros drops it.
#[test]
fn attention_without_delta() {
    let attention = |out_seen_by_backward: fn(Array2<f32>) -> Array2<f32>| {
        let (rows, head_dim) = (7, 5);
        let no_parameters = Leaves { names: [], leaves: [] };
        let given = [("q", rows, head_dim), ("k", rows, head_dim), ("v", rows, head_dim)];
        let mismatches = Layer::new("attention", no_parameters, given).mismatches(
            |_, [q, k, v]| oracle::softmax_attention(q, k, v, true),
            |Pass { x: [q, k, v], mut y, dy, dx, .. }: Pass<Leaves<Spec, 0>, 3>| {
                let ranges = &[std::ops::Range { start: 0, end: rows }];
                let layout = Layout { q: ranges, kv: ranges, heads: 1, head_dim, causal: true, dropout: None };
                let [q, k, v, dout] = [q, k, v, dy].map(heads);
                let (mut lse, out) = (vec![f32::NAN; rows], y.as_slice_mut().unwrap());
                kernels::attention::forward(layout, q, k, v, HeadsMut { data: out, row_stride: head_dim }, &mut lse);
                let out = out_seen_by_backward(y.to_owned());
                let mut dqkv = Array2::from_elem((rows, 3 * head_dim), f32::NAN);
                let packed = DQkv::Packed(dqkv.as_slice_mut().unwrap());
                kernels::attention::backward(layout, q, k, v, heads(out.view()), &lse, dout, packed);
                for (i, mut dx) in dx.into_iter().enumerate() {
                    dx.assign(&dqkv.slice(s![.., i * head_dim..(i + 1) * head_dim]));
                }
            },
        );
        mismatches.into_iter().map(|mismatch| mismatch.tensor).collect::<Vec<_>>()
    };
    assert!(attention(|out| out).is_empty());
    assert_eq!(attention(|out| 0.0 * out), ["dq", "dk"]);
}

fn heads(x: ArrayView2<f32>) -> Heads {
    Heads { row_stride: x.ncols(), data: x.to_slice().expect("whole rows") }
}
