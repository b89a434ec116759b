//! JPEG files of arbitrary coefficients in every layout, for tests of what depends on the layout.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// The layout of a file.
#[derive(Clone, Debug)]
pub struct Layout {
    pub width: usize,
    pub height: usize,
    /// For each component, the squares across and down in a unit.
    pub factors: Vec<(usize, usize)>,
    pub coding: Coding,
    /// Number of units between restart markers; 0 for none.
    pub restarts: usize,
    /// The EXIF orientation, from 1 to 8.
    pub orientation: Option<u8>,
    /// Seed of the coefficients.
    pub seed: u64,
}

/// How the coefficients are divided into scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// One scan of everything.
    Whole,
    /// One scan a component.
    Alone,
    /// Means, the last bit of means, and two bands of each component.
    Progressive,
}

/// The factors of the usual subsamplings: 4:4:4, 4:2:2, 4:2:0, 4:4:0, 4:1:1, then an odd one, grey and inks.
pub const FACTORS: [&[(usize, usize)]; 9] = [
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
];

/// The bits of a scan.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    last: u8,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: usize, n: u32) {
        for i in (0..n).rev() {
            self.last = (self.last << 1) | (value >> i & 1) as u8;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.last);
                // A byte that looks like a marker is followed by a zero.
                self.bytes.extend((self.last == 0xff).then_some(0));
                (self.last, self.count) = (0, 0);
            }
        }
    }

    /// Fills the last byte.
    fn end(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    /// A number of so many bits: negative ones less 1.
    fn number(&mut self, value: i32, size: u32) {
        self.put((if value < 0 { value + (1 << size) - 1 } else { value }) as usize, size);
    }

    /// A mean: all codes of sizes have 4 bits.
    fn mean(&mut self, difference: i32) {
        let size = bits_of(difference);
        self.put(size as usize, 4);
        self.number(difference, size);
    }

    /// The coefficients of a band: all codes have 8 bits.
    fn band(&mut self, band: &[i32]) {
        let mut run = 0;
        for &value in band {
            if value == 0 {
                run += 1;
                continue;
            }
            (0..run / 16).for_each(|_| self.put(0xf0, 8));
            self.put(((run % 16) << 4) | bits_of(value) as usize, 8);
            self.number(value, bits_of(value));
            run = 0;
        }
        if run > 0 {
            self.put(0, 8);
        }
    }
}

fn bits_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((content.len() as u16 + 2).to_be_bytes());
    file.extend(content);
}

/// The squares of a component, in rows of `columns`, each with its coefficients in the order of the file.
struct Plane {
    columns: usize,
    squares: Vec<[i32; 64]>,
}

/// What a scan has of each square.
#[derive(Clone, Copy)]
enum Of {
    All,
    Mean,
    MeanBit,
    Band(usize, usize),
}

