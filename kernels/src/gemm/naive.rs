//! The matrix product as defined: the oracle of every faster one.

use super::epilogue::Epilogue;
use super::matrix::{Mat, MatMut};
use super::product::check_shapes;

/// Computes the product and its epilogue element by element.
#[track_caller]
pub fn naive(alpha: f32, a: Mat, b: Mat, beta: f32, c: MatMut, mut epilogue: Epilogue) {
    check_shapes(&a, &b, &c);
    c.check("C", (c.rows, c.cols));
    epilogue.check((c.rows, c.cols));
    for i in 0..c.rows {
        for j in 0..c.cols {
            let dot: f32 = (0..a.cols).map(|k| at(&a, i, k) * at(&b, k, j)).sum();
            let out = &mut c.data[i * c.row_stride + j];
            let v = alpha * dot + if beta == 0.0 { 0.0 } else { beta * *out };
            *out = match &mut epilogue {
                Epilogue::None => v,
                Epilogue::Bias(bias) => v + bias[j],
                Epilogue::BiasResidual { bias, residual } => v + bias[j] + at(residual, i, j),
                Epilogue::BiasActivation { bias, activation } => activation.apply(v + bias[j]),
                Epilogue::BiasActivationSave { bias, activation, preact } => {
                    preact.data[i * preact.row_stride + j] = v + bias[j];
                    activation.apply(v + bias[j])
                }
                Epilogue::ScaleShift { scale, shift, residual, relu } => {
                    let v = v * scale[j] + shift[j] + residual.as_ref().map_or(0.0, |residual| at(residual, i, j));
                    if *relu && v < 0.0 { 0.0 } else { v }
                }
                Epilogue::ActivationGrad { activation, preact } => v * activation.derivative(at(preact, i, j)),
            };
        }
    }
}

/// Returns element (i, j).
fn at(m: &Mat, i: usize, j: usize) -> f32 {
    m.data[i * m.row_stride + j * m.col_stride]
}
