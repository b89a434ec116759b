//! TIFF: the modes in Pillow's table, decoded as the tags of the first picture say.
//!
//! What the decoder cannot read is an error. This concerns CCITT codes other than group 4, subsampled luminance and
//! colour without JPEG, samples of 12 or 32 bits, floating point, Lab.

use super::limits::{MAX_DECODE_BYTES, broken, check, unfit};
use super::palette::{Palette, high_bytes, unpack};
use crate::pictures::picture::{Channels, Picture, ycbcr_to_rgb};
use crate::pictures::resize::unpremultiply;
use image::metadata::Orientation;
use image::{ImageError, ImageFormat};
use std::borrow::Cow;
use std::io::Cursor;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{TiffError, TiffResult};

/// Values of the tag Compression: no compression, and JPEG.
const RAW: u16 = 1;
const JPEG: u16 = 7;
/// Values of the tag PhotometricInterpretation.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    let broken = broken::<TiffError>(ImageFormat::Tiff);
    let tags = Tags::read(bytes).map_err(&broken)?;
    let mode = tags.mode(bytes).ok_or_else(|| unfit(format!("a TIFF file of an unknown kind: {tags:?}")))?;
    let (width, height) = (tags.width as usize, tags.height as usize);
    check(tags.width, tags.height, 4 + tags.bits.len() * usize::from(tags.bits[0]).div_ceil(8))?;
    let samples = tags.samples(&tags.readable(bytes)).map_err(&broken)?;
    let samples = samples.ok_or_else(|| unfit("a TIFF file with planes of an unknown kind"))?;
    let picture = tags.picture(mode, (width, height), samples)?;
    let orientation = Orientation::from_exif(tags.orientation.min(255) as u8).unwrap_or(Orientation::NoTransforms);
    Ok(Picture { orientation, ..picture }.upright())
}

/// How the samples become a picture.
#[derive(Clone, Copy, Debug)]
enum Mode {
    BlackAndWhite,
    /// Shades of grey of at most eight bits.
    Grey,
    Palette,
    /// The first samples of each pixel, which are these channels.
    First(Channels),
    /// Colours that were multiplied by their opacity.
    Premultiplied,
    /// Luminance and colour differences that are converted before anything else is done.
    Converted,
}

/// The tags that decide how a picture is read.
#[derive(Debug)]
struct Tags {
    width: u32,
    height: u32,
    compression: u16,
    photometric: u16,
    /// Bits of each sample of a pixel.
    bits: Vec<u16>,
    /// The kinds of the samples that are not colours: 0 unspecified, 1 opacity multiplied in, 2 opacity.
    extra: Vec<u16>,
    /// The kind of number of a sample: 1 unsigned, 2 signed, 3 floating point.
    sample_format: u16,
    is_reversed: bool,
    orientation: u16,
    colours: Vec<u16>,
    /// The parts of the file that hold the samples, as (start, length).
    parts: Vec<(u64, u64)>,
}

impl Tags {
    fn read(bytes: &[u8]) -> TiffResult<Self> {
        let mut decoder = Decoder::new(Cursor::new(bytes))?;
        let (width, height) = decoder.dimensions()?;
        let mut list =
            |tag: Tag| -> TiffResult<Vec<u64>> { Ok(decoder.find_tag_unsigned_vec(tag)?.unwrap_or_default()) };
        let (mut starts, mut lengths) = (list(Tag::StripOffsets)?, list(Tag::StripByteCounts)?);
        starts.extend(list(Tag::TileOffsets)?);
        lengths.extend(list(Tag::TileByteCounts)?);
        let mut short =
            |tag: Tag| -> TiffResult<Vec<u16>> { Ok(decoder.find_tag_unsigned_vec(tag)?.unwrap_or_default()) };
        let mut first = |tag: Tag, default: u16| short(tag).map(|values| values.first().copied().unwrap_or(default));
        let count = first(Tag::SamplesPerPixel, 1)?;
        let [compression, photometric, sample_format, fill_order, orientation] = [
            first(Tag::Compression, RAW)?,
            first(Tag::PhotometricInterpretation, WHITE_IS_ZERO)?,
            first(Tag::SampleFormat, 1)?,
            first(Tag::FillOrder, 1)?,
            first(Tag::Orientation, 1)?,
        ];
        let mut bits = short(Tag::BitsPerSample)?;
        if bits.len() < 2 {
            bits = vec![bits.first().copied().unwrap_or(1); usize::from(count.max(1))];
        }
        Ok(Self {
            width,
            height,
            compression,
            photometric,
            bits,
            extra: short(Tag::ExtraSamples)?,
            sample_format,
            is_reversed: fill_order == 2,
            orientation,
            colours: short(Tag::ColorMap)?,
            parts: starts.into_iter().zip(lengths).collect(),
        })
    }

