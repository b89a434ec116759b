//! Turns pictures into tokens: the rows of a picture, one token in front of them, and a vector added at each place.
//!
//! ```text
//! y₀    = first + pos₀        yₜ    = xₜ₋₁ + posₜ
//! dxₜ   = dyₜ₊₁               dposₜ = Σ dyₜ over the pictures
//! ```
//!
//! The first token is either one vector for all pictures, the class token, whose gradient is dpos₀, or the mean of the
//! picture's own rows, which adds to the dx of each of them its share of dy₀.

use crate::isa::{Isa, multiversion};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces, rows_per_piece};

/// The token in front.
#[derive(Clone, Copy, Debug)]
pub enum First<'a> {
    /// The token is this vector for every picture.
    Class(&'a [f32]),
    /// The token is the mean of the picture's rows.
    Mean,
}

/// y ← \[first | x\] + positions, picture by picture.
///
/// `x` (B,T−1,d), `positions` (T,d), `y` (B,T,d)
#[track_caller]
pub fn forward(first: First, x: &[f32], positions: &[f32], width: usize, y: &mut [f32]) {
    forward_on(Isa::best(), first, x, positions, width, y);
}

/// y ← \[class | x\] + positions\[0, 1 + kept\], picture by picture, where `kept` names the place of each row of x.
///
/// `class` (d), `x` (B,K,d), `kept` (B,K), `positions` (T,d), `y` (B,1+K,d)
#[track_caller]
pub fn forward_kept(class: &[f32], (x, kept): (&[f32], &[u32]), positions: &[f32], width: usize, y: &mut [f32]) {
    forward_kept_on(Isa::best(), class, (x, kept), positions, width, y);
}

/// Computes [`forward_kept`] on a given instruction set.
#[track_caller]
pub fn forward_kept_on(
    isa: Isa,
    class: &[f32],
    (x, kept): (&[f32], &[u32]),
    positions: &[f32],
    width: usize,
    y: &mut [f32],
) {
    let pictures = y.len().saturating_sub(x.len()) / width.max(1);
    let of_each = kept.len() / pictures.max(1);
    check(x, y, (1 + of_each) * width, width);
    assert!(
        class.len() == width
            && kept.len() * width == x.len()
            && kept.iter().all(|&i| (i as usize + 2) * width <= positions.len()),
        "tokens: a class token of {}, {} rows kept of {}, {} floats of positions",
        class.len(),
        kept.len(),
        x.len() / width,
        positions.len()
    );
    let (rest, tokens) = (of_each * width, (1 + of_each) * width);
    let parts = (Rows(x, rest), Rows(kept, of_each), RowsMut(y, tokens));
    for_pieces(pictures, rows_per_piece(tokens), parts, &|(x, kept, y)| {
        for (i, y) in y.0.chunks_exact_mut(tokens).enumerate() {
            let (token, others) = y.split_at_mut(width);
            token.copy_from_slice(class);
            add(isa, &positions[..width], token);
            others.copy_from_slice(&x.0[i * rest..][..rest]);
            for (y, &place) in others.chunks_exact_mut(width).zip(&kept.0[i * of_each..][..of_each]) {
                add(isa, &positions[(1 + place as usize) * width..][..width], y);
            }
        }
    });
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, first: First, x: &[f32], positions: &[f32], width: usize, y: &mut [f32]) {
    let tokens = positions.len();
    let pictures = check(x, y, tokens, width);
    if let First::Class(class) = first {
        assert_eq!(class.len(), width, "tokens: the width of the class token");
    }
    let parts = (Rows(x, tokens - width), RowsMut(y, tokens));
    for_pieces(pictures, rows_per_piece(tokens), parts, &|(x, y)| embed(isa, first, x.0, positions, width, y.0));
}

