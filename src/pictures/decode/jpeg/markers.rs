//! The segments of a JPEG file, each of which a marker announces: 0xff and another byte.

use super::huffman::{STANDARD, Table};
use crate::pictures::decode::limits::unfit;
use image::ImageError;
use kernels::jpeg::dct::Block;
use std::sync::Arc;

/// The position of each coefficient in a block, in the order of the file: zigzag, from low to high frequencies. A run
/// that leads beyond the last coefficient ends on it.
pub(super) static ZIGZAG: [u8; 80] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
];

/// A component of a frame: luminance, a colour difference, or the amount of an ink.
pub(super) struct Component {
    pub id: u8,
    /// Number of squares across and down in a unit.
    pub h: usize,
    pub v: usize,
    /// Which quantisation table it has, and the table as it was when its first scan began.
    table: usize,
    pub scale: Option<Block>,
    /// Number of samples across and down that a square becomes.
    pub edge: usize,
    /// Number of samples across and down that belong to the picture.
    pub width: usize,
    pub height: usize,
}

/// What the header of the frame says.
pub(super) struct Frame {
    /// Number of pixels across and down.
    pub width: usize,
    pub height: usize,
    /// Number of pixels across and down that a square becomes, of the component that has most of them: 8, or fewer if
    /// the picture is shrunk.
    pub edge: usize,
    pub is_progressive: bool,
    pub components: Vec<Component>,
    /// Squares across and down in a unit, of the component that has most.
    pub h: usize,
    pub v: usize,
    /// Number of units across and down.
    pub columns: usize,
    pub rows: usize,
}

/// What a scan holds of a component.
pub(super) struct Part {
    pub component: usize,
    pub dc: usize,
    pub ac: usize,
}

/// What the header of a scan says: the range of its coefficients, and of their bits.
pub(super) struct Scan {
    pub parts: Vec<Part>,
    pub first: usize,
    pub last: usize,
    /// Number of low bits that are missing, in the scans before this and after it. 0 before the first.
    pub before: u32,
    pub after: u32,
}

/// The tables that scans and components name.
#[derive(Default)]
pub(super) struct Tables {
    pub scales: [Option<Block>; 4],
    pub dc: [Option<Arc<Table>>; 4],
    pub ac: [Option<Arc<Table>>; 4],
}

impl Tables {
    /// Reads a segment of tables of codes.
    fn read(&mut self, mut rest: &[u8]) -> Result<(), ImageError> {
        while let Some((&[class, ref counts @ ..], values)) = rest.split_first_chunk::<17>() {
            let n = counts.iter().map(|&count| usize::from(count)).sum();
            if n > 256 || n > values.len() || class & 0xef > 3 {
                return Err(unfit("a JPEG file with a bad table of codes"));
            }
            let tables = if class & 16 == 0 { &mut self.dc } else { &mut self.ac };
            tables[usize::from(class & 3)] = Some(Arc::new(Table::new(counts, &values[..n])));
            rest = &values[n..];
        }
        if rest.is_empty() { Ok(()) } else { Err(short()) }
    }

    /// Takes the tables of `other` instead of its own, where there are any.
    fn replace(&mut self, other: Tables) {
        let replace = |own: &mut [Option<Arc<Table>>; 4], other: [Option<Arc<Table>>; 4]| {
            own.iter_mut().zip(other).for_each(|(own, other)| *own = other.or_else(|| own.take()));
        };
        replace(&mut self.dc, other.dc);
        replace(&mut self.ac, other.ac);
        self.scales = other.scales;
    }
}

pub(super) enum Segment {
    Scan(Scan),
    End,
}

/// A file that is read from the front.
pub(super) struct File<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// A marker that was met in a scan.
    pub marker: Option<u8>,
    pub tables: Tables,
    /// Number of units between restart markers; 0 if there are none.
    pub restarts: usize,
    pub is_jfif: bool,
    /// How an Adobe program says that colours are stored.
    pub adobe: Option<u8>,
    pub exif: Option<&'a [u8]>,
    ids: Vec<u8>,
    header: Option<Frame>,
    pending: Option<Scan>,
}

