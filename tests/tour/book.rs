//! The chapters as they stand in `src/tour`.

use std::fs;
use std::path::{Path, PathBuf};

/// A row of the table of chapters.
#[derive(Clone, Debug)]
pub struct Entry {
    pub number: usize,
    pub title: String,
    /// The chapter's module, if the chapter is there.
    pub module: Option<String>,
}

/// A chapter that is there.
pub struct Chapter {
    pub name: String,
    /// The Markdown file.
    pub text: String,
    /// The Markdown file with its hidden lines as the compiler sees them.
    pub shown: String,
    /// The Rust file.
    pub code: String,
}

/// A `pub fn` or `pub type`.
pub struct Function {
    pub name: String,
    /// All of it, doc comment included, without `pub`.
    pub text: String,
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tour").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("src/tour/{file}: {error}"))
}

/// Returns the names of all Markdown files, sorted.
pub fn markdown_files() -> Vec<String> {
    let files = fs::read_dir(path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| Some(file.strip_suffix(".md")?.to_string())).collect();
    names.sort();
    names
}

/// Returns the table of chapters on the front page. Its rows are `| 10 | [The contrast](contrast) | … |`, or
/// `| 10 | The contrast | … |` while the chapter is missing.
pub fn contents() -> Vec<Entry> {
    let front = read("mod.rs");
    let rows = front.lines().filter_map(|line| {
        let [_, number, chapter, ..] = line.strip_prefix("//! ")?.split('|').map(str::trim).collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let link = chapter.strip_prefix('[').and_then(|rest| rest.strip_suffix(')')?.split_once("]("));
        let (title, module) = link.map_or((chapter, None), |(title, module)| (title, Some(module.to_string())));
        Some(Entry { number: number.parse().ok()?, title: title.to_string(), module })
    });
    rows.collect()
}

/// Returns the chapters that there are, in order.
pub fn chapters() -> Vec<Chapter> {
    let names = contents().into_iter().filter_map(|entry| entry.module);
    let chapters = names.map(|name| {
        let text = read(&format!("{name}.md"));
        let shown = text.lines().map(visible).collect::<Vec<_>>().join("\n");
        Chapter { shown, code: read(&format!("{name}.rs")), text, name }
    });
    chapters.collect()
}

impl Chapter {
    /// Returns the first block of Rust as a whole program.
    pub fn program(&self) -> String {
        let block = self.text.split_once("\n```rust\n").unwrap_or_else(|| panic!("{} has no program", self.name)).1;
        let block = block.split("\n```").next().expect("a first part");
        let lines: Vec<_> = block.lines().map(visible).collect();
        format!("fn main() {{\n{}\n}}\n", lines.join("\n"))
    }
}

/// A line of code as the compiler sees it: `# ` at its start hides it from readers only.
fn visible(line: &str) -> &str {
    if line == "#" { "" } else { line.strip_prefix("# ").unwrap_or(line) }
}

/// Returns the public functions and types of a file.
pub fn functions(code: &str) -> Vec<Function> {
    let items = code.split("\n\n").filter_map(|item| {
        let start = item.lines().find_map(|line| line.strip_prefix("pub "))?;
        let (_, rest) = start.split_once(' ')?;
        let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?.to_string();
        Some(Function { name, text: item.trim().replacen("pub ", "", 1) })
    });
    items.collect()
}

/// Rewrites a file of `src/tour` if `TOUR_UPDATE` is set, else returns the fault.
pub fn update(file: &str, text: &str) -> Option<String> {
    if std::env::var_os("TOUR_UPDATE").is_none() {
        return Some(format!("src/tour/{file} has stale drawings or links; TOUR_UPDATE=1 rewrites them"));
    }
    // Another test may be reading it.
    let new = path(&format!("{file}.new"));
    fs::write(&new, text).unwrap();
    fs::rename(new, path(file)).unwrap();
    None
}
