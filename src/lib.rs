//! CLIP from scratch: every forward and backward pass by hand, fast on ordinary CPUs.
#![forbid(unsafe_code)]

pub mod input;
