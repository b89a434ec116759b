//! Tests of the tour: its text, its functions, its programs, its drawings and its links are one.
//!
//! They need `rustc`, the standard library, and the chapters' functions, which drawings plot. `TOUR_UPDATE=1` rewrites
//! drawings and links, and `TOUR_ONLY=name` tests the programs of one chapter.

mod book;
mod drawings;
mod faults;
mod numbers;
mod programs;
mod rules;

use book::{Chapter, chapters, contents, functions};

/// Panics with all faults, one a line.
#[track_caller]
fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The front page, the modules and the files name the same chapters.
#[test]
fn every_chapter_is_in_the_contents() {
    let contents: Vec<_> = contents().into_iter().filter_map(|entry| entry.module).collect();
    let mut files: Vec<_> = contents.clone();
    files.sort();
    assert_eq!(book::markdown_files(), files, "src/tour/*.md, and the linked chapters of src/tour/mod.rs");
    let drawn = |name: &&String| !drawings::DRAWINGS.iter().any(|(chapter, ..)| chapter == name);
    assert_none(contents.iter().filter(drawn).map(|name| format!("{name} has no drawing")).collect());
    let broken = |name: &&String| !faults::FAULTS.iter().any(|(chapter, faults)| chapter == name && faults.len() >= 3);
    assert_none(contents.iter().filter(broken).map(|name| format!("{name} has no three faults")).collect());
}

/// A function stands word for word in the text of its chapter, and in every other text that shows it.
#[test]
fn the_text_and_the_functions_are_one() {
    let chapters = chapters();
    let mut faults = vec![];
    for owner in &chapters {
        for function in functions(&owner.code) {
            let shows = |chapter: &&Chapter| {
                chapter.name == owner.name || chapter.shown.contains(&format!("fn {}(", function.name))
            };
            for chapter in chapters.iter().filter(shows).filter(|chapter| !chapter.shown.contains(&function.text)) {
                let Chapter { name, .. } = chapter;
                faults.push(format!("{name}.md has not, or otherwise, what {}.rs has:\n{}", owner.name, function.text));
            }
        }
    }
    assert_none(faults);
}

/// The drawings are what their functions draw and fit to be seen. Previous and next form a chain of the chapters that
/// there are, and `[chapter 4]` leads to it.
#[test]
fn drawings_and_links_are_fresh() {
    let contents = contents();
    let mut faults = vec![];
    for chapter in chapters() {
        let mut text = rules::linked(&chapter, &contents);
        for (_, drawing, draw) in drawings::DRAWINGS.iter().filter(|(name, ..)| *name == chapter.name) {
            let svg = draw();
            text = rules::drawn(&text, drawing, &svg);
            faults
                .extend(rules::drawing(&svg).into_iter().map(|fault| format!("{}, {drawing}: {fault}", chapter.name)));
        }
        if text != chapter.text {
            faults.extend(book::update(&format!("{}.md", chapter.name), &text));
        }
    }
    assert_none(faults);
}

/// Every program passes its own check, and each planted fault is named.
#[test]
fn programs_pass_and_faults_are_named() {
    let only = std::env::var("TOUR_ONLY").ok();
    let chapters = chapters().into_iter().filter(|chapter| only.as_ref().is_none_or(|only| *only == chapter.name));
    let mut runs = vec![];
    let mut faults = vec![];
    for chapter in chapters {
        let program = chapter.program();
        runs.push(programs::Run { name: chapter.name.clone(), program: program.clone(), message: None });
        for fault in faults::FAULTS.iter().filter(|(name, _)| *name == chapter.name).flat_map(|(_, faults)| *faults) {
            let faults::Fault { edit, by, message } = fault;
            let name = format!("{} with {by:?} for {edit:?}", chapter.name);
            if program.matches(edit).count() != 1 {
                faults.push(format!("{name}: the program has the text {} times", program.matches(edit).count()));
            }
            if !chapter.text.contains(message) {
                faults.push(format!("{name}: the text has no {message:?}"));
            }
            runs.push(programs::Run { name, program: program.replacen(edit, by, 1), message: Some(message) });
        }
    }
    faults.extend(programs::run_all(&runs));
    assert_none(faults);
}

/// Text blocks fit beside the sidebar of a small screen, and no line has a formula and a list of shapes.
#[test]
fn lines_are_fit_to_be_read() {
    let faults = chapters().into_iter().flat_map(|chapter| rules::lines(&chapter));
    assert_none(faults.collect());
}

/// Each number of the text stands in the chapter's code too, where it is asserted.
#[test]
fn numbers_are_those_of_the_code() {
    assert_none(chapters().iter().flat_map(numbers::untied).collect());
}
