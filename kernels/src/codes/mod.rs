//! Bounds of the products of one vector with many rows, from a byte for each number: what a search reads instead of the
//! rows to know which of them it has to read.
//!
//! ```text
//! y = H x,  z = H q/n            ⟨q, x⟩ = ⟨z, y⟩
//! yⱼ ≈ t·cⱼ                      cⱼ in −127..=127,        t = maxⱼ |yⱼ|/127
//! zⱼ ≈ u·aⱼ                      aⱼ in −32512..=32512,    u = maxⱼ |zⱼ|/32512
//! ⟨q, x⟩ ≈ t·u·Σⱼ aⱼ·cⱼ           a sum of whole numbers, so the same on all machines
//! ```
//!
//! Here x is a row, q the vector, and H turns both alike: it changes signs and then takes sums and differences within
//! blocks of n numbers (a Hadamard matrix, HᵀH = n). A few numbers of an embedding are many times as large as the others,
//! always the same ones, and rounded together with them the others would lose most of their bits. After H all are of one
//! size, whatever the rows are. (Ailon and Chazelle 2006; so turned, vectors are also rounded by RaBitQ, Gao and Long
//! 2024.)
//!
//! **The bound.** With δ = z − u·a, what the approximation leaves out is
//!
//! ```text
//! ⟨q, x⟩ − t·u·Σⱼ aⱼ·cⱼ = ⟨z, y − t·c⟩ + ⟨δ, t·c⟩
//! |⟨z, y − t·c⟩| ≤ |z|·|y − t·c| = |q|·r          r = |y − t·c|/√n, which is kept with the row
//! |⟨δ, t·c⟩|     ≤ |δ|·t·127·√width
//! ```
//!
//! by Cauchy and Schwarz. Roundings of the product itself, as [`half::products`](crate::half::products) makes it, and of
//! all that is computed here, are at most a share of the same two terms, by which they are lengthened.
//!
//! A row has a byte cⱼ + 128 for each number, filled up to a multiple of 64 by zeros in x, then t and r as f32. For unit
//! vectors r is about 0.008, however they lie.
//!
//! | file | what it is for |
//! |---|---|
//! | `turn` | H |
//! | `row` | rounding rows, once |
//! | `query` | rounding the vector, and the parts of the bound that are the same for all rows |
//! | `sums` | the sums of whole numbers, on each instruction set |

mod query;
mod row;
mod sums;
#[cfg(test)]
mod tests;
mod turn;

pub use query::Query;
pub use row::{encode, row_bytes};

/// A row is filled up to a multiple of this: a register of the largest instruction set.
const STEP: usize = 64;
/// The largest code, without its sign.
const MAX_CODE: f64 = 127.0;
/// What is added to codes, so that bytes are not negative.
const ZERO: i32 = 128;

/// Returns how many codes a row of e numbers has.
fn width(e: usize) -> usize {
    e.next_multiple_of(STEP)
}
