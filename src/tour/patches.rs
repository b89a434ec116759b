#![doc = include_str!("patches.md")]

use super::chain_rule::{Matrix, matrix, sum};
use super::linear::{linear, linear_backward};

/// The sizes of a picture, and the edge of the square patches that it is cut into.
#[derive(Clone, Copy)]
pub struct Grid {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub patch: usize,
}

/// How many patches a picture has.
pub fn patches(grid: Grid) -> usize {
    (grid.height / grid.patch) * (grid.width / grid.patch)
}

/// Where in a picture's list number j of patch t stands. All three count from 0.
pub fn place(grid: Grid, t: usize, j: usize) -> usize {
    let (edge, across) = (grid.patch, grid.width / grid.patch);
    let (channel, row, col) = (j / (edge * edge), j / edge % edge, j % edge);
    let (top, left) = (t / across * edge, t % across * edge);
    (channel * grid.height + top + row) * grid.width + left + col
}

/// The patches of all pictures, one a row.
pub fn cut(grid: Grid, images: &Matrix) -> Matrix {
    let (of_each, len) = (patches(grid), grid.channels * grid.patch * grid.patch);
    matrix(images.len() * of_each, len, |n, j| images[n / of_each][place(grid, n % of_each, j)])
}

/// The pictures again: each number of a patch goes back to the place from which it was cut.
pub fn paste(grid: Grid, rows: &Matrix) -> Matrix {
    let of_each = patches(grid);
    let mut images = matrix(rows.len() / of_each, grid.channels * grid.height * grid.width, |_, _| 0.0);
    for n in 0..rows.len() {
        for j in 0..rows[n].len() {
            images[n / of_each][place(grid, n % of_each, j)] = rows[n][j];
        }
    }
    images
}

/// The weights of the patches, the class token, and a row for each position.
#[derive(Clone)]
pub struct Embed {
    pub weight: Matrix,
    pub bias: Vec<f64>,
    pub class: Vec<f64>,
    pub positions: Matrix,
}

/// x₀ = class + pos₀, xₜ = W patchₜ + b + posₜ, picture by picture
pub fn patch_embed(p: &Embed, grid: Grid, images: &Matrix) -> Matrix {
    let (of_each, tokens) = (patches(grid), 1 + patches(grid));
    let embedded = linear(&cut(grid, images), &p.weight, &p.bias);
    matrix(images.len() * tokens, p.class.len(), |n, i| {
        let (picture, t) = (n / tokens, n % tokens);
        let token = if t == 0 { p.class[i] } else { embedded[picture * of_each + t - 1][i] };
        token + p.positions[t][i]
    })
}

/// dimages and the gradients of all parameters: dposₜ = Σ dxₜ over pictures, dclass = Σ dx₀
pub fn patch_embed_backward(p: &Embed, grid: Grid, images: &Matrix, dx: &Matrix) -> (Matrix, Embed) {
    let (of_each, tokens, d) = (patches(grid), 1 + patches(grid), p.class.len());
    let row = |n: usize| n / of_each * tokens + 1 + n % of_each;
    let dembedded = matrix(images.len() * of_each, d, |n, i| dx[row(n)][i]);
    let (dpatches, weight, bias) = linear_backward(&cut(grid, images), &p.weight, &dembedded);
    let over_pictures = |t: usize, i: usize| sum(images.len(), |picture| dx[picture * tokens + t][i]);
    let positions = matrix(tokens, d, over_pictures);
    let class = positions[0].clone();
    (paste(grid, &dpatches), Embed { weight, bias, class, positions })
}
