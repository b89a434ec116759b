//! The coefficients of a scan: all of them, or of a progressive file some frequencies and some bits.
//!
//! Source: ITU-T T.81, sections F.2 and G.2; what happens in damaged scans is known from libjpeg's behaviour.

use super::huffman::{Bits, Table};
use super::markers::{File, Frame, Part, Scan, Tables, ZIGZAG};
use super::plane::Plane;
use crate::pictures::decode::limits::unfit;
use image::ImageError;
use kernels::jpeg::dct::Block;
use std::ops::Range;
use std::sync::Arc;

/// Largest number of squares in a unit, by the standard.
const MAX_SQUARES: usize = 10;

/// Gives the components of a scan the quantisation tables that are there when it begins.
pub(super) fn latch(frame: &mut Frame, scan: &Scan, tables: &Tables) -> Result<(), ImageError> {
    scan.parts.iter().try_for_each(|part| frame.components[part.component].take_scale(tables))
}

/// What a scan says of each square.
#[derive(Clone, Copy)]
enum Kind {
    Sequential,
    /// The mean, or one more bit of it.
    Mean,
    MeanBit,
    /// Some of the other coefficients, or one more bit of them.
    Waves,
    WaveBits,
}

impl Kind {
    fn of(frame: &Frame, scan: &Scan) -> Result<Self, ImageError> {
        let Scan { parts, first, last, before, after } = scan;
        if !frame.is_progressive {
            return Ok(Kind::Sequential);
        }
        let is_range = if *first == 0 { *last == 0 } else { first <= last && *last < 64 && parts.len() == 1 };
        if !is_range || *after > 13 || *before != 0 && *after != before - 1 {
            return Err(unfit(format!("a JPEG file with a scan of the coefficients {first} to {last}")));
        }
        Ok(match (first, before) {
            (0, 0) => Kind::Mean,
            (0, _) => Kind::MeanBit,
            (_, 0) => Kind::Waves,
            _ => Kind::WaveBits,
        })
    }
}

/// A component's part of a scan while it is read.
struct State<'a> {
    component: usize,
    dc: Option<Arc<Table>>,
    ac: Option<Arc<Table>>,
    /// The mean of the square before.
    mean: i32,
    /// Squares across and down in a unit.
    size: (usize, usize),
    scan: &'a Scan,
}

/// Reads a scan into `planes`, and tells `done` when one of the `wanted` rows of units is there. If `planes` have room for
/// one row of units only, every row goes there. What is outside of `planes` or of `wanted` is dropped; and what follows the
/// wanted rows is not even read, but looked through for markers, so that a damaged file is accepted or refused as if it
/// were read.
///
/// There is one exception: means that grow beyond 32 bits are an error only where they are read.
pub(super) fn read(
    file: &mut File,
    frame: &Frame,
    scan: &Scan,
    planes: &mut [Plane],
    wanted: Range<usize>,
    done: &mut dyn FnMut(usize, &mut [Plane]),
) -> Result<(), ImageError> {
    let kind = Kind::of(frame, scan)?;
    let mut states = states(file, frame, scan, kind)?;
    let (columns, rows) = match *scan.parts {
        // Alone, a component has no units, and no squares beyond its last samples.
        [Part { component, .. }] => {
            let component = &frame.components[component];
            (component.width.div_ceil(component.edge), component.height.div_ceil(component.edge))
        }
        _ => (frame.columns, frame.rows),
    };
    let mut bits = Bits::new(file.bytes, file.at);
    // Number of squares whose other coefficients are known to be 0; units until the next restart marker, and its number.
    let (mut run, mut left, mut number) = (0, file.restarts, 0);
    let mut dropped = [0; 64];
    for row in 0..rows.min(wanted.end) {
        let is_wanted = row >= wanted.start;
        for column in 0..columns {
            if file.restarts > 0 && left == 0 {
                (file.at, file.marker) = bits.place();
                restart(file, number)?;
                bits.restart((file.at, file.marker));
                states.iter_mut().for_each(|state| state.mean = 0);
                (run, left, number) = (0, file.restarts, (number + 1) & 7);
            }
            left = left.wrapping_sub(1);
            if bits.is_over && !matches!(kind, Kind::MeanBit) {
                continue;
            }
            for state in &mut states {
                let (plane, (h, v)) = (&mut planes[state.component], state.size);
                let (place, is_one_row) =
                    ((column * h).wrapping_sub(plane.first), plane.blocks.len() == plane.stride * v);
                for y in 0..v {
                    if is_wanted && place < plane.stride {
                        let at = (if is_one_row { y } else { row * v + y }) * plane.stride + place;
                        for block in &mut plane.blocks[at..at + h] {
                            square(&mut bits, state, kind, &mut run, block)?;
                        }
                    } else {
                        (0..h).try_for_each(|_| square(&mut bits, state, kind, &mut run, &mut dropped))?;
                    }
                }
            }
        }
        if is_wanted {
            done(row, planes);
        }
    }
    (file.at, file.marker) = bits.place();
    let units = rows.saturating_sub(wanted.end) * columns;
    let restarts = if file.restarts > 0 { units.saturating_sub(left).div_ceil(file.restarts) } else { 0 };
    (0..restarts).try_for_each(|n| restart(file, (number + (n & 7) as u8) & 7))?;
    Ok(())
}

