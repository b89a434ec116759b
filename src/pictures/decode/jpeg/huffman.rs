//! Huffman codes: tables, and the bits of a scan.

/// The tables of ITU-T T.81, K.3, as a segment holds them: for luminance and colour, means and other coefficients. Files
/// of webcams leave them out.
pub(super) static STANDARD: [u8; 416] = [
    0, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 0, 2, 1, 3, 3, 2, 4,
    3, 5, 5, 4, 4, 0, 0, 1, 125, 1, 2, 3, 0, 4, 17, 5, 18, 33, 49, 65, 6, 19, 81, 97, 7, 34, 113, 20, 50, 129, 145,
    161, 8, 35, 66, 177, 193, 21, 82, 209, 240, 36, 51, 98, 114, 130, 9, 10, 22, 23, 24, 25, 26, 37, 38, 39, 40, 41,
    42, 52, 53, 54, 55, 56, 57, 58, 67, 68, 69, 70, 71, 72, 73, 74, 83, 84, 85, 86, 87, 88, 89, 90, 99, 100, 101, 102,
    103, 104, 105, 106, 115, 116, 117, 118, 119, 120, 121, 122, 131, 132, 133, 134, 135, 136, 137, 138, 146, 147, 148,
    149, 150, 151, 152, 153, 154, 162, 163, 164, 165, 166, 167, 168, 169, 170, 178, 179, 180, 181, 182, 183, 184, 185,
    186, 194, 195, 196, 197, 198, 199, 200, 201, 202, 210, 211, 212, 213, 214, 215, 216, 217, 218, 225, 226, 227, 228,
    229, 230, 231, 232, 233, 234, 241, 242, 243, 244, 245, 246, 247, 248, 249, 250, 1, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119, 0, 1, 2,
    3, 17, 4, 5, 33, 49, 6, 18, 65, 81, 7, 97, 113, 19, 34, 50, 129, 8, 20, 66, 145, 161, 177, 193, 9, 35, 51, 82, 240,
    21, 98, 114, 209, 10, 22, 36, 52, 225, 37, 241, 23, 24, 25, 26, 38, 39, 40, 41, 42, 53, 54, 55, 56, 57, 58, 67, 68,
    69, 70, 71, 72, 73, 74, 83, 84, 85, 86, 87, 88, 89, 90, 99, 100, 101, 102, 103, 104, 105, 106, 115, 116, 117, 118,
    119, 120, 121, 122, 130, 131, 132, 133, 134, 135, 136, 137, 138, 146, 147, 148, 149, 150, 151, 152, 153, 154, 162,
    163, 164, 165, 166, 167, 168, 169, 170, 178, 179, 180, 181, 182, 183, 184, 185, 186, 194, 195, 196, 197, 198, 199,
    200, 201, 202, 210, 211, 212, 213, 214, 215, 216, 217, 218, 226, 227, 228, 229, 230, 231, 232, 233, 234, 242, 243,
    244, 245, 246, 247, 248, 249, 250,
];

/// Number of bits by which a code is looked up; few codes are longer.
const LOOKUP: u32 = 10;

/// A table of codes, of at most 16 bits each.
pub(super) struct Table {
    /// Whether libjpeg accepts the codes.
    pub is_valid: bool,
    /// Whether all symbols are numbers of bits.
    pub fits_dc: bool,
    /// For the next bits of a scan, the symbol << 8 and the length of its code, or 0 if the code is longer.
    symbols: [u16; 1 << LOOKUP],
    /// For the next bits, if they hold a code and the bits of its coefficient as well: the coefficient << 16, the run
    /// before it << 8, and the length of both.
    pairs: [i32; 1 << LOOKUP],
    /// For each length, the largest code, or −1 if there is none. Codes of more than 16 bits have no limit.
    largest: [i32; 18],
    /// For each length, what is added to a code to find its symbol.
    offsets: [i32; 18],
    values: [u8; 256],
}

impl Table {
    pub fn new(counts: &[u8], symbols: &[u8]) -> Self {
        let mut values = [0; 256];
        values[..symbols.len()].copy_from_slice(symbols);
        let mut table = Self {
            is_valid: true,
            fits_dc: symbols.iter().all(|&symbol| symbol < 16),
            symbols: [0; 1 << LOOKUP],
            pairs: [0; 1 << LOOKUP],
            largest: [-1; 18],
            offsets: [0; 18],
            values,
        };
        table.largest[17] = i32::MAX;
        let (mut code, mut n) = (0, 0);
        for (length, &count) in (1u32..).zip(counts) {
            table.offsets[length as usize] = n - code;
            for _ in 0..count {
                table.fill(code, length, values[n as usize & 255]);
                (code, n) = (code + 1, n + 1);
            }
            if count > 0 {
                table.largest[length as usize] = code - 1;
            }
            table.is_valid &= code <= 1 << length;
            code <<= 1;
        }
        table
    }

