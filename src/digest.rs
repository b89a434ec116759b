//! The digest by which pictures, lists and models are told apart.

use std::fmt;
use std::io::{self, Read};
use xxhash_rust::xxh3::Xxh3;

/// Number of bytes that are read at a time.
const PIECE: usize = 1 << 18;

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

/// Returns the digest of all that can be read, which is never in memory as a whole.
///
/// # Errors
/// Returns the error of reading.
pub fn digest_of(mut source: impl Read) -> io::Result<Digest> {
    let (mut state, mut piece) = (Xxh3::new(), vec![0; PIECE]);
    loop {
        match source.read(&mut piece) {
            Ok(0) => return Ok(Digest(state.digest128())),
            Ok(n) => state.update(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Digest {
    /// Number of bytes of a digest in a file.
    pub const BYTES: usize = size_of::<u128>();

    /// What a file holds in the place of a digest that nobody has computed.
    pub const NONE: [u8; Digest::BYTES] = [0; Digest::BYTES];

    /// Returns the bytes by which a file holds the digest.
    pub fn to_bytes(self) -> [u8; Digest::BYTES] {
        self.0.to_le_bytes()
    }

    /// Returns the digest that a file holds in these bytes, unless they stand for none.
    pub fn from_bytes(bytes: [u8; Digest::BYTES]) -> Option<Self> {
        (bytes != Digest::NONE).then(|| Digest(u128::from_le_bytes(bytes)))
    }

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
        let long = vec![7; PIECE + 3];
        assert_eq!(digest_of(&long[..]).unwrap(), digest([&long]));
        let known = digest(["abc"]);
        assert_eq!((Digest::from_bytes(known.to_bytes()), Digest::from_bytes(Digest::NONE)), (Some(known), None));
    }
}
