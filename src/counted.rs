//! Numbers with their nouns, for messages.

use std::fmt::Display;

/// Returns a number and its noun in the singular or the plural: `1 pair`, `2 pairs`, `0 classes`.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let ending = match noun {
        _ if n == N::from(1) => "",
        noun if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{n} {noun}{ending}")
}

/// Returns that there are so many: `there is 1 name`, `there are 2 names`.
pub(crate) fn there_are<N: Copy + Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    format!("there {} {}", if n == N::from(1) { "is" } else { "are" }, counted(n, noun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let said = [counted(0u64, "row"), counted(1usize, "class"), counted(2u32, "class"), counted(7usize, "row")];
        assert_eq!([1usize, 2].map(|n| there_are(n, "row")), ["there is 1 row", "there are 2 rows"]);
        assert_eq!(said, ["0 rows", "1 class", "2 classes", "7 rows"]);
    }
}