impl<'a> File<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let at = 2.min(bytes.len());
        let (tables, ids) = (Tables::default(), vec![]);
        Self {
            bytes,
            at,
            marker: None,
            tables,
            restarts: 0,
            is_jfif: false,
            adobe: None,
            exif: None,
            ids,
            header: None,
            pending: None,
        }
    }

    /// Reads up to the first scan and returns the frame.
    pub fn frame(&mut self) -> Result<Frame, ImageError> {
        match self.next()? {
            Segment::Scan(scan) => self.pending = Some(scan),
            Segment::End => return Err(unfit("a JPEG file without a picture")),
        }
        let frame = self.header.take().ok_or_else(|| unfit("a JPEG file without a size"))?;
        if !frame.is_progressive {
            let own = std::mem::take(&mut self.tables);
            self.tables.read(&STANDARD)?;
            self.tables.replace(own);
        }
        Ok(frame)
    }

    /// Reads up to the next scan or the end.
    pub fn next(&mut self) -> Result<Segment, ImageError> {
        if let Some(scan) = self.pending.take() {
            return Ok(Segment::Scan(scan));
        }
        loop {
            let marker = self.next_marker()?;
            match marker {
                0xd9 => return Ok(Segment::End),
                0xda => return Ok(Segment::Scan(self.scan()?)),
                0x01 | 0xd0..=0xd7 => {}
                0xd8 => return Err(unfit("a JPEG file that begins twice")),
                0xc0..=0xc2 => self.start_frame(marker == 0xc2)?,
                0xc4 => self.segment().and_then(|segment| self.tables.read(segment))?,
                0xdb => self.scales()?,
                0xdd => self.restarts = self.segment()?.try_into().map(u16::from_be_bytes).map_err(|_| short())?.into(),
                0xe0 => self.is_jfif |= self.segment()?.get(..5) == Some(b"JFIF\0"),
                0xe1 => {
                    let exif = self.segment()?.strip_prefix(b"Exif\0\0");
                    self.exif = self.exif.or(exif);
                }
                0xee => {
                    let segment = self.segment()?;
                    self.adobe =
                        segment.starts_with(b"Adobe").then(|| segment.get(11).copied()).flatten().or(self.adobe);
                }
                0xcc | 0xdc | 0xe2..=0xed | 0xef | 0xfe => _ = self.segment()?,
                0xc3 | 0xc5..=0xcf => {
                    return Err(unfit(
                        "a JPEG file with arithmetic or lossless compression; save it as an ordinary JPEG or as PNG",
                    ));
                }
                _ => return Err(unfit(format!("a JPEG file with the unknown marker {marker:x}"))),
            }
        }
    }

    /// Returns the marker that a scan has met, or looks for the next one.
    pub fn next_marker(&mut self) -> Result<u8, ImageError> {
        if let Some(marker) = self.marker.take() {
            return Ok(marker);
        }
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let start = rest.iter().position(|&byte| byte == 0xff).ok_or_else(truncated)?;
            let fill = rest[start..].iter().position(|&byte| byte != 0xff).ok_or_else(truncated)?;
            self.at += start + fill + 1;
            let marker = rest[start + fill];
            if marker != 0 {
                return Ok(marker);
            }
        }
    }

    /// Reads a segment, whose first two bytes are its length.
    fn segment(&mut self) -> Result<&'a [u8], ImageError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.first_chunk().map_or(usize::MAX, |&length| u16::from_be_bytes(length).into());
        if length < 2 {
            return Err(short());
        }
        self.at += length.min(rest.len());
        rest.get(2..length).ok_or_else(truncated)
    }

    fn start_frame(&mut self, is_progressive: bool) -> Result<(), ImageError> {
        let segment = self.segment()?;
        let (&[bits, a, b, c, d, n], list) = segment.split_first_chunk().ok_or_else(short)?;
        let [height, width] = [[a, b], [c, d]].map(|side| usize::from(u16::from_be_bytes(side)));
        if !self.ids.is_empty() {
            return Err(unfit("a JPEG file with two sizes"));
        }
        if bits != 8 || !matches!(n, 1 | 3 | 4) {
            return Err(unfit(format!("a JPEG file of {n} components of {bits} bits")));
        }
        if list.len() != 3 * usize::from(n) {
            return Err(short());
        }
        let mut components = vec![];
        for &[id, factors, table] in list.as_chunks().0 {
            let (h, v) = (usize::from(factors >> 4), usize::from(factors & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) {
                return Err(unfit(format!("a JPEG file with {h} × {v} squares of a component")));
            }
            // The only component of a picture has one square in a unit, whatever is written.
            let (h, v) = if n == 1 { (1, 1) } else { (h, v) };
            components.push(Component { id, h, v, table: table.into(), scale: None, edge: 8, width: 0, height: 0 });
        }
        let most = |side: fn(&Component) -> usize| components.iter().map(side).max().unwrap_or(1);
        let (h, v) = (most(|component| component.h), most(|component| component.v));
        self.ids = components.iter().map(|component| component.id).collect();
        let (columns, rows) = (width.div_ceil(8 * h), height.div_ceil(8 * v));
        let mut frame = Frame { width, height, edge: 8, is_progressive, components, h, v, columns, rows };
        frame.shrink(1);
        self.header = Some(frame);
        Ok(())
    }

    fn scan(&mut self) -> Result<Scan, ImageError> {
        let segment = self.segment()?;
        let (&n, list) = segment.split_first().ok_or_else(short)?;
        let n = usize::from(n);
        if !(1..=4).contains(&n) || list.len() != 2 * n + 3 || self.ids.is_empty() {
            return Err(unfit(format!("a JPEG file with a scan of {n} components")));
        }
        let mut parts: Vec<Part> = vec![];
        for &[id, tables] in list[..2 * n].as_chunks().0 {
            // As in libjpeg, which of several components of one name is meant depends on how many came before.
            let component = (0..self.ids.len()).find(|&i| self.ids[i] == id && i >= parts.len());
            let component = component.ok_or_else(|| unfit(format!("a JPEG file without its component {id}")))?;
            if parts.iter().any(|part| part.component == component) {
                return Err(unfit(format!("a JPEG file with component {id} twice in a scan")));
            }
            parts.push(Part { component, dc: (tables >> 4).into(), ac: (tables & 15).into() });
        }
        let [first, last, bits] = [list[2 * n], list[2 * n + 1], list[2 * n + 2]];
        let (before, after) = ((bits >> 4).into(), (bits & 15).into());
        Ok(Scan { parts, first: first.into(), last: last.into(), before, after })
    }

    /// Reads quantisation tables.
    fn scales(&mut self) -> Result<(), ImageError> {
        let mut rest = self.segment()?;
        while let Some((&head, values)) = rest.split_first() {
            let (wide, table) = (if head >> 4 == 0 { 1 } else { 2 }, usize::from(head & 15));
            if table > 3 || values.len() < 64 * wide {
                return Err(unfit("a JPEG file with a bad quantisation table"));
            }
            let mut scale = [0; 64];
            for (bytes, &at) in values.chunks_exact(wide).zip(&ZIGZAG[..64]) {
                // The product with a coefficient is of 16 bits too, so the sign does not matter.
                scale[usize::from(at)] = bytes.iter().fold(0u16, |value, &byte| value << 8 | u16::from(byte)) as i16;
            }
            self.tables.scales[table] = Some(scale);
            rest = &values[64 * wide..];
        }
        Ok(())
    }
}

