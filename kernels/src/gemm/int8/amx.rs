//! The micro-kernel of AMX, whose registers have two dimensions: 16 rows of 64 bytes.
//!
//! One instruction multiplies 16 rows with 16 columns over 64 steps of K. Four of the eight registers hold the sums of 32
//! rows and 32 columns; of the others one holds activations, a row of them a row of A, and two hold weights, a row of them
//! four steps of K of 16 columns, as panels have them. (Intel, Software Developer's Manual, volume 1, chapter 18.)
//!
//! The intrinsics are not stable yet, and so this is assembler. The compiler itself never uses these registers, which
//! therefore keep what they hold from one `asm!` to the next.

use super::QUAD;
use super::kernel::{Kernel, Tile};
use super::rows::Activation;
use crate::gemm::panels::WIDTH;
use std::arch::asm;

/// The rows of a register, and its columns of 32 bits.
const SIDE: usize = 16;

/// A number whose neighbours are the next steps of K, 64 of them, as a register has them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct InTiles(#[allow(dead_code, reason = "instructions read it")] u8);

impl Activation for InTiles {
    const OFFSET: i32 = 0;
    const RUN: usize = 64;

    #[inline(always)]
    fn new(bits: i8) -> InTiles {
        InTiles(bits as u8)
    }
}

/// Steps of K in a register.
const RUN: usize = InTiles::RUN;

/// A panel is two registers wide.
const _: () = assert!(WIDTH == 2 * SIDE && RUN == SIDE * QUAD);

/// Bytes from four steps of K in a panel of weights to the next four.
const W_STRIDE: usize = WIDTH * QUAD;

/// Whether this CPU has AMX's tiles of eight bits and the system lets this process use them. They are large, and Linux
/// saves them for programs alone that have asked for them.
pub(super) fn is_granted() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    has(TILE | INT8) && ask()
}

/// Whether leaf 7 of `cpuid` has these bits in EDX.
#[allow(unused_unsafe, reason = "before Rust 1.94 both functions are unsafe")]
fn has(bits: u32) -> bool {
    use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
    // SAFETY: every x86-64 has the instruction.
    unsafe { __get_cpuid_max(0).0 >= 7 && __cpuid_count(7, 0).edx & bits == bits }
}

#[cfg(target_os = "linux")]
fn ask() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// What `ldtilecfg` reads: how many rows and how many bytes in each of them the registers have.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// The registers: sums of the upper and the lower rows with the left and the right columns, activations, weights.
///
/// One remains free. The CPU overlaps what it loads with what it multiplies only if it has registers to spare: with the
/// eighth in use, for the activations of the lower rows, 32 rows and columns over 64 steps took 118 ns instead of 29.
const SUMS: [[usize; 2]; 2] = [[0, 1], [2, 3]];
const ROWS: usize = 4;
const COLS: [usize; 2] = [5, 6];

