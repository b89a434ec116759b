//! The pixels of a scene.

use super::cutout::cut_out;
use super::scene::Scene;
use crate::datasets::emoji::Emoji;
use crate::pictures::picture::{Channels, Picture};
use crate::pictures::resize::{Interpolation, Region, Resizer};

/// Paints a scene of `size` × `size` pixels. Every drawing is resized once, from its tile to its size in the picture.
pub(super) fn paint(scene: &Scene, emoji: &Emoji, size: usize, picture: &mut Picture) {
    picture.reshape(size, size, Channels::Rgb);
    picture.samples.as_chunks_mut::<3>().0.fill(scene.ground.rgb());
    let (mut resizer, mut tile, mut resized) = (Resizer::default(), Picture::default(), Picture::default());
    for group in &scene.groups {
        emoji.paint(group.tile, &mut tile);
        let drawing = cut_out(&tile);
        for square in &group.squares {
            let [x, y, side] = square.pixels(size);
            if side > 0 {
                let window = Region { x: 0, y: 0, width: side, height: side };
                let whole = Region::whole(drawing.size());
                resizer.resize(&drawing, whole, (side, side), window, Interpolation::Bicubic, &mut resized);
                lay(&resized, x, y, picture);
            }
        }
    }
}

/// Lays a drawing over a picture, with its corner at (x, y).
fn lay(drawing: &Picture, x: usize, y: usize, picture: &mut Picture) {
    let width = picture.width;
    let rows = picture.samples.as_chunks_mut::<3>().0.chunks_exact_mut(width).skip(y);
    for (row, from) in rows.zip(drawing.samples.as_chunks::<4>().0.chunks_exact(drawing.width)) {
        for (under, &[r, g, b, alpha]) in row[x..].iter_mut().zip(from) {
            let over = |colour: u8, under: u8| {
                let (colour, under, alpha) = (u32::from(colour), u32::from(under), u32::from(alpha));
                ((colour * alpha + under * (255 - alpha) + 127) / 255) as u8
            };
            *under = [over(r, under[0]), over(g, under[1]), over(b, under[2])];
        }
    }
}
