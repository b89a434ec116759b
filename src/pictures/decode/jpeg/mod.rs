//! JPEG to the last bit as libjpeg-turbo decodes it, and Pillow with it: grey, red-green-blue or ink.
//!
//! A file says how a frame of squares of 8 × 8 pixels is stored, and has one or more scans of their coefficients. Where
//! one scan holds all, each row of squares becomes pixels at once; otherwise all coefficients are collected first.
//!
//! Damage within a scan is passed over as libjpeg does: the next scan or restart marker is looked for, and what is
//! missing stays grey. A file that is cut off is not read. Neither is one with arithmetic or lossless coding, which
//! Pillow reads; and where the scans of a progressive file end early, libjpeg smooths the blocks, but this does not.
//!
//! | file | what it knows |
//! |---|---|
//! | `markers` | the segments of a file: sizes, tables, the beginning of a scan |
//! | `huffman` | the codes of a scan, bit by bit |
//! | `plane` | the coefficients of a component |
//! | `scan` | the coefficients that a scan holds |
//! | `output` | from coefficients to pixels |

mod huffman;
mod markers;
mod output;
mod plane;
mod scan;

use super::limits::{check, unfit};
use crate::pictures::picture::Picture;
use image::ImageError;
use image::metadata::Orientation;
use markers::{File, Segment};
use output::Output;
use plane::{Plane, planes_of};

pub(super) fn read(bytes: &[u8]) -> Result<Picture, ImageError> {
    let mut file = File::new(bytes);
    let mut frame = file.frame()?;
    check(frame.width as u32, frame.height as u32, 4)?;
    let mut output = Output::new(&file, &frame)?;
    let mut planes: Vec<Plane> = vec![];
    // The first scan decides how the file is read.
    let mut is_first = true;
    while let Segment::Scan(scan) = file.next()? {
        scan::latch(&mut frame, &scan, &file.tables)?;
        let is_whole = is_first && !frame.is_progressive && scan.parts.len() == frame.components.len();
        if is_whole {
            let mut strip = planes_of(&frame, 1);
            scan::read(&mut file, &frame, &scan, &mut strip, &mut |row, planes| {
                output.squares(&frame, row, planes);
                planes.iter_mut().for_each(|plane| plane.blocks.fill([0; 64]));
            })?;
            match file.next()? {
                Segment::End => return Ok(picture(&file, output)),
                Segment::Scan(_) => return Err(unfit("a JPEG file with a scan behind the last")),
            }
        }
        if is_first {
            planes = planes_of(&frame, frame.rows);
        }
        is_first = false;
        scan::read(&mut file, &frame, &scan, &mut planes, &mut |_, _| {})?;
    }
    if is_first {
        return Err(unfit("a JPEG file without a picture"));
    }
    for row in 0..frame.rows {
        output.squares(&frame, row, &planes);
    }
    Ok(picture(&file, output))
}

fn picture(file: &File, output: Output) -> Picture {
    let orientation = file.exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    Picture { orientation, ..output.picture }
}
