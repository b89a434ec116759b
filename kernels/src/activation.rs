//! The activations of a Transformer's MLP.
//!
//! GELU is x·Φ(x) with the standard normal distribution Φ (Hendrycks & Gimpel 2016, section 2). QuickGELU, x·σ(1.702 x),
//! is the first of the paper's two approximations. The second is x·½(1 + tanh a) with a = √(2/π)·(x + 0.044715 x³), and
//! since ½(1 + tanh a) = σ(2a) it is a gate by a sigmoid, too. Their derivatives:
//!
//! ```text
//! QuickGELU′ = gate + 1.702·x·gate·(1 − gate)        gate = σ(1.702 x)
//! GELU′      = Φ(x) + x·φ(x)                         φ(x) = exp(−x²/2)/√(2π)
//! tanh GELU′ = gate + 2a′·x·gate·(1 − gate)          gate = σ(2a), a′ = √(2/π)·(1 + 3·0.044715 x²)
//! ```

use crate::exp::exp;
use crate::isa::{Isa, mul_add, multiversion};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};

/// An activation of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(1.702 x), which every OpenAI checkpoint has.
    QuickGelu,
    /// x·Φ(x) with the exact error function, which most OpenCLIP checkpoints have.
    Gelu,
    /// x·½(1 + tanh(√(2/π)·(x + 0.044715 x³))), which JAX takes for GELU, and so SigLIP was trained with.
    GeluTanh,
}

impl Activation {
    /// Returns act(x).
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::QuickGelu => quick_gelu::<false>(x),
            Activation::Gelu => gelu::<false>(x),
            Activation::GeluTanh => gelu_tanh::<false>(x),
        }
    }

    /// Returns act′(x).
    pub fn derivative(self, x: f32) -> f32 {
        match self {
            Activation::QuickGelu => quick_gelu_derivative::<false>(x),
            Activation::Gelu => gelu_derivative::<false>(x),
            Activation::GeluTanh => gelu_tanh_derivative::<false>(x),
        }
    }

    /// y = act(x), elementwise
    #[track_caller]
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "activation: x {}, y {}", x.len(), y.len());
        let isa = Isa::best();
        for_pieces(x.len(), PIECE, (Rows(x, 1), RowsMut(y, 1)), &|(x, y)| self.forward_on(isa, x.0, y.0));
    }

    /// dy ← dy·act′(preact), elementwise, where the forward pass did act(preact)
    #[track_caller]
    pub fn backward(self, preact: &[f32], dy: &mut [f32]) {
        assert_eq!(preact.len(), dy.len(), "activation: preact {}, dy {}", preact.len(), dy.len());
        let isa = Isa::best();
        for_pieces(dy.len(), PIECE, (Rows(preact, 1), RowsMut(dy, 1)), &|(x, dy)| self.backward_on(isa, x.0, dy.0));
    }

    /// Computes [`Activation::forward`] on the caller's thread, for a block that is still in its cache.
    #[track_caller]
    pub fn forward_on(self, isa: Isa, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "activation: x {}, y {}", x.len(), y.len());
        forward(isa, self, x, y);
    }

    /// Computes [`Activation::backward`] on the caller's thread.
    #[track_caller]
    pub fn backward_on(self, isa: Isa, preact: &[f32], dy: &mut [f32]) {
        assert_eq!(preact.len(), dy.len(), "activation: preact {}, dy {}", preact.len(), dy.len());
        backward(isa, self, preact, dy);
    }
}

multiversion! {
    fn forward(activation: Activation, x: &[f32], y: &mut [f32]) {
        match activation {
            Activation::QuickGelu => map(x, y, |x, _| quick_gelu::<FMA>(x)),
            Activation::Gelu => map(x, y, |x, _| gelu::<FMA>(x)),
            Activation::GeluTanh => map(x, y, |x, _| gelu_tanh::<FMA>(x)),
        }
    }
}

multiversion! {
    fn backward(activation: Activation, preact: &[f32], dy: &mut [f32]) {
        match activation {
            Activation::QuickGelu => map(preact, dy, |x, dy| dy * quick_gelu_derivative::<FMA>(x)),
            Activation::Gelu => map(preact, dy, |x, dy| dy * gelu_derivative::<FMA>(x)),
            Activation::GeluTanh => map(preact, dy, |x, dy| dy * gelu_tanh_derivative::<FMA>(x)),
        }
    }
}

/// y ← f(x, y)
#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x, *y);
    }
}

/// The slope of QuickGELU's sigmoid.
const SLOPE: f32 = 1.702;

#[inline(always)]
fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

