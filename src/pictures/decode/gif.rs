//! GIF: the first frame, placed on the screen of the file.

use super::limits::{MAX_DECODE_BYTES, broken, check, unfit};
use super::palette::{Palette, keyed};
use crate::pictures::picture::{Channels, Picture};
use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::{ImageError, ImageFormat};
use std::io::Cursor;
use std::num::NonZeroU64;

/// Reads the first frame. The part of the screen that it does not cover has the transparent value, or value 0 if there
/// is none. A screen that is too small for the frame is enlarged.
pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(NonZeroU64::new(MAX_DECODE_BYTES).expect("not zero")));
    let broken = broken(ImageFormat::Gif);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(&broken)?;
    let (screen_width, screen_height) = (decoder.width(), decoder.height());
    check(screen_width.into(), screen_height.into(), 5)?;
    let frame = decoder.next_frame_info().map_err(&broken)?.ok_or_else(|| unfit("a picture without a frame"))?;
    let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let (transparent, own) = (frame.transparent, frame.palette.clone());
    let colours = own.or(decoder.global_palette().map(Into::into)).filter(|colours| !Palette::is_grey_wedge(colours));
    let screen = (usize::from(screen_width).max(left + width), usize::from(screen_height).max(top + height));
    check(screen.0 as u32, screen.1 as u32, 5)?;

    let mut inside = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut inside).map_err(&broken)?;
    let mut values = vec![transparent.unwrap_or(0); screen.0 * screen.1];
    if width > 0 {
        let rows = values.chunks_exact_mut(screen.0).skip(top);
        rows.zip(inside.chunks_exact(width)).for_each(|(row, inside)| row[left..][..width].copy_from_slice(inside));
    }
    Ok(picture(screen, &values, colours.as_deref(), transparent))
}

/// Returns the picture of these values, which are shades of grey if there is no palette.
fn picture((width, height): (usize, usize), values: &[u8], colours: Option<&[u8]>, transparent: Option<u8>) -> Picture {
    let of = |mode, samples| Picture { width, height, mode, samples, ..Picture::default() };
    match (colours, transparent) {
        (Some(colours), transparent) => {
            let mut palette = Palette::of_bytes(colours);
            transparent.into_iter().for_each(|value| palette.make_transparent(value));
            palette.picture(width, height, values)
        }
        (None, Some(value)) => of(Channels::GreyKeyed, keyed(values, [value])),
        (None, None) => of(Channels::Grey, values.to_vec()),
    }
}
