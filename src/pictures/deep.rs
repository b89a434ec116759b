//! Pillow's resampling of 16-bit samples: both passes add in f64 and round to 16 bits.

use crate::pictures::filter::Span;
use crate::pictures::picture::Picture;

/// Blends a picture of little-endian samples. `columns` and `rows` are the pixels that each output column and row
/// blends, and `rows_first` says whether the vertical pass comes first.
pub(super) fn blend(picture: &Picture, columns: &[Span], rows: &[Span], rows_first: bool, to: &mut Picture) {
    let pixels = picture.samples.as_chunks::<2>().0;
    let value = |x: usize, y: usize| f64::from(u16::from_le_bytes(pixels[y * picture.width + x]));
    let out = to.samples.as_chunks_mut::<2>().0.chunks_exact_mut(columns.len());
    if rows_first {
        for (out, down) in out.zip(rows) {
            let row: Vec<u16> = (0..picture.width).map(|x| sum(down, |y| value(x, y))).collect();
            let sample = |span: &Span| sum(span, |x| f64::from(row[x])).to_le_bytes();
            out.iter_mut().zip(columns).for_each(|(out, span)| *out = sample(span));
        }
    } else {
        let row = |y: usize| columns.iter().map(|span| sum(span, |x| value(x, y))).collect::<Vec<u16>>();
        let start = rows.first().map_or(0, |span| span.start);
        let end = rows.last().map_or(0, Span::end);
        let middle: Vec<Vec<u16>> = (start..end).map(row).collect();
        for (out, down) in out.zip(rows) {
            let sample = |x: usize| sum(down, |y| f64::from(middle[y - start][x])).to_le_bytes();
            out.iter_mut().enumerate().for_each(|(x, out)| *out = sample(x));
        }
    }
}

/// Adds weighted values and rounds to 16 bits. Like Pillow, it clips the high and the low byte separately.
fn sum(span: &Span, value: impl Fn(usize) -> f64) -> u16 {
    let sum: f64 = span.weights.iter().zip(span.start..).map(|(weight, i)| weight * value(i)).sum();
    let rounded = sum.round() as i32;
    let [low, high] = [rounded % 256, rounded >> 8].map(|byte| byte.clamp(0, 255) as u8);
    u16::from_le_bytes([low, high])
}
