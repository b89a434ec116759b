//! What training minimises.

pub mod info_nce;
pub mod positives;
