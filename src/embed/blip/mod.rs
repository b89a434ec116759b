//! A trained BLIP, ready for pictures and texts.
//!
//! | file | what it knows |
//! |---|---|
//! | `model` | [`Blip`]: how it is loaded, looks at pictures, and embeds pictures and texts |
//! | `writing` | captions and answers |
//! | [`published`] | how the published captions and answers were searched for |
//! | `matching` | how well texts fit pictures |

mod matching;
mod model;
pub mod published;
mod writing;

pub use matching::Matches;
pub use model::{BATCH, Blip, MAX_TEXT};
pub use model::{max_text, tokenizer};
pub use writing::Written;
