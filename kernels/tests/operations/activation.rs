//! QuickGELU and both forms of GELU against their definitions in f64.
use crate::support::{assert_same_bits, random};
use clipwright_kernels::Activation;
use clipwright_kernels::activation::naive;
use clipwright_kernels::isa::Isa;

const ALL: [Activation; 3] = [Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh];

/// Odd in number, over all that a network produces and far beyond.
fn inputs() -> Vec<f32> {
    let mut x: Vec<f32> = (-40_000..=40_000).map(|i| i as f32 * 5e-4).collect();
    x.extend([-1e30, -300.0, -88.5, -0.0, 1e-30, 300.0, 1e30, f32::MIN_POSITIVE]);
    x
}

/// A few roundings of numbers up to max(1, |x|): 4 ULP. That covers the 1e-7 of Φ's polynomial and of the exponential.
fn tolerance(x: f32) -> f64 {
    4.0 * f64::from(f32::EPSILON) * f64::from(x.abs().max(1.0))
}

#[track_caller]
fn check(what: &str, x: &[f32], actual: &[f32], expected: impl Fn(f64) -> f64) {
    for (&x, &a) in x.iter().zip(actual) {
        let e = expected(f64::from(x));
        assert!((f64::from(a) - e).abs() <= tolerance(x), "{what} at {x}: {a} instead of {e}");
    }
}

#[test]
fn every_isa_is_the_definition() {
    let x = inputs();
    for isa in Isa::available() {
        for act in ALL {
            let mut y = vec![f32::NAN; x.len()];
            act.forward_on(isa, &x, &mut y);
            check(&format!("{act:?} on {isa:?}"), &x, &y, |x| naive::apply(act, x));
            let mut dy = vec![1.0; x.len()];
            act.backward_on(isa, &x, &mut dy);
            check(&format!("{act:?}′ on {isa:?}"), &x, &dy, |x| naive::derivative(act, x));
        }
    }
}

#[test]
fn scalars_are_the_definition() {
    let x = inputs();
    for act in ALL {
        let y: Vec<f32> = x.iter().map(|&x| act.apply(x)).collect();
        check("apply", &x, &y, |x| naive::apply(act, x));
        let dy: Vec<f32> = x.iter().map(|&x| act.derivative(x)).collect();
        check("derivative", &x, &dy, |x| naive::derivative(act, x));
    }
}

#[test]
fn negative_tail_of_gelu_keeps_its_relative_precision() {
    // 1 + erf(x/√2) would lose all digits here. exp(−x²/2) amplifies the rounding of x²/2 ≤ 32 to 32 ULP.
    for i in 0..800 {
        let x = -(i as f32) * 0.01;
        let expected = naive::derivative(Activation::Gelu, f64::from(x));
        let (y, e) = (f64::from(Activation::Gelu.apply(x)), naive::apply(Activation::Gelu, f64::from(x)));
        if x > -5.0 {
            assert!((y - e).abs() <= 4e-6 * e.abs(), "{x}: {y} instead of {e}, slope {expected}");
        }
    }
}

#[test]
fn nan_stays_nan() {
    for act in ALL {
        assert!(act.apply(f32::NAN).is_nan() && act.derivative(f32::NAN).is_nan());
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let x = random(1, 200_003);
    for act in ALL {
        assert_same_bits(|| {
            let (mut y, mut dy) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            act.forward(&x, &mut y);
            act.backward(&x, &mut dy);
            [y, dy].concat()
        });
    }
}

#[test]
#[should_panic(expected = "x 3, y 2")]
fn lengths_are_checked() {
    Activation::Gelu.forward(&[0.0; 3], &mut [0.0; 2]);
}
