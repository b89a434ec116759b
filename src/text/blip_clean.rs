//! Cleaning of captions and questions for BLIP: lower case, without some punctuation, cut to a number of words.
//!
//! BLIP's training texts went through these rules, and so must the texts that it is asked about. Commas, hyphens,
//! apostrophes and question marks stay. A word ends at every single blank, so neighbouring blanks have empty words
//! between them, which count.

use crate::text::clean::is_space;

/// Largest number of words of a caption.
pub const MAX_CAPTION_WORDS: usize = 30;
/// Largest number of words of a question.
pub const MAX_QUESTION_WORDS: usize = 50;

/// Cleans a caption: punctuation becomes a blank, and so does white space of two characters and more; line feeds at
/// the end and then blanks at both ends go.
pub fn caption(text: &str, max_words: usize) -> String {
    let text = text.to_lowercase().replace(is_dropped, " ");
    let mut single = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_space) {
        let (word, spaces) = rest.split_at(start);
        let end = spaces.find(|c| !is_space(c)).unwrap_or(spaces.len());
        let run = &spaces[..end];
        single.push_str(word);
        single.push_str(if run.chars().nth(1).is_some() { " " } else { run });
        rest = &spaces[end..];
    }
    single.push_str(rest);
    cut(single.trim_end_matches('\n').trim_matches(' '), max_words)
}

/// Cleans a question: punctuation and blanks at the end go; all other white space stays.
pub fn question(text: &str, max_words: usize) -> String {
    cut(text.to_lowercase().replace(is_dropped, "").trim_end_matches(' '), max_words)
}

fn is_dropped(c: char) -> bool {
    matches!(c, '.' | '!' | '"' | '(' | ')' | '*' | '#' | ':' | ';' | '~')
}

/// Returns the first words.
fn cut(text: &str, max_words: usize) -> String {
    text.split(' ').take(max_words).collect::<Vec<_>>().join(" ")
}
