//! How a text becomes tokens, step by step: what is cleaned, which words there are, and which merges make the tokens of
//! a word. For those who want to see it; the ids are those of the tokenizer itself.

use std::collections::HashMap;
use tokenizers::models::bpe::BPE;

/// A token and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    /// The token as the vocabulary writes it, such as `cat</w>` or `##ing`.
    pub text: String,
}

/// A merge joins two neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The place of the pair in the list of merges, from 0. Of all neighbours the ones with the lowest rank are joined.
    pub rank: usize,
    /// The parts of the word after the merge.
    pub parts: Vec<String>,
}

/// A word of a cleaned text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// What the merges begin with: the word's bytes, each as a letter. Without merges there are none.
    pub letters: Vec<String>,
    /// The merges in their order. Only byte-pair tokenizers have some.
    pub merges: Vec<Merge>,
    pub tokens: Vec<Token>,
}

/// The way of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The text after cleaning, from which words are taken.
    pub cleaned: String,
    pub words: Vec<Word>,
    /// Whether the tokenizer joins bytes by a list of merges.
    pub is_merged: bool,
    /// The token that opens every text. A SigLIP's texts have none.
    pub start: Option<Token>,
    /// The token that closes every text.
    pub end: Token,
}

impl Trace {
    /// Returns all tokens, framed, as if every text fitted.
    pub fn tokens(&self) -> Vec<&Token> {
        let inside = self.words.iter().flat_map(|word| &word.tokens);
        self.start.iter().chain(inside).chain([&self.end]).collect()
    }
}

/// The merges of a byte-pair tokenizer.
pub(super) struct Merges {
    ranks: HashMap<[String; 2], usize>,
    /// What the last letter of a word ends with.
    suffix: String,
}

impl Merges {
    /// Reads the merges of a model of the library, which shows them only in its file format.
    pub fn of(model: &BPE) -> Self {
        let file = serde_json::to_value(model).expect("a tokenizer can be written");
        let merges = serde_json::from_value::<Vec<[String; 2]>>(file["merges"].clone()).expect("merges are pairs");
        let suffix = file["end_of_word_suffix"].as_str().unwrap_or_default().to_owned();
        Merges { ranks: merges.into_iter().zip(0..).collect(), suffix }
    }

    /// Merges the letters of a word until no neighbours are a pair of the list (Sennrich et al. 2016, algorithm 1). If
    /// that does not give the word's own tokens, the tokenizer has other rules, and nothing is shown.
    pub fn explain(&self, word: &mut Word) {
        let tokens: Vec<&str> = word.tokens.iter().map(|token| token.text.as_str()).collect();
        let letters = self.letters(&tokens.concat());
        let merges = self.merges(letters.clone());
        if merges.last().map_or(&letters, |merge| &merge.parts) == &tokens {
            (word.letters, word.merges) = (letters, merges);
        }
    }

    fn letters(&self, word: &str) -> Vec<String> {
        let stem = word.strip_suffix(&self.suffix).unwrap_or(word);
        let mut letters: Vec<String> = stem.chars().map(String::from).collect();
        if let Some(last) = letters.last_mut() {
            last.push_str(&word[stem.len()..]);
        }
        letters
    }

    fn merges(&self, mut parts: Vec<String>) -> Vec<Merge> {
        let mut merges = vec![];
        loop {
            let rank = |i: usize| self.ranks.get(&[parts[i].clone(), parts[i + 1].clone()]).copied();
            let best = (1..parts.len()).filter_map(|i| Some((rank(i - 1)?, i))).min();
            let Some((rank, i)) = best else { return merges };
            let right = parts.remove(i);
            parts[i - 1].push_str(&right);
            merges.push(Merge { rank, parts: parts.clone() });
        }
    }
}
