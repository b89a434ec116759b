//! Drops the parts that wrappers of modules within a model put into the names of tensors, as in
//! `visual._orig_mod.proj`. They are a known few.

/// The parts of names that stand for wrappers of modules: of torch.compile, of parallel training, of checkpointed
/// activations, and of sharded training.
const WRAPPERS: [&str; 4] = ["_orig_mod", "module", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"];

/// Returns the name without the wrappers after its first other part. Those before it belong to the prefix.
pub(crate) fn unwrapped(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let is_wrapper = |part: &str| WRAPPERS.contains(&part);
    let first = parts.iter().position(|part| !is_wrapper(part)).unwrap_or(parts.len());
    let is_kept = |&(i, part): &(usize, &&str)| i <= first || i + 1 == parts.len() || !is_wrapper(part);
    parts.iter().enumerate().filter(is_kept).map(|(_, part)| *part).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_whole_parts_within_a_name() {
        for (name, expected) in [
            ("visual._orig_mod.proj", "visual.proj"),
            (
                "transformer.module.resblocks.3._checkpoint_wrapped_module.ln_1.weight",
                "transformer.resblocks.3.ln_1.weight",
            ),
            ("module._orig_mod.visual._fsdp_wrapped_module.proj", "module._orig_mod.visual.proj"),
            ("visual.my_module.proj", "visual.my_module.proj"),
            ("loss.module", "loss.module"),
            ("module", "module"),
            ("", ""),
        ] {
            assert_eq!(unwrapped(name), expected);
        }
    }
}
