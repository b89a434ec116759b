//! The items that a source file declares and uses, read from its tokens. Code under `#[cfg(test)]` is left out.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// A module with code of its own: a file, or `mod name { … }` in one.
#[derive(Default)]
pub struct Module {
    /// The path of the module, which begins with the crate's name.
    pub path: Vec<String>,
    pub file: String,
    /// Modules in files of their own: `mod name;`.
    pub children: BTreeSet<String>,
    /// Functions, types, constants, macros.
    pub items: BTreeSet<String>,
    pub uses: Vec<Use>,
    /// Paths of two segments or more in the middle of code.
    pub mentions: Vec<Mention>,
    /// Every name in the code, for `use other::*`.
    pub names: BTreeSet<String>,
}

/// One leaf of a `use`.
pub struct Use {
    /// The name that the code gives it, or `*` for all names.
    pub name: String,
    pub path: Vec<String>,
    pub public: bool,
    pub line: usize,
}

/// A path as it is written.
pub struct Mention {
    pub path: Vec<String>,
    pub line: usize,
}

const ITEMS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

/// Reads the module of a file and those inside of it.
pub fn read(path: Vec<String>, file: &str, source: &str) -> Vec<Module> {
    let tokens: TokenStream = source.parse().unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut modules = vec![Module { path, file: file.into(), ..Module::default() }];
    scan(&flat(tokens), 0, true, &mut modules);
    modules
}

fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

/// Scans tokens. `top` says that they are items of the module itself, not inside of a function or a type.
fn scan(tokens: &[TokenTree], at: usize, top: bool, modules: &mut Vec<Module>) {
    let (mut i, mut in_test) = (0, false);
    while i < tokens.len() {
        if is(tokens, i, '#') {
            let group = if is(tokens, i + 1, '!') { i + 2 } else { i + 1 };
            in_test |= tokens.get(group).is_some_and(is_cfg_test);
            i = group + 1;
        } else if std::mem::take(&mut in_test) {
            i = end_of_item(tokens, i);
        } else {
            i = scan_one(tokens, i, at, top, modules);
        }
    }
}

/// Scans the item at token `i` and returns the position behind it.
fn scan_one(tokens: &[TokenTree], i: usize, at: usize, top: bool, modules: &mut Vec<Module>) -> usize {
    if let TokenTree::Group(group) = &tokens[i] {
        scan(&flat(group.stream()), at, false, modules);
        return i + 1;
    }
    let Some(word) = ident(tokens, i) else { return i + 1 };
    match (word.as_str(), ident(tokens, i + 1), tokens.get(i + 2)) {
        ("use", ..) if !is(tokens, i + 1, '<') => {
            let end = end_of_item(tokens, i);
            use_tree(&tokens[i + 1..end - 1], &[], is_public(tokens, i), &mut modules[at].uses);
            return end;
        }
        ("mod", Some(name), Some(TokenTree::Group(body))) => {
            let path = [&modules[at].path[..], &[name]].concat();
            let file = modules[at].file.clone();
            modules.push(Module { path, file, ..Module::default() });
            let inside = modules.len() - 1;
            scan(&flat(body.stream()), inside, true, modules);
            return i + 3;
        }
        ("mod", Some(name), Some(_)) if top => _ = modules[at].children.insert(name),
        (keyword, name, _) if top && ITEMS.contains(&keyword) => {
            modules[at].items.extend(name.or_else(|| ident(tokens, i + 2)));
        }
        _ => {}
    }
    let end = end_of_path(tokens, i);
    let path: Vec<String> = (i..end).filter_map(|i| ident(tokens, i)).collect();
    modules[at].names.extend(path.iter().cloned());
    if path.len() > 1 && !(i > 0 && is(tokens, i - 1, ':') && is(tokens, i.wrapping_sub(2), ':')) {
        modules[at].mentions.push(Mention { path, line: tokens[i].span().start().line });
    }
    end
}

fn ident(tokens: &[TokenTree], i: usize) -> Option<String> {
    match tokens.get(i) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is(tokens: &[TokenTree], i: usize, punctuation: char) -> bool {
    matches!(tokens.get(i), Some(TokenTree::Punct(punct)) if punct.as_char() == punctuation)
}

/// Returns whether the attribute is `[cfg(test)]`, `[cfg(doctest)]` or `[cfg(any(test, …))]`.
fn is_cfg_test(attribute: &TokenTree) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    ["[cfg(test)]", "[cfg(doctest)]"].contains(&text.as_str()) || text.starts_with("[cfg(any(test,")
}

/// Returns the position behind the item's last token: a semicolon or the braces of a body.
fn end_of_item(tokens: &[TokenTree], start: usize) -> usize {
    let without_body = ["use", "const", "static", "type"];
    let keyword = (start..tokens.len()).filter_map(|i| ident(tokens, i)).find(|word| word != "pub" && word != "unsafe");
    let by_semicolon = keyword.is_some_and(|word| without_body.contains(&word.as_str()));
    let body = |token: &TokenTree| matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace);
    let last = (start..tokens.len()).find(|&i| is(tokens, i, ';') || !by_semicolon && body(&tokens[i]));
    last.map_or(tokens.len(), |last| last + 1)
}

/// Returns the position behind a path `a::b::c` that starts at `start`.
fn end_of_path(tokens: &[TokenTree], start: usize) -> usize {
    let mut end = start + 1;
    while is(tokens, end, ':') && is(tokens, end + 1, ':') && ident(tokens, end + 2).is_some() {
        end += 3;
    }
    end
}

/// Returns whether `pub` or `pub(…)` stands before `i`.
fn is_public(tokens: &[TokenTree], i: usize) -> bool {
    let before = |n: usize| i.checked_sub(n).and_then(|i| ident(tokens, i)).is_some_and(|word| word == "pub");
    before(1) || before(2) && matches!(tokens[i - 1], TokenTree::Group(_))
}

/// Collects all leaves of a tree such as `a::{b, c::*, d as e}`.
fn use_tree(tokens: &[TokenTree], before: &[String], public: bool, uses: &mut Vec<Use>) {
    for tree in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
        let (mut path, mut name) = (before.to_vec(), None);
        for (i, token) in tree.iter().enumerate() {
            match token {
                TokenTree::Group(group) => use_tree(&flat(group.stream()), &path, public, uses),
                TokenTree::Punct(punct) if punct.as_char() == '*' => name = Some("*".into()),
                // `a::{self}` means `a`.
                TokenTree::Ident(word) if word == "self" && i == 0 && !before.is_empty() => {}
                TokenTree::Ident(word) if word == "as" => name = ident(tree, i + 1),
                TokenTree::Ident(word) if name.is_none() => path.push(word.to_string()),
                _ => {}
            }
        }
        if let (Some(last), Some(TokenTree::Ident(_) | TokenTree::Punct(_))) = (path.last(), tree.last()) {
            let name = name.unwrap_or_else(|| last.clone());
            uses.push(Use { name, path, public, line: tree[0].span().start().line });
        }
    }
}
