//! Sheets of one vendor's pictures: a palette PNG of 64 × 64 tiles, 32 in a row, and the concept of each tile.

use super::vendor::Vendor;
use crate::pictures::picture::{Channels, Picture};
use std::io::Cursor;

/// Width and height of a tile in pixels.
pub const TILE: usize = 64;
const PER_ROW: usize = 32;

/// One vendor's sheet. It is kept as palette indices, which take a third of the memory of RGB; painting a tile is one
/// table look-up per pixel.
pub(super) struct Sheet {
    pub vendor: Vendor,
    /// The concept of each tile.
    pub concepts: Vec<usize>,
    palette: Vec<[u8; 3]>,
    indices: Vec<u8>,
}

impl Sheet {
    /// Decodes the embedded sheet of a vendor.
    pub(crate) fn decode(vendor: Vendor) -> Self {
        let (png, ids) = clipwright_emoji::sheet(vendor.name());
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info().expect("the embedded sheets are intact");
        let info = reader.info();
        let palette = info.palette.as_ref().expect("a sheet has a palette").as_chunks::<3>().0.to_vec();
        let bits = info.bit_depth as usize;
        let mut packed = vec![0; reader.output_buffer_size().expect("a sheet fits memory")];
        reader.next_frame(&mut packed).expect("the embedded sheets are intact");
        let concepts = ids.lines().map(|id| id.parse().expect("an id is a number")).collect();
        Self { vendor, concepts, palette, indices: unpack(packed, bits) }
    }

    /// Paints the tile at position `place` of the sheet.
    pub(crate) fn paint(&self, place: usize, picture: &mut Picture) {
        picture.reshape(TILE, TILE, Channels::Rgb);
        let corner = place / PER_ROW * TILE * PER_ROW * TILE + place % PER_ROW * TILE;
        for (y, row) in picture.samples.as_chunks_mut::<3>().0.chunks_exact_mut(TILE).enumerate() {
            let indices = &self.indices[corner + y * PER_ROW * TILE..][..TILE];
            for (pixel, &index) in row.iter_mut().zip(indices) {
                *pixel = self.palette[usize::from(index)];
            }
        }
    }
}

/// Unpacks `8 / bits` indices per byte, highest bits first, to one index per byte. A sheet's rows fill whole bytes.
fn unpack(packed: Vec<u8>, bits: usize) -> Vec<u8> {
    if bits == 8 {
        return packed;
    }
    let mask = (1u8 << bits) - 1;
    packed.iter().flat_map(|&byte| (0..8 / bits).rev().map(move |i| byte >> (i * bits) & mask)).collect()
}
