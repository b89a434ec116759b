//! The part of the work that one of several processes does.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Largest number of parts: above that of every cluster, and small enough that no product with a place overflows.
const MAX_PARTS: usize = 1 << 20;

/// A part of the work: its place among all parts, counted from 0, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub place: usize,
    pub of: usize,
}

impl Part {
    /// Returns the part of this process: the one that it was asked for or, without that, all of the work.
    pub(crate) fn of_process(asked: Option<Part>) -> Part {
        asked.unwrap_or(Part { place: 0, of: 1 })
    }

    /// Returns which of `n` things in a row belong to the part, where `block` of them stay together. Parts are adjacent
    /// and differ by at most one block. The first block belongs to the first part, even if there are more parts than
    /// blocks.
    pub(crate) fn range(self, n: usize, block: usize) -> Range<usize> {
        let blocks = n.div_ceil(block) as u128;
        let start = |place: usize| (place as u128 * blocks).div_ceil(self.of as u128) as usize;
        let [start, end] = [self.place, self.place + 1].map(|place| n.min(start(place).saturating_mul(block)));
        start..end
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<(usize, usize)> =
            text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((place, of)) if place < of && of <= MAX_PARTS => Ok(Part { place, of }),
            _ => Err("two numbers I/N, where I is one of 0 to N - 1".into()),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_together_complete() {
        for (n, of, block) in [(0, 1, 64), (1, 3, 64), (150, 2, 64), (150, 7, 64), (1000, 3, 1), (4096, 16, 64)] {
            let ranges: Vec<Range<usize>> = (0..of).map(|place| Part { place, of }.range(n, block)).collect();
            let ends = ranges.windows(2).all(|pair| pair[0].end == pair[1].start);
            assert!(ends && ranges[0].start == 0 && ranges[of - 1].end == n, "{ranges:?}");
            assert!(ranges.iter().all(|range| range.start % block == 0 || range.start == n), "{ranges:?}");
            let blocks = ranges.iter().map(|range| range.len().div_ceil(block));
            let (fewest, most) = (blocks.clone().min(), blocks.max());
            assert!(most <= fewest.map(|fewest| fewest + 1) && (n == 0 || !ranges[0].is_empty()), "{ranges:?}");
        }
    }

    #[test]
    fn a_part_is_one_of_those_that_there_are() {
        assert_eq!("3/16".parse(), Ok(Part { place: 3, of: 16 }));
        for text in ["", "3", "16/16", "0/0", "-1/2", "a/b", "1/2/3", "0/18446744073709551615"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
