#![doc = include_str!("chain_rule.md")]

/// A list of rows, each a list of numbers.
pub type Matrix = Vec<Vec<f64>>;

/// f(0) + f(1) + … + f(n − 1)
pub fn sum(n: usize, f: impl Fn(usize) -> f64) -> f64 {
    (0..n).map(f).sum()
}

/// The matrix whose row i has f(i, j) in column j.
pub fn matrix(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Matrix {
    (0..rows).map(|i| (0..cols).map(|j| f(i, j)).collect()).collect()
}

/// (loss(x + h) − loss(x − h)) / 2h, where h moves one entry of x and the others stay.
pub fn slope(x: &Matrix, (i, j): (usize, usize), h: f64, loss: impl Fn(&Matrix) -> f64) -> f64 {
    let moved = |by: f64| {
        let mut x = x.clone();
        x[i][j] += by;
        loss(&x)
    };
    (moved(h) - moved(-h)) / (2.0 * h)
}

/// Stops the program unless dx has the shape of x and each entry is the slope of the loss.
pub fn check(name: &str, x: &Matrix, dx: &Matrix, loss: impl Fn(&Matrix) -> f64) {
    let shape = |x: &Matrix| x.iter().map(|row| row.len()).collect::<Vec<_>>();
    assert_eq!(shape(dx), shape(x), "{name}: lengths of the rows");
    for (i, row) in dx.iter().enumerate() {
        for (j, given) in row.iter().enumerate() {
            let expected = slope(x, (i, j), 1e-5, &loss);
            let off = (given - expected).abs();
            assert!(off < 1e-8, "{name}[{i}][{j}]: given {given:.6}, expected {expected:.6}");
        }
    }
}

/// yₙ = w xₙ + b
pub fn line(x: &Matrix, weight: f64, bias: f64) -> Matrix {
    matrix(x.len(), 1, |n, _| weight * x[n][0] + bias)
}

/// dxₙ = dyₙ w, dw = Σₙ dyₙ xₙ, db = Σₙ dyₙ
pub fn line_backward(x: &Matrix, weight: f64, dy: &Matrix) -> (Matrix, f64, f64) {
    let dx = matrix(x.len(), 1, |n, _| dy[n][0] * weight);
    let dweight = sum(x.len(), |n| dy[n][0] * x[n][0]);
    let dbias = sum(x.len(), |n| dy[n][0]);
    (dx, dweight, dbias)
}

/// loss = 1/2N Σₙ (yₙ − aₙ)²
pub fn half_square(y: &Matrix, answers: &Matrix) -> f64 {
    sum(y.len(), |n| (y[n][0] - answers[n][0]).powi(2)) / (2.0 * y.len() as f64)
}

/// dyₙ = (yₙ − aₙ) / N
pub fn half_square_backward(y: &Matrix, answers: &Matrix) -> Matrix {
    matrix(y.len(), 1, |n, _| (y[n][0] - answers[n][0]) / y.len() as f64)
}