impl Shapes {
    /// Returns the shapes for so many rows in a register, and `steps` of K.
    fn new(rows: usize, steps: usize) -> Self {
        let mut shapes = Shapes { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        let mut set = |register: usize, rows: usize, bytes: usize| {
            (shapes.rows[register], shapes.bytes[register]) = (rows as u8, bytes as u16);
        };
        SUMS.as_flattened().iter().for_each(|&register| set(register, rows, SIDE * size_of::<i32>()));
        COLS.iter().for_each(|&register| set(register, steps / QUAD, SIDE * QUAD));
        set(ROWS, rows, steps);
        shapes
    }
}

/// Fills a register from rows of memory, `stride` bytes apart, or stores it there.
macro_rules! tile {
    (load $register:expr, $p:expr, $stride:expr) => {
        asm!("tileloadd tmm{n}, [{p} + {s}*1]", n = const $register, p = in(reg) $p, s = in(reg) $stride,
            options(nostack, preserves_flags, readonly))
    };
    (store $register:expr, $p:expr, $stride:expr) => {
        asm!("tilestored [{p} + {s}*1], tmm{n}", n = const $register, p = in(reg) $p, s = in(reg) $stride,
            options(nostack, preserves_flags))
    };
}

/// Adds to sums the products of a register of activations with one of weights.
macro_rules! dot {
    ($half:literal, $side:literal) => {
        asm!("tdpbusd tmm{c}, tmm{a}, tmm{b}", c = const SUMS[$half][$side], a = const ROWS,
            b = const COLS[$side], options(nostack, preserves_flags, nomem))
    };
}

/// Makes a tile of `rows` rows; `BOTH` says whether they are more than a register has.
///
/// # Safety
/// As for [`TileFn`](super::kernel::TileFn).
#[inline(always)]
unsafe fn sums<const BOTH: bool>(t: &Tile<InTiles>, rows: usize) {
    let (whole, rest) = (t.quads / SIDE, t.quads % SIDE);
    // SAFETY: the pointers are at all runs of K, and C has the tile's columns in each row.
    unsafe {
        if whole > 0 {
            run::<BOTH>(t, rows, whole, RUN, t.add);
        }
        if rest > 0 {
            let (a, w) = (t.a.add(whole * RUN * rows), t.w.add(whole * SIDE * W_STRIDE));
            run::<BOTH>(&Tile { a, w, ..*t }, rows, 1, rest * QUAD, t.add || whole > 0);
        }
        asm!("tilerelease", options(nostack, preserves_flags, nomem));
    }
}

/// Adds up `runs` runs of `steps` of K. The registers are zero once they have new shapes.
///
/// # Safety
/// As for [`TileFn`](super::kernel::TileFn).
#[inline(always)]
unsafe fn run<const BOTH: bool>(t: &Tile<InTiles>, rows: usize, runs: usize, steps: usize, add: bool) {
    // Upper and lower rows are equally many. If the number of all is odd, the row in the middle is one of both.
    let half = if BOTH { rows.div_ceil(2) } else { rows };
    let shapes = Shapes::new(half, steps);
    let stride = t.stride * size_of::<i32>();
    let upper = [t.sums, t.sums.wrapping_add(SIDE)];
    let lower = upper.map(|sums| sums.wrapping_add((rows - half) * t.stride));
    // SAFETY: as above; the registers have the shapes of what is read and written.
    unsafe {
        asm!("ldtilecfg [{shapes}]", shapes = in(reg) &shapes, options(nostack, preserves_flags, readonly));
        if add {
            tile!(load SUMS[0][0], upper[0], stride);
            tile!(load SUMS[0][1], upper[1], stride);
            if BOTH {
                tile!(load SUMS[1][0], lower[0], stride);
                tile!(load SUMS[1][1], lower[1], stride);
            }
        }
        let (mut a, mut w) = (t.a, t.w);
        for _ in 0..runs {
            tile!(load COLS[0], w, W_STRIDE);
            tile!(load COLS[1], w.wrapping_add(SIDE * QUAD), W_STRIDE);
            tile!(load ROWS, a, steps);
            dot!(0, 0);
            dot!(0, 1);
            if BOTH {
                tile!(load ROWS, a.wrapping_add((rows - half) * steps), steps);
                dot!(1, 0);
                dot!(1, 1);
            }
            (a, w) = (a.wrapping_add(rows * steps), w.wrapping_add(SIDE * W_STRIDE));
        }
        tile!(store SUMS[0][0], upper[0], stride);
        tile!(store SUMS[0][1], upper[1], stride);
        if BOTH {
            tile!(store SUMS[1][0], lower[0], stride);
            tile!(store SUMS[1][1], lower[1], stride);
        }
    }
}

/// Makes a tile of `ROWS` rows.
///
/// # Safety
/// As for [`TileFn`](super::kernel::TileFn).
unsafe fn make<const ROWS: usize>(t: &Tile<InTiles>) {
    // SAFETY: `TileFn` asks for the instructions and the pointers.
    unsafe {
        if ROWS > SIDE {
            sums::<true>(t, ROWS);
        } else {
            sums::<false>(t, ROWS);
        }
    }
}

macro_rules! kernel {
    ($($rows:literal)*) => { Kernel { tiles: &[$(make::<$rows>),*], cols: WIDTH } };
}

pub(super) static KERNEL: Kernel<InTiles> = kernel! {
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
};
