//! "Break it" of every chapter: what the reader edits, and what the program then says.

mod attention;
mod block;
mod chain_rule;
mod contrast;
mod gelu;
mod layer_norm;
mod linear;
mod patches;
mod softmax;
mod tokens;
mod unit_length;

/// An edit of a chapter's program.
pub struct Fault {
    /// The text to replace, which the program has once.
    pub edit: &'static str,
    pub by: &'static str,
    /// What the program stops with. The chapter's answers quote it.
    pub message: &'static str,
}

pub const FAULTS: &[(&str, &[Fault])] = &[
    ("chain_rule", chain_rule::FAULTS),
    ("linear", linear::FAULTS),
    ("gelu", gelu::FAULTS),
    ("layer_norm", layer_norm::FAULTS),
    ("softmax", softmax::FAULTS),
    ("attention", attention::FAULTS),
    ("block", block::FAULTS),
    ("patches", patches::FAULTS),
    ("tokens", tokens::FAULTS),
    ("unit_length", unit_length::FAULTS),
    ("contrast", contrast::FAULTS),
];