impl Layout {
    /// Writes the file.
    pub fn file(&self) -> Vec<u8> {
        let [height, width] = [self.height, self.width].map(|side| (side as u16).to_be_bytes());
        let mut file = vec![0xff, 0xd8];
        if let Some(orientation) = self.orientation {
            let exif = [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], &[0; 6]];
            segment(&mut file, 0xe1, &exif.concat());
        }
        let scale: Vec<u8> = [0].into_iter().chain((0..64).map(|i| 4 + i / 3)).collect();
        segment(&mut file, 0xdb, &scale);
        let mut frame = [&[8][..], &height, &width, &[self.factors.len() as u8]].concat();
        for (id, &(h, v)) in (1..).zip(&self.factors) {
            frame.extend([id, (h << 4 | v) as u8, 0]);
        }
        segment(&mut file, if self.coding == Coding::Progressive { 0xc2 } else { 0xc0 }, &frame);
        let codes = |class: u8, length: usize, symbols: u8| {
            let counts = (1..=16).map(|at| if at == length { symbols } else { 0 });
            [class].into_iter().chain(counts).chain(0..symbols).collect::<Vec<u8>>()
        };
        segment(&mut file, 0xc4, &[codes(0, 4, 12), codes(16, 8, 255)].concat());
        if self.restarts > 0 {
            segment(&mut file, 0xdd, &(self.restarts as u16).to_be_bytes());
        }
        let (planes, all) = (self.planes(), (0..self.factors.len()).collect::<Vec<_>>());
        match self.coding {
            Coding::Whole => self.scan(&mut file, &planes, &all, Of::All),
            Coding::Alone => all.iter().for_each(|&i| self.scan(&mut file, &planes, &[i], Of::All)),
            Coding::Progressive => {
                self.scan(&mut file, &planes, &all, Of::Mean);
                self.scan(&mut file, &planes, &all, Of::MeanBit);
                for (&i, band) in all.iter().flat_map(|i| [(i, Of::Band(1, 5)), (i, Of::Band(6, 63))]) {
                    self.scan(&mut file, &planes, &[i], band);
                }
            }
        }
        file.extend([0xff, 0xd9]);
        file
    }

    /// The most squares across and down in a unit.
    fn most(&self) -> (usize, usize) {
        let (h, v) = self.factors.iter().fold((1, 1), |most, own| (most.0.max(own.0), most.1.max(own.1)));
        if self.factors.len() == 1 { (1, 1) } else { (h, v) }
    }

    fn units(&self) -> (usize, usize) {
        let (h, v) = self.most();
        (self.width.div_ceil(8 * h), self.height.div_ceil(8 * v))
    }

    fn planes(&self) -> Vec<Plane> {
        let (mut rng, units) = (Pcg64::seed_from_u64(self.seed), self.units());
        let mut square = || {
            let mut square = [0; 64];
            square[0] = rng.random_range(-200..200);
            for _ in 0..[0, 2, 8][rng.random_range(0..3)] {
                let at = rng.random_range(1..64);
                square[at] = rng.random_range(-150..150) / at as i32;
            }
            square
        };
        let plane = |&(h, v): &(usize, usize)| {
            let squares = (0..units.0 * h * units.1 * v).map(|_| square()).collect();
            Plane { columns: units.0 * h, squares }
        };
        self.factors.iter().map(plane).collect()
    }

    fn scan(&self, file: &mut Vec<u8>, planes: &[Plane], parts: &[usize], of: Of) {
        let range = match of {
            Of::All => [0, 63, 0],
            Of::Mean => [0, 0, 1],
            Of::MeanBit => [0, 0, 0x10],
            Of::Band(first, last) => [first as u8, last as u8, 0],
        };
        let list: Vec<u8> = parts.iter().flat_map(|&i| [i as u8 + 1, 0]).collect();
        segment(file, 0xda, &[&[parts.len() as u8][..], &list, &range].concat());
        let most = self.most();
        let (columns, rows) = match *parts {
            [i] if self.factors.len() > 1 => {
                let (h, v) = self.factors[i];
                ((self.width * h).div_ceil(8 * most.0), (self.height * v).div_ceil(8 * most.1))
            }
            _ => self.units(),
        };
        let (mut bits, mut means) = (Bits::default(), vec![0; planes.len()]);
        for unit in 0..columns * rows {
            if self.restarts > 0 && unit > 0 && unit % self.restarts == 0 {
                bits.end();
                bits.bytes.extend([0xff, 0xd0 + (unit / self.restarts - 1) as u8 % 8]);
                means.fill(0);
            }
            for &i in parts {
                let (h, v) = if parts.len() == 1 { (1, 1) } else { self.factors[i] };
                for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                    let at = (unit / columns * v + y) * planes[i].columns + unit % columns * h + x;
                    let (square, mut mean) = (&planes[i].squares[at], |bits: &mut Bits, value| {
                        bits.mean(value - means[i]);
                        means[i] = value;
                    });
                    match of {
                        Of::All => {
                            mean(&mut bits, square[0]);
                            bits.band(&square[1..]);
                        }
                        Of::Mean => mean(&mut bits, square[0] >> 1),
                        Of::MeanBit => bits.put((square[0] & 1) as usize, 1),
                        Of::Band(first, last) => bits.band(&square[first..=last]),
                    }
                }
            }
        }
        bits.end();
        file.extend(bits.bytes);
    }
}