    /// Notes a code under all bits that begin with it.
    fn fill(&mut self, code: i32, length: u32, symbol: u8) {
        if length > LOOKUP || code >= 1 << length {
            return;
        }
        let (free, size) = (LOOKUP - length, u32::from(symbol & 15));
        for rest in 0..1usize << free {
            let at = (code as usize) << free | rest;
            self.symbols[at] = u16::from(symbol) << 8 | length as u16;
            if (1..=free).contains(&size) {
                let value = extend((rest >> (free - size)) as i32, size);
                self.pairs[at] = value << 16 | i32::from(symbol >> 4) << 8 | (length + size) as i32;
            }
        }
    }
}

/// Returns the number that `size` bits stand for: those that begin with 0 are negative.
#[inline(always)]
fn extend(bits: i32, size: u32) -> i32 {
    if bits < 1 << (size - 1) { bits - (1 << size) + 1 } else { bits }
}

/// The bits of a scan. It is copied into loops, which can then hold it in registers.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest on.
    next: u64,
    /// Number of bits in `next`.
    count: u32,
    marker: Option<u8>,
    /// Whether more bits were asked for than there are before the next marker. They are 0.
    pub is_over: bool,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, next: 0, count: 0, marker: None, is_over: false }
    }

    /// Returns the place behind the last byte that was read, and the marker that was met.
    pub fn place(&self) -> (usize, Option<u8>) {
        (self.at, self.marker)
    }

    /// Drops what is left of the last byte, and goes on from this place as after a restart marker.
    pub fn restart(&mut self, (at, marker): (usize, Option<u8>)) {
        (self.at, self.marker, self.next, self.count) = (at, marker, 0, 0);
        self.is_over &= self.marker.is_some();
    }

    /// Makes sure that there are 32 bits, or all up to the next marker.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 32 || self.marker.is_some() {
            return;
        }
        if let Some(bytes) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_be_bytes(*bytes);
            // Whether no byte is 0xff.
            if (!word).wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 == 0 {
                // Of a byte that has no room, some bits are there already and come again.
                self.next |= word >> self.count;
                let n = (64 - self.count) / 8;
                self.at += n as usize;
                self.count += 8 * n;
                return;
            }
        }
        *self = self.filled_slowly();
    }

    #[cold]
    #[inline(never)]
    fn filled_slowly(mut self) -> Self {
        while self.count <= 56 && self.marker.is_none() {
            let Some(&byte) = self.bytes.get(self.at) else { return self };
            if byte == 0xff {
                let rest = &self.bytes[self.at..];
                let Some(fill) = rest.iter().position(|&byte| byte != 0xff) else { return self };
                self.at += fill + 1;
                if rest[fill] != 0 {
                    self.marker = Some(rest[fill]);
                    return self;
                }
            } else {
                self.at += 1;
            }
            self.next |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    #[inline(always)]
    fn drop(&mut self, n: u32) {
        if n > self.count {
            (self.next, self.count, self.is_over) = (0, 0, true);
        } else {
            self.next <<= n;
            self.count -= n;
        }
    }

    /// Takes at most 16 bits.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> i32 {
        self.fill();
        let bits = (self.next >> 1 >> (63 - n)) as i32;
        self.drop(n);
        bits
    }

    /// Takes a number of `size` bits.
    #[inline(always)]
    pub fn number(&mut self, size: u32) -> i32 {
        if size == 0 { 0 } else { extend(self.take(size), size) }
    }

    /// Takes a code and returns its symbol. What is no code is 0.
    #[inline(always)]
    pub fn symbol(&mut self, table: &Table) -> u8 {
        self.fill();
        let entry = table.symbols[(self.next >> (64 - LOOKUP)) as usize];
        if entry != 0 {
            self.drop(u32::from(entry & 255));
            return (entry >> 8) as u8;
        }
        let (bits, symbol) = self.long_symbol(table);
        *self = bits;
        symbol
    }

    #[cold]
    #[inline(never)]
    fn long_symbol(mut self, table: &Table) -> (Self, u8) {
        let code = |length: usize| (self.next >> (64 - length)) as i32;
        let length = (LOOKUP as usize + 1..18).find(|&length| code(length) <= table.largest[length]).unwrap_or(17);
        let code = code(length);
        self.drop(length as u32);
        (self, if length > 16 { 0 } else { table.values[(code + table.offsets[length]) as usize & 255] })
    }

    /// Takes a code and the coefficient that belongs to it: the run of zeros before it and its value. A value of 0 is
    /// that of a run alone.
    #[inline(always)]
    pub fn pair(&mut self, table: &Table) -> (usize, i32) {
        self.fill();
        let entry = table.pairs[(self.next >> (64 - LOOKUP)) as usize];
        if entry != 0 {
            self.drop(entry as u32 & 255);
            return ((entry >> 8) as usize & 15, entry >> 16);
        }
        let symbol = self.symbol(table);
        ((symbol >> 4).into(), self.number((symbol & 15).into()))
    }
}
