//! Multiplies little matrices, which attention consists of: operands of a few dozen rows, all in the first-level cache.

use crate::Write;
use crate::isa::{mul_add, multiversion};

/// A register tile has this many rows. With 4 AVX-512 registers a row, that makes 24 sums, 4 registers for B and 1 for
/// A out of 32; with 2 AVX2 or SSE registers a row, 12 + 2 + 1 out of 16.
const TILE_ROWS: usize = 6;

/// The left operand: element (i, p) is `data[i·row + p·col]`, so a transpose only swaps the strides.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

/// The right operand: element (p, j) is `data[p·row + j]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub data: &'a [f32],
    pub row: usize,
}

/// The size of a product: C is `m × n`, and `k` terms make one element.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

multiversion! {
    /// C = A·B or C += A·B
    ///
    /// Element (i, j) of C is at `c[i·c_row + j]`. Each element is summed in the order of k, no matter which tile it
    /// falls into.
    pub(super) fn product(size: Size, a: Left<'_>, b: Right<'_>, write: Write, c: &mut [f32], c_row: usize) {
        let Size { m, n, k } = size;
        if m == 0 || n == 0 {
            return;
        }
        assert!((m - 1) * c_row + n <= c.len(), "attention: product out of bounds");
        assert!(k == 0 || (m - 1) * a.row + (k - 1) * a.col < a.data.len(), "attention: product out of bounds");
        assert!(k == 0 || (k - 1) * b.row + n <= b.data.len(), "attention: product out of bounds");
        let mut j = 0;
        // SAFETY: the asserts show that C has `m` rows of `n` columns, A `m` rows of `k` terms and B `k` rows of `n`
        // columns, and each call's columns end at `n` at the latest.
        unsafe {
            if LANES == 16 {
                while n - j >= 4 * LANES {
                    columns::<FMA, LANES, 4>(m, k, a, b, write, c, c_row, j);
                    j += 4 * LANES;
                }
            }
            while n - j >= 2 * LANES {
                columns::<FMA, LANES, 2>(m, k, a, b, write, c, c_row, j);
                j += 2 * LANES;
            }
            while n - j >= LANES {
                columns::<FMA, LANES, 1>(m, k, a, b, write, c, c_row, j);
                j += LANES;
            }
            for j in j..n {
                columns::<FMA, 1, 1>(m, k, a, b, write, c, c_row, j);
            }
        }
    }
}

/// Computes all rows of the `V·L` columns from `j` on.
///
/// # Safety
/// A has `m` rows of `k` terms, B `k` rows of `j + V·L` columns, C `m` rows of as many, at their strides.
#[inline(always)]
unsafe fn columns<const FMA: bool, const L: usize, const V: usize>(
    m: usize,
    k: usize,
    a: Left<'_>,
    b: Right<'_>,
    write: Write,
    c: &mut [f32],
    c_row: usize,
    j: usize,
) {
    for i in (0..m).step_by(TILE_ROWS) {
        // SAFETY: the tile starts at row i < m and column j, and has at most m − i rows of V·L columns: all promised.
        unsafe {
            let (a_tile, b_tile) = (a.data.as_ptr().add(i * a.row), b.data.as_ptr().add(j));
            let c_tile = c.as_mut_ptr().add(i * c_row + j);
            // Calls by name, not through a function pointer: only inlined code is compiled for the instruction set.
            macro_rules! tile {
                ($rows:expr) => {
                    tile::<FMA, L, { $rows }, V>(k, a_tile, [a.row, a.col], b_tile, b.row, write, c_tile, c_row)
                };
            }
            match m - i {
                1 => tile!(1),
                2 => tile!(2),
                3 => tile!(3),
                4 => tile!(4),
                5 => tile!(5),
                _ => tile!(TILE_ROWS),
            }
        }
    }
}

/// Computes `R` rows by `V` registers of `L` lanes. The arrays have fixed sizes, so that the compiler keeps them in
/// registers.
///
/// # Safety
/// `a` has R rows of k elements, `b` k rows of V·L, `c` R rows of V·L, at these strides; nobody else uses those of `c`.
#[inline(always)]
unsafe fn tile<const FMA: bool, const L: usize, const R: usize, const V: usize>(
    k: usize,
    a: *const f32,
    [a_row, a_col]: [usize; 2],
    b: *const f32,
    b_row: usize,
    write: Write,
    c: *mut f32,
    c_row: usize,
) {
    // SAFETY (whole function): p < k, r < R and v < V, so every access is to an element that the caller promised.
    let mut sums = [[[0.0f32; L]; V]; R];
    for p in 0..k {
        let mut b_registers = [[0.0f32; L]; V];
        for (v, register) in b_registers.iter_mut().enumerate() {
            *register = unsafe { *b.add(p * b_row + v * L).cast::<[f32; L]>() };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let a = unsafe { *a.add(r * a_row + p * a_col) };
            for v in 0..V {
                for l in 0..L {
                    sums[v][l] = mul_add::<FMA>(a, b_registers[v][l], sums[v][l]);
                }
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (v, sums) in sums.iter().enumerate() {
            let c = unsafe { &mut *c.add(r * c_row + v * L).cast::<[f32; L]>() };
            match write {
                Write::Set => *c = *sums,
                Write::Add => {
                    for l in 0..L {
                        c[l] += sums[l];
                    }
                }
            }
        }
    }
}
