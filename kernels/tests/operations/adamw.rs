//! AdamW against its definition in f64.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::adamw::{Step, naive, step, step_on};
use clipwright_kernels::isa::Isa;

fn scalars(step: u64) -> Step {
    Step { lr: 1e-2, beta1: 0.9, beta2: 0.98, eps: 1e-6, weight_decay: 0.2, step, grad_scale: 0.5 }
}

#[test]
fn every_isa_is_the_definition() {
    for isa in Isa::available() {
        let [mut p, mut m, mut v] = [random(1, 1003), vec![0.0; 1003], vec![0.0; 1003]];
        let mut expected = [p.clone(), m.clone(), v.clone()];
        for t in 1..=20 {
            let mut g = random(100 + t, 1003);
            let [expected_p, expected_m, expected_v] = &mut expected;
            naive::step(&scalars(t), expected_p, &mut g.clone(), expected_m, expected_v);
            step_on(isa, &scalars(t), &mut p, &mut g, &mut m, &mut v);
            assert!(g.iter().all(|&g| g == 0.0));
        }
        // Each step rounds p ≤ 1 and a step ≤ lr a few times.
        assert_close("p", &p, &expected[0], 20.0 * 2.0 * f32::EPSILON);
        assert_close("m", &m, &expected[1], 4.0 * f32::EPSILON);
        assert_close("v", &v, &expected[2], 4.0 * f32::EPSILON);
    }
}

#[test]
fn first_step_is_the_sign_of_the_gradient() {
    // m/(1−β₁) = g and √(v/(1−β₂)) = |g|, so p moves by lr, whatever g.
    let (mut p, mut g, mut m, mut v) = ([0.0; 3], [3.0, -0.01, 700.0], [0.0; 3], [0.0; 3]);
    step(&Step { weight_decay: 0.0, ..scalars(1) }, &mut p, &mut g, &mut m, &mut v);
    // ε against |g|/2 = 0.005 is a relative 2e-4.
    assert_close("p", &p, &[-0.01, 0.01, -0.01], 0.01 * 3e-4);
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let n = 100_003;
    assert_same_bits(|| {
        let [mut p, mut g, mut m, mut v] =
            [random(1, n), random(2, n), random(3, n), random(4, n).iter().map(|x| x * x).collect()];
        step(&scalars(7), &mut p, &mut g, &mut m, &mut v);
        [p, g, m, v].concat()
    });
}

#[test]
#[should_panic(expected = "[2, 2, 1, 2]")]
fn lengths_are_checked() {
    step(&scalars(1), &mut [0.0; 2], &mut [0.0; 2], &mut [0.0; 1], &mut [0.0; 2]);
}
