//! Finds the prefix that stands before all tensor names of a file: `module.`, `_orig_mod.`, `state_dict.model.` or
//! whatever else a training script has put there. There is no list of prefixes: the prefix is the one behind which most
//! names are names that a scheme knows.
//!
//! Wrappers of modules within the model put parts into the middle of names too, as in `visual._orig_mod.proj`. These
//! are a known few, and are dropped wherever they stand.

use super::places::{Place, Places};
use crate::tree::{Path as TreePath, Tree};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The names that a scheme has for the tensors of a model, whatever its number of blocks.
#[derive(Default)]
pub(crate) struct Known {
    patterns: BTreeSet<String>,
    /// The number of parts, separated by dots, of the longest name.
    depth: usize,
}

/// The prefix behind which most of the given names are known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Best<'a> {
    pub prefix: &'a str,
    /// The number of names that are known behind the prefix.
    pub count: usize,
}

impl Known {
    /// Returns these names together with those of a tree of places. A number in a name stands for any number.
    pub(crate) fn and(mut self, places: &impl Tree<Leaf = Places>) -> Known {
        places.map(&TreePath::ROOT, &mut |_, places| {
            self.patterns.extend(places.iter().flat_map(Place::names).map(pattern));
        });
        self.depth = self.patterns.iter().map(|name| name.split('.').count()).max().unwrap_or(0);
        self
    }

    /// Whether the name is a known one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.patterns.contains(&pattern(name))
    }

    /// Returns the prefix behind which most names are known. If several prefixes are equally good, the shortest is
    /// returned.
    pub(crate) fn best_prefix<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Best<'a> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            // No known name has more than `depth` parts, so no more are tried, however many the names of a hostile file
            // have.
            let dots = name.rmatch_indices('.').take(self.depth);
            let starts = dots.map(|(dot, _)| dot + 1).chain([0]);
            for start in starts.filter(|&start| self.has(&name[start..])) {
                *counts.entry(&name[..start]).or_default() += 1;
            }
        }
        let best = counts.into_iter().min_by_key(|(prefix, count)| (Reverse(*count), prefix.len()));
        let (prefix, count) = best.unwrap_or(("", 0));
        Best { prefix, count }
    }
}

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

/// Returns the name with `#` in the place of every part that is a number.
fn pattern(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.split('.').map(|part| if is_number(part) { "#" } else { part });
    parts.collect::<Vec<_>>().join(".")
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
