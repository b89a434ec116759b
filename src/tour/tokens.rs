#![doc = include_str!("tokens.md")]

use super::chain_rule::{Matrix, matrix};
use std::collections::BTreeMap;

/// The letters of a word; the last one is marked as the end of the word.
pub fn letters(word: &str) -> Vec<String> {
    let mut letters: Vec<String> = word.chars().map(String::from).collect();
    letters.last_mut().expect("a letter").push_str("</w>");
    letters
}

/// Joins the neighbours that stand first in the table, until no neighbours stand in it.
pub fn merge(mut parts: Vec<String>, table: &[[String; 2]]) -> Vec<String> {
    loop {
        let line = |i: usize| table.iter().position(|pair| *pair == parts[i..i + 2]);
        let first = (1..parts.len()).filter_map(|i| Some((line(i - 1)?, i))).min();
        let Some((_, i)) = first else { return parts };
        let right = parts.remove(i);
        parts[i - 1].push_str(&right);
    }
}

/// The most frequent pair of neighbours. Each word comes with how often it was read.
pub fn most_frequent(words: &[(&str, usize)], table: &[[String; 2]]) -> [String; 2] {
    let mut counts = BTreeMap::new();
    for &(word, times) in words {
        for pair in merge(letters(word), table).windows(2) {
            *counts.entry([pair[0].clone(), pair[1].clone()]).or_insert(0) += times;
        }
    }
    counts.into_iter().max_by_key(|(_, times)| *times).expect("a pair").0
}

/// All tokens: letters, letters that end a word, one for each line of the table, start, end.
pub fn vocabulary(letters: &[&str], table: &[[String; 2]]) -> Vec<String> {
    let inside = letters.iter().map(|letter| letter.to_string());
    let at_end = letters.iter().map(|letter| format!("{letter}</w>"));
    let joined = table.iter().map(|pair| pair.concat());
    inside.chain(at_end).chain(joined).chain(["start".into(), "end".into()]).collect()
}

/// The token ids of a caption, from start to end.
pub fn encode(caption: &str, table: &[[String; 2]], vocabulary: &[String]) -> Vec<usize> {
    let words = caption.split(' ').flat_map(|word| merge(letters(word), table));
    let tokens = ["start".into()].into_iter().chain(words).chain(["end".into()]);
    let id = |token: String| vocabulary.iter().position(|known| *known == token);
    tokens.map(|token| id(token).expect("known letters")).collect()
}

/// The place of each row in its caption: 0, 1, …, and again from 0 for the next caption.
pub fn places(lengths: &[usize]) -> Vec<usize> {
    lengths.iter().flat_map(|&length| 0..length).collect()
}

/// xₙ = row idₙ of the table + row placeₙ of the positions
pub fn token_embed(table: &Matrix, positions: &Matrix, ids: &[usize], places: &[usize]) -> Matrix {
    matrix(ids.len(), table[0].len(), |n, i| table[ids[n]][i] + positions[places[n]][i])
}

/// For a table of so many rows: row r has the sum of all dxₙ whose index is r.
pub fn sum_by_row(rows: usize, index: &[usize], dx: &Matrix) -> Matrix {
    let mut dtable = matrix(rows, dx[0].len(), |_, _| 0.0);
    for n in 0..dx.len() {
        for i in 0..dx[n].len() {
            dtable[index[n]][i] += dx[n][i];
        }
    }
    dtable
}

/// The last row of each caption.
pub fn last_rows(lengths: &[usize]) -> Vec<usize> {
    (1..=lengths.len()).map(|captions| lengths[..captions].iter().sum::<usize>() - 1).collect()
}

/// The rows of x with these indices.
pub fn pick(x: &Matrix, rows: &[usize]) -> Matrix {
    rows.iter().map(|&n| x[n].clone()).collect()
}
