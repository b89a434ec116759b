//! JPEG to the last bit as libjpeg-turbo decodes it, and Pillow with it: grey, red-green-blue or ink.
//!
//! A file says how a frame of squares of 8 × 8 pixels is stored, and has one or more scans of their coefficients. Where
//! one scan holds all, each row of squares becomes pixels at once; otherwise all coefficients are collected first.
//!
//! Damage within a scan is passed over as libjpeg does: the next scan or restart marker is looked for, and what is
//! missing stays grey. A file that is cut off is not read. Neither is one with arithmetic or lossless coding, which
//! Pillow reads; and where the scans of a progressive file end early, libjpeg smooths the blocks, but this does not.
//!
//! Of a picture of which a part is asked for, only the squares that this part depends on are transformed. The others
//! have to be read all the same, up to the last one that is needed; what follows it is looked through for markers, so that
//! a damaged or truncated tail is passed over or refused as if it were read.
//!
//! | file | what it knows |
//! |---|---|
//! | `markers` | the segments of a file: sizes, tables, the beginning of a scan |
//! | `huffman` | the codes of a scan, bit by bit |
//! | `plane` | the coefficients of a component |
//! | `scan` | the coefficients that a scan holds |
//! | `area` | which squares a part of the picture depends on |
//! | `output` | from coefficients to pixels |

mod area;
mod huffman;
mod markers;
mod output;
mod plane;
mod scan;

use super::limits::{check, unfit};
use crate::pictures::picture::Picture;
use crate::pictures::region::{Ask, Part};
use area::Area;
use image::ImageError;
use image::metadata::Orientation;
use markers::{File, Frame, Segment};
use output::Output;
use plane::{Plane, planes_of};

/// Reads the part of a picture that is asked for.
pub(super) fn read(bytes: &[u8], ask: &Ask) -> Result<Picture, ImageError> {
    read_as(bytes, ask, None)
}

/// Reads the part that is asked for when the picture lies as is `known`, or as the file says in front of it.
fn read_as(bytes: &[u8], ask: &Ask, known: Option<Orientation>) -> Result<Picture, ImageError> {
    let mut file = File::new(bytes);
    let mut frame = file.frame()?;
    check(frame.width as u32, frame.height as u32, 4)?;
    let asked = known.unwrap_or_else(|| orientation(&file));
    let Part { shrink, region } = ask((frame.width, frame.height), asked);
    frame.shrink(shrink);
    let area = Area::new(&frame, region);
    let picture = pixels(&mut file, &mut frame, area)?;
    match orientation(&file) {
        orientation if orientation == asked => Ok(Picture { orientation, ..picture }),
        // The file says it behind the picture, and another part may be needed.
        orientation => read_as(bytes, ask, Some(orientation)),
    }
}

fn pixels(file: &mut File, frame: &mut Frame, area: Area) -> Result<Picture, ImageError> {
    let (columns, rows) = (area.columns.clone(), area.rows.clone());
    let mut output = Output::new(file, frame, area)?;
    let mut planes: Vec<Plane> = vec![];
    // The first scan decides how the file is read.
    let mut is_first = true;
    while let Segment::Scan(scan) = file.next()? {
        scan::latch(frame, &scan, &file.tables)?;
        let is_whole = is_first && !frame.is_progressive && scan.parts.len() == frame.components.len();
        if is_whole {
            let mut strip = planes_of(frame, &columns, 1);
            scan::read(file, frame, &scan, &mut strip, rows, &mut |row, planes| {
                output.squares(frame, row, planes);
                planes.iter_mut().for_each(|plane| plane.blocks.fill([0; 64]));
            })?;
            match file.next()? {
                Segment::End => return Ok(output.picture),
                Segment::Scan(_) => return Err(unfit("a JPEG file with a scan behind the last")),
            }
        }
        if is_first {
            planes = planes_of(frame, &(0..frame.columns), frame.rows);
        }
        is_first = false;
        scan::read(file, frame, &scan, &mut planes, 0..frame.rows * frame.v, &mut |_, _| {})?;
    }
    if is_first {
        return Err(unfit("a JPEG file without a picture"));
    }
    rows.for_each(|row| output.squares(frame, row, &planes));
    Ok(output.picture)
}

/// Returns how the picture has to be turned, as far as the file was read.
fn orientation(file: &File) -> Orientation {
    file.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}
