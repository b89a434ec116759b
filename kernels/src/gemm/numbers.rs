//! Numbers as they lie in memory: of 32 bits, or of 16 that become 32 while they are read.
//!
//! Every f16 and every bf16 is an f32, so a product with weights of 16 bits has the bits of the product with the same
//! weights in 32. It reads half the memory, which is most of the work where a weight is used a few times only.

use super::vector::Vector;
use crate::half::{widen, widen_bf16};

/// Numbers of one of the types that products read.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    /// The bits of IEEE 754 binary16: one of sign, five of exponent, ten of fraction.
    F16(&'a [u16]),
    /// The upper half of the bits of f32: one of sign, eight of exponent, seven of fraction.
    Bf16(&'a [u16]),
}

impl<'a> Numbers<'a> {
    /// Returns how many numbers there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Numbers::F32(data) => data.len(),
            Numbers::F16(data) | Numbers::Bf16(data) => data.len(),
        }
    }

    /// Leaves out the numbers before `start`.
    #[track_caller]
    pub(super) fn from(self, start: usize) -> Self {
        self.split_at(start).1
    }

    /// Cuts off the first `n` numbers.
    #[track_caller]
    pub(super) fn split_at(self, n: usize) -> (Self, Self) {
        fn cut<'a, T>(data: &'a [T], n: usize, of: fn(&'a [T]) -> Numbers<'a>) -> (Numbers<'a>, Numbers<'a>) {
            let (head, tail) = data.split_at(n);
            (of(head), of(tail))
        }
        match self {
            Numbers::F32(data) => cut(data, n, Numbers::F32),
            Numbers::F16(data) => cut(data, n, Numbers::F16),
            Numbers::Bf16(data) => cut(data, n, Numbers::Bf16),
        }
    }

    /// Widens the first numbers, as many as `out` has.
    #[track_caller]
    pub(super) fn read(self, out: &mut [f32]) {
        match self.split_at(out.len()).0 {
            Numbers::F32(data) => out.copy_from_slice(data),
            Numbers::F16(data) => out.iter_mut().zip(data).for_each(|(out, &x)| *out = widen(x)),
            Numbers::Bf16(data) => out.iter_mut().zip(data).for_each(|(out, &x)| *out = widen_bf16(x)),
        }
    }

    /// Returns the number at `i`.
    #[track_caller]
    pub(super) fn at(self, i: usize) -> f32 {
        let mut out = [0.0];
        self.from(i).read(&mut out);
        out[0]
    }

    /// Returns where the numbers begin.
    pub(super) fn as_ptr(self) -> *const u8 {
        match self {
            Numbers::F32(data) => data.as_ptr().cast(),
            Numbers::F16(data) | Numbers::Bf16(data) => data.as_ptr().cast(),
        }
    }

    /// Returns how many bytes a number takes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Numbers::F32(_) => size_of::<f32>(),
            Numbers::F16(_) | Numbers::Bf16(_) => size_of::<u16>(),
        }
    }

    /// Returns the place of the type among the [types](TYPES).
    pub(super) fn of_type(self) -> usize {
        match self {
            Numbers::F32(_) => 0,
            Numbers::F16(_) => 1,
            Numbers::Bf16(_) => 2,
        }
    }
}

/// This many types have micro-kernels of their own, in the order of [`Numbers::of_type`].
pub(super) const TYPES: usize = 3;

/// A type of numbers that a register can be loaded from.
pub(super) trait Element: Copy {
    /// Loads as many numbers as a register has lanes.
    ///
    /// # Safety
    /// The CPU has the instruction set of `V`, and `p` is valid for so many numbers.
    unsafe fn load<V: Vector>(p: *const Self) -> V;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const f32) -> V {
        // SAFETY: the caller promises the same.
        unsafe { V::load(p) }
    }
}

/// The bits of an f16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct F16(u16);

impl Element for F16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const F16) -> V {
        // SAFETY: the caller promises the same.
        unsafe { V::load_f16(p.cast()) }
    }
}

/// The bits of a bf16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bf16(u16);

