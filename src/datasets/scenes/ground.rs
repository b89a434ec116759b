//! The plain colours that scenes are painted on.

use serde::Serialize;

/// The colour of a ground. There is neither black nor red: line drawings and hearts would vanish on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ground {
    White,
    Grey,
    Yellow,
    Green,
    Blue,
    Pink,
    Orange,
    Purple,
}

impl Ground {
    /// All grounds, in the order of the enum.
    pub const ALL: [Ground; 8] = [
        Ground::White,
        Ground::Grey,
        Ground::Yellow,
        Ground::Green,
        Ground::Blue,
        Ground::Pink,
        Ground::Orange,
        Ground::Purple,
    ];

    /// Returns red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Ground::White => [255, 255, 255],
            Ground::Grey => [168, 168, 168],
            Ground::Yellow => [252, 228, 92],
            Ground::Green => [104, 186, 104],
            Ground::Blue => [72, 116, 224],
            Ground::Pink => [250, 168, 204],
            Ground::Orange => [248, 154, 62],
            Ground::Purple => [156, 104, 208],
        }
    }
}
