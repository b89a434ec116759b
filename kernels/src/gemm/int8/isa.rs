//! The choice of the instructions for products of whole numbers, each proved by a token.

use crate::isa::Isa;
use std::sync::OnceLock;

/// Proof that this CPU has AVX2: only [`Integers::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that this CPU has AVX-VNNI and AVX2: only [`Integers::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvxVnni(());

/// Proof that this CPU has AVX-512 F and VNNI: only [`Integers::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Vnni(());

/// Proof that this CPU has AMX's tiles of eight bits, AVX-512 F and VNNI, and that the system lets this process use them:
/// only [`Integers::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amx(());

/// Proof that this CPU has the dot products of NEON: only [`Integers::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeonDot(());

/// Instructions for products of whole numbers that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integers {
    /// The instructions that the target guarantees.
    Portable,
    /// `vpmaddubsw`, which adds two products of eight bits in 16.
    Avx2(Avx2),
    /// `vpdpbusd` on 256 bits, which adds four products of eight bits to a sum.
    AvxVnni(AvxVnni),
    /// `vpdpbusd` on 512 bits.
    Avx512Vnni(Avx512Vnni),
    /// `tdpbusd`, which multiplies 16×64 numbers of eight bits with 64×16.
    Amx(Amx),
    /// `sdot` on 128 bits, which adds four products of eight bits to a sum, both with a sign.
    NeonDot(NeonDot),
}

impl Integers {
    /// Lists all that this CPU has, the slowest first. AMX is asked for, and is there if the system grants it.
    pub fn available() -> Vec<Integers> {
        #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_mut))]
        let mut all = vec![Integers::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            all.push(Integers::Avx2(Avx2(())));
            if is_x86_feature_detected!("avxvnni") {
                all.push(Integers::AvxVnni(AvxVnni(())));
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(Integers::Avx512Vnni(Avx512Vnni(())));
                if super::amx::request() {
                    all.push(Integers::Amx(Amx(())));
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            all.push(Integers::NeonDot(NeonDot(())));
        }
        all
    }

    /// Returns the best that this CPU has, or what goes with the instruction set that `CLIP_ISA` names: with `avx2` no
    /// more than AVX2, as on most machines that have no AVX-512.
    pub fn best() -> Integers {
        static BEST: OnceLock<Integers> = OnceLock::new();
        *BEST.get_or_init(|| {
            let is_named = std::env::var_os("CLIP_ISA").is_some();
            match Isa::best() {
                Isa::Portable if is_named => Integers::Portable,
                Isa::Avx2(_) if is_named => Integers::Avx2(Avx2(())),
                _ => *Integers::available().last().expect("the portable one"),
            }
        })
    }

    /// Returns the name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Integers::Portable => "portable",
            Integers::Avx2(_) => "avx2",
            Integers::AvxVnni(_) => "avx-vnni",
            Integers::Avx512Vnni(_) => "avx512-vnni",
            Integers::Amx(_) => "amx",
            Integers::NeonDot(_) => "neon-dot",
        }
    }
}
