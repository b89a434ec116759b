//! What a run is judged on.

pub mod emoji;
pub mod pairs;
