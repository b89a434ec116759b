//! The embedded data: 1,923 Unicode emoji concepts, each drawn by up to eight vendors, with names and keywords.
//!
//! `data/emoji/NOTICE.md` names the sources and licences of drawings and names. A model trains on seven vendors and the
//! concepts of [`Split::Train`]. It is judged on the eighth vendor, Twemoji, and on the held-out concepts, neither of
//! which it ever sees. Recipes are chosen on a [`Cut`] of the training part alone.

mod captions;
mod classes;
mod concept;
mod cut;
mod flip;
mod pairs;
mod set;
mod sheet;
mod train;
mod vendor;

pub use captions::Language;
pub use classes::questions;
pub use concept::{Concept, Split};
pub use cut::{Cut, Side};
pub use pairs::EmojiPairs;
pub use set::{Emoji, Tile, concepts};
pub use sheet::TILE;
pub use train::EmojiTraining;
pub use vendor::Vendor;
