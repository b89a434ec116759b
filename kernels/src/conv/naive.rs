//! The definition, term by term: the oracle of the fast version.

use super::shape::Conv;

/// y\[n, oy, ox, o\] = Σ x\[n, iy, ix, i\]·W\[o, i, ky, kx\]
pub fn forward(conv: &Conv, x: &[f32], w: &[f32], y: &mut [f32]) {
    y.fill(0.0);
    terms(conv, |x_at, w_at, y_at| y[y_at] += x[x_at] * w[w_at]);
}

/// dx\[n, iy, ix, i\] = Σ dy\[n, oy, ox, o\]·W\[o, i, ky, kx\]
pub fn backward_inputs(conv: &Conv, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    dx.fill(0.0);
    terms(conv, |x_at, w_at, y_at| dx[x_at] += dy[y_at] * w[w_at]);
}

/// dW\[o, i, ky, kx\] += Σ dy\[n, oy, ox, o\]·x\[n, iy, ix, i\]
pub fn backward_weights(conv: &Conv, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    terms(conv, |x_at, w_at, y_at| dw[w_at] += dy[y_at] * x[x_at]);
}

/// Calls `term(place in x, place in w, place in y)` for every product of the sum.
fn terms(conv: &Conv, mut term: impl FnMut(usize, usize, usize)) {
    let &Conv { pictures, height, width, in_channels, out_channels, kernel, stride } = conv;
    let (out_height, out_width) = (conv.out(height), conv.out(width));
    for pixel in 0..pictures * out_height * out_width {
        let (picture, oy, ox) = (pixel / (out_height * out_width), pixel / out_width % out_height, pixel % out_width);
        for tap in 0..kernel * kernel {
            let (y, x) = (oy * stride + tap / kernel, ox * stride + tap % kernel);
            let (Some(iy), Some(ix)) = (y.checked_sub(kernel / 2), x.checked_sub(kernel / 2)) else { continue };
            if iy >= height || ix >= width {
                continue;
            }
            let x_at = ((picture * height + iy) * width + ix) * in_channels;
            for o in 0..out_channels {
                for i in 0..in_channels {
                    term(x_at + i, (o * in_channels + i) * kernel * kernel + tap, pixel * out_channels + o);
                }
            }
        }
    }
}
