//! L-BFGS, which minimises a smooth convex function from its value and gradient (Liu & Nocedal 1989).
//!
//! The inverse Hessian is never formed. It is represented by the last `MEMORY` steps s = x′ − x and gradient changes
//! y = g′ − g, and two loops over them turn a gradient into a direction (Nocedal & Wright 2006, algorithm 7.4). The
//! length of a step satisfies the weak Wolfe conditions and is found by doubling and halving (Lewis & Overton 2013,
//! algorithm 4.6): the value decreases enough, and the slope becomes flatter, which makes ⟨s, y⟩ > 0.

use std::collections::VecDeque;

/// Number of pairs (s, y) that are kept.
const MEMORY: usize = 10;
/// Share of the decrease that the slope predicts which a step must reach (first Wolfe condition).
const DECREASE: f64 = 1e-4;
/// Largest share of the slope that may remain after a step (second Wolfe condition).
const CURVATURE: f64 = 0.9;
/// Most lengths that are tried for one step. After so many, only rounding errors remain to be descended on.
const MAX_TRIES: usize = 50;

/// The point at which the descent ended.
pub struct Minimum {
    pub x: Vec<f64>,
    pub steps: usize,
    /// Whether no entry of the gradient exceeds the tolerance.
    pub converged: bool,
}

/// One step s and the change y of the gradient that it caused.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    /// ⟨s, y⟩
    sy: f64,
}

/// Descends from x until no entry of the gradient exceeds `tolerance`, or for `max_steps` steps. `f(x, g)` returns the
/// value at x and writes the gradient to g.
pub fn minimise(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut x: Vec<f64>,
    tolerance: f64,
    max_steps: usize,
) -> Minimum {
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let mut g = vec![0.0; x.len()];
    let mut value = f(&x, &mut g);
    for steps in 0..max_steps {
        if largest(&g) <= tolerance {
            return Minimum { x, steps, converged: true };
        }
        let direction = direction(&g, &pairs);
        let Some((step, next)) = search(&mut f, &x, value, &g, &direction, pairs.is_empty()) else {
            return Minimum { x, steps, converged: false };
        };
        let s: Vec<f64> = direction.iter().map(|d| step * d).collect();
        let y: Vec<f64> = next.g.iter().zip(&g).map(|(new, old)| new - old).collect();
        let sy = dot(&s, &y);
        if pairs.len() == MEMORY {
            pairs.pop_front();
        }
        pairs.push_back(Pair { s, y, sy });
        (x, value, g) = (next.x, next.value, next.g);
    }
    let converged = largest(&g) <= tolerance;
    Minimum { x, steps: max_steps, converged }
}

/// Returns minus the gradient times the inverse Hessian that the pairs represent.
fn direction(g: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let mut q: Vec<f64> = g.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let alpha = dot(&pair.s, &q) / pair.sy;
        add(&mut q, -alpha, &pair.y);
        alphas.push(alpha);
    }
    if let Some(Pair { y, sy, .. }) = pairs.back() {
        let scale = sy / dot(y, y);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (pair, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = dot(&pair.y, &q) / pair.sy;
        add(&mut q, alpha - beta, &pair.s);
    }
    q
}

/// A point with its value and gradient.
struct Point {
    x: Vec<f64>,
    value: f64,
    g: Vec<f64>,
}

/// Finds a step length along the direction and the point that it leads to; returns `None` if no length descends.
fn search(
    f: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &[f64],
    value: f64,
    g: &[f64],
    direction: &[f64],
    first: bool,
) -> Option<(f64, Point)> {
    let slope = dot(g, direction);
    // Every direction but the first has a natural length of 1; the first step is tried at unit length.
    let mut step = if first { 1.0 / dot(direction, direction).sqrt().max(f64::MIN_POSITIVE) } else { 1.0 };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut next = Point { x: vec![0.0; x.len()], value, g: vec![0.0; x.len()] };
    for _ in 0..MAX_TRIES {
        next.x.copy_from_slice(x);
        add(&mut next.x, step, direction);
        next.value = f(&next.x, &mut next.g);
        if next.value.is_nan() || next.value > value + DECREASE * step * slope {
            high = step;
        } else if dot(&next.g, direction) < CURVATURE * slope {
            low = step;
        } else {
            return Some((step, next));
        }
        step = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    None
}

/// Returns the largest absolute value.
pub fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], factor: f64, y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += factor * y);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badly_scaled_bowl_has_its_known_minimum() {
        let scales: Vec<f64> = (0..30).map(|i| 10f64.powf(f64::from(i) / 10.0 - 1.5)).collect();
        let f = |x: &[f64], g: &mut [f64]| {
            let mut value = 0.0;
            for (i, x) in x.iter().enumerate() {
                let off = x - i as f64;
                g[i] = scales[i] * off;
                value += 0.5 * scales[i] * off * off;
            }
            value
        };
        let Minimum { x, steps, converged } = minimise(f, vec![0.0; 30], 1e-6, 1000);
        assert!(converged && steps > 5, "{steps} steps");
        assert!(x.iter().enumerate().all(|(i, x)| (x - i as f64).abs() < 1e-3));
    }

    #[test]
    fn the_valley_of_rosenbrock_is_walked_to_its_end() {
        let f = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            (g[0], g[1]) = (-2.0 * a - 400.0 * x[0] * b, 200.0 * b);
            a * a + 100.0 * b * b
        };
        let Minimum { x, converged, .. } = minimise(f, vec![-1.2, 1.0], 1e-8, 200);
        assert!(converged && (x[0] - 1.0).abs() < 1e-6 && (x[1] - 1.0).abs() < 1e-6, "{x:?}");
    }

    #[test]
    fn what_does_not_descend_ends() {
        let Minimum { x, converged, .. } = minimise(
            |_, g| {
                g[0] = 1.0;
                f64::NAN
            },
            vec![0.0],
            1e-3,
            10,
        );
        assert!(!converged && x == [0.0]);
    }
}
