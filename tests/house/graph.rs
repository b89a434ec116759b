//! Resolution of paths in the code to the files that define the items.

use crate::source::{Module, Use, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Source files by their path from the top of the repository.
pub type Sources = BTreeMap<String, String>;

/// An import of one file by another, at the first line that needs it.
#[derive(Clone, Debug)]
pub struct Import {
    pub from: String,
    pub line: usize,
    pub path: String,
    pub to: String,
}

/// Longest chain of re-exports that is followed.
const MAX_DEPTH: usize = 16;

/// All modules of all crates.
struct Modules<'a> {
    modules: Vec<Module>,
    index: BTreeMap<Vec<String>, usize>,
    /// Pairs of the name by which code calls a crate, and the crate.
    crates: &'a [(&'static str, &'static str)],
}

/// Returns all imports between files of these crates, each given by its name and its root. `aliases` are the names by
/// which code calls a crate.
///
/// An item that a module re-exports from its own children counts as imported from the file that defines it, and the
/// re-export itself is no import.
pub fn imports(sources: &Sources, roots: &[(&str, &str)], aliases: &[(&'static str, &'static str)]) -> Vec<Import> {
    let mut modules = vec![];
    for (name, root) in roots {
        load(sources, vec![name.to_string()], root, true, &mut modules);
    }
    let index = modules.iter().enumerate().map(|(i, module)| (module.path.clone(), i)).collect();
    let house = Modules { modules, index, crates: aliases };
    let mut found: Vec<Import> = (0..house.modules.len()).flat_map(|at| house.imports_of(at)).collect();
    let mut seen = BTreeSet::new();
    found.sort_by_key(|import| import.line);
    found.retain(|import| import.from != import.to && seen.insert((import.from.clone(), import.to.clone())));
    found
}

/// Reads a file and, below it, the files of its modules.
fn load(sources: &Sources, path: Vec<String>, file: &str, is_root: bool, modules: &mut Vec<Module>) {
    let source = sources.get(file).unwrap_or_else(|| panic!("{file} is not there"));
    let here = Path::new(file);
    let owns_folder = is_root || here.ends_with("mod.rs");
    let folder = if owns_folder { here.parent().expect("in a folder").to_owned() } else { here.with_extension("") };
    for module in read(path, file, source) {
        for child in &module.children {
            let candidates = [folder.join(format!("{child}.rs")), folder.join(child).join("mod.rs")];
            let found = candidates.iter().filter_map(|path| path.to_str()).find(|path| sources.contains_key(*path));
            let found = found.unwrap_or_else(|| panic!("{file} declares a module {child} that has no file"));
            load(sources, [&module.path[..], std::slice::from_ref(child)].concat(), found, false, modules);
        }
        modules.push(module);
    }
}

impl Modules<'_> {
    fn imports_of(&self, at: usize) -> Vec<Import> {
        let module = &self.modules[at];
        let import = |path: &[String], line: usize, to: usize| Import {
            from: module.file.clone(),
            line,
            path: path.join("::"),
            to: self.modules[to].file.clone(),
        };
        let used = module.uses.iter().flat_map(|leaf| self.leaf(at, leaf).into_iter().map(move |to| (leaf, to)));
        let used = used.filter(|(leaf, to)| !(leaf.public && self.is_below(at, *to)));
        let mentioned = module.mentions.iter();
        let mentioned = mentioned.filter_map(|mention| Some((mention, self.resolve(at, &mention.path, MAX_DEPTH)?)));
        let used = used.map(|(leaf, to)| import(&leaf.path, leaf.line, to));
        used.chain(mentioned.map(|(mention, to)| import(&mention.path, mention.line, to))).collect()
    }

    /// Returns the modules that a leaf of a `use` leads to. For `*` they include those of all names that the code uses.
    fn leaf(&self, at: usize, leaf: &Use) -> Vec<usize> {
        let Some(to) = self.resolve(at, &leaf.path, MAX_DEPTH) else { return vec![] };
        if leaf.name != "*" {
            return vec![to];
        }
        let names = self.modules[at].names.iter();
        std::iter::once(to).chain(names.filter_map(|name| self.member(to, name, &[], MAX_DEPTH))).collect()
    }

    fn is_below(&self, at: usize, to: usize) -> bool {
        let (above, below) = (&self.modules[at].path, &self.modules[to].path);
        below.len() > above.len() && below.starts_with(above)
    }

    /// Returns the module that defines the item of a path, or `None` if it is in no crate of ours.
    fn resolve(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let own = &self.modules[at].path;
        match first.as_str() {
            "crate" => self.walk(self.index[&own[..1]], rest, depth),
            "self" => self.walk(at, rest, depth),
            "super" => self.walk(self.parent(at)?, rest, depth),
            name => self.member(at, name, rest, depth).or_else(|| {
                let (_, target) = self.crates.iter().find(|(alias, _)| *alias == name)?;
                self.walk(*self.index.get(&[target.to_string()][..])?, rest, depth)
            }),
        }
    }

    fn parent(&self, at: usize) -> Option<usize> {
        let (_, above) = self.modules[at].path.split_last()?;
        self.index.get(above).copied()
    }

    fn walk(&self, at: usize, path: &[String], depth: usize) -> Option<usize> {
        match path.split_first() {
            None => Some(at),
            Some((first, rest)) if first == "super" => self.walk(self.parent(at)?, rest, depth),
            // An item that a macro makes has no name here and is taken for the module's.
            Some((first, rest)) => self.member(at, first, rest, depth).or(Some(at)),
        }
    }

    /// Resolves `name::rest` in a module, where `name` is a module inside, an item, or a name from a `use`.
    fn member(&self, at: usize, name: &str, rest: &[String], depth: usize) -> Option<usize> {
        let module = &self.modules[at];
        let depth = depth.checked_sub(1)?;
        if let Some(&child) = self.index.get(&[&module.path[..], &[name.to_string()]].concat()) {
            return self.walk(child, rest, depth);
        }
        if module.items.contains(name) {
            return Some(at);
        }
        let named = module.uses.iter().filter(|leaf| leaf.name == name);
        let named = named.map(|leaf| self.resolve(at, &[&leaf.path[..], rest].concat(), depth));
        let all = module.uses.iter().filter(|leaf| leaf.name == "*");
        let all = all.map(|leaf| self.member(self.resolve(at, &leaf.path, depth)?, name, rest, depth));
        named.chain(all).find_map(|place| place)
    }
}