    /// Returns the mode in Pillow's table, or `None` if it cannot be read.
    fn mode(&self, bytes: &[u8]) -> Option<Mode> {
        let is_little_endian = bytes.first() == Some(&b'I');
        let depth = self.bits.first().copied().filter(|depth| self.bits.iter().all(|bits| bits == depth))?;
        let (samples, extra) = (self.bits.len(), self.extra.as_slice());
        let few_bits = matches!(depth, 1 | 2 | 4 | 8);
        let colours = matches!(depth, 8 | 16);
        let unknown = extra.iter().all(|&kind| kind == 0);
        // Of the samples that are not colours, only the first may have a meaning.
        let then_unknown = extra.get(1..).is_none_or(|rest| rest.iter().all(|&kind| kind == 0));
        let is_plain = !self.is_reversed || depth <= 8 && extra.is_empty() && self.photometric <= PALETTE;
        if !is_plain || self.is_reversed && self.compression == JPEG {
            return None;
        }
        match (self.photometric, self.sample_format, samples - extra.len().min(samples), extra) {
            (WHITE_IS_ZERO | BLACK_IS_ZERO, 1, 1, []) if depth == 1 => Some(Mode::BlackAndWhite),
            (WHITE_IS_ZERO | BLACK_IS_ZERO, 1, 1, []) if few_bits => Some(Mode::Grey),
            (BLACK_IS_ZERO, 2, 1, []) if depth == 8 => Some(Mode::Grey),
            (BLACK_IS_ZERO, 1, 1, []) if depth == 16 => Some(Mode::First(Channels::Grey16)),
            (WHITE_IS_ZERO, 1, 1, []) if depth == 16 && is_little_endian => Some(Mode::First(Channels::Grey16)),
            (BLACK_IS_ZERO, 1, 1, [0]) if depth == 8 => Some(Mode::First(Channels::Grey)),
            (BLACK_IS_ZERO, 1, 1, [2]) if depth == 8 => Some(Mode::First(Channels::GreyAlpha)),
            (2, 1, 3, _) if colours && unknown => Some(Mode::First(Channels::Rgb)),
            (2, 1, 3, [1, ..]) if colours && then_unknown => Some(Mode::Premultiplied),
            (2, 1, 3, [2, ..]) if colours && then_unknown => Some(Mode::First(Channels::Rgba)),
            (2, 1, 3, [999]) if depth == 8 => Some(Mode::First(Channels::Rgba)),
            (2, 1, 4, []) if colours => Some(Mode::First(Channels::Rgba)),
            (PALETTE, 1, 1, []) if few_bits => Some(Mode::Palette),
            (PALETTE, 1, 1, [0]) if depth == 8 => Some(Mode::Palette),
            (5, 1, 4, _) if colours && unknown => Some(Mode::First(Channels::Cmyk)),
            (6, 1, 1, []) if depth == 8 => Some(Mode::First(Channels::Grey)),
            (6, 1, 3, []) if depth == 8 && self.compression == RAW => Some(Mode::First(Channels::YCbCr)),
            (6, 1, 3, []) if depth == 8 => Some(Mode::Converted),
            _ => None,
        }
    }

