//! The table of rooms, and the checks of files and imports against it.

use crate::graph::Import;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A row of the table: folders and files that belong together, and what they may import.
pub struct Room {
    pub names: Vec<String>,
    /// The rooms that its files may import: its own, those that the row names, and those that these may import.
    allowed: BTreeSet<String>,
    said: String,
}

/// Parses the table below this heading: `| what | what it knows | what it may import |`, from the ground up.
pub fn table(text: &str, heading: &str) -> Result<Vec<Room>, String> {
    let section = text.split_once(heading).ok_or_else(|| format!("no section {heading:?}"))?.1;
    let rows = section.lines().map(|line| line.trim_start_matches("//!").trim());
    let rows = rows.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let mut rooms: Vec<Room> = vec![];
    for row in rows {
        let [_, names, _, imports, _] = row.split('|').collect::<Vec<_>>()[..] else {
            return Err(format!("not a row of three cells: {row}"));
        };
        let names = quoted(names);
        let mut allowed: BTreeSet<String> = names.iter().cloned().collect();
        if imports.trim() == "everything above" {
            allowed.extend(rooms.iter().flat_map(|room| room.names.clone()));
        }
        for name in quoted(imports) {
            let below = rooms.iter().find(|room| room.names.contains(&name));
            let below = below.ok_or_else(|| format!("{names:?} may import {name}, which is no room below it"))?;
            allowed.extend(below.allowed.iter().cloned());
        }
        rooms.push(Room { names, allowed, said: imports.trim().into() });
    }
    Ok(rooms)
}

/// Returns the texts between backticks, without the slash at a folder's end.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_string()).collect()
}

/// Returns the name of a file's place in the table: the crate `kernels`, or a folder or file of `src`. The root
/// `src/lib.rs` has none.
pub fn place(file: &str) -> Option<&str> {
    let Some(inside) = file.strip_prefix("src/") else { return file.split('/').next() };
    let first = inside.split('/').next().expect("a name");
    (inside != "lib.rs").then(|| first.trim_end_matches(".rs"))
}

/// Returns files without a room and rooms without files.
pub fn misplaced<'a>(rooms: &[Room], files: impl Iterator<Item = &'a String>) -> Vec<String> {
    let places: BTreeSet<&str> = files.filter_map(|file| place(file)).collect();
    let named: Vec<&str> = rooms.iter().flat_map(|room| &room.names).map(String::as_str).collect();
    let homeless = places.iter().filter(|place| !named.contains(place)).map(|place| format!("{place} is in no room"));
    let empty = named.iter().filter(|name| !places.contains(*name)).map(|name| format!("room {name} has no files"));
    homeless.chain(empty).collect()
}

/// Returns imports that a room's row does not allow.
pub fn trespasses(rooms: &[Room], imports: &[Import]) -> Vec<String> {
    let wrong = imports.iter().filter_map(|import| {
        let (from, to) = (place(&import.from)?, place(&import.to)?);
        let room = rooms.iter().find(|room| room.names.iter().any(|name| name == from))?;
        (!room.allowed.contains(to)).then(|| format!("{}, but `{from}` may import: {}", say(import), room.said))
    });
    wrong.collect()
}

fn say(Import { from, line, path, to }: &Import) -> String {
    format!("{from}:{line}: `{path}` is in {to}")
}

/// Returns rings of imports, the shortest first. Each import is named once, since breaking one ring breaks others too.
pub fn rings(imports: &[Import]) -> Vec<String> {
    let mut by_file: BTreeMap<&str, Vec<&Import>> = BTreeMap::new();
    imports.iter().for_each(|import| by_file.entry(&import.from).or_default().push(import));
    let rings = imports.iter().filter_map(|import| {
        let back = way(&by_file, &import.to, &import.from)?;
        Some([&[import], &back[..]].concat())
    });
    let mut rings: Vec<Vec<&Import>> = rings.collect();
    rings.sort_by_key(Vec::len);
    let mut told = BTreeSet::new();
    rings.retain(|ring| {
        let new = ring.iter().all(|import| !told.contains(&say(import)));
        told.extend(ring.iter().filter(|_| new).map(|import| say(import)));
        new
    });
    let lines = |ring: Vec<&Import>| ring.into_iter().map(say).collect::<Vec<_>>().join("\n    ");
    rings
        .into_iter()
        .map(|ring| format!("no two files import each other, but here is a ring:\n    {}", lines(ring)))
        .collect()
}

/// Returns the shortest chain of imports from one file to another.
fn way<'a>(by_file: &BTreeMap<&str, Vec<&'a Import>>, from: &'a str, to: &str) -> Option<Vec<&'a Import>> {
    let mut came_by: BTreeMap<&str, &Import> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front().filter(|_| !came_by.contains_key(to)) {
        for import in by_file.get(file).into_iter().flatten().filter(|import| import.to != from) {
            came_by.entry(&import.to).or_insert_with(|| {
                queue.push_back(&import.to);
                import
            });
        }
    }
    let mut ring = vec![];
    let mut at = to;
    while at != from {
        let import = came_by.get(at)?;
        ring.push(*import);
        at = &import.from;
    }
    ring.reverse();
    Some(ring)
}