impl Frame {
    /// Divides both sides by 1, 2, 4 or 8, and rounds up. As in libjpeg, components with fewer samples than pixels are
    /// shrunk less where that spares them the upsampling.
    pub fn shrink(&mut self, by: usize) {
        let (edge, width, height) = (8 / by, self.width, self.height);
        for component in &mut self.components {
            let fits = |own: usize, most: usize, size: usize| (most * edge).is_multiple_of(own * size);
            component.edge = edge;
            while component.edge < 8
                && fits(component.h, self.h, 2 * component.edge)
                && fits(component.v, self.v, 2 * component.edge)
            {
                component.edge *= 2;
            }
            let samples = |side: usize, own: usize, most: usize| (side * own * component.edge).div_ceil(8 * most);
            (component.width, component.height) =
                (samples(width, component.h, self.h), samples(height, component.v, self.v));
        }
        (self.edge, self.width, self.height) = (edge, width.div_ceil(by), height.div_ceil(by));
    }
}

impl Component {
    /// Takes the quantisation table that is there now, unless the component has one.
    pub fn take_scale(&mut self, tables: &Tables) -> Result<(), ImageError> {
        if self.scale.is_none() {
            self.scale = tables.scales.get(self.table).copied().flatten();
        }
        self.scale.map(|_| ()).ok_or_else(|| unfit("a JPEG file without a quantisation table"))
    }
}

fn short() -> ImageError {
    unfit("a JPEG file with a segment of a wrong length")
}

fn truncated() -> ImageError {
    unfit("the file is truncated: it has no end-of-image marker")
}
