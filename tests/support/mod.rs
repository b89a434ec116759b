//! Shared parts of the tests: the gradient check, the oracles, random tensors, poisoned buffers, tiny models, folders.
#![expect(dead_code, reason = "every test program uses a part of it")]

pub mod blip;
pub mod blip_objective;
pub mod blip_passes;
pub mod compare;
pub mod folders;
pub mod gradcheck;
pub mod jpeg;
pub mod matching;
pub mod oracle;
pub mod oracle_models;
pub mod philox;
pub mod random;
pub mod tiny;
pub mod trees;
