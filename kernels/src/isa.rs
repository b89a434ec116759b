//! The choice of the instruction set, which is detected once and proved by a token.
//!
//! Plain loops are compiled once per instruction set by `multiversion!`; the compiler vectorises each copy for its
//! registers. Only where a benchmark shows that this is not enough are there intrinsics.

use std::sync::OnceLock;

/// Proof that this CPU has AVX2, FMA and F16C: only [`Isa::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that this CPU has AVX-512 F, BW, DQ and VL: only [`Isa::available`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The instructions that the target guarantees: SSE2 on x86-64, NEON on aarch64.
    Portable,
    /// AVX2, FMA and F16C, which came together.
    Avx2(Avx2),
    /// AVX-512 F, BW, DQ and VL.
    Avx512(Avx512),
}

impl Isa {
    /// Lists every instruction set that this CPU has, the slowest first.
    pub fn available() -> Vec<Isa> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut isas = vec![Isa::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 =
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
            if avx2 {
                isas.push(Isa::Avx2(Avx2(())));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                isas.push(Isa::Avx512(Avx512(())));
            }
        }
        isas
    }

    /// Returns the instruction set that every kernel runs on: the best that this CPU has, or the one that `CLIP_ISA`
    /// names.
    ///
    /// # Panics
    /// If `CLIP_ISA` names none that this CPU has.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::from_env().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Returns the instruction set that [`Isa::best`] takes.
    ///
    /// # Errors
    /// If `CLIP_ISA` names none that this CPU has.
    pub fn from_env() -> Result<Isa, String> {
        let available = Isa::available();
        let Ok(name) = std::env::var("CLIP_ISA") else { return Ok(available[available.len() - 1]) };
        available.iter().find(|isa| isa.name() == name).copied().ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            format!("CLIP_ISA={name}: this CPU has {}", names.join(", "))
        })
    }

    /// Returns the name by which `CLIP_ISA` chooses it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2(_) => "avx2",
            Isa::Avx512(_) => "avx512",
        }
    }
}

/// Whether the target guarantees an instruction for a·b + c. Without it, a fused multiply-add is a slow library call.
pub(crate) const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// Compiles a function of plain loops once per instruction set. The first parameter of the generated function is the
/// [`Isa`]; inside the body, the constant `FMA` says whether [`mul_add`] is one instruction, and `LANES` is the number
/// of floats in a register.
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($a:ident: $t:ty),* $(,)?) $(-> $r:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name(isa: $crate::isa::Isa, $($a: $t),*) $(-> $r)? {
            #[inline(always)]
            #[allow(dead_code)]
            fn body<const FMA: bool, const LANES: usize>($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($a: $t),*) $(-> $r)? { body::<true, 8>($($a),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512($($a: $t),*) $(-> $r)? { body::<true, 16>($($a),*) }
            match isa {
                $crate::isa::Isa::Portable => body::<{ $crate::isa::FUSED }, 4>($($a),*),
                // SAFETY: the token is the proof that this CPU has AVX2, FMA and F16C.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2(_) => unsafe { avx2($($a),*) },
                // SAFETY: the token is the proof that this CPU has AVX-512 F, BW, DQ and VL.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx512(_) => unsafe { avx512($($a),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => unreachable!("no token is ever made here"),
            }
        }
    };
}
pub(crate) use multiversion;

/// a·b + c, fused where that is one instruction.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
