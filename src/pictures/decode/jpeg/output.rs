//! From coefficients to pixels, one row of units at a time: squares of samples, as many samples of each component as
//! there are pixels, colours.

use super::area::Area;
use super::markers::{Component, File, Frame};
use super::plane::Plane;
use crate::pictures::decode::limits::unfit;
use crate::pictures::picture::{Channels, Picture};
use crate::pictures::region::{Cut, Region};
use image::ImageError;
use kernels::jpeg::dct::Block;
use kernels::jpeg::{colour, dct, reduced, upsample};
use std::ops::Range;

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
        let (all, own) = (
            (frame.h * frame.edge, frame.v * frame.edge),
            (component.h * component.edge, component.v * component.edge),
        );
        if !all.0.is_multiple_of(own.0) || !all.1.is_multiple_of(own.1) {
            return Err(unfit("a JPEG file with a fraction of a sample for a pixel"));
        }
        // As in libjpeg, very narrow pictures are not smoothed, and neither are those of one pixel a square.
        Ok(match (all.0 / own.0, all.1 / own.1, frame.edge > 1, component.width > 2) {
            (1, 1, ..) => Upsampling::None,
            (2, 1, true, true) => Upsampling::Across,
            (1, 2, true, _) => Upsampling::Down,
            (2, 2, true, true) => Upsampling::Both,
            (h, v, ..) => Upsampling::Repeat(h, v),
        })
    }
}

/// The last samples of a component, in the columns of units that are needed.
struct Strip {
    upsampling: Upsampling,
    /// Number of samples across and down that a square becomes.
    edge: usize,
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
    fn new(frame: &Frame, component: &Component, area: &Area) -> Result<Self, ImageError> {
        let edge = component.edge;
        let [start, end] = [area.columns.start, area.columns.end].map(|column| column * component.h * edge);
        let (stride, width) = (end - start, end.min(component.width) - start);
        let upsampling = Upsampling::of(frame, component)?;
        let line = match upsampling {
            Upsampling::None => 0,
            Upsampling::Across | Upsampling::Both => 2 * width,
            Upsampling::Down => width,
            Upsampling::Repeat(h, _) => h * width,
        };
        let (samples, sums) = (vec![0; stride * 2 * edge * component.v], vec![0; width]);
        Ok(Self { upsampling, edge, stride, width, height: component.height, samples, line: vec![0; line], sums })
    }

    /// Computes the samples of a row of squares.
    fn squares(&mut self, row: usize, blocks: &[Block], scale: &Block) {
        let start = row * self.edge * self.stride % self.samples.len();
        let samples = &mut self.samples[start..];
        match self.edge {
            8 => dct::squares(blocks, scale, self.stride, samples),
            edge => reduced::squares(edge, blocks, scale, self.stride, samples),
        }
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
    fn line(&self, y: usize, columns: Range<usize>) -> &[u8] {
        match self.upsampling {
            Upsampling::None => &self.samples[y * self.stride % self.samples.len()..][columns],
            _ => &self.line[columns],
        }
    }
}

/// A picture, or a part of it, that is filled from the top.
pub(super) struct Output {
    area: Area,
    space: Space,
    strips: Vec<Strip>,
    /// The first row of pixels that is not there yet.
    row: usize,
    /// The needed pixels of the lines.
    columns: Range<usize>,
    pub picture: Picture,
}

impl Output {
    pub fn new(file: &File, frame: &Frame, area: Area) -> Result<Self, ImageError> {
        let (space, region) = (Space::of(file, frame), area.region);
        let strips = frame.components.iter().map(|component| Strip::new(frame, component, &area));
        let strips = strips.collect::<Result<_, _>>()?;
        let whole = (frame.width, frame.height);
        let cut = (region != Region::whole(whole)).then_some(Cut { corner: (region.x, region.y), whole });
        let picture = Picture { cut, ..Picture::new(region.width, region.height, space.channels()) };
        let left = region.x - area.left(frame);
        Ok(Self { area, space, strips, row: region.y, columns: left..left + region.width, picture })
    }

    /// Takes a row of units, one after the other from the first that is needed on. `planes` hold this row alone or all
    /// rows.
    pub fn squares(&mut self, frame: &Frame, row: usize, planes: &[Plane]) {
        let Area { region, columns, rows } = &self.area;
        for ((plane, component), strip) in planes.iter().zip(&frame.components).zip(&mut self.strips) {
            let start = if plane.blocks.len() == plane.stride * component.v { 0 } else { row * component.v };
            let first = columns.start * component.h - plane.first;
            for y in 0..component.v {
                let blocks = &plane.blocks[(start + y) * plane.stride + first..][..columns.len() * component.h];
                strip.squares(row * component.v + y, blocks, &component.scale.unwrap_or([0; 64]));
            }
        }
        let bottom = region.y + region.height;
        // The last rows wait for the samples below them.
        let there = (row + 1) * frame.edge * frame.v - frame.v;
        let end = if row + 1 == rows.end { bottom } else { there.min(bottom) };
        for y in self.row..end {
            self.strips.iter_mut().for_each(|strip| strip.fill(y));
            self.colours(y);
        }
        self.row = self.row.max(end);
    }

    fn colours(&mut self, y: usize) {
        let stride = self.picture.width * self.picture.mode.channels();
        let out = &mut self.picture.samples[(y - self.area.region.y) * stride..][..stride];
        let line = |i: usize| self.strips[i].line(y, self.columns.clone());
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
