//! Accuracy of answers to questions about pictures, against the answers that several people gave.
//!
//! accuracy = mean_i min(1, m_i / 3)
//!
//! m_i is the number of people other than person i who gave the answer: an answer is right if three of ten people gave
//! it, and counts a part if fewer did. Source: Antol et al. 2015, "VQA: Visual Question Answering", and Goyal et al. 2017
//! for VQA v2; the rules by which answers are made alike are those of the data set's own evaluation.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The marks that [`normalize`] takes out of answers, or replaces by a blank.
const MARKS: [char; 21] =
    [';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!'];

/// Largest number of full stops that are taken out of an answer.
const MAX_STOPS: usize = 32;

const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// Number words, by number.
const NUMBERS: [&str; 11] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// The contractions that are restored when one of their apostrophes is missing.
const CONTRACTIONS: &str = "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't \
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't \
    must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've \
    somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's \
    there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't \
    what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's \
    won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've";

/// The contractions by what is left of them without one of their apostrophes.
static RESTORED: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let without_one = |contraction: &'static str| {
        let without = move |(at, _)| ([&contraction[..at], &contraction[at + 1..]].concat(), contraction);
        contraction.match_indices('\'').map(without)
    };
    // The evaluation's list has one the other way round.
    let reversed = [("somebody'd".to_owned(), "somebodyd")];
    CONTRACTIONS.split(' ').flat_map(without_one).chain(reversed).collect()
});

/// Returns the accuracy of an answer, in [0, 1]. Answers are [made alike](normalize), but only if people gave different
/// ones: an answer that all agree on must be given to the letter.
///
/// # Panics
/// Panics without people's answers.
#[track_caller]
pub fn accuracy<S: AsRef<str>>(answer: &str, people: &[S]) -> f64 {
    let trimmed = |answer: &str| answer.replace(['\n', '\t'], " ").trim().to_owned();
    let people: Vec<String> = people.iter().map(|answer| trimmed(answer.as_ref())).collect();
    let (first, rest) = people.split_first().expect("a question that somebody answered");
    let answer = trimmed(answer);
    let agree = rest.iter().all(|other| other == first);
    let given = if agree { answer } else { normalize(&answer) };
    let is_given: Vec<bool> =
        people.iter().map(|other| if agree { *other == given } else { normalize(other) == given }).collect();
    let all = is_given.iter().filter(|&&is| is).count();
    let scores = is_given.iter().map(|&is| ((all - usize::from(is)) as f64 / 3.0).min(1.0));
    scores.sum::<f64>() / people.len() as f64
}

/// Returns an answer in the form in which answers are compared: in lower case, without most punctuation and without
/// articles, with digits for number words ("none" is 0) and with the apostrophes of contractions.
///
/// A mark goes if it stands beside a blank anywhere in the answer, or if the answer has a comma between digits;
/// otherwise a blank takes its place. A full stop goes unless a digit follows.
pub fn normalize(answer: &str) -> String {
    let between_digits = answer.as_bytes().windows(3);
    let has_comma = { between_digits }.any(|w| w[0].is_ascii_digit() && w[1] == b',' && w[2].is_ascii_digit());
    let mut text = answer.to_owned();
    for mark in MARKS {
        let beside_blank = answer.contains(&format!("{mark} ")) || answer.contains(&format!(" {mark}"));
        text = text.replace(mark, if beside_blank || has_comma { "" } else { " " });
    }
    let text = without_stops(&text).to_lowercase();
    let words = text.split_whitespace().map(digit).filter(|word| !ARTICLES.contains(&word.as_str()));
    words.map(restored).collect::<Vec<_>>().join(" ")
}

fn without_stops(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut stops, mut chars) = (0, text.chars().peekable());
    while let Some(c) = chars.next() {
        if c == '.' && stops < MAX_STOPS && !chars.peek().is_some_and(char::is_ascii_digit) {
            stops += 1;
        } else {
            out.push(c);
        }
    }
    out
}

fn digit(word: &str) -> String {
    match NUMBERS.iter().position(|&number| number == word) {
        Some(number) => number.to_string(),
        None if word == "none" => "0".into(),
        None => word.into(),
    }
}

/// Returns the contraction that a word is but for one apostrophe, or else the word.
fn restored(word: String) -> String {
    RESTORED.get(&word).map_or(word, |&contraction| contraction.to_owned())
}
