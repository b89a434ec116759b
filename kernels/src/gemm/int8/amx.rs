//! The micro-kernel of AMX, whose registers have two dimensions: 16 rows of 64 bytes.
//!
//! One instruction multiplies 16 rows with 16 columns over 64 steps of K. Four of the eight registers hold the sums of 32
//! rows and 32 columns; of the others one holds activations, a row of them a row of A, and two hold weights, a row of them
//! four steps of K of 16 columns, as panels have them. (Intel, Software Developer's Manual, volume 1, chapter 18.)
//!
//! The intrinsics are not stable yet, and so this is assembler.

use super::QUAD;
use super::kernel::{Kernel, Tile};
use super::rows::Activation;
use crate::gemm::panels::WIDTH;
use std::arch::asm;

/// The rows of a register, and its columns of 32 bits.
const SIDE: usize = 16;

/// An activation of 0..=255, packed 64 steps of a row at a time: as many as a row of a register has bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wide(#[allow(dead_code, reason = "instructions read it")] u8);

impl Activation for Wide {
    const OFFSET: i32 = 0;
    const RUN: usize = 64;

    #[inline(always)]
    fn new(bits: i8) -> Wide {
        Wide(bits as u8)
    }
}

/// Bytes from four steps of K in a panel of weights to the next four.
const PANEL_STRIDE: usize = WIDTH * QUAD;

/// Bytes of a panel of weights for the steps of K in a register.
const PANEL_RUN: usize = Wide::RUN * WIDTH;

/// A panel is two registers wide, and a register of weights is as deep as one of activations.
const _: () = assert!(WIDTH == 2 * SIDE && Wide::RUN == SIDE * QUAD);

/// Asks for the use of AMX's registers, and returns whether this CPU has them, for numbers of eight bits, and the system
/// grants them. Linux saves such large registers only for processes that have asked. From then on their signal handlers
/// need stacks with room for them, which those of Rust's threads have.
pub(super) fn request() -> bool {
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

impl Shapes {
    /// Returns the shapes for so many rows in a register, and `steps` of K: of the sums of upper and lower rows with the left
    /// and the right columns (0 to 3), of activations (4), and of the weights of the left and the right columns (5 and 6).
    ///
    /// Register 7 has none. A Xeon of 2023 loads while it multiplies only if it has registers to spare: with activations of
    /// upper and lower rows in two of them, 32 rows and columns over 64 steps took 118 ns there instead of 29.
    fn new(rows: usize, steps: usize) -> Self {
        let mut shapes = Shapes { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        let mut set = |register: usize, rows: usize, bytes: usize| {
            (shapes.rows[register], shapes.bytes[register]) = (rows as u8, bytes as u16);
        };
        (0..4).for_each(|register| set(register, rows, SIDE * size_of::<i32>()));
        set(4, rows, steps);
        (5..7).for_each(|register| set(register, steps / QUAD, SIDE * QUAD));
        shapes
    }
}

/// Makes a tile of `ROWS` rows.
///
/// # Safety
/// As for [`TileFn`](super::kernel::TileFn).
unsafe fn make<const ROWS: usize>(t: &Tile<Wide>) {
    let (runs, rest) = (t.quads / SIDE, t.quads % SIDE);
    // SAFETY: the pointers are at all runs of K, of which the last may be shorter.
    unsafe {
        if runs > 0 {
            add_up(t, ROWS, runs, Wide::RUN);
        }
        if rest > 0 {
            let (a, w) = (t.a.add(runs * Wide::RUN * ROWS), t.w.add(runs * PANEL_RUN));
            add_up(&Tile { a, w, quads: rest, add: t.add || runs > 0, ..*t }, ROWS, 1, rest * QUAD);
        }
    }
}

/// Makes a tile, or adds to it, by `runs` runs of `steps` of K.
///
/// # Safety
/// As for [`TileFn`](super::kernel::TileFn).
unsafe fn add_up(t: &Tile<Wide>, rows: usize, runs: usize, steps: usize) {
    // Upper and lower rows are equally many. If the number of all is odd, the row in the middle is one of both.
    let half = rows.div_ceil(2);
    let shapes = Shapes::new(half, steps);
    // SAFETY: the registers have the shapes of what is read and written, which `TileFn` asks for. They are zero once they
    // have shapes, and have none afterwards.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            "test {add}, {add}",
            "jz 2f",
            "tileloadd tmm0, [{upper} + {stride}*1]",
            "tileloadd tmm1, [{upper} + {stride}*1 + 64]",
            "tileloadd tmm2, [{lower} + {stride}*1]",
            "tileloadd tmm3, [{lower} + {stride}*1 + 64]",
            "2:",
            "tileloadd tmm5, [{w} + {w_stride}*1]",
            "tileloadd tmm6, [{w} + {w_stride}*1 + 64]",
            "tileloadd tmm4, [{a} + {steps}*1]",
            "tdpbusd tmm0, tmm4, tmm5",
            "tdpbusd tmm1, tmm4, tmm6",
            "tileloadd tmm4, [{a_lower} + {steps}*1]",
            "tdpbusd tmm2, tmm4, tmm5",
            "tdpbusd tmm3, tmm4, tmm6",
            "add {w}, {w_run}",
            "add {a}, {a_run}",
            "add {a_lower}, {a_run}",
            "dec {runs}",
            "jnz 2b",
            "tilestored [{upper} + {stride}*1], tmm0",
            "tilestored [{upper} + {stride}*1 + 64], tmm1",
            "tilestored [{lower} + {stride}*1], tmm2",
            "tilestored [{lower} + {stride}*1 + 64], tmm3",
            "tilerelease",
            shapes = in(reg) &shapes,
            add = in(reg) usize::from(t.add),
            upper = in(reg) t.sums,
            lower = in(reg) t.sums.wrapping_add((rows - half) * t.stride),
            stride = in(reg) t.stride * size_of::<i32>(),
            w = inout(reg) t.w => _,
            w_stride = in(reg) PANEL_STRIDE,
            w_run = const PANEL_RUN,
            a = inout(reg) t.a => _,
            a_lower = inout(reg) t.a.wrapping_add((rows - half) * steps) => _,
            a_run = in(reg) rows * steps,
            steps = in(reg) steps,
            runs = inout(reg) runs => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
            options(nostack),
        );
    }
}

macro_rules! tiles {
    ($($rows:literal)*) => { &[$(make::<$rows>),*] };
}

pub(super) static KERNEL: Kernel<Wide> = Kernel {
    tiles: tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32),
    cols: WIDTH,
};
