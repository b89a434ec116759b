//! Finds the prefix that stands before all tensor names of a file: `module.`, `_orig_mod.`, `state_dict.model.` or
//! whatever else a training script has put there. There is no list of prefixes: the prefix is the one behind which most
//! names are names that a scheme knows.

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

/// Returns the name with `#` in the place of every part that is a number.
fn pattern(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.split('.').map(|part| if is_number(part) { "#" } else { part });
    parts.collect::<Vec<_>>().join(".")
}
