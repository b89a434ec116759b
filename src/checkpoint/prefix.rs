//! What stands before all names of a file: `module.`, `_orig_mod.`, `state_dict.model.`, whatever a training script has
//! put there. No such word is listed. The prefix is the one behind which the names are known ones.

use super::places::{Place, Places};
use crate::tree::{Path as TreePath, Tree};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The names that a scheme has for the tensors of a model, whatever its number of blocks.
#[derive(Default)]
pub(crate) struct Known {
    patterns: BTreeSet<String>,
    /// The number of parts, between dots, of the longest name.
    depth: usize,
}

/// The prefix behind which most of some names are known ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Best<'a> {
    pub prefix: &'a str,
    /// How many names are.
    pub count: usize,
}

impl Known {
    /// These names and those of a tree of places. Any number may stand where they have a number.
    pub(crate) fn and(mut self, places: &impl Tree<Leaf = Places>) -> Known {
        places.map(&TreePath::ROOT, &mut |_, places| {
            self.patterns.extend(places.iter().flat_map(Place::names).map(pattern));
        });
        self.depth = self.patterns.iter().map(|name| name.split('.').count()).max().unwrap_or(0);
        self
    }

    /// Whether this is one of the names.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.patterns.contains(&pattern(name))
    }

    /// The prefix that most names fit behind; of equally good ones the shortest.
    pub(crate) fn best_prefix<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Best<'a> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            // No known name has more parts, however many a hostile file's have.
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

/// The name with `#` for every part that is a number.
fn pattern(name: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.split('.').map(|part| if is_number(part) { "#" } else { part });
    parts.collect::<Vec<_>>().join(".")
}
