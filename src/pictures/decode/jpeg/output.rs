//! From coefficients to pixels, one row of units at a time: squares of samples, as many samples of each component as
//! there are pixels, colours.

use super::markers::{Component, File, Frame};
use super::plane::Plane;
use crate::pictures::decode::limits::unfit;
use crate::pictures::picture::{Channels, Picture};
use image::ImageError;
use kernels::jpeg::dct::Block;
use kernels::jpeg::{colour, dct, upsample};

/// How colours are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Grey,
    Rgb,
    YCbCr,
    /// The amounts of light that inks reflect.
    Ink,
    /// The same, with luminance and colour differences instead of the first three.
    YCbCrInk,
}

impl Space {
    fn of(file: &File, frame: &Frame) -> Self {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.len(), file.adobe) {
            (1, _) => Space::Grey,
            (3, _) if file.is_jfif => Space::YCbCr,
            (3, Some(0)) => Space::Rgb,
            (3, None) if ids == *b"RGB" => Space::Rgb,
            (3, _) => Space::YCbCr,
            (_, None | Some(0)) => Space::Ink,
            _ => Space::YCbCrInk,
        }
    }

    fn channels(self) -> Channels {
        match self {
            Space::Grey => Channels::Grey,
            Space::Rgb | Space::YCbCr => Channels::Rgb,
            Space::Ink | Space::YCbCrInk => Channels::Cmyk,
        }
    }
}

/// How the samples of a component become as many as there are pixels.
#[derive(Clone, Copy)]
enum Upsampling {
    None,
    Across,
    Down,
    Both,
    /// Each sample is repeated, across and down.
    Repeat(usize, usize),
}

impl Upsampling {
    fn of(frame: &Frame, component: &Component) -> Result<Self, ImageError> {
        let (h, v) = (frame.h / component.h, frame.v / component.v);
        if !frame.h.is_multiple_of(component.h) || !frame.v.is_multiple_of(component.v) {
            return Err(unfit("a JPEG file with a fraction of a sample for a pixel"));
        }
        // As in libjpeg, very narrow pictures are not smoothed.
        Ok(match (h, v, component.width > 2) {
            (1, 1, _) => Upsampling::None,
            (2, 1, true) => Upsampling::Across,
            (1, 2, _) => Upsampling::Down,
            (2, 2, true) => Upsampling::Both,
            _ => Upsampling::Repeat(h, v),
        })
    }
}

/// The last samples of a component.
struct Strip {
    upsampling: Upsampling,
    /// Number of samples from a row to the next, and those of the picture.
    stride: usize,
    width: usize,
    height: usize,
    /// Two rows of units, of which the later one replaces the earlier one.
    samples: Vec<u8>,
    /// A row with as many samples as the picture has pixels, or some more.
    line: Vec<u8>,
    sums: Vec<u16>,
}

impl Strip {
    fn new(frame: &Frame, component: &Component) -> Result<Self, ImageError> {
        let (stride, width) = (frame.columns * component.h * 8, component.width);
        let upsampling = Upsampling::of(frame, component)?;
        let line = match upsampling {
            Upsampling::None => 0,
            Upsampling::Across | Upsampling::Both => 2 * width,
            Upsampling::Down | Upsampling::Repeat(..) => frame.width,
        };
        let (samples, sums) = (vec![0; stride * 2 * 8 * component.v], vec![0; width]);
        Ok(Self { upsampling, stride, width, height: component.height, samples, line: vec![0; line], sums })
    }

    /// Computes the samples of a row of squares.
    fn squares(&mut self, row: usize, blocks: &[Block], scale: &Block) {
        let start = row * 8 * self.stride % self.samples.len();
        dct::squares(blocks, scale, self.stride, &mut self.samples[start..]);
    }