/// dx ← dy without the first tokens, to which a mean adds its share of dy₀.
///
/// `dy` (B,T,d), `dx` (B,T−1,d); of `first` only the kind counts.
#[track_caller]
pub fn backward(first: First, dy: &[f32], tokens: usize, width: usize, dx: &mut [f32]) {
    backward_on(Isa::best(), first, dy, tokens, width, dx);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(isa: Isa, first: First, dy: &[f32], tokens: usize, width: usize, dx: &mut [f32]) {
    let tokens = tokens * width;
    let pictures = check(dx, dy, tokens, width);
    let parts = (Rows(dy, tokens), RowsMut(dx, tokens - width));
    for_pieces(pictures, rows_per_piece(tokens), parts, &|(dy, dx)| match first {
        First::Class(_) => {
            let pictures = dx.0.chunks_exact_mut((tokens - width).max(1)).zip(dy.0.chunks_exact(tokens));
            pictures.for_each(|(dx, dy)| dx.copy_from_slice(&dy[width..]));
        }
        First::Mean => share(isa, dy.0, tokens, width, dx.0),
    });
}

/// dpositions\[t\] += Σ dy\[t\] over the pictures, in their order
///
/// `dy` (B,T,d), `dpositions` (T′,d)
///
/// Only the first T′ ≤ T places are added to. If that is one, it is the gradient of a class token.
#[track_caller]
pub fn backward_positions(dy: &[f32], tokens: usize, width: usize, dpositions: &mut [f32]) {
    backward_positions_on(Isa::best(), dy, tokens, width, dpositions);
}

/// Computes [`backward_positions`] on a given instruction set.
#[track_caller]
pub fn backward_positions_on(isa: Isa, dy: &[f32], tokens: usize, width: usize, dpositions: &mut [f32]) {
    let (tokens, places) = (tokens * width, dpositions.len());
    assert!(
        tokens > 0 && dy.len().is_multiple_of(tokens) && places <= tokens && places.is_multiple_of(width),
        "tokens: {} gradients of {tokens} to a picture, {places} of places",
        dy.len()
    );
    let piece = if dy.len() <= PIECE { places.max(1) } else { width };
    for_pieces(places, piece, (0..places, RowsMut(dpositions, 1)), &|(place, dpositions)| {
        dy.chunks_exact(tokens).for_each(|dy| add(isa, &dy[place.clone()], dpositions.0))
    });
}

/// Returns the number of pictures; panics unless the sizes fit. `tokens` counts the floats of all tokens of a picture.
#[track_caller]
fn check(x: &[f32], y: &[f32], tokens: usize, width: usize) -> usize {
    let fits = width > 0
        && tokens > 0
        && tokens.is_multiple_of(width)
        && y.len().is_multiple_of(tokens)
        && x.len() == y.len() / tokens * (tokens - width);
    assert!(fits, "tokens: {} floats in, {} out, {tokens} to a picture in rows of {width}", x.len(), y.len());
    y.len() / tokens
}

multiversion! {
    fn add(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}

multiversion! {
    fn embed(first: First<'_>, x: &[f32], positions: &[f32], width: usize, y: &mut [f32]) {
        let rest = positions.len() - width;
        for (i, y) in y.chunks_exact_mut(positions.len()).enumerate() {
            let x = &x[i * rest..][..rest];
            let (token, others) = y.split_at_mut(width);
            match first {
                First::Class(class) => token.copy_from_slice(class),
                First::Mean => {
                    token.fill(0.0);
                    let rows = x.chunks_exact(width);
                    rows.for_each(|x| token.iter_mut().zip(x).for_each(|(mean, x)| *mean += x));
                    token.iter_mut().for_each(|mean| *mean /= (rest / width) as f32);
                }
            }
            others.copy_from_slice(x);
            y.iter_mut().zip(positions).for_each(|(y, position)| *y += position);
        }
    }
}

multiversion! {
    fn share(dy: &[f32], tokens: usize, width: usize, dx: &mut [f32]) {
        let rest = tokens - width;
        let share = 1.0 / (rest / width) as f32;
        for (dy, dx) in dy.chunks_exact(tokens).zip(dx.chunks_exact_mut(rest.max(1))) {
            let (dmean, dy) = dy.split_at(width);
            for (dx, dy) in dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)) {
                dx.iter_mut().zip(dy.iter().zip(dmean)).for_each(|(dx, (dy, dmean))| *dx = dy + share * dmean);
            }
        }
    }
}

/// The definitions, in the order of the fast versions: bit for bit.
pub mod naive {
    use super::First;

    pub fn forward(first: First, x: &[f32], positions: &[f32], width: usize, y: &mut [f32]) {
        let (tokens, count) = (positions.len() / width, (positions.len() / width - 1) as f32);
        for (i, y) in y.iter_mut().enumerate() {
            let (picture, t, j) = (i / width / tokens, i / width % tokens, i % width);
            let row = |t: usize| x[(picture * (tokens - 1) + t) * width + j];
            let token = match (t, first) {
                (0, First::Class(class)) => class[j],
                (0, First::Mean) => (0..tokens - 1).fold(0.0, |sum, t| sum + row(t)) / count,
                _ => row(t - 1),
            };
            *y = token + positions[t * width + j];
        }
    }

    pub fn forward_kept(class: &[f32], (x, kept): (&[f32], &[u32]), positions: &[f32], width: usize, y: &mut [f32]) {
        let of_each = kept.len() / ((y.len() - x.len()) / width).max(1);
        for (i, y) in y.iter_mut().enumerate() {
            let (picture, t, j) = (i / width / (1 + of_each), i / width % (1 + of_each), i % width);
            let row = |t: usize| picture * of_each + t - 1;
            let token = if t == 0 { class[j] } else { x[row(t) * width + j] };
            let place = if t == 0 { 0 } else { 1 + kept[row(t)] as usize };
            *y = token + positions[place * width + j];
        }
    }

    pub fn backward(first: First, dy: &[f32], tokens: usize, width: usize, dx: &mut [f32]) {
        for (i, dx) in dx.iter_mut().enumerate() {
            let (picture, t, j) = (i / width / (tokens - 1), i / width % (tokens - 1), i % width);
            let dy = |t: usize| dy[(picture * tokens + t) * width + j];
            *dx = match first {
                First::Class(_) => dy(t + 1),
                First::Mean => dy(t + 1) + 1.0 / (tokens - 1) as f32 * dy(0),
            };
        }
    }

    pub fn backward_positions(dy: &[f32], tokens: usize, width: usize, dpositions: &mut [f32]) {
        for (i, dy) in dy.iter().enumerate() {
            if let Some(dposition) = dpositions.get_mut(i % (tokens * width)) {
                *dposition += dy;
            }
        }
    }
}
