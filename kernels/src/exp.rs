//! eˣ without branches, for the loops that the compiler vectorises.
//!
//! ```text
//! x      = n·ln 2 + a        n whole, |a| ≤ ln 2 / 2
//! exp(x) = 2ⁿ·exp(a)
//! ```
//!
//! A short polynomial gives exp(a), and n goes straight into the exponent bits (Cody & Waite 1980, chapter 6).

use crate::isa::mul_add;

/// The least x whose exponential is a normal number: ln 2⁻¹²⁶ rounded up. Smaller results are flushed to 0, because
/// arithmetic on them is slow, and they are lost in the sums that they would be added to.
const MIN_X: f32 = -87.336_54;

/// The greatest x whose exponential is finite.
const MAX_X: f32 = 88.722_83;

/// Adding 1.5·2²³ leaves the nearest whole number in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts, the first with so few bits that n times it is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

/// The coefficients of (exp(a) − 1 − a)/a² on |a| ≤ ln 2 / 2, minimax; exp(a) comes out to a relative 3.1e-9.
const EXP: [f32; 5] = [0.499_999_93, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_459_9];

/// eˣ to within 2 ULP; 0 where it would be subnormal, ∞ where it overflows, NaN for NaN.
#[inline(always)]
#[allow(clippy::neg_cmp_op_on_partial_ord)] // NaN must fail the comparison
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    let shifted = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -LN_2[1], mul_add::<FMA>(n, -LN_2[0], x));
    let mut p = EXP[4];
    for i in (0..4).rev() {
        p = mul_add::<FMA>(p, r, EXP[i]);
    }
    let e_r = 1.0 + mul_add::<FMA>(r * r, p, r);
    let e_x = f32::from_bits(e_r.to_bits().wrapping_add(shifted.to_bits() << 23));
    let e_x = if x < MIN_X { 0.0 } else { e_x };
    if !(x <= MAX_X) { x + f32::INFINITY } else { e_x }
}

#[cfg(test)]
mod tests {
    use super::exp;
    use crate::isa::{Isa, multiversion};

    multiversion! {
        fn exp_all(x: &mut [f32]) {
            x.iter_mut().for_each(|x| *x = exp::<FMA>(*x));
        }
    }

    #[test]
    fn within_two_ulp_wherever_the_result_is_normal() {
        // Every 64th float of either sign up to where the exponential over- or underflows; far fewer under Miri.
        let step = if cfg!(miri) { 1 << 20 } else { 64 };
        let positive = (0..88.722_83f32.to_bits()).step_by(step).map(f32::from_bits);
        let negative = (0..87.336_5f32.to_bits()).step_by(step).map(|bits| -f32::from_bits(bits));
        let x: Vec<f32> = positive.chain(negative).collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            exp_all(isa, &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let exact = f64::from(x).exp();
                let ulp = f64::from((exact as f32).next_up() - exact as f32).min(exact * 2f64.powi(-23));
                assert!((f64::from(y) - exact).abs() <= 2.0 * ulp, "exp({x}) = {y} instead of {exact} on {isa:?}");
            }
        }
    }

    #[test]
    fn edges() {
        let x = [0.0, -0.0, -87.4, -103.0, -104.0, -1e30, f32::NEG_INFINITY, 88.8, 1e30, f32::INFINITY];
        let (zero, inf) = (0.0, f32::INFINITY);
        for isa in Isa::available() {
            let mut y = [x.as_slice(), &[f32::NAN; 33]].concat();
            exp_all(isa, &mut y);
            assert_eq!(y[..x.len()], [1.0, 1.0, zero, zero, zero, zero, zero, inf, inf, inf], "{isa:?}");
            assert!(y[x.len()..].iter().all(|y| y.is_nan()), "{isa:?}");
        }
    }
}
