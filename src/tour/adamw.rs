#![doc = include_str!("adamw.md")]

/// The share of mean that stays in a step.
pub const BETA1: f64 = 0.9;

/// The share of square that stays in a step.
pub const BETA2: f64 = 0.98;

/// The smallest size that a gradient is divided by.
pub const EPS: f64 = 1e-6;

/// norm = √(Σ dw²)
pub fn global_norm(dw: &[f64]) -> f64 {
    dw.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// dw · min(1, max/norm)
pub fn clip_norm(dw: &[f64], max: f64) -> Vec<f64> {
    let factor = (max / global_norm(dw)).min(1.0);
    dw.iter().map(|x| factor * x).collect()
}

/// lr·(n + 1)/warmup in the warm-up, then lr·(1 + cos(π·(n − warmup)/(total − warmup)))/2. n steps were taken before.
pub fn learning_rate(lr: f64, warmup: usize, total: usize, n: usize) -> f64 {
    if n < warmup {
        return lr * (n + 1) as f64 / warmup as f64;
    }
    let way = (n - warmup) as f64 / (total - warmup) as f64;
    lr * (1.0 + (std::f64::consts::PI * way).cos()) / 2.0
}

/// mean ← β·mean + (1 − β)·x
pub fn remember(beta: f64, mean: &mut [f64], x: impl Fn(usize) -> f64) {
    for (i, mean) in mean.iter_mut().enumerate() {
        *mean = beta * *mean + (1.0 - beta) * x(i);
    }
}

/// mean / (1 − βᵗ)
pub fn correct(beta: f64, mean: f64, t: i32) -> f64 {
    mean / (1.0 - beta.powi(t))
}

/// share = direction / (size + ε)
pub fn share(mean: f64, square: f64, t: i32) -> f64 {
    let (direction, size) = (correct(BETA1, mean, t), correct(BETA2, square, t).sqrt());
    direction / (size + EPS)
}

/// w ← w − lr·λ·w − lr·share
pub fn adamw(w: &mut [f64], dw: &[f64], mean: &mut [f64], square: &mut [f64], t: i32, lr: f64, decay: &[f64]) {
    remember(BETA1, mean, |i| dw[i]);
    remember(BETA2, square, |i| dw[i] * dw[i]);
    for i in 0..w.len() {
        w[i] -= lr * decay[i] * w[i] + lr * share(mean[i], square[i], t);
    }
}

/// The weighted mean of x: the last one has weight 1, the one before it β, then β², and so on.
pub fn weighted_mean(beta: f64, x: &[f64]) -> f64 {
    let weight = |k: usize| beta.powi((x.len() - 1 - k) as i32);
    let sum: f64 = (0..x.len()).map(|k| weight(k) * x[k]).sum();
    sum / (0..x.len()).map(weight).sum::<f64>()
}

/// Compares the last step of one parameter with its definition by the gradients of all steps so far.
pub fn check_step(name: &str, dw: &[f64], before: f64, after: f64, lr: f64, decay: f64) {
    let squares: Vec<f64> = dw.iter().map(|x| x * x).collect();
    let share = weighted_mean(BETA1, dw) / (weighted_mean(BETA2, &squares).sqrt() + EPS);
    let expected = before - lr * decay * before - lr * share;
    let step = dw.len();
    assert!((after - expected).abs() < 1e-12, "step {step}, {name}: given {after:.6}, expected {expected:.6}");
}
