//! The rule for which emoji may be mirrored without making their captions wrong.

/// Groups whose pictures hold letters, a left and a right, or an order of stripes.
const FIXED_GROUPS: [&str; 3] = ["flags", "symbols", "component"];
/// Subgroups whose pictures change their meaning: clock faces, moon phases, continents, pages of writing.
const FIXED_SUBGROUPS: [&str; 8] =
    ["time", "place-map", "book-paper", "music", "mail", "computer", "money", "hand-single-finger"];
/// Words of a label that name a side, a direction of change, or writing on the picture.
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

/// Returns whether the label still fits the mirrored picture.
pub(super) fn may_flip(group: &str, subgroup: &str, label: &str) -> bool {
    let mut words = label.split([' ', '-', ':', ',']);
    !FIXED_GROUPS.contains(&group)
        && !FIXED_SUBGROUPS.contains(&subgroup)
        && !words.any(|word| FIXED_WORDS.contains(&word))
}