    /// Computes the line of samples for a row of pixels.
    fn fill(&mut self, y: usize) {
        let Self { samples, line, sums, .. } = self;
        let row = |y: usize| &samples[y * self.stride % samples.len()..][..self.width];
        // The row itself, and its neighbour on this side.
        let pair = || {
            let next = if y % 2 == 1 { (y / 2 + 1).min(self.height - 1) } else { (y / 2).saturating_sub(1) };
            (row(y / 2), row(next))
        };
        match self.upsampling {
            Upsampling::None => {}
            Upsampling::Across => upsample::across(row(y), line),
            Upsampling::Down => {
                let (near, far) = pair();
                upsample::down(near, far, y % 2 == 1, line);
            }
            Upsampling::Both => {
                let (near, far) = pair();
                upsample::both(near, far, sums, line);
            }
            Upsampling::Repeat(h, v) => {
                let parts = line.chunks_mut(h).zip(row(y / v));
                parts.for_each(|(part, &sample)| part.fill(sample));
            }
        }
    }

    /// Returns the line that was filled.
    fn line(&self, y: usize, width: usize) -> &[u8] {
        match self.upsampling {
            Upsampling::None => &self.samples[y * self.stride % self.samples.len()..][..width],
            _ => &self.line[..width],
        }
    }
}

/// A picture that is filled from the top.
pub(super) struct Output {
    space: Space,
    strips: Vec<Strip>,
    /// Number of rows of pixels that are there.
    rows: usize,
    pub picture: Picture,
}

impl Output {
    pub fn new(file: &File, frame: &Frame) -> Result<Self, ImageError> {
        let space = Space::of(file, frame);
        let strips = frame.components.iter().map(|component| Strip::new(frame, component)).collect::<Result<_, _>>()?;
        let picture = Picture::new(frame.width, frame.height, space.channels());
        Ok(Self { space, strips, rows: 0, picture })
    }

    /// Takes a row of units. `planes` hold this row alone or all rows.
    pub fn squares(&mut self, frame: &Frame, row: usize, planes: &[Plane]) {
        for ((plane, component), strip) in planes.iter().zip(&frame.components).zip(&mut self.strips) {
            let start = if plane.blocks.len() == plane.stride * component.v { 0 } else { row * component.v };
            for y in 0..component.v {
                let blocks = &plane.blocks[(start + y) * plane.stride..][..plane.stride];
                strip.squares(row * component.v + y, blocks, &component.scale.unwrap_or([0; 64]));
            }
        }
        // The last rows wait for the samples below them.
        let there = (row + 1) * 8 * frame.v - frame.v;
        let end = if row + 1 == frame.rows { frame.height } else { there.min(frame.height) };
        for y in self.rows..end {
            self.strips.iter_mut().for_each(|strip| strip.fill(y));
            self.colours(y);
        }
        self.rows = end;
    }

    fn colours(&mut self, y: usize) {
        let width = self.picture.width;
        let stride = width * self.picture.mode.channels();
        let out = &mut self.picture.samples[y * stride..][..stride];
        let line = |i: usize| self.strips[i].line(y, width);
        match self.space {
            Space::Grey => out.copy_from_slice(line(0)),
            Space::YCbCr => colour::rgb(line(0), line(1), line(2), out),
            Space::Rgb => {
                let (out, [r, g, b]) = (out.as_chunks_mut::<3>().0, [0, 1, 2].map(line));
                out.iter_mut().zip(r.iter().zip(g).zip(b)).for_each(|(out, ((&r, &g), &b))| *out = [r, g, b]);
            }
            Space::Ink | Space::YCbCrInk => {
                let (out, [c, m, y, k]) = (out.as_chunks_mut::<4>().0, [0, 1, 2, 3].map(line));
                let is_ycbcr = self.space == Space::YCbCrInk;
                for (out, (((&c, &m), &y), &k)) in out.iter_mut().zip(c.iter().zip(m).zip(y).zip(k)) {
                    let [c, m, y] = if is_ycbcr { colour::pixel_of(c, m, y) } else { [255 - c, 255 - m, 255 - y] };
                    *out = [c, m, y, 255 - k];
                }
            }
        }
    }
}
