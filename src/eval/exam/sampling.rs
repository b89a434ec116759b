//! How much is asked.

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What a curve needs.
    Quick,
    /// What the final table shows, raw pixels' scores included.
    Full,
}

/// At most `most` of `n` places, evenly spread and ascending.
pub fn spread(n: usize, most: usize) -> impl ExactSizeIterator<Item = usize> {
    let kept = n.min(most);
    (0..kept).map(move |i| i * n / kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_evenly_spread() {
        let places = |n, most| spread(n, most).collect::<Vec<_>>();
        assert_eq!(places(10, 3), [0, 3, 6]);
        assert_eq!(places(3, 10), [0, 1, 2]);
        assert!(places(0, 5).is_empty() && places(5, 0).is_empty());
    }
}
