#![forbid(unsafe_code)]
pub mod layers;
pub mod models;
pub mod params;
pub mod tree;
