//! "Break it" of every chapter: what the reader edits, and what the program then says.

mod accumulation;
mod adamw;
mod attention;
mod blip;
mod block;
mod chain_rule;
mod contrast;
mod convolution;
mod gelu;
mod layer_norm;
mod linear;
mod loss_curve;
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
    ("adamw", adamw::FAULTS),
    ("accumulation", accumulation::FAULTS),
    ("loss_curve", loss_curve::FAULTS),
    ("convolution", convolution::FAULTS),
    ("blip", blip::FAULTS),
];
