#![forbid(unsafe_code)]
pub mod layers;
pub mod loss;
pub mod models;
pub mod optim;
pub mod params;
pub mod tree;
