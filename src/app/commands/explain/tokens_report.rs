//! The way of a text to its token ids, as it is printed.

use crate::counted::counted;
use crate::text::trace::{Token, Trace, Word};
use serde::Serialize;
use std::fmt;

/// What a word is cut into.
#[derive(Clone, Copy, Serialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    BytePairs,
    Pieces,
}

/// The row that leaves the text tower.
pub(super) enum Leaves {
    First,
    Last,
}

/// The way of one text.
#[derive(Serialize)]
pub(super) struct Report {
    pub text: String,
    pub kind: Kind,
    pub cleaned: String,
    pub words: Vec<WordReport>,
    /// What the model reads.
    pub tokens: Vec<Placed>,
    /// What does not fit.
    pub cut_off: Vec<TokenReport>,
    pub context_length: usize,
    /// The place of the row that leaves the tower.
    pub leaves: usize,
    /// The tokens that a BLIP puts at place 0 where the text looks at a picture, or is written.
    pub other_starts: Vec<(&'static str, u32)>,
}

#[derive(Serialize)]
pub(super) struct WordReport {
    pub text: String,
    pub letters: Vec<String>,
    pub merges: Vec<MergeReport>,
    pub tokens: Vec<TokenReport>,
}

#[derive(Serialize)]
pub(super) struct MergeReport {
    pub rank: usize,
    pub parts: Vec<String>,
}

#[derive(Clone, Serialize)]
pub(super) struct TokenReport {
    pub id: u32,
    pub token: String,
}

#[derive(Serialize)]
pub(super) struct Placed {
    pub place: usize,
    #[serde(flatten)]
    pub token: TokenReport,
}

impl TokenReport {
    fn of(token: &Token) -> Self {
        TokenReport { id: token.id, token: token.text.clone() }
    }
}

impl WordReport {
    fn of(Word { text, letters, merges, tokens }: Word) -> Self {
        let tokens = tokens.iter().map(TokenReport::of).collect();
        let merges = merges.into_iter().map(|merge| MergeReport { rank: merge.rank, parts: merge.parts }).collect();
        WordReport { text, letters, merges, tokens }
    }
}

impl Report {
    pub(super) fn new(text: &str, trace: Trace, context_length: usize, leaves: Leaves) -> Self {
        let mut kept: Vec<TokenReport> = trace.tokens().into_iter().map(TokenReport::of).collect();
        let mut cut_off = vec![];
        if kept.len() > context_length {
            // What is cut off makes room for the end.
            let end = kept.pop();
            cut_off = kept.split_off(context_length - 1);
            kept.extend(end);
        }
        let leaves = match leaves {
            Leaves::First => 0,
            Leaves::Last => kept.len() - 1,
        };
        Report {
            text: text.into(),
            kind: if trace.is_merged { Kind::BytePairs } else { Kind::Pieces },
            cleaned: trace.cleaned,
            words: trace.words.into_iter().map(WordReport::of).collect(),
            tokens: kept.into_iter().enumerate().map(|(place, token)| Placed { place, token }).collect(),
            cut_off,
            context_length,
            leaves,
            other_starts: vec![],
        }
    }

    /// Returns what is to be said of the token at a place.
    pub(super) fn role(&self, place: usize) -> &'static str {
        match (place == 0, place + 1 == self.tokens.len(), place == self.leaves) {
            (true, _, true) => "start; this row leaves the tower",
            (true, ..) => "start",
            (_, true, true) => "end; this row leaves the tower",
            (_, true, _) => "end",
            _ => "",
        }
    }

    /// Says how many of the tokens are read, and which other tokens may be the first.
    pub(super) fn summary(&self) -> String {
        let mut said =
            format!("{}, of {} that the model reads", counted(self.tokens.len(), "token"), self.context_length);
        if !self.cut_off.is_empty() {
            said += &format!("; {} cut off", self.cut_off.len());
        }
        if let [(enc, enc_id), (dec, dec_id)] = self.other_starts[..] {
            said += &format!(
                "\nplace 0 is {enc} ({enc_id}) where the text looks at a picture, {dec} ({dec_id}) where it is written"
            );
        }
        said
    }

    /// Returns the words with a way to show, each once.
    pub(super) fn shown_words(&self) -> Vec<&WordReport> {
        let mut shown: Vec<&WordReport> = vec![];
        for word in &self.words {
            if shown.iter().all(|other| other.text != word.text) {
                shown.push(word);
            }
        }
        shown
    }
}

/// How wide the places, ids and ranks are.
const NUMBER: usize = 7;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        writeln!(f, "  cleaned  {}", self.cleaned)?;
        let words: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
        writeln!(f, "  words    {}\n", words.join(" │ "))?;
        for word in self.shown_words() {
            writeln!(f, "  {}", word.text)?;
            if !word.letters.is_empty() {
                writeln!(f, "  {:>NUMBER$}  {}", "letters", word.letters.join(" "))?;
            }
            for MergeReport { rank, parts } in &word.merges {
                writeln!(f, "  {rank:>NUMBER$}  {}", parts.join(" "))?;
            }
            if self.kind == Kind::Pieces {
                let pieces: Vec<&str> = word.tokens.iter().map(|token| token.token.as_str()).collect();
                writeln!(f, "  {:>NUMBER$}  {}", "pieces", pieces.join(" "))?;
            }
        }
        writeln!(f, "\n  {:>NUMBER$} {:>NUMBER$}  token", "place", "id")?;
        for Placed { place, token: TokenReport { id, token } } in &self.tokens {
            let role = self.role(*place);
            writeln!(f, "  {}", format!("{place:>NUMBER$} {id:>NUMBER$}  {token:16} {role}").trim_end())?;
        }
        for TokenReport { id, token } in &self.cut_off {
            writeln!(f, "  {:>NUMBER$} {id:>NUMBER$}  {token}", "cut off")?;
        }
        writeln!(f, "{}", self.summary())
    }
}