    /// Returns the file, changed so that the decoder can read it. The decoder supports neither palettes nor bits from
    /// right to left, and would invert samples whose tags say that white is zero.
    fn readable<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut bytes = Cow::Borrowed(bytes);
        if matches!(self.photometric, WHITE_IS_ZERO | PALETTE) {
            set_tag(bytes.to_mut(), Tag::PhotometricInterpretation.to_u16(), BLACK_IS_ZERO);
        }
        if self.is_reversed {
            for &(start, length) in &self.parts {
                let bytes = bytes.to_mut();
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(length as usize).min(bytes.len());
                bytes[start..end].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
            }
        }
        bytes
    }

    /// Decodes the samples, interleaved by pixel; those of 16 bits are in the machine's byte order. Returns `None` if
    /// they lie in planes that cannot be put together.
    fn samples(&self, bytes: &[u8]) -> TiffResult<Option<Vec<u8>>> {
        let mut limits = Limits::default();
        let most = MAX_DECODE_BYTES as usize;
        (limits.decoding_buffer_size, limits.intermediate_buffer_size, limits.ifd_value_size) = (most, most, most);
        let mut decoder = Decoder::new(Cursor::new(bytes))?.with_limits(limits);
        let mut result = DecodingResult::U8(vec![]);
        let layout = decoder.read_image_to_buffer(&mut result)?;
        if layout.planes < 2 {
            return Ok(Some(match result {
                DecodingResult::U8(samples) => samples,
                mut other => other.as_buffer(0).as_bytes().to_vec(),
            }));
        }
        let buffer = result.as_buffer(0);
        let Some(stride) = layout.plane_stride.filter(|stride| stride.get() * layout.planes == buffer.as_bytes().len())
        else {
            return Ok(None);
        };
        if layout.planes != self.bits.len() || self.bits[0] < 8 {
            return Ok(None);
        }
        let (size, planes) = (usize::from(self.bits[0] / 8), buffer.as_bytes().chunks_exact(stride.get()));
        let pixel = |i: usize| planes.clone().flat_map(move |plane| &plane[i * size..][..size]);
        Ok(Some((0..stride.get() / size).flat_map(pixel).copied().collect()))
    }

    fn picture(&self, mode: Mode, (width, height): (usize, usize), samples: Vec<u8>) -> Result<Picture, ImageError> {
        let depth = usize::from(self.bits[0]);
        let of = |mode, samples| Picture { width, height, mode, samples, ..Picture::default() };
        let is_inverted = self.photometric == WHITE_IS_ZERO;
        let picture = match mode {
            Mode::BlackAndWhite => {
                let ends = if is_inverted { [[255; 3], [0; 3]] } else { [[0; 3], [255; 3]] };
                Palette::new(ends).picture(width, height, &unpack(&samples, width, 1))
            }
            Mode::Grey => {
                let mut grey = unpack(&samples, width, depth);
                let scale = (255 / ((1u16 << depth) - 1)) as u8;
                let shade = |v: u8| if is_inverted { 255 - v * scale } else { v * scale };
                grey.iter_mut().for_each(|v| *v = shade(*v));
                of(Channels::Grey, grey)
            }
            Mode::Palette => {
                let (n, values) = (1 << depth, self.first(&samples, width * height, 1));
                if self.colours.len() != 3 * n {
                    return Err(unfit(format!("{} numbers for a palette of {n} colours", self.colours.len())));
                }
                let colour = |i: usize| [i, i + n, i + 2 * n].map(|i| (self.colours[i] >> 8) as u8);
                Palette::new((0..n).map(colour)).picture(width, height, &unpack(&values, width, depth))
            }
            Mode::First(Channels::Grey16) => {
                let little_endian = |&sample: &[u8; 2]| u16::from_ne_bytes(sample).to_le_bytes();
                of(Channels::Grey16, samples.as_chunks().0.iter().flat_map(little_endian).collect())
            }
            Mode::First(mode) => of(mode, self.bytes(&samples, width * height, mode.channels())),
            Mode::Premultiplied => {
                let mut rgba = self.bytes(&samples, width * height, 4);
                let undo =
                    |[r, g, b, alpha]: [u8; 4]| if alpha == 0 { [0; 4] } else { unpremultiply([r, g, b, alpha]) };
                rgba.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = undo(*pixel));
                of(Channels::Rgba, rgba)
            }
            Mode::Converted => {
                let mut rgb = self.bytes(&samples, width * height, 3);
                rgb.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = ycbcr_to_rgb(*pixel));
                of(Channels::Rgb, rgb)
            }
        };
        let expected = width * height * picture.mode.channels();
        if picture.samples.len() == expected { Ok(picture) } else { Err(unfit("a TIFF file with too few samples")) }
    }

    /// Returns the high bytes of the first `n` samples of each pixel.
    fn bytes(&self, samples: &[u8], pixels: usize, n: usize) -> Vec<u8> {
        let first = self.first(samples, pixels, n);
        if self.bits[0] == 8 {
            return first.into_owned();
        }
        let big_endian = |&sample: &[u8; 2]| u16::from_ne_bytes(sample).to_be_bytes();
        high_bytes(&first.as_chunks().0.iter().flat_map(big_endian).collect::<Vec<u8>>())
    }

    /// Returns the first `n` samples of each pixel. The decoder leaves out some of the others, but not all.
    fn first<'a>(&self, samples: &'a [u8], pixels: usize, n: usize) -> Cow<'a, [u8]> {
        let n = n * usize::from(self.bits[0]).div_ceil(8);
        let stored = samples.len() / pixels;
        if stored <= n || self.bits[0] < 8 {
            return Cow::Borrowed(samples);
        }
        Cow::Owned(samples.chunks_exact(stored).flat_map(|pixel| &pixel[..n]).copied().collect())
    }
}

/// Changes the value of a tag in the first directory of a file, if it is there.
fn set_tag(bytes: &mut [u8], tag: u16, value: u16) -> Option<()> {
    const LONG: u64 = 4;
    let is_little = bytes.first()? == &b'I';
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(length)?)?;
        let push = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if is_little { bytes.iter().rev().fold(0, push) } else { bytes.iter().fold(0, push) })
    };
    // In files of version 43, counts and positions have eight bytes.
    let (head, position, count, entry, inside) = if number(2, 2)? == 43 { (8, 8, 8, 20, 12) } else { (4, 4, 2, 12, 8) };
    let directory = usize::try_from(number(head, position)?).ok()?;
    let first = directory.checked_add(count)?;
    let entries = usize::try_from(number(directory, count)?).ok()?;
    // If the file has fewer entries than it says, the iteration stops at its end.
    let mut places = (0..entries).map_while(|i| first.checked_add(i.checked_mul(entry)?));
    let place = places.find_map(|at| match number(at, 2) {
        Some(own) if own == u64::from(tag) => Some(Some(at)),
        Some(_) => None,
        None => Some(None),
    })??;
    let wide = if number(place + 2, 2)? == LONG { 4 } else { 2 };
    let (low, at) = (2, place + inside);
    let at = if is_little { at } else { at + wide - low };
    bytes.get_mut(at..at + low)?.copy_from_slice(&if is_little { value.to_le_bytes() } else { value.to_be_bytes() });
    Some(())
}
