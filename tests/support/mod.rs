//! What the tests share: the judge of gradients, the oracles, random tensors, poisoned buffers.

pub mod compare;
pub mod gradcheck;
pub mod oracle;
pub mod oracle_models;
pub mod random;
pub mod trees;