impl Element for Bf16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(p: *const Bf16) -> V {
        // SAFETY: the caller promises the same.
        unsafe { V::load_bf16(p.cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use crate::conv::{self, Conv};
    use crate::gemm::{Epilogue, Mat, MatMut, Panels, Weight, gemm_panels_on};
    use crate::half::naive::value;
    use crate::isa::Isa;
    use crate::support::random;

    /// Any finite f16, subnormal ones and both zeros among them.
    fn f16(n: usize) -> Vec<u16> {
        let bits = random(1, n).into_iter().map(|x| (x.to_bits() >> 3) as u16);
        bits.map(|bits| if bits & 0x7c00 == 0x7c00 { bits & 0x83ff } else { bits }).collect()
    }

    /// Some bf16, subnormal ones among them.
    fn bf16(n: usize) -> Vec<u16> {
        let tiny = |i: usize| if i.is_multiple_of(50) { i as u16 & 0x7f } else { 0x8000 };
        let bits = random(2, n).into_iter().map(|x| (x.to_bits() >> 16) as u16);
        bits.enumerate().map(|(i, bits)| if i.is_multiple_of(25) { tiny(i) } else { bits }).collect()
    }

    fn bits(numbers: &[f32]) -> Vec<u32> {
        numbers.iter().map(|x| x.to_bits()).collect()
    }

    fn f32_of(numbers: Numbers) -> Vec<f32> {
        match numbers {
            Numbers::F32(data) => data.to_vec(),
            Numbers::F16(data) => data.iter().map(|x| value(x.to_le_bytes()) as f32).collect(),
            Numbers::Bf16(data) => data.iter().map(|&x| f32::from_bits(u32::from(x) << 16)).collect(),
        }
    }

    #[test]
    fn every_number_of_16_bits_is_widened_to_its_value() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00).collect();
        for numbers in [Numbers::F16(&all), Numbers::Bf16(&all)] {
            let mut read = vec![f32::NAN; all.len()];
            numbers.read(&mut read);
            assert!(bits(&read) == bits(&f32_of(numbers)));
        }
    }

    /// The shapes have few rows and many, whole tiles and parts, more than one piece of K, and a last panel that is not
    /// full.
    #[test]
    fn products_with_16_bits_have_the_bits_of_those_with_32() {
        let few = (1..=16).map(|m| (m, 96, 130));
        let others = [(2, 30, 7), (29, 75, 800), (50, 160, 400), (57, 64, 1), (300, 33, 40), (1030, 70, 33)];
        let large = [(1100, 96, 770), (700, 544, 65)];
        let shapes: Vec<_> = if cfg!(miri) {
            vec![(1, 32, 5), (17, 64, 9), (3, 30, 7)]
        } else {
            few.chain(others).chain(large).collect()
        };
        for (m, n, k) in shapes {
            let (a, size) = (random(3, m * k), Panels::size(n, k));
            let (f16, bf16) = (f16(size), bf16(size));
            for numbers in [Numbers::F16(&f16), Numbers::Bf16(&bf16)] {
                let wide = f32_of(numbers);
                for isa in Isa::available() {
                    let product = |b| {
                        let mut c = vec![f32::NAN; m * n];
                        gemm_panels_on(isa, Mat::new(&a, m, k), b, MatMut::new(&mut c, m, n), Epilogue::None);
                        c
                    };
                    let expected = product(Panels::new(&wide, n, k));
                    assert!(expected.iter().all(|c| c.is_finite()), "{m}×{n}×{k}");
                    assert!(bits(&product(Panels::of(numbers, n, k))) == bits(&expected), "{m}×{n}×{k} {isa:?}");
                }
            }
        }
    }

    #[test]
    fn weights_of_16_bits_are_looked_up_and_cut() {
        let (outputs, inputs) = (96, 7);
        let numbers = f16(outputs * inputs);
        let (rows, wide) = (Weight::Half(Numbers::F16(&numbers)), f32_of(Numbers::F16(&numbers)));
        let of_panels = [
            Weight::Panels(Panels::of(Numbers::F16(&numbers), outputs, inputs)),
            Weight::Panels(Panels::new(&wide, outputs, inputs)),
        ];
        for i in 0..outputs {
            let row = |w: Weight, i| {
                let mut out = [f32::NAN; 7];
                w.row(i, &mut out);
                out
            };
            assert_eq!(row(rows, i), wide[i * inputs..][..inputs]);
            assert_eq!(row(of_panels[0], i), row(of_panels[1], i));
            let (head, tail) = of_panels[0].split_at(64 * inputs);
            assert_eq!(if i < 64 { row(head, i) } else { row(tail, i - 64) }, row(of_panels[1], i));
        }
    }

    #[test]
    fn convolutions_with_16_bits_have_the_bits_of_those_with_32() {
        for (kernel, stride, channels) in [(1, 1, 40), (3, 1, 16), (3, 2, 8)] {
            let conv =
                Conv { pictures: 1, height: 12, width: 12, in_channels: channels, out_channels: 64, kernel, stride };
            let (x, numbers) = (random(5, 12 * 12 * channels), bf16(64 * channels * kernel * kernel));
            let wide = f32_of(Numbers::Bf16(&numbers));
            for isa in Isa::available() {
                let run = |b| {
                    let mut y = vec![f32::NAN; conv.out_pixels() * 64];
                    conv::forward_on(isa, &conv, &x, Weight::Panels(b), &mut y, Epilogue::None);
                    y
                };
                let inputs = channels * kernel * kernel;
                let expected = run(Panels::new(&wide, 64, inputs));
                let found = run(Panels::of(Numbers::Bf16(&numbers), 64, inputs));
                assert!(bits(&found) == bits(&expected), "{kernel} {stride} {isa:?}");
            }
        }
    }
}
