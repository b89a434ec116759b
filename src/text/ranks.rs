//! Byte-pair merges with nothing but the list of merges: what a program needs that asks for a few short words.
//!
//! The library that merges words of any length makes tables of all tokens first, which takes as long as reading a small
//! tower. For a short word it is enough to know the place of each pair in the list.

use std::collections::HashMap;

/// The place in the list of each merge, which is written as two tokens with a space between them.
pub(super) struct Ranks(HashMap<&'static [u8], u32>);

/// A part of a word: a token, and its text.
pub(super) struct Part {
    pub id: u32,
    pub text: String,
}

impl Ranks {
    /// Reads a list of merges, best first, one a line.
    pub fn of(list: &'static str) -> Self {
        let mut ranks = HashMap::with_capacity(list.len() / 10);
        // Lines are so short that a search for their ends, which looks at many bytes at once, takes longer.
        ranks.extend(list.as_bytes().split(|&byte| byte == b'\n').zip(0..));
        Ranks(ranks)
    }

    /// Merges the letters of a word until no neighbours are a pair of the list (Sennrich et al. 2016, algorithm 1), and
    /// returns its tokens. The token of the first merge is `first`, and those of the others follow.
    ///
    /// Every merge looks at all neighbours, so this is for short words.
    pub fn tokens(&self, mut parts: Vec<Part>, first: u32) -> Box<[u32]> {
        let mut pair = String::new();
        let mut rank = |left: &str, right: &str| {
            pair.clear();
            pair.extend([left, " ", right]);
            self.0.get(pair.as_bytes()).copied()
        };
        loop {
            let neighbours = parts.windows(2).enumerate();
            let best = neighbours.filter_map(|(i, pair)| Some((rank(&pair[0].text, &pair[1].text)?, i))).min();
            let Some((rank, i)) = best else { return parts.iter().map(|part| part.id).collect() };
            let right = parts.remove(i + 1);
            parts[i].text.push_str(&right.text);
            parts[i].id = first + rank;
        }
    }
}