fn states<'a>(file: &File, frame: &Frame, scan: &'a Scan, kind: Kind) -> Result<Vec<State<'a>>, ImageError> {
    let is_alone = scan.parts.len() == 1;
    let needs_dc = matches!(kind, Kind::Sequential | Kind::Mean);
    let needs_ac = matches!(kind, Kind::Sequential | Kind::Waves | Kind::WaveBits);
    let table = |tables: &[Option<Arc<Table>>; 4], which: usize, is_dc: bool| {
        let table = tables.get(which).cloned().flatten();
        let table = table.filter(|table| table.is_valid && (table.fits_dc || !is_dc));
        table.ok_or_else(|| unfit("a JPEG file without a table of codes")).map(Some)
    };
    let state = |part: &Part| {
        let component = &frame.components[part.component];
        Ok(State {
            component: part.component,
            dc: if needs_dc { table(&file.tables.dc, part.dc, true)? } else { None },
            ac: if needs_ac { table(&file.tables.ac, part.ac, false)? } else { None },
            mean: 0,
            size: if is_alone { (1, 1) } else { (component.h, component.v) },
            scan,
        })
    };
    let states = scan.parts.iter().map(state).collect::<Result<Vec<_>, ImageError>>()?;
    let squares: usize = states.iter().map(|state| state.size.0 * state.size.1).sum();
    if squares > MAX_SQUARES { Err(unfit(format!("a JPEG file with {squares} squares in a unit"))) } else { Ok(states) }
}

/// Looks for the restart marker of this number. If another one comes, it decides as libjpeg does whether that is an
/// earlier one, or one too far.
fn restart(file: &mut File, number: u8) -> Result<(), ImageError> {
    let mut marker = file.next_marker()?;
    loop {
        let ahead = marker.wrapping_sub(0xd0 + number) & 7;
        match marker {
            0xd0..=0xd7 if matches!(ahead, 0 | 3 | 4 | 5) => return Ok(()),
            0xd0..=0xd7 if ahead > 5 => marker = file.next_marker()?,
            0..0xc0 => marker = file.next_marker()?,
            _ => {
                file.marker = Some(marker);
                return Ok(());
            }
        }
    }
}

#[inline(always)]
fn square(bits: &mut Bits, state: &mut State, kind: Kind, run: &mut u32, block: &mut Block) -> Result<(), ImageError> {
    match kind {
        Kind::Sequential => {
            block[0] = mean(bits, state)? as i16;
            if let Some(table) = &state.ac {
                waves(bits, table, block);
            }
        }
        Kind::Mean => block[0] = (mean(bits, state)? << state.scan.after) as i16,
        Kind::MeanBit => block[0] |= (bits.take(1) << state.scan.after) as i16,
        Kind::Waves => some_waves(bits, state, run, block),
        Kind::WaveBits => wave_bits(bits, state, run, block),
    }
    Ok(())
}

/// Reads the mean of a square, of which the scan holds the difference from the square before.
#[inline(always)]
fn mean(bits: &mut Bits, state: &mut State) -> Result<i32, ImageError> {
    let Some(table) = &state.dc else { return Ok(0) };
    let size = bits.symbol(table);
    let difference = bits.number(size.into());
    state.mean = state.mean.checked_add(difference).ok_or_else(|| unfit("a JPEG file with a mean out of range"))?;
    Ok(state.mean)
}

/// Reads all coefficients but the mean.
#[inline(always)]
fn waves(all: &mut Bits, table: &Table, block: &mut Block) {
    let (mut bits, mut k) = (*all, 1);
    while k < 64 {
        let (zeros, value) = bits.pair(table);
        k += zeros;
        if value != 0 {
            block[usize::from(ZIGZAG[k])] = value as i16;
        } else if zeros != 15 {
            break;
        }
        k += 1;
    }
    *all = bits;
}

/// Reads the high bits of some coefficients.
fn some_waves(bits: &mut Bits, state: &State, run: &mut u32, block: &mut Block) {
    let (Scan { first, last, after, .. }, Some(table)) = (state.scan, &state.ac) else { return };
    if *run > 0 {
        *run -= 1;
        return;
    }
    let mut k = *first;
    while k <= *last {
        let (zeros, value) = bits.pair(table);
        if value == 0 && zeros < 15 {
            *run = (1 << zeros) - 1 + bits.take(zeros as u32) as u32;
            return;
        }
        k += zeros;
        if value != 0 {
            block[usize::from(ZIGZAG[k])] = (value << after) as i16;
        }
        k += 1;
    }
}

/// Reads one more bit of some coefficients, and those whose first bit it is.
fn wave_bits(bits: &mut Bits, state: &State, run: &mut u32, block: &mut Block) {
    let (Scan { first, last, after, .. }, Some(table)) = (state.scan, &state.ac) else { return };
    let bit = 1i16 << after;
    let mut k = *first;
    if *run == 0 {
        while k <= *last {
            let symbol = bits.symbol(table);
            let (mut zeros, mut value) = (symbol >> 4, 0);
            if symbol & 15 != 0 {
                value = if bits.take(1) == 1 { bit } else { -bit };
            } else if zeros < 15 {
                *run = (1 << zeros) + bits.take(zeros.into()) as u32;
                break;
            }
            // The run counts only coefficients that are still 0; the others have their bits on the way.
            while k <= *last {
                let coefficient = &mut block[usize::from(ZIGZAG[k])];
                if *coefficient != 0 {
                    refine(bits, coefficient, bit);
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            if value != 0 {
                block[usize::from(ZIGZAG[k])] = value;
            }
            k += 1;
        }
    }
    if *run > 0 {
        for &at in ZIGZAG.iter().take(last + 1).skip(k) {
            let coefficient = &mut block[usize::from(at)];
            if *coefficient != 0 {
                refine(bits, coefficient, bit);
            }
        }
        *run -= 1;
    }
}

#[inline(always)]
fn refine(bits: &mut Bits, coefficient: &mut i16, bit: i16) {
    if bits.take(1) == 1 && *coefficient & bit == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { bit } else { -bit });
    }
}
