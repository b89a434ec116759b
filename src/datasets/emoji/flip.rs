//! Which emoji stay themselves in the mirror.

/// Groups in which a picture carries letters, sides or the order of stripes.
const FIXED_GROUPS: [&str; 3] = ["flags", "symbols", "component"];
/// Likewise for smaller families: clock faces, moon phases, continents, pages of writing.
const FIXED_SUBGROUPS: [&str; 8] =
    ["time", "place-map", "book-paper", "music", "mail", "computer", "money", "hand-single-finger"];
/// Words that name a side, a direction of change, or writing on the picture.
const FIXED_WORDS: [&str; 37] = [
    "left",
    "right",
    "leftwards",
    "rightwards",
    "facing",
    "tilted",
    "clockwise",
    "counterclockwise",
    "horizontally",
    "increasing",
    "decreasing",
    "chart",
    "waxing",
    "waning",
    "quarter",
    "crescent",
    "moon",
    "hundred",
    "ZZZ",
    "letter",
    "calendar",
    "tear-off",
    "OK",
    "NO",
    "gesturing",
    "1st",
    "2nd",
    "3rd",
    "8",
    "joker",
    "mahjong",
    "bus",
    "stop",
    "station",
    "passport",
    "departure",
    "arrival",
];

/// Whether a mirrored picture still deserves the label.
pub(super) fn may_flip(group: &str, subgroup: &str, label: &str) -> bool {
    let mut words = label.split([' ', '-', ':', ',']);
    !FIXED_GROUPS.contains(&group)
        && !FIXED_SUBGROUPS.contains(&subgroup)
        && !words.any(|word| FIXED_WORDS.contains(&word))
}
