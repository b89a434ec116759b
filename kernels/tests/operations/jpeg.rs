//! The arithmetic of JPEG against its definitions. What libjpeg rounds is compared with files, in `tests/data/jpeg.rs`.
use crate::support::random;
use clipwright_kernels::isa::Isa;
use clipwright_kernels::jpeg::dct::{Block, naive, squares_on};
use clipwright_kernels::jpeg::{colour, reduced, upsample};

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    random(seed, len).iter().map(|v| ((v + 1.0) * 128.0) as u8).collect()
}

/// Squares of a mean alone, of few and of all coefficients.
fn blocks(size: f32) -> Vec<Block> {
    [1, 3, 10, 64]
        .into_iter()
        .map(|n| {
            let values = random(n as u64, 64);
            std::array::from_fn(|i| if i < n { (values[i] * size) as i16 } else { 0 })
        })
        .collect()
}

#[test]
fn squares_are_the_cosine_transform_within_one() {
    let scale: Block = std::array::from_fn(|i| 1 + i as i16 / 4);
    let blocks = blocks(60.0);
    for isa in Isa::available() {
        let stride = 8 * blocks.len() + 3;
        let mut out = vec![7; 8 * stride];
        squares_on(isa, &blocks, &scale, stride, &mut out);
        for (i, block) in blocks.iter().enumerate() {
            for (at, exact) in naive::square(block, &scale).iter().enumerate() {
                let sample = f64::from(out[at / 8 * stride + 8 * i + at % 8]);
                // Two roundings of half a unit, the first of which is of numbers with two bits after the point.
                assert!((sample - exact.clamp(0.0, 255.0)).abs() < 0.8, "{isa:?}: {sample} instead of {exact}");
            }
        }
        assert!(out.chunks(stride).all(|row| row[stride - 3..] == [7; 3]), "beyond the squares");
    }
}

/// Damaged files have coefficients of any size, and the samples still do not depend on the machine.
#[test]
fn all_instruction_sets_overflow_in_the_same_way() {
    let (scale, blocks) = (std::array::from_fn(|i| (i as i16 - 9).wrapping_mul(1999)), blocks(32767.0));
    let on = |isa| {
        let mut out = vec![0; 64 * blocks.len()];
        squares_on(isa, &blocks, &scale, 8 * blocks.len(), &mut out);
        for edge in [1, 2, 4] {
            let start = out.len();
            out.resize(start + edge * edge * blocks.len(), 0);
            reduced::squares_on(isa, edge, &blocks, &scale, edge * blocks.len(), &mut out[start..]);
        }
        out
    };
    let expected = on(Isa::Portable);
    Isa::available().into_iter().for_each(|isa| assert_eq!(on(isa), expected, "{isa:?}"));
}

/// A sample of a reduced square is the mean of those that the whole square has in its place.
#[test]
fn reduced_squares_are_means_of_squares_within_one() {
    let scale: Block = std::array::from_fn(|i| 1 + i as i16 / 4);
    let blocks = blocks(25.0);
    for (isa, edge) in Isa::available().into_iter().flat_map(|isa| [1, 2, 4].map(|edge| (isa, edge))) {
        let (stride, k) = (edge * blocks.len() + 3, 8 / edge);
        let mut out = vec![7; edge * stride];
        reduced::squares_on(isa, edge, &blocks, &scale, stride, &mut out);
        for (i, block) in blocks.iter().enumerate() {
            let square = naive::square(block, &scale);
            for (y, x) in (0..edge).flat_map(|y| (0..edge).map(move |x| (y, x))) {
                let at = |n: usize| square[(k * y + n / k) * 8 + k * x + n % k];
                let mean = (0..k * k).map(at).sum::<f64>() / (k * k) as f64;
                let sample = f64::from(out[y * stride + edge * i + x]);
                assert!((sample - mean.clamp(0.0, 255.0)).abs() < 0.8, "{isa:?}, {edge}: {sample} instead of {mean}");
            }
        }
        assert!(out.chunks(stride).all(|row| row[stride - 3..] == [7; 3]), "beyond the squares");
    }
}

#[test]
fn upsampling_is_the_definition() {
    for isa in Isa::available() {
        for n in [1, 2, 3, 4, 17, 64, 131] {
            let (near, far) = (bytes(1, n), bytes(2, n));
            let (mut out, mut expected) = (vec![0; 2 * n], vec![1; 2 * n]);
            upsample::across_on(isa, &near, &mut out);
            upsample::naive::across(&near, &mut expected);
            assert_eq!(out, expected, "{isa:?}, {n} across");
            upsample::both_on(isa, &near, &far, &mut vec![0; n], &mut out);
            upsample::naive::both(&near, &far, &mut expected);
            assert_eq!(out, expected, "{isa:?}, {n} both");
            for half in [1, 2] {
                upsample::down_on(isa, &near, &far, half == 2, &mut out[..n]);
                let expected =
                    near.iter().zip(&far).map(|(&a, &b)| ((3 * u32::from(a) + u32::from(b) + half) / 4) as u8);
                assert!(out[..n].iter().copied().eq(expected), "{isa:?}, {n} down");
            }
        }
    }
}

#[test]
fn colours_are_the_formula_within_one() {
    let [y, blue, red] = [1, 2, 3].map(|seed| bytes(seed, 1009));
    for isa in Isa::available() {
        let mut rgb = vec![0; 3 * y.len()];
        colour::rgb_on(isa, &y, &blue, &red, &mut rgb);
        for (i, pixel) in rgb.as_chunks::<3>().0.iter().enumerate() {
            let [y, blue, red] = [f64::from(y[i]), f64::from(blue[i]) - 128.0, f64::from(red[i]) - 128.0];
            let exact = [y + 1.402 * red, y - 0.344_136 * blue - 0.714_136 * red, y + 1.772 * blue];
            for (&byte, exact) in pixel.iter().zip(exact) {
                assert!((f64::from(byte) - exact.clamp(0.0, 255.0)).abs() < 0.51, "{isa:?}: {byte} instead of {exact}");
            }
        }
    }
}