#[inline(always)]
fn quick_gelu<const FMA: bool>(x: f32) -> f32 {
    x * sigmoid::<FMA>(SLOPE * x)
}

#[inline(always)]
fn quick_gelu_derivative<const FMA: bool>(x: f32) -> f32 {
    let s = sigmoid::<FMA>(SLOPE * x);
    mul_add::<FMA>(SLOPE * x * s, 1.0 - s, s)
}

#[inline(always)]
fn gelu<const FMA: bool>(x: f32) -> f32 {
    x * normal::<FMA>(x).0
}

#[inline(always)]
fn gelu_derivative<const FMA: bool>(x: f32) -> f32 {
    let (cdf, pdf) = normal::<FMA>(x);
    mul_add::<FMA>(x, pdf, cdf)
}

/// 2·√(2/π), and 0.044715 times that.
const CUBIC: [f32; 2] = [1.595_769_2, 0.071_354_814];

#[inline(always)]
fn gelu_tanh<const FMA: bool>(x: f32) -> f32 {
    x * sigmoid::<FMA>(x * mul_add::<FMA>(CUBIC[1] * x, x, CUBIC[0]))
}

#[inline(always)]
fn gelu_tanh_derivative<const FMA: bool>(x: f32) -> f32 {
    let s = sigmoid::<FMA>(x * mul_add::<FMA>(CUBIC[1] * x, x, CUBIC[0]));
    // Far out, where the square overflows, the gate is 0 or 1.
    let slope = x * mul_add::<FMA>(3.0 * CUBIC[1] * x, x, CUBIC[0]);
    let rest = s * (1.0 - s);
    if rest == 0.0 { s } else { mul_add::<FMA>(slope, rest, s) }
}

/// The coefficients of Φ(−a)·exp(a²/2)/t as a polynomial in t = 1/(1 + 0.35 a), minimax over 0 ≤ a ≤ 14: relative
/// error 3.2e-8. (The form is that of Hastings 1955, also Abramowitz & Stegun 7.1.26, with four more terms.)
const TAIL: [f32; 9] = [
    0.139_621_4,
    0.139_861_87,
    0.119_832_89,
    0.105_507_92,
    -0.023_109_617,
    0.159_173_82,
    -0.255_713_94,
    0.143_971_54,
    -0.029_145_896,
];

/// Computes Φ(x) and φ(x), which share the exponential, through the upper tail Φ(−|x|), so that Φ keeps its relative
/// precision where it is small.
#[inline(always)]
fn normal<const FMA: bool>(x: f32) -> (f32, f32) {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let bell = exp::<FMA>(-0.5 * x * x);
    let t = 1.0 / mul_add::<FMA>(0.35, x.abs(), 1.0);
    let mut p = TAIL[8];
    for i in (0..8).rev() {
        p = mul_add::<FMA>(p, t, TAIL[i]);
    }
    let tail = bell * t * p;
    (if x < 0.0 { tail } else { 1.0 - tail }, INV_SQRT_2PI * bell)
}

/// The definitions, in f64.
#[doc(hidden)]
pub mod naive {
    use super::Activation;
    use std::f64::consts::{PI, SQRT_2};

    /// Returns act(x).
    pub fn apply(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::QuickGelu => x * sigmoid(1.702 * x),
            Activation::Gelu => x * cdf(x),
            Activation::GeluTanh => 0.5 * x * (1.0 + cubic(x).tanh()),
        }
    }

    /// Returns act′(x).
    pub fn derivative(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::QuickGelu => {
                let s = sigmoid(1.702 * x);
                s + 1.702 * x * s * (1.0 - s)
            }
            Activation::Gelu => cdf(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt(),
            Activation::GeluTanh => {
                let (tanh, cosh) = (cubic(x).tanh(), cubic(x).cosh());
                let slope = (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044_715 * x * x);
                // The hyperbolic cosine of a large number is infinite, and nothing is left of the slope.
                0.5 * (1.0 + tanh) + if cosh > 1e150 { 0.0 } else { 0.5 * x * slope / (cosh * cosh) }
            }
        }
    }

    /// √(2/π)·(x + 0.044715 x³)
    fn cubic(x: f64) -> f64 {
        (2.0 / PI).sqrt() * (x + 0.044_715 * x.powi(3))
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// Φ(x) = (1 + erf(x/√2))/2
    fn cdf(x: f64) -> f64 {
        0.5 * (1.0 + erf(x / SQRT_2))
    }

    /// 2/√π · e^(−x²) Σₙ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)): all terms have one sign, so nothing cancels.
    fn erf(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return x.signum();
        }
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        2.0 / PI.sqrt() * (-x * x).exp() * sum
    }
}
