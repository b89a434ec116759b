//! The digest by which pictures, lists and models are told apart.

use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// A digest of 128 bits (XXH3), the same on every platform and in every run. It is printed as 32 hexadecimal digits.
///
/// Two different inputs have the same digest with a probability of 2⁻¹²⁸, unless somebody looks for such inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u128);

/// Returns the digest of these parts, which counts them as one text without gaps.
pub fn digest(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Digest {
    let mut state = Xxh3::new();
    parts.into_iter().for_each(|part| state.update(part.as_ref()));
    Digest(state.digest128())
}

impl Digest {
    /// Returns the lower 64 bits, which are enough to tell the examples of one run apart.
    pub fn key(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of `printf %s … | xxh128sum`, which has the same digits.
    #[test]
    fn the_digits_are_those_of_xxh128sum() {
        let print = |parts: &[&str]| digest(parts).to_string();
        assert_eq!(print(&[]), "99aa06d3014798d86001c324468d497f");
        assert_eq!(print(&["abc"]), "06b05ab6733a618578af5f94892f3950");
        assert_eq!(print(&["a", "", "bc"]), print(&["abc"]));
    }
}
